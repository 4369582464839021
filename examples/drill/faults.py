"""One fault after the other, each with a standby whose page cache is cold or warm, and what it cost the clients."""
import os
import signal
import socket
import sys
import threading
import time

from cluster import Trouble, until

# Acknowledged writes of each client before the next fault.
WRITES = 10


def switchover(its, _node):
    for _ in range(5):
        done = its.command("switchover", "--yes", "-m", "drill")
        # 3: on a machine without time ZooKeeper could not be asked, so nobody was.
        if done.returncode != 3:
            break
    if done.returncode:
        raise Trouble(f"switchover failed: {done.stderr.strip()}")


def kill_coordinator(_its, node):
    os.kill(node.status()["coordinator"]["pid"], signal.SIGKILL)


def kill_supervisor(_its, node):
    node.process.send(signal.SIGKILL)


def freeze(_its, node):
    node.process.send(signal.SIGSTOP)


def kill_host(_its, node):
    # A supervisor that comes back at once would find its own ghost and end its session: a host that is gone does not.
    node.wanted = False
    # From the bottom, so that nobody is left who could resign.
    pids = node.descendants()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    for pid in reversed(pids):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


FAULTS = {
    "switchover": switchover,
    "kill-coordinator": kill_coordinator,
    "kill-supervisor": kill_supervisor,
    "freeze": freeze,
    "kill-host": kill_host,
}


class Watch:
    """Looks at both nodes all the time: who takes connections, and who says what of itself."""

    def __init__(self, its):
        self.its, self.over, self.both, self.looks = its, threading.Event(), [], 0
        # When a coordinator was ended in any other way than in order.
        self.kills = []
        self.steps = {node.name: [] for node in its.nodes}
        # One for each node: a frozen one keeps only its own waiting.
        looks = [self.connections] + [lambda node=node: self.status(node) for node in its.nodes]
        self.threads = [threading.Thread(target=look, daemon=True) for look in looks]

    def start(self):
        for thread in self.threads:
            thread.start()

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join(10)

    def connections(self):
        while not self.over.wait(0.02):
            # The first one again: between two looks a host without time may have failed over.
            if all(self.listens(node) for node in [*self.its.nodes, self.its.nodes[0]]):
                self.both.append(time.monotonic_ns())
            self.looks += 1

    def listens(self, node):
        with socket.socket() as s:
            s.settimeout(0.5)
            try:
                return s.connect_ex(("127.0.0.1", node.ports[self.its.coordinator.ports[0]])) == 0
            except OSError:
                return False

    def status(self, node):
        steps = self.steps[node.name]
        while not self.over.wait(0.02):
            status = node.status()
            said = (status["role"], status["status"]) if status else None
            if said and (not steps or steps[-1][1] != said):
                steps.append((time.monotonic_ns(), said))

    def first(self, node, since, of):
        """When it first said that; waited for, for the node has been asked already."""
        end = time.monotonic() + 5
        while time.monotonic() < end:
            for at, said in self.steps[node.name]:
                if at >= since and said == of:
                    return at
            time.sleep(0.02)
        return None


def seconds(nanoseconds):
    return None if nanoseconds is None else round(nanoseconds / 1e9, 2)


def gap(its, at, end):
    """The longest time without an acknowledgement to anybody that the fault has to answer for, in ns."""
    times = sorted(when for client in its.clients for when, _ in client.acknowledged())
    before = max((when for when in times if when <= at), default=at)
    within = [before] + [when for when in times if at < when <= end]
    return max(b - a for a, b in zip(within, within[1:]))


def last_before_gap(its, at, end):
    """When the last write was acknowledged by the former coordinator, which may outlive the fault: until its lease ends."""
    times = sorted(when for client in its.clients for when, _ in client.acknowledged() if when <= end)
    before = max((when for when in times if when <= at), default=at)
    within = [before] + [when for when in times if when > at]
    return max(zip(within, within[1:]), key=lambda pair: pair[1] - pair[0])[0]


def prepare(its, node, standby):
    """A page cache as it is to be when the fault comes: (bytes in it, bytes)."""
    if its.mounted:
        # primacy itself reads what `[standby] warm` names, from when the node is a standby on.
        def warm():
            its.tend()
            status = node.status()
            return status and status.get("warm") and node.program.warmth()[0] == node.program.warmth()[1]
        until(f"{node.name} has warmed its page cache", warm)
    else:
        node.program.read()
    if standby == "cold":
        node.program.evict()
    return node.program.warmth()


def one(its, watch, name, standby):
    active = its.until_active()
    other = next(node for node in its.nodes if node is not active)
    its.until_standby(other)
    time.sleep(its.coordinator.settles)
    its.until_acknowledged(WRITES)
    warm, of = prepare(its, other, standby)
    epoch = active.status()["epoch"]
    at = time.monotonic_ns()
    FAULTS[name](its, active)
    other = until(f"somebody leads after {name}", lambda: its.leads_after(epoch))
    its.until_acknowledged(WRITES)
    end = time.monotonic_ns()
    if name != "switchover":
        watch.kills.append(last_before_gap(its, at, end))
    active.process.send(signal.SIGCONT)
    if other is active:
        # The other one had no time, or no contact, and its place was taken.
        print(f"{name}: {active.name} leads again", file=sys.stderr, flush=True)
    if not active.wanted:
        active.process.end(signal.SIGKILL)
        active.start()
    read = max(0, other.program.warmth()[0] - warm)
    ready = watch.first(other, at, ("active", "OK"))
    starting = watch.first(other, at, ("promoting", "STARTING"))
    figure = {
        "fault": name, "standby": standby, "gap_s": seconds(gap(its, at, end)),
        "until_start_s": seconds(starting - at) if starting else None,
        "start_s": seconds(ready - starting) if starting and ready else None,
        "in_page_cache": round(warm / of, 2) if of else None, "read_mib": read >> 20,
    }
    print(f"{name:17} {standby:5} gap {figure['gap_s']} s; start after {figure['until_start_s']} s, ready after "
          f"{figure['start_s']} s more; {warm >> 20} of {of >> 20} MiB in the page cache, "
          f"{read >> 20} MiB read for the start", file=sys.stderr, flush=True)
    return figure


def run(its, names, standbys, times):
    watch = Watch(its)
    watch.start()
    try:
        figures = [one(its, watch, name, standby) for _ in range(times) for name in names for standby in standbys]
        for node in its.nodes:
            until(f"{node.name} is back", lambda node=node: (its.tend(), node.status())[1])
        its.until_active()
        its.until_acknowledged(WRITES)
    finally:
        watch.end()
    return figures, watch
