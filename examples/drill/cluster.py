"""Two supervisors, a ZooKeeper server, a volume and clients: all the processes of a drill."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time
import tomllib
import urllib.error
import urllib.request

import program

ROOT = pathlib.Path(__file__).resolve().parents[2]
ZOOKEEPER = ("/etc/zookeeper/conf", "/usr/share/java/zookeeper.jar")
# Any event: a Java program that starts on a busy machine of two cores is one.
LIMIT = 300
LOOK_AGAIN = 0.02


class Trouble(Exception):
    """The drill cannot go on."""


def newest_binary():
    built = [ROOT / "target" / profile / "primacy" for profile in ("release", "debug")]
    built = [path for path in built if path.exists()]
    return str(max(built, key=lambda path: path.stat().st_mtime)) if built else str(ROOT / "target/release/primacy")


def missing(primacy):
    if not os.access(primacy, os.X_OK):
        return f"no {primacy} here: cargo build --release"
    if not shutil.which("java") or not os.path.exists(ZOOKEEPER[1]):
        return "no ZooKeeper here: scripts/install-needs coordinators"
    return None


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(what, look, limit=LIMIT):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(LOOK_AGAIN)
    raise Trouble(f"waited {limit} s in vain until {what}")


def toml(table, prefix=""):
    """Enough of TOML for a configuration of primacy."""
    def value(of):
        if isinstance(of, dict):
            return "{ " + ", ".join(f"{json.dumps(key)} = {value(inner)}" for key, inner in of.items()) + " }"
        return json.dumps(of)
    lines = [f"{key} = {value(of)}" for key, of in table.items() if prefix or not isinstance(of, dict)]
    tables = [] if prefix else [f"\n[{key}]\n{toml(of, key)}" for key, of in table.items() if isinstance(of, dict)]
    return "\n".join(lines + tables)


def merged(into, more):
    both = dict(into)
    for key, of in more.items():
        both[key] = merged(both.get(key, {}), of) if isinstance(of, dict) and isinstance(both.get(key), dict) else of
    return both


class Pulse(threading.Thread):
    """Whether this host has time for the drill: how much longer than it wanted it has slept, at worst."""

    def __init__(self):
        super().__init__(daemon=True)
        self.longest = 0.0

    def run(self):
        while True:
            began = time.monotonic()
            time.sleep(0.05)
            self.longest = max(self.longest, time.monotonic() - began - 0.05)


class Process:
    """One that is started, logs to a file, and is killed by its own pid."""

    def __init__(self, arguments, log, environment=None, **more):
        with open(log, "ab") as out:
            self.of = subprocess.Popen([str(a) for a in arguments], stdout=more.pop("stdout", out), stderr=out,
                                       stdin=more.pop("stdin", subprocess.DEVNULL), env={**os.environ, **(environment or {})},
                                       start_new_session=True, **more)

    @property
    def pid(self):
        return self.of.pid

    def lives(self):
        return self.of.poll() is None

    def send(self, number):
        if self.lives():
            self.of.send_signal(number)

    def end(self, number=signal.SIGTERM, limit=60):
        self.send(number)
        try:
            return self.of.wait(limit)
        except subprocess.TimeoutExpired:
            self.of.kill()
            return self.of.wait()


class Node:
    """A supervisor, what it is configured with, and the copy that its coordinator runs from."""

    def __init__(self, its, name):
        self.its, self.name = its, name
        self.api = free_port()
        self.ports = {port: free_port() for port in its.coordinator.ports}
        self.folder = its.work / name
        self.folder.mkdir()
        self.program = program.Program(self.folder / "program")
        self.configuration = self.folder / "primacy.toml"
        self.process, self.wanted = None, False

    def configure(self):
        example = tomllib.loads((self.its.coordinator.folder / "primacy.toml").read_text())
        recorder = self.folder / "recorder"
        own = {
            "cluster": "drill", "node": self.name,
            "zookeeper": {"servers": f"127.0.0.1:{self.its.zookeeper_port}", "session_timeout": self.its.session},
            "lock": {"directory": str(self.its.volume / ".primacy")},
            # There is one host, and nobody to fence it.
            "fencing": {"command": [], "required": False},
            "coordinator": {"user": "", "working_directory": str(self.folder)},
            "recorder": {"directory": str(recorder)},
            "standby": {"warm": [str(self.program.folder)] if self.its.mounted else [], "warm_limit": "2GiB"},
            "api": {"listen": f"127.0.0.1:{self.api}", "advertise": f"http://127.0.0.1:{self.api}", "token_file": ""},
        }
        settings = merged(merged(example, own), self.its.coordinator.settings(self, self.its.volume))
        self.configuration.write_text(toml(settings) + "\n")

    def refuses_without_the_lock(self):
        """The start script, run by hand: without primacy, and with a descriptor that is no lock."""
        coordinator = tomllib.loads(self.configuration.read_text())["coordinator"]
        environment = {**os.environ, **coordinator.get("environment", {})}
        for more in ({}, {"PRIMACY_LOCK_FD": "0", "PRIMACY_EPOCH": "1"}):
            try:
                done = subprocess.run(coordinator["command"], env={**environment, **more}, stdin=subprocess.DEVNULL, check=False,
                                      capture_output=True, text=True, timeout=20, cwd=self.folder)
            except subprocess.TimeoutExpired as error:
                raise Trouble("the start script starts the coordinator without primacy's lock") from error
            if done.returncode != 1 or "lock" not in done.stderr.lower():
                raise Trouble(f"the start script without the lock: exit code {done.returncode}, {done.stderr.strip()!r}")

    def start(self):
        self.wanted = True
        self.process = Process([self.its.primacy, "run", "-c", self.configuration], self.folder / "log")

    def tend(self):
        """The service manager's turn."""
        if self.wanted and self.process and not self.process.lives():
            self.start()

    def status(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.api}/server_status", timeout=1) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            try:
                return json.load(error)
            except ValueError:
                return None
        except (OSError, ValueError):
            return None

    def descendants(self):
        """Everything below the supervisor, itself first."""
        parents = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    stat = pathlib.Path("/proc", entry, "stat").read_text()
                    parents.setdefault(int(stat.rsplit(")", 1)[1].split()[1]), []).append(int(entry))
                except (OSError, IndexError):
                    pass
        found = [self.process.pid]
        for pid in found:
            found.extend(parents.get(pid, []))
        return found


