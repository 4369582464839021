"""The drills. Each does one thing to a cluster at rest, waits for what must follow, and states what it expects.

Names, limits and order are those of the drills on plain QEMU machines, as far as both have them.
"""
import time

from . import cluster as lab

ALL = []

# A host that is gone or cut off: whoever is later of session and NFS lease, and 3 s to notice and start.
TAKEOVER = max(lab.NFS_LEASE, lab.SESSION + lab.TICK) + 3
# A planned hand-over, or a crash that the guardian sees.
HANDOVER = 1.0
# The order for a planned end goes by ssh, and through systemd.
ORDERED = 4.0
# How long the supervisor waits for a killed tree that does not die before it gives the role away.
STUCK = 10.0
# From the thaw to the old coordinator's last tick. The machine's clock has gone on: the guardian's timer is due.
DEAD_AFTER_THAW = 0.1
# It has not: until ZooKeeper has answered a heartbeat.
DEAD_AFTER_ANSWER = 1.0
# What ticks may pause for although nothing happened, on a busy machine.
UNDISTURBED = 0.5
# How long the new coordinator works before the old host comes back.
ALONE = 2.0
# After a service is back: its grace period, and the next probe.
AFTERMATH = 12.0


def drill(what, expects):
    def add(run):
        run.name, run.what, run.expects = run.__name__.replace("_", "-"), what, expects
        ALL.append(run)
        return run

    return add


def successor(cluster, outcome, fault, epoch, limit):
    """Waits for the next coordinator and expects it within the limit."""
    life = cluster.successor(epoch, limit + 30)
    if life is None:
        raise lab.hosts.Failed(f"no coordinator runs {limit + 30:.0f} s after the fault")
    outcome.within("fault to the next coordinator", life.first - fault, limit + cluster.allowance)
    outcome.expect("the epoch grows", life.epoch > epoch, f"{epoch} -> {life.epoch}")
    return life


def judge(cluster, outcome, since, overlap=0.0):
    freezes, now = cluster.freezes(), time.monotonic()
    with cluster.ticks as book:
        outcome.gap, outcome.overlap = book.gap(since, now, freezes), book.overlap(since, freezes)
    text = f"two run for at most {overlap * 1e3:.0f} ms" if overlap else "two never run at the same time"
    # An overlap that is tolerated at all is a matter of how fast the old one dies.
    outcome.expect(text, outcome.overlap <= overlap, f"{outcome.overlap * 1e3:.1f} ms", of_time=overlap > 0)


def nothing_lost(cluster, outcome, epoch):
    said = cluster.acknowledged(epoch)
    found = cluster.written(epoch)[0]
    outcome.expect("every record that was acknowledged is on the server", 0 < said <= found, f"{said} acknowledged, {found} found")


def coordinator(cluster, epoch):
    with cluster.ticks as book:
        return book.of(epoch)


@drill("the coordinator is killed", "another host's runs within 1 s")
def coordinator_crash(cluster, outcome):
    active, epoch = cluster.active()
    pid = coordinator(cluster, epoch).pid
    fault = time.monotonic()
    active.must(f"kill -9 {pid}")
    successor(cluster, outcome, fault, epoch, HANDOVER + ORDERED)
    cluster.settle()
    judge(cluster, outcome, fault)
    outcome.within("gap", outcome.gap, HANDOVER + cluster.allowance)


@drill("the active host is shut down in order", "its coordinator is stopped first, the role handed over within 1 s")
def graceful_halt(cluster, outcome):
    active, epoch = cluster.active()
    fault = time.monotonic()
    active.run("systemctl poweroff --no-block")
    active.off = True
    successor(cluster, outcome, fault, epoch, HANDOVER + ORDERED)
    if not cluster.until(90, lambda: not active.is_on()):
        raise lab.hosts.Failed(f"{active.name} does not switch itself off")
    nothing_lost(cluster, outcome, epoch)
    cluster.settle()
    judge(cluster, outcome, fault)
    outcome.within("gap", outcome.gap, HANDOVER + cluster.allowance)


@drill("the active host loses power", f"another one coordinates within {TAKEOVER:.0f} s, nothing acknowledged is lost")
def power_loss(cluster, outcome):
    active, epoch = cluster.active()
    fault = active.power_off()
    outcome.expect("the machine is off", not active.is_on(), active.outside("state"))
    successor(cluster, outcome, fault, epoch, TAKEOVER)
    nothing_lost(cluster, outcome, epoch)
    cluster.settle()
    judge(cluster, outcome, fault)


