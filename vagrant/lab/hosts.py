"""Vagrant's machines: commands by ssh, power and cables by `vagrant/machine`."""
import json
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent.parent


class Failed(Exception):
    """Something could not be carried out; says nothing about primacy."""


class Ssh:
    """One shared connection per machine: setting one up takes half a second where machines are emulated."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="drill-"))
        self.config = self.directory / "config"
        done = subprocess.run(["vagrant", "ssh-config"], cwd=HERE, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if "HostName" not in done.stdout:
            raise Failed(f"vagrant ssh-config: {done.stderr.strip() or done.stdout.strip()} (vagrant up?)")
        self.addresses, host = {}, None
        for line in done.stdout.splitlines():
            word, _, value = line.strip().partition(" ")
            if word == "Host":
                host = value
            elif word == "HostName":
                self.addresses[host] = value
        self.config.write_text(done.stdout)

    def argv(self, name, *more):
        options = {"ControlMaster": "auto", "ControlPath": self.directory / "%n", "ControlPersist": "300", "ConnectTimeout": "5"}
        options |= {"ServerAliveInterval": "3", "ServerAliveCountMax": "3", "LogLevel": "ERROR"}
        return ["ssh", "-F", str(self.config), *(f"-o{key}={value}" for key, value in options.items()), *more, name]

    def forget(self, name):
        """Ends the shared connection: its other end is about to vanish."""
        subprocess.run(self.argv(name, "-O", "exit"), stdin=subprocess.DEVNULL, capture_output=True, timeout=20)

    def close(self):
        for name in self.addresses:
            self.forget(name)
        shutil.rmtree(self.directory, ignore_errors=True)


class Host:
    def __init__(self, ssh, name):
        self.ssh, self.name = ssh, name
        self.stopped = None  # (moment, how) while it is frozen or paused
        self.freezes = []  # (stop, go)
        self.cuts = []

    def run(self, command, limit=60):
        """A shell command as root: exit code and output."""
        argv = [*self.ssh.argv(self.name), "--", "sudo", "bash"]
        try:
            done = subprocess.run(argv, input=command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=limit)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name}: `{command}` has not ended after {limit} s") from None
        return done.returncode, done.stdout.strip()

    def must(self, command, limit=60):
        code, text = self.run(command, limit)
        if code != 0:
            raise Failed(f"{self.name}: `{command}` ended with {code}: {text}")
        return text

    def outside(self, action, *more):
        done = subprocess.run([HERE / "machine", action, self.name, *more], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"{self.name}: {action}: {done.stderr.strip()}")
        return done.stdout.strip()

    def is_on(self):
        return self.outside("state") != "shut off"

    def power_off(self):
        self.ssh.forget(self.name)
        moment = time.monotonic()
        self.outside("power-off")
        return moment

    def power_on(self):
        self.outside("power-on")

    def stop(self, how):
        """`freeze` or `pause`. The moment is that of the order's end: nothing runs after it."""
        self.ssh.forget(self.name)
        self.outside(how)
        self.stopped = (time.monotonic(), how)
        return self.stopped[0]

    def go(self):
        """The moment is that of the order's begin: nothing ran before it."""
        since, how = self.stopped
        moment = time.monotonic()
        self.outside({"freeze": "thaw", "pause": "resume"}[how])
        self.freezes.append((since, moment))
        self.stopped = None
        return moment

    def cut(self, network):
        moment = time.monotonic()
        self.outside("cut", network)
        self.cuts.append(network)
        return moment

    def heal(self):
        while self.cuts:
            self.outside("heal", self.cuts.pop())

    def wait(self, limit=180):
        until = time.monotonic() + limit
        while True:
            try:
                if self.run("true", 15)[0] == 0:
                    return
            except Failed:
                pass
            if time.monotonic() > until:
                raise Failed(f"{self.name} has not come up after {limit} s")
            time.sleep(0.2)

    def restore(self):
        """Ends whatever was done to it."""
        self.heal()
        if self.stopped:
            self.go()
        if not self.is_on():
            self.ssh.forget(self.name)
            self.power_on()


class Candidate(Host):
    """A host that runs primacy, and what it says of itself."""

    def __init__(self, ssh, name):
        super().__init__(ssh, name)
        address = ssh.addresses[name]
        # VirtualBox: forwarded by the Vagrantfile.
        port = 9090 if address != "127.0.0.1" else 19011 + ord(name[-1]) - ord("a")
        self.url = f"http://{address}:{port}/server_status"
        self.sayings = []  # (moment, answer or None), each that differs from the one before
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while True:
            try:
                answer = opener.open(self.url, timeout=2).read()
            except urllib.error.HTTPError as error:
                answer = error.read()
            except OSError:
                answer = b"null"
            try:
                said = json.loads(answer)
            except ValueError:
                said = None
            said = said and {key: said.get(key) for key in ("role", "status", "epoch", "reason")}
            if not self.sayings or self.sayings[-1][1] != said:
                self.sayings.append((time.monotonic(), said))
            time.sleep(0.15)

    def says(self):
        return (self.sayings and self.sayings[-1][1]) or {}

    def said(self, since, words):
        """The first saying since then whose reason contains the words."""
        for moment, said in list(self.sayings):
            if moment >= since and said and words in (said["reason"] or ""):
                return moment, said["reason"]
        return None


def guests(names):
    """By role: candidates, NFS server, ZooKeeper servers."""
    candidates = sorted(name for name in names if name.startswith("node-"))
    zookeepers = sorted(name for name in names if name.startswith("zookeeper-"))
    if len(candidates) < 2 or "nfs" not in names or not zookeepers:
        raise Failed(f"these machines are up: {', '.join(names)}; two candidates, nfs and a zookeeper are needed")
    return candidates, "nfs", zookeepers


