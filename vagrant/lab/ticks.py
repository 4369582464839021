"""When coordinators ran, by the datagrams that they send every few milliseconds.

The only clock is CLOCK_MONOTONIC of the machine that runs the drill, and the moment of a datagram is the kernel's stamp of
its arrival: freezing a machine is one of the drills, so no clock of a guest counts. The way out of a machine delays a
sign of life and never advances it.
"""
import dataclasses
import socket
import struct
import threading
import time

PORT = 7000
SO_TIMESTAMPNS = 35  # Linux, all architectures but parisc, sparc; Python has no name for it


@dataclasses.dataclass
class Life:
    """One coordinator process. Moments in seconds."""

    node: str
    pid: int
    epoch: int
    ticks: list = dataclasses.field(default_factory=list)
    wrote: list = dataclasses.field(default_factory=list)  # (number of the record, moment)
    failed: list = dataclasses.field(default_factory=list)  # (moment, errno)

    @property
    def first(self):
        return self.ticks[0]

    @property
    def last(self):
        return self.ticks[-1]

    def stretches(self, freezes):
        """In which it ran: first to last tick, less the machine's freezes."""
        begin = self.first
        for stop, go in freezes:
            if self.first <= stop < self.last:
                # What was under way when the machine was frozen is no life after the thaw.
                yield begin, stop
                begin = go
        if begin <= self.last:
            yield begin, self.last


class Book:
    """Everything that was received."""

    def __init__(self):
        self.lives = []

    def take(self, moment, text):
        try:
            kind, node, pid, epoch, number, error = text.split()
            pid, epoch, number, error = int(pid), int(epoch), int(number), int(error)
        except ValueError:
            return
        key = (node, pid, epoch)
        life = next((one for one in reversed(self.lives) if (one.node, one.pid, one.epoch) == key), None)
        if life is None:
            if kind not in ("start", "tick"):
                return
            life = Life(node, pid, epoch)
            self.lives.append(life)
        if kind in ("start", "tick", "end"):
            life.ticks.append(moment)
        elif kind == "wrote":
            life.wrote.append((number, moment))
        elif kind == "failed":
            life.failed.append((moment, error))

    def of(self, epoch):
        return next((life for life in self.lives if life.epoch == epoch), None)

    def edges(self, freezes):
        for life in self.lives:
            for begin, end in life.stretches(freezes.get(life.node, [])):
                yield begin, 1
                yield end, -1

    def gap(self, since, until, freezes):
        """The longest time in which none ran."""
        running, empty, longest = 0, since, 0.0
        for moment, change in sorted(self.edges(freezes)):
            if running == 0:
                longest = max(longest, min(moment, until) - max(empty, since))
            running += change
            empty = moment
        return max(longest, until - max(empty, since)) if running == 0 else longest

    def overlap(self, since, freezes):
        """For how long two or more ran at the same time, in all."""
        running, begin, total = 0, since, 0.0
        for moment, change in sorted(self.edges(freezes)):
            if running >= 2:
                total += max(0.0, max(moment, since) - max(begin, since))
            running += change
            begin = moment
        return total

    def precision(self, begin, end):
        """Median, 99 of 100 and the longest of the pauses between two ticks of one coordinator."""
        pauses = []
        for life in self.lives:
            calm = [tick for tick in life.ticks if begin <= tick < end]
            pauses += [later - earlier for earlier, later in zip(calm, calm[1:])]
        pauses.sort()
        return (pauses[len(pauses) // 2], pauses[len(pauses) * 99 // 100], pauses[-1]) if pauses else None


class Receiver:
    """Fills a book. Use `with receiver as book`: it is locked meanwhile."""

    def __init__(self, address=("0.0.0.0", PORT)):
        self.book = Book()
        self.lock = threading.Lock()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.stamped = True
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        except OSError:
            self.stamped = False  # macOS: the moment of reading has to do
        self.socket.bind(address)
        threading.Thread(target=self.receive, daemon=True).start()

    def __enter__(self):
        self.lock.acquire()
        return self.book

    def __exit__(self, *_):
        self.lock.release()

    def receive(self):
        while True:
            data, control, _, _ = self.socket.recvmsg(256, 64)
            moment = time.monotonic()
            for level, kind, stamp in control:
                if self.stamped and level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(stamp) == 16:
                    seconds, nanoseconds = struct.unpack("qq", stamp)
                    # Both clocks are read here: a step of the wall clock disturbs only what is under way.
                    moment -= time.time() - (seconds + nanoseconds / 1e9)
            with self as book:
                book.take(moment, data.decode(errors="replace"))
