#!/usr/bin/env python3
"""bench.py of failover-bench, and F0: the active node is asked to hand over (`primacy switchover`).

    bench/with_switchover.py FAILOVER-BENCH ARGUMENT...

The time begins with the command, which reads, asks and writes before anybody is stopped; the gap does not.
"""
import pathlib
import subprocess
import sys

sys.path.insert(0, sys.argv.pop(1))
import bench  # noqa: E402

bench.FAULTS["F0"] = "a planned switchover to the standby"


class Run(bench.Run):
    def __init__(self, peer, service, settings, work, fault=None):
        self.primacy = settings.get("primacy")
        super().__init__(peer, service, settings, work, fault)

    def measure(self, fault):
        if fault != "F0":
            return super().measure(fault)
        configuration = pathlib.Path(self.work) / "A.toml"
        if not (self.primacy and configuration.exists()):
            raise RuntimeError("only primacy has a planned switchover here")
        at = bench.now()
        command = [self.primacy, "-c", configuration, "switchover", "--to", "B", "--yes", "--detach", "-m", "bench"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if done.returncode:
            raise RuntimeError(f"switchover: {done.stderr.decode().strip()}")
        self._watch(3 * self.session + 4, self._handed_over)
        return self._result(at)


bench.Run = Run
bench.main()
