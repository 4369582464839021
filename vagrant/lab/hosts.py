"""Vagrant's machines: commands by ssh, power and cables by `vagrant/machine`."""
import json
import os
import pathlib
import select
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
    """How to reach the machines."""

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

    def shell(self, name):
        options = {"ConnectTimeout": 10, "LogLevel": "ERROR", "BatchMode": "yes"}
        argv = ["ssh", "-T", "-F", str(self.config), *(f"-o{key}={value}" for key, value in options.items()), name]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        # A session of its own: an interrupt at the terminal is the drill's to handle.
        return subprocess.Popen([*argv, "sudo bash"], bufsize=0, **pipes, start_new_session=True)

    def close(self):
        shutil.rmtree(self.directory, ignore_errors=True)


class Host:
    def __init__(self, ssh, name):
        self.ssh, self.name = ssh, name
        # One shell that stays: to log in costs seconds where machines are emulated and starved.
        self.shell, self.count, self.lock = None, 0, threading.Lock()
        self.off = False
        self.stopped = None  # (moment, how) while it is frozen or paused
        self.freezes = []  # (stop, go)
        self.cuts = []

    def run(self, command, limit=60):
        """A shell command as root: exit code and output."""
        with self.lock:
            try:
                return self.exchange(command, time.monotonic() + limit)
            except (OSError, EOFError) as error:
                self.forget()
                raise Failed(f"{self.name}: `{command}`: {error}") from None

    def exchange(self, command, until):
        if self.shell is None:
            self.shell = self.ssh.shell(self.name)
        self.count += 1
        mark = f"#end-{self.count} ".encode()
        text = f"bash 2>&1 <<'END-{self.count}'\n{command}\nEND-{self.count}\ncode=$?; echo; echo \"{mark.decode()}$code\"\n"
        self.shell.stdin.write(text.encode())
        self.shell.stdin.flush()
        answer, pipe = b"", self.shell.stdout.fileno()
        while True:
            left = until - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                raise OSError("has not ended in time")
            part = os.read(pipe, 65536)
            if not part:
                raise EOFError(answer.decode(errors="replace").strip() or "the connection ended")
            answer += part
            output, found, code = answer.rpartition(b"\n" + mark)
            if found and code.endswith(b"\n"):
                return int(code), output.decode(errors="replace").strip()

    def must(self, command, limit=60):
        code, text = self.run(command, limit)
        if code != 0:
            raise Failed(f"{self.name}: `{command}` ended with {code}: {text}")
        return text

    def forget(self):
        """Ends the shell here; its other end may have vanished."""
        if self.shell:
            self.shell.kill()
            self.shell.wait()
            self.shell.stdin.close()
            self.shell.stdout.close()
            self.shell = None

    def outside(self, action, *more):
        done = subprocess.run([HERE / "machine", action, self.name, *more], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"{self.name}: {action}: {done.stderr.strip()}")
        return done.stdout.strip()

    def is_on(self):
        return self.outside("state") != "shut off"

    def power_off(self):
        self.forget()
        self.off = True
        moment = time.monotonic()
        self.outside("power-off")
        return moment

    def power_on(self):
        self.forget()
        self.outside("power-on")
        self.off = False

    def stop(self, how):
        """`freeze` or `pause`. The moment is that of the order's end: nothing runs after it."""
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
                if self.run("true", 30)[0] == 0:
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
        if self.off:
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
            time.sleep(0.3)

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