@drill(
    "the active host is frozen until another one coordinates, then thaws; its clock has gone on",
    f"another one coordinates within {TAKEOVER:.0f} s; after the thaw the old coordinator is dead within 100 ms",
)
def freeze(cluster, outcome):
    stop_and_go(cluster, outcome, "freeze", DEAD_AFTER_THAW)


@drill(
    "the same, stopped together with its clock",
    f"another one coordinates within {TAKEOVER:.0f} s; after the thaw the old coordinator is dead within 1 s",
)
def clock_stop(cluster, outcome):
    stop_and_go(cluster, outcome, "pause", DEAD_AFTER_ANSWER + cluster.allowance)


def stop_and_go(cluster, outcome, how, dead_within):
    active, epoch = cluster.active()
    fault = active.stop(how)
    successor(cluster, outcome, fault, epoch, TAKEOVER)
    time.sleep(ALONE)
    before = cluster.written(epoch)
    thaw = active.go()
    time.sleep(ALONE)
    cluster.until(60, lambda: epoch not in cluster.running())
    life = coordinator(cluster, epoch)
    lived = max(0.0, life.last - thaw)
    outcome.within("thaw to the old coordinator's last tick", lived, dead_within)
    late(cluster, outcome, epoch, before)
    active.wait()
    gone = active.run(f"! [ -e /proc/{life.pid} ]")[0] == 0
    outcome.expect("nothing of it is left", gone, f"pid {life.pid}")
    cluster.settle()
    judge(cluster, outcome, fault, dead_within)
    outcome.note(f"stopped for {thaw - fault:.1f} s")


def late(cluster, outcome, epoch, before):
    """What reached the server of an old coordinator after another one had begun. No lock can keep it away."""
    after = cluster.written(epoch)
    outcome.note(f"late records on the server: {after[0] - before[0]} synced, {after[1] - before[1]} not synced")


@drill(
    "the active host loses ZooKeeper, and nothing else",
    f"its coordinator is dead before another one starts, within {lab.SESSION + lab.TICK + 3:.0f} s",
)
def cut_zookeeper(cluster, outcome):
    cut_off(cluster, outcome, ["zookeeper"], lab.SESSION + lab.TICK + 3)


@drill(
    "the active host loses the NFS server, and nothing else",
    f"the role is given away within {lab.PROBE_INTERVAL + lab.PROBE_TIMEOUT + STUCK + 3:.0f} s although processes hang, and status names them",
)
def cut_nfs(cluster, outcome):
    # A probe begins, does not end in time, the tree is killed and does not die; meanwhile the server's lease runs out.
    cut_off(cluster, outcome, ["nfs"], lab.PROBE_INTERVAL + lab.PROBE_TIMEOUT + STUCK + 3, hangs=True)


@drill("the active host loses ZooKeeper and the NFS server", f"another one coordinates within {TAKEOVER:.0f} s, alone")
def cut_both(cluster, outcome):
    cut_off(cluster, outcome, ["zookeeper", "nfs"], TAKEOVER)


def cut_off(cluster, outcome, networks, limit, hangs=False):
    cluster.change(lab.PROBE_TIMEOUT)
    active, epoch = cluster.active()
    fault = time.monotonic()
    for network in networks:
        active.cut(network)
    following = successor(cluster, outcome, fault, epoch, limit)
    life = coordinator(cluster, epoch)
    outcome.note(f"the old coordinator's last tick {life.last - fault:.2f} s after the fault")
    before_next = following.first - life.last
    outcome.expect("the old one is dead before the next one starts", before_next > 0, f"{before_next * 1e3:.0f} ms before")
    if hangs:
        said = active.said(fault, "not dead")
        found = f"after {said[0] - fault:.1f} s: {said[1]}" if said else active.says().get("reason")
        # Not only its leader: a process whose first thread has ended looks dead to whoever looks no further.
        threads = f"for t in /proc/{life.pid}/task/*; do echo $(cut -d' ' -f1-3 $t/stat) in $(cat $t/wchan); done 2>/dev/null"
        outcome.note("threads of the old coordinator: " + "; ".join(active.run(threads)[1].splitlines()))
        outcome.timely("its status says which process hangs, and where in the kernel", said is not None, found)
    time.sleep(ALONE)
    before = cluster.written(epoch)
    active.heal()
    if "nfs" in networks:
        time.sleep(8)  # retransmissions back off
        late(cluster, outcome, epoch, before)
    cluster.settle()
    judge(cluster, outcome, fault)


