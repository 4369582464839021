"""slurmctld: held jobs, by sbatch."""
import os
import re
import socket
import subprocess

from coordinator import Base

PLUGINS = "/usr/lib/x86_64-linux-gnu/slurm-wlm"
HOST = socket.gethostname().split(".")[0]


class Coordinator(Base):
    # A client that was not answered asks again, and sbatch has no id by which the controller could tell.
    may_come_twice = True
    # It acknowledges a job before it saves it: SAVE_MAX_WAIT, 5 s, from one save to the next, and the save itself.
    unsaved_for = 7
    settles = 8

    def missing(self):
        return self.absent(["/usr/sbin/slurmctld", "/usr/bin/sbatch", "/usr/bin/scontrol", PLUGINS],
                           "apt-get install slurmctld slurm-client")

    def copy(self, program):
        program.files(["/usr/sbin/slurmctld"], "sbin")
        program.tree(PLUGINS, "plugins")

    def prepare(self, its):
        (its.volume / "state").mkdir()
        for node in its.nodes:
            self.configure(its, node)

    def configure(self, its, node):
        """The example's, with this drill's addresses; without munge, which needs a daemon."""
        text = (self.folder / "slurm.conf").read_text()
        for key, value in {"SlurmctldHost": f"{HOST}(127.0.0.1)", "SlurmctldPort": node.ports["main"], "SlurmUser": "root", "AuthType": "auth/none", "CredType": "cred/none",
                           "StateSaveLocation": its.volume / "state", "SlurmctldPidFile": node.folder / "pid"}.items():
            text = re.sub(f"(?m)^{key}=.*$", f"{key}={value}", text)
        (node.folder / "slurm.conf").write_text(f"{text}PluginDir={node.program.folder}/plugins\n")

    def settings(self, node, volume):
        conf = str(node.folder / "slurm.conf")
        return {
            "coordinator": {
                "command": [str(self.folder / "start"), conf],
                "environment": {"SLURMCTLD": str(node.program.folder / "sbin/slurmctld")},
                "endpoints": {"slurmctld": f"127.0.0.1:{node.ports['main']}"},
            },
            "health": {"command": [str(self.folder / "health"), conf]},
        }

    def client(self, nodes, number):
        return [self.folder / "client", ",".join(str(node.folder / "slurm.conf") for node in nodes), str(number)]

    def jobs(self, its, what):
        conf = its.until_active().folder / "slurm.conf"
        listed = subprocess.run(["squeue", "--noheader", f"--format={what}"], env={**os.environ, "SLURM_CONF": str(conf)}, check=True,
                                stdin=subprocess.DEVNULL, capture_output=True, text=True)
        return listed.stdout.split()

    def stored(self, its):
        return self.jobs(its, "%j")

    def examine(self, its):
        ids = self.jobs(its, "%i")
        return ["two jobs have one id"] if len(ids) != len(set(ids)) else []
