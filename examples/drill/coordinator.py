"""What a drill has to know of a coordinator. A folder's drill.py fills it in."""
import os
import pathlib


class Base:
    ports = ("main",)
    clients = 2
    # A client that was not answered asks again; not every protocol can tell then whether the first one has arrived.
    may_come_twice = False
    # For how many seconds before a kill it may have acknowledged what it had not saved. What is lost of that is counted, and no charge.
    unsaved_for = 0
    # How long clients write before each fault at least, in seconds.
    settles = 0
    # How long its own fail-over is left alone before each fault, in seconds: the other one has to know its place.
    own_settles = 15

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def missing(self):
        """What is not installed, in a sentence, or None."""
        return None

    def absent(self, paths, install):
        gone = [path for path in paths if not os.path.exists(path)]
        return f"no {gone[0]} here: {install}" if gone else None

    def copy(self, program):
        """Puts there what a node runs from its own disk."""

    def prepare(self, its):
        """Makes the data on the volume, once, before anything runs."""

    def settings(self, node, volume):
        """What differs from the example's primacy.toml."""
        raise NotImplementedError

    def first(self, its):
        """Once, when the first one leads."""

    def client(self, nodes, number):
        """argv: writes until its standard input ends, and says `ACK ID MONOTONIC-NANOSECONDS`."""
        raise NotImplementedError

    def own(self, node, volume):
        """argv of what a node runs for the coordinator's own fail-over; None: it has none."""
        return None

    def own_environment(self, node):
        return {}

    def client_environment(self, its):
        return {}

    def stored(self, its):
        """The ids that are there, from the coordinator that leads."""
        raise NotImplementedError

    def examine(self, its):
        """Further charges."""
        return []