def undisturbed(cluster, outcome, restart):
    """Something is restarted, and the coordinator must go on as if nothing had been."""
    active, epoch = cluster.active()
    fault = time.monotonic()
    restart()
    back = time.monotonic()
    outcome.note(f"restarted in {back - fault:.1f} s")

    def resumed():
        with cluster.ticks as book:
            life = book.of(epoch)
            return next((moment for _, moment in life.wrote if moment > back), None)

    moment = cluster.until(AFTERMATH, resumed)
    outcome.note(f"the next synced record {moment - fault:.1f} s after the fault" if moment else "no record was synced since")
    time.sleep(max(0.0, AFTERMATH - (time.monotonic() - back)))
    cluster.settle()
    after = cluster.active()[1]
    outcome.timely("nobody fails over", after == epoch, f"epoch {epoch} -> {after}")
    judge(cluster, outcome, fault)
    with cluster.ticks as book:
        ticks = [tick for tick in book.of(epoch).ticks if tick >= fault]
    pause = max((later - earlier for earlier, later in zip(ticks, ticks[1:])), default=float("inf"))
    outcome.within("longest pause between two ticks of the coordinator", pause, UNDISTURBED + cluster.allowance)
    nothing_lost(cluster, outcome, epoch)


# An outage that primacy is asked to sit out. As operators should who restart their NFS server.
PATIENT = 60.0


@drill("the NFS service is restarted (probe_timeout 60 s)", "nobody fails over, the coordinator runs on, nothing acknowledged is lost")
def nfs_restart(cluster, outcome):
    def restart():
        cluster.server.must("systemctl stop nfs-server; sleep 1; systemctl start nfs-server")
        cluster.wait_for_nfs()

    cluster.change(PATIENT)
    undisturbed(cluster, outcome, restart)


@drill(
    "the NFS server loses power and boots again (probe_timeout 60 s)",
    "nobody fails over, the coordinator runs on, nothing acknowledged is lost",
)
def nfs_power_loss(cluster, outcome):
    def restart():
        cluster.server.power_off()
        cluster.server.power_on()
        cluster.server.wait()
        cluster.wait_for_nfs()

    cluster.change(PATIENT)
    undisturbed(cluster, outcome, restart)


@drill("the ZooKeeper servers are restarted, one after the other", "nobody fails over, the coordinator runs on")
def zookeeper_restart(cluster, outcome):
    if len(cluster.zookeepers) < 3:
        outcome.skipped = "one ZooKeeper server alone cannot be restarted without an outage"
        return

    def restart():
        for host in cluster.zookeepers:
            host.must("systemctl restart drill-zookeeper")
            cluster.wait_for_zookeeper(host)

    undisturbed(cluster, outcome, restart)


@drill("the volume is filled up", "the role stays, `primacy check` warns, and the next coordinator can start on the full volume")
def disk_full(cluster, outcome):
    active, epoch = cluster.active()
    fault = time.monotonic()
    cluster.server.run("dd if=/dev/zero of=/srv/export/fill bs=1M; sync", 120)

    def refused():
        with cluster.ticks as book:
            return next((error for moment, error in book.of(epoch).failed if moment > fault), None)

    error = cluster.until(20, refused)
    outcome.expect("the coordinator's writes fail with ENOSPC (28)", error == 28, f"errno {error}")
    time.sleep(7)  # three probes
    said = active.says()
    outcome.timely("the role stays: the others have the same volume", said.get("role") == "active", f"{said.get('role')}: {said.get('reason')}")
    text = active.run(f"primacy check -c {lab.CONFIG} 2>&1", 120)[1]
    line = next((line for line in text.splitlines() if "volume.free_space" in line), "")
    outcome.expect("primacy check warns", line.startswith(("warn", "FAIL")), line)
    crash = time.monotonic()
    active.must(f"kill -9 {coordinator(cluster, epoch).pid}")
    successor(cluster, outcome, crash, epoch, HANDOVER + ORDERED)
    cluster.server.must("rm -f /srv/export/fill; sync")
    cluster.settle()
    judge(cluster, outcome, fault)


@drill("primacy is restarted on one candidate after the other, the active one last", "the role is handed over once, within 1 s")
def rolling_restart(cluster, outcome):
    active, epoch = cluster.active()
    fault = time.monotonic()
    for candidate in [*(one for one in cluster.candidates if one is not active), active]:
        candidate.must("systemctl restart primacy")
        cluster.settle()
    after = cluster.active()[1]
    with cluster.ticks as book:
        count = sum(life.epoch > epoch for life in book.lives)
    outcome.timely("the role is handed over once", count == 1, f"{count} times, epoch {epoch} -> {after}")
    judge(cluster, outcome, fault)
    outcome.within("gap", outcome.gap, HANDOVER + cluster.allowance)
