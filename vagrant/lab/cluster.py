"""The cluster, and what drills do to it and ask of it."""
import concurrent.futures
import time

from . import hosts, ticks

# The Vagrantfile's and provision's, in seconds.
SESSION, TICK, NFS_LEASE = 10.0, 2.0, 10.0
PROBE_INTERVAL, PROBE_TIMEOUT = 2.0, 5.0
MOUNT_POINT = "/mnt/metadata"
CONFIG = "/etc/primacy/primacy.toml"
RECORD = 64  # bytes of one record of the coordinator's

REST = 240.0  # to boot, mount, wait out an NFS lease and elect, where everything is emulated
CALM = 1.0  # one active and the rest standby for so long is rest
LIVE = 1.0  # a coordinator that has not ticked for so long does not run


class Cluster:
    def __init__(self):
        self.ssh = hosts.Ssh()
        candidates, server, zookeepers = hosts.guests(sorted(self.ssh.addresses))
        self.ticks = ticks.Receiver()
        self.server = hosts.Host(self.ssh, server)
        self.zookeepers = [hosts.Host(self.ssh, name) for name in zookeepers]
        self.candidates = [hosts.Candidate(self.ssh, name) for name in candidates]
        # Without KVM QEMU calls itself "qemu".
        self.emulated = self.server.run("systemd-detect-virt")[1] == "qemu"

        self.probe_timeout = PROBE_TIMEOUT

    def change(self, probe_timeout):
        """On one candidate after the other, the active one last."""
        if probe_timeout == self.probe_timeout:
            return
        self.probe_timeout = probe_timeout
        edit = f"/^probe_timeout/d; s/^.lock.$/&\\nprobe_timeout = \"{probe_timeout:.0f}s\"/"
        active = self.active()[0]
        for candidate in [*(one for one in self.candidates if one is not active), active]:
            candidate.must(f"sed -i '{edit}' {CONFIG} && systemctl restart primacy", 180)
            self.settle()

    @property
    def allowance(self):
        """What an emulated processor may take on top of limits, but for those of the hosts' own failure detectors."""
        return 2.0 if self.emulated else 0.0

    def close(self):
        for host in [self.server, *self.zookeepers, *self.candidates]:
            host.forget()
        self.ssh.close()

    def settle(self):
        """Whatever was done to it: heals, switches on, mounts and starts what is missing; then one is active, the rest stand by."""
        everybody = [self.server, *self.zookeepers, *self.candidates]
        for host in everybody:
            host.restore()
        with concurrent.futures.ThreadPoolExecutor(len(everybody)) as pool:
            list(pool.map(hosts.Host.wait, everybody))
            for future in [pool.submit(self.wait_for_nfs), *(pool.submit(self.wait_for_zookeeper, one) for one in self.zookeepers)]:
                future.result()
            start = f"mountpoint -q {MOUNT_POINT} || systemctl start mnt-metadata.mount; systemctl is-active -q primacy || systemctl start primacy"
            list(pool.map(lambda candidate: candidate.must(start, 180), self.candidates))
        self.rest()

    def wait_for_nfs(self):
        self.poll(self.server, "[ $(cat /proc/fs/nfsd/threads) -gt 0 ] && pidof rpc.mountd", "the NFS server does not serve")

    def wait_for_zookeeper(self, host):
        ask = "exec 3<>/dev/tcp/127.0.0.1/2181 && echo srvr >&3 && grep -q ^Mode: <&3"
        self.poll(host, f"timeout 5 bash -c '{ask}'", f"{host.name} does not serve")

    @staticmethod
    def poll(host, command, otherwise):
        until = time.monotonic() + REST
        while host.run(command)[0] != 0:
            if time.monotonic() > until:
                raise hosts.Failed(otherwise)
            time.sleep(0.3)

    def rest(self):
        since, until = time.monotonic(), time.monotonic() + REST
        while time.monotonic() - since < CALM:
            if not self.is_at_rest():
                since = time.monotonic()
            if time.monotonic() > until:
                said = "; ".join(f"{one.name}: {one.says()}" for one in self.candidates)
                raise hosts.Failed(f"the cluster does not come to rest: {said}; {len(self.running())} coordinators tick")
            time.sleep(0.05)

    def is_at_rest(self):
        said = [(one.says().get("role"), one.says().get("status")) for one in self.candidates]
        standbys = said.count(("standby", "STANDBY"))
        return said.count(("active", "OK")) == 1 and standbys == len(said) - 1 and len(self.running()) == 1

    def running(self):
        after = time.monotonic() - LIVE
        with self.ticks as book:
            return [life.epoch for life in book.lives if life.last >= after]

    def active(self):
        """The active candidate, the epoch."""
        found = [(one, one.says()["epoch"]) for one in self.candidates if one.says().get("role") == "active"]
        if len(found) != 1:
            raise hosts.Failed(f"{len(found)} are active")
        return found[0]

    def successor(self, epoch, limit):
        """The first coordinator of a later epoch, once it runs."""

        def look():
            with self.ticks as book:
                return next((life for life in book.lives if life.epoch > epoch), None)

        return self.until(limit, look)

    @staticmethod
    def until(limit, look):
        end = time.monotonic() + limit
        while True:
            found = look()
            if found or time.monotonic() > end:
                return found
            time.sleep(0.01)

    def freezes(self):
        return {one.name: list(one.freezes) for one in self.candidates}

    def written(self, epoch):
        """Records on the server's disk that a coordinator of this epoch wrote: synced, and not."""
        paths = [f"{name}-{epoch}" for name in ("synced", "loose")]
        sizes = "; ".join(f"stat -c %s /srv/export/journal/{path} 2>/dev/null || echo 0" for path in paths)
        return [int(size) // RECORD for size in self.server.must(sizes).split()]

    def acknowledged(self, epoch):
        """Records of which it said that they were synced."""
        with self.ticks as book:
            life = book.of(epoch)
            return life.wrote[-1][0] if life and life.wrote else 0
