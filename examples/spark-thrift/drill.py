"""Spark's Thrift server: rows in a Parquet table, over JDBC. SPARK_JARS names the jars: of a distribution, or of PyPI's pyspark."""
import os
import subprocess

from coordinator import Base

JARS = os.environ.get("SPARK_JARS", "/opt/spark/jars")
QUICK = ["java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]


class Coordinator(Base):
    # Parquet tables have no keys: what was not answered is asked for again, and may be there already.
    may_come_twice = True
    clients = 1

    def missing(self):
        if not os.path.isdir(JARS):
            return f"no Spark in {JARS}: unpack a distribution or PyPI's pyspark, and set SPARK_JARS to its folder of jars"
        return self.absent(["/usr/bin/javac"], "apt-get install default-jdk-headless")

    def copy(self, program):
        program.java()
        program.tree(JARS, "jars")

    def prepare(self, its):
        (its.volume / "warehouse").mkdir()
        subprocess.run(["javac", "-d", its.work / "classes", self.folder / "Client.java"], check=True, stdin=subprocess.DEVNULL)

    def settings(self, node, volume):
        port = str(node.ports["main"])
        local = node.folder / "local"
        local.mkdir()
        return {
            "coordinator": {
                "command": [str(self.folder / "start"), str(volume), "127.0.0.1", port, "-Xmx700m", "-XX:+UseSerialGC"],
                "environment": {"JAVA": str(node.program.folder / "java/bin/java"), "SPARK_JARS": str(node.program.folder / "jars"),
                                "SPARK_LOCAL_DIRS": str(local), "SPARK_LOCAL_IP": "127.0.0.1"},
                "endpoints": {"jdbc": f"127.0.0.1:{port}"},
            },
            # From the common jars, not from the node's: whoever asks must not warm what is measured.
            "health": {"command": ["env", f"SPARK_JARS={JARS}", str(self.folder / "health"), "127.0.0.1", port],
                       "interval": "15s", "timeout": "60s"},
        }

    def run_client(self, nodes, *arguments):
        servers = ",".join(f"127.0.0.1:{node.ports['main']}" for node in nodes)
        return [*QUICK, "-cp", f"{nodes[0].its.work}/classes:{JARS}/*", "Client", servers, *arguments]

    def first(self, its):
        subprocess.run(self.run_client(its.nodes, "create"), check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=300)

    def client(self, nodes, number):
        return self.run_client(nodes, str(number))

    def stored(self, its):
        listed = subprocess.run(self.run_client([its.until_active()], "list"), check=True, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=600)
        return listed.stdout.split()
