"""For comparison: the same coordinator, clients and judge, with the coordinator's own fail-over in the place of primacy."""
import os
import signal
import socket
import sys
import time

import cluster
import program
from cluster import Process, Trouble, until
from faults import WRITES, gap, seconds


class Node:
    def __init__(self, its, name):
        self.its, self.name = its, name
        self.ports = {port: cluster.free_port() for port in its.coordinator.ports}
        self.folder = its.work / name
        self.folder.mkdir()
        self.program = program.Program(self.folder / "program")
        self.process = None

    def start(self):
        argv = self.its.coordinator.own(self, self.its.volume)
        self.process = Process(argv, self.folder / "log", self.its.coordinator.own_environment(self), cwd=self.folder)

    def serves(self):
        with socket.socket() as s:
            s.settimeout(1)
            return s.connect_ex(("127.0.0.1", self.ports[self.its.coordinator.ports[0]])) == 0


class Watch:
    """Looks at nothing: the second one's port may be open although it only waits."""
    both, looks = [], 0

    def __init__(self):
        self.kills = []


class Cluster(cluster.Cluster):
    own = True

    def up(self):
        self.nodes = [Node(self, name) for name in ("node-a", "node-b")]
        for node in self.nodes:
            self.coordinator.copy(node.program)
        if not self.coordinator.own(self.nodes[0], self.volume):
            raise Trouble("it has no fail-over of its own")
        self.coordinator.prepare(self)
        self.nodes[0].start()
        until("the first one serves", lambda: self.nodes[0].serves())
        self.nodes[1].start()
        self.coordinator.first(self)
        self.clients = [cluster.Client(self, number) for number in range(self.coordinator.clients)]
        self.until_acknowledged(5)

    def tend(self):
        pass

    def until_active(self, other_than=None):
        return until("one serves", lambda: next((node for node in self.nodes if node is not other_than and node.serves()), None))

    def __exit__(self, *_):
        for client in self.clients:
            client.process.end(signal.SIGKILL)
        for node in self.nodes:
            if node.process:
                node.process.end(signal.SIGKILL)
        if self.mounted:
            os.system(f"umount -l '{self.volume}'")


def run(its, times):
    figures, watch, (active, other) = [], Watch(), its.nodes
    for _ in range(times):
        time.sleep(its.coordinator.own_settles)
        its.until_acknowledged(WRITES)
        at = time.monotonic_ns()
        active.process.end(signal.SIGKILL)
        watch.kills.append(time.monotonic_ns())
        its.until_acknowledged(WRITES)
        figure = {"fault": "kill-coordinator", "standby": "own HA", "gap_s": seconds(gap(its, at, time.monotonic_ns())),
                  "until_start_s": None, "start_s": None, "in_page_cache": None}
        print(f"kill-coordinator  own HA gap {figure['gap_s']} s", file=sys.stderr, flush=True)
        figures.append(figure)
        active.start()
        active, other = other, active
    return figures, watch
