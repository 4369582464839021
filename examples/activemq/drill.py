"""ActiveMQ Classic: persistent messages over JMS, by ActiveMQ's own fail-over transport."""
import pathlib
import subprocess

from coordinator import Base

HOME = pathlib.Path("/usr/share/activemq")
CLIENT = [str(HOME / "lib" / f"{jar}.jar") for jar in
          ("activemq-client", "geronimo-jms_1.1_spec", "geronimo-j2ee-management-1.1-spec", "hawtbuf", "slf4j-api")]
QUICK = ["java", "-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]


class Coordinator(Base):
    # The transport sends again what was not answered; the store keeps most of these from being doubled.
    may_come_twice = True

    def missing(self):
        return self.absent([HOME / "bin/activemq.jar", *CLIENT, "/usr/bin/javac"], "apt-get install activemq default-jdk-headless")

    def copy(self, program):
        program.java()
        program.tree(HOME, "activemq")

    def prepare(self, its):
        (its.volume / "activemq").mkdir()
        subprocess.run(["javac", "-cp", ":".join(CLIENT), "-d", its.work / "classes", self.folder / "Client.java"], check=True,
                       stdin=subprocess.DEVNULL)

    def environment(self, node):
        return {"JAVA": str(node.program.folder / "java/bin/java"), "ACTIVEMQ_HOME": str(node.program.folder / "activemq")}

    def settings(self, node, volume):
        port = str(node.ports["main"])
        return {
            "coordinator": {
                "command": [str(self.folder / "start"), str(volume / "activemq"), "127.0.0.1", port, "-Xmx256m"],
                "environment": self.environment(node),
                "endpoints": {"openwire": f"127.0.0.1:{port}"},
            },
            "health": {"command": [str(self.folder / "health"), "127.0.0.1", port]},
        }

    def run_client(self, nodes, *arguments):
        servers = ",".join(f"127.0.0.1:{node.ports['main']}" for node in nodes)
        return [*QUICK, "-cp", ":".join([*CLIENT, str(nodes[0].its.work / "classes")]), "Client", servers, *arguments]

    def client(self, nodes, number):
        return self.run_client(nodes, str(number))

    def stored(self, its):
        listed = subprocess.run(self.run_client(its.nodes, "list"), check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, text=True, timeout=300)
        return listed.stdout.split()

    def own(self, node, volume):
        """Its own shared-store master and slave: the same configuration, but that the second one waits for the store's lock."""
        xml = (self.folder / "activemq.xml").read_text().replace('<shared-file-locker failIfLocked="true"/>', "<shared-file-locker/>")
        (node.folder / "activemq.xml").write_text(xml)
        home = node.program.folder / "activemq"
        return [str(node.program.folder / "java/bin/java"), "-Xmx256m", f"-Dactivemq.home={home}", f"-Dactivemq.base={home}",
                f"-Dlog4j.configuration=file:{self.folder}/log4j.properties", f"-Ddata={volume}/activemq", "-Daddress=127.0.0.1",
                f"-Dport={node.ports['main']}", "-jar", str(home / "bin/activemq.jar"), "start",
                f"xbean:file:{node.folder}/activemq.xml"]