class Client:
    """A real client in a process of its own. It says `ACK ID NANOSECONDS` for each write that was acknowledged to it."""

    def __init__(self, its, number):
        self.journal = its.work / f"client-{number}.journal"
        self.journal.touch()
        with open(self.journal, "ab") as out:
            self.process = Process(its.coordinator.client(its.nodes, number), its.work / f"client-{number}.log",
                                   its.coordinator.client_environment(its), stdout=out, stdin=subprocess.PIPE)

    def acknowledged(self):
        """(nanoseconds, id), whole lines only."""
        text = self.journal.read_text().rpartition("\n")[0]
        lines = [line.split() for line in text.splitlines() if line.startswith("ACK ")]
        return [(int(line[2]), line[1]) for line in lines]

    def finish(self):
        """Lets it have its last write answered, and end."""
        self.process.of.stdin.close()
        try:
            self.process.of.wait(LIMIT)
        except subprocess.TimeoutExpired as error:
            raise Trouble("a client's last write is never answered") from error
        if self.process.of.returncode != 0:
            raise Trouble(f"a client failed: see {self.journal.with_suffix('.log')}")


class Cluster:
    own = False

    def __init__(self, coordinator, work, primacy, session):
        self.coordinator, self.work, self.primacy, self.session = coordinator, work, primacy, session
        self.volume = work / "volume"
        self.volume.mkdir()
        # A volume of its own is what `[standby] warm` must not touch; on the disk of the programs it would keep nothing.
        self.mounted = "PRIMACY_DRILL_OWN_MOUNTS" in os.environ and self.mount()
        self.zookeeper_port = free_port()
        self.processes, self.nodes, self.clients = [], [], []

    def mount(self):
        image = self.work / "volume.img"
        with open(image, "wb") as file:
            file.truncate(1 << 30)
        for command in (["mkfs.ext4", "-q", "-F", image], ["mount", "-o", "loop", image, self.volume]):
            done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, check=False)
            if done.returncode:
                return False
        return True

    def __enter__(self):
        try:
            self.up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def up(self):
        self.start_zookeeper()
        self.nodes = [Node(self, name) for name in ("node-a", "node-b")]
        for node in self.nodes:
            self.coordinator.copy(node.program)
            node.program.settle()
        self.coordinator.prepare(self)
        for node in self.nodes:
            node.configure()
        self.nodes[0].refuses_without_the_lock()
        for node in self.nodes:
            node.start()
        self.until_active()
        self.coordinator.first(self)
        self.clients = [Client(self, number) for number in range(self.coordinator.clients)]
        self.until_acknowledged(5)

    def start_zookeeper(self):
        folder = self.work / "zookeeper"
        (folder / "data").mkdir(parents=True)
        (folder / "zoo.cfg").write_text(
            f"tickTime=2000\ndataDir={folder}/data\nclientPort={self.zookeeper_port}\nclientPortAddress=127.0.0.1\n"
            "admin.enableServer=false\nmaxClientCnxns=0\n")
        java = ["java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Dzookeeper.log.dir={folder}", "-cp",
                ":".join(ZOOKEEPER), "org.apache.zookeeper.server.quorum.QuorumPeerMain", folder / "zoo.cfg"]
        self.processes.append(Process(java, folder / "log"))

        def serves():
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", self.zookeeper_port)) == 0
        until("ZooKeeper serves", serves)

    def command(self, *arguments):
        return subprocess.run([str(self.primacy), *arguments, "-c", str(self.nodes[0].configuration)], text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT, check=False)

    def tend(self):
        for node in self.nodes:
            node.tend()

    def active(self, other_than=None):
        self.tend()
        for node in self.nodes:
            if node is not other_than:
                status = node.status()
                if status and status["role"] == "active" and status["status"] == "OK":
                    return node
        return None

    def leads_after(self, epoch):
        """Who leads under a later epoch."""
        node = self.active()
        status = node and node.status()
        return node if status and status["role"] == "active" and (status["epoch"] or 0) > epoch else None

    def until_active(self, other_than=None):
        return until("a node is active", lambda: self.active(other_than))

    def until_standby(self, node):
        def stands():
            self.tend()
            status = node.status()
            return status and status["role"] == "standby" and status["status"] == "STANDBY"
        until(f"{node.name} is a standby", stands)

    def until_acknowledged(self, more):
        """Each client so many writes more."""
        for client in self.clients:
            before = len(client.acknowledged())

            def enough(client=client, before=before):
                self.tend()
                if not client.process.lives():
                    raise Trouble(f"a client has ended: see {client.journal.with_suffix('.log')}")
                return len(client.acknowledged()) >= before + more
            until("a client's writes are acknowledged", enough)

    def __exit__(self, *_):
        for client in self.clients:
            client.process.end(signal.SIGKILL)
        for node in self.nodes:
            if node.process:
                node.wanted = False
                node.process.send(signal.SIGCONT)
                node.process.send(signal.SIGTERM)
        for node in self.nodes:
            if node.process:
                node.process.end()
        for process in self.processes:
            process.end(signal.SIGKILL)
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.volume)], check=False)
