"""Derby: rows, each by a commit of its own, over JDBC."""
import subprocess

from coordinator import Base

JAVA = "/usr/share/java"
SERVER = [f"{JAVA}/{jar}.jar" for jar in ("derby", "derbynet", "derbytools")]
CLIENT = [f"{JAVA}/{jar}.jar" for jar in ("derbyclient", "derbytools")]
# Small and quick to start; what a client's program does is not measured.
QUICK = ["java", "-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]


class Coordinator(Base):
    def missing(self):
        return self.absent([*SERVER, *CLIENT, "/usr/bin/javac"], "apt-get install libderby-java derby-tools default-jdk-headless")

    def copy(self, program):
        program.java()
        program.files(SERVER, "jars")

    def prepare(self, its):
        databases = its.volume / "databases"
        databases.mkdir()
        (its.work / "sql").write_text(
            f"connect 'jdbc:derby:{databases}/ledger;create=true';\n"
            "CREATE TABLE writes (id VARCHAR(40) PRIMARY KEY);\nexit;\n")
        subprocess.run([*QUICK, f"-Dderby.stream.error.file={its.work}/derby-create.log", "-cp", ":".join(SERVER),
                        "org.apache.derby.tools.ij", its.work / "sql"], check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, cwd=its.work)
        subprocess.run(["javac", "-d", its.work / "classes", self.folder / "Client.java"], check=True, stdin=subprocess.DEVNULL)

    def settings(self, node, volume):
        port = str(node.ports["main"])
        return {
            "coordinator": {
                "command": [str(self.folder / "start"), str(volume / "databases"), "127.0.0.1", port],
                "environment": {"JAVA": str(node.program.folder / "java/bin/java"), "DERBY_LIB": str(node.program.folder / "jars")},
                "endpoints": {"jdbc": f"127.0.0.1:{port}"},
            },
            "health": {"command": [str(self.folder / "health"), "127.0.0.1", port, "ledger"]},
        }

    def run_client(self, its, *arguments):
        servers = ",".join(f"127.0.0.1:{node.ports['main']}" for node in its)
        return [*QUICK, "-cp", ":".join([*CLIENT, str(its[0].its.work / "classes")]), "Client", servers, "ledger", *arguments]

    def client(self, nodes, number):
        return self.run_client(nodes, str(number))

    def stored(self, its):
        listed = subprocess.run(self.run_client([its.until_active()], "list"), check=True, stdin=subprocess.DEVNULL,
                                capture_output=True, text=True)
        return listed.stdout.split()

    def examine(self, its):
        """Derby's own examination of the table and its index."""
        port = its.until_active().ports["main"]
        (its.work / "sql").write_text(f"connect 'jdbc:derby://127.0.0.1:{port}/ledger';\n"
                                      "VALUES SYSCS_UTIL.SYSCS_CHECK_TABLE('APP', 'WRITES');\nexit;\n")
        said = subprocess.run([*QUICK, "-cp", ":".join(CLIENT), "org.apache.derby.tools.ij", its.work / "sql"], check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout
        return [] if "1 row selected" in said and "ERROR" not in said else [f"Derby finds the table damaged: {said}"]
