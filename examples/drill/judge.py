"""What was acknowledged against what is there."""
import statistics
from collections import Counter


def compare(acknowledged, stored, may_come_twice):
    """What was lost, what is there twice, and the charges that follow."""
    lost = sorted(set(acknowledged) - set(stored))
    twice = sorted(name for name, times in Counter(stored).items() if times > 1)
    strange = sorted(set(stored) - set(acknowledged))
    charges = []
    if not acknowledged:
        charges.append("nothing was ever acknowledged")
    if lost:
        charges.append(f"{len(lost)} acknowledged writes are lost: {', '.join(lost[:5])} …")
    if strange:
        charges.append(f"{len(strange)} writes are there that nobody was told of: {', '.join(strange[:5])} …")
    if twice and not may_come_twice:
        charges.append(f"{len(twice)} writes are there twice: {', '.join(twice[:5])} …")
    return lost, twice, charges


def excused(at, kills, unsaved_for):
    """Acknowledged so shortly before a kill that the coordinator says itself it had not saved it."""
    return any(0 <= kill - at <= unsaved_for * 1e9 for kill in kills)


def judge(its, watch):
    for client in its.clients:
        client.finish()
    when = {name: at for client in its.clients for at, name in client.acknowledged()}
    acknowledged, stored = list(when), its.coordinator.stored(its)
    unsaved = [name for name in set(when) - set(stored) if excused(when[name], watch.kills, its.coordinator.unsaved_for)]
    lost, twice, charges = compare([name for name in acknowledged if name not in unsaved], stored, its.coordinator.may_come_twice)
    if watch.both:
        charges.append(f"both nodes took connections at once, {len(watch.both)} times")
    charges += its.coordinator.examine(its)
    sentence = f"{len(acknowledged)} writes acknowledged, {len(lost)} of them lost, {len(twice)} there twice"
    if unsaved:
        sentence += f", {len(unsaved)} that it had acknowledged before it saved them lost at a kill"
    if watch.both:
        sentence += "; TWO COORDINATORS AT ONCE"
    elif watch.looks:
        sentence += f"; never two coordinators in {watch.looks} looks"
    return {"acknowledged": len(acknowledged), "lost": len(lost), "unsaved": len(unsaved), "twice": len(twice), "looks": watch.looks,
            "sentence": sentence + ".", "charges": charges}


def table(figures):
    """Per fault and standby: the median of each figure."""
    lines = ["| fault | standby | gap | until the start | start until ready | in the page cache |", "|---|---|---|---|---|---|"]
    for fault, standby in dict.fromkeys((one["fault"], one["standby"]) for one in figures):
        ours = [one for one in figures if (one["fault"], one["standby"]) == (fault, standby)]

        def middle(key, ours=ours):
            found = [one[key] for one in ours if one[key] is not None]
            return statistics.median(found) if found else None
        words = [f"{value:.1f} s" if (value := middle(key)) is not None else "–" for key in ("gap_s", "until_start_s", "start_s")]
        cached = middle("in_page_cache")
        lines.append(f"| {fault} | {standby} | {' | '.join(words)} | {'–' if cached is None else f'{cached:.0%}'} |")
    return "\n".join(lines)


def self_test():
    """Each charge is made of what deserves it, and of nothing else."""
    assert compare(["a", "b"], ["b", "a"], False) == ([], [], [])
    assert compare(["a", "b"], ["a"], False)[0] == ["b"]
    assert len(compare(["a", "b"], ["a"], False)[2]) == 1
    assert len(compare(["a"], ["a", "b"], False)[2]) == 1
    assert len(compare(["a"], ["a", "a"], False)[2]) == 1
    assert compare(["a"], ["a", "a"], True) == ([], ["a"], [])
    assert len(compare([], [], False)[2]) == 1
    assert excused(1_000_000_000, [3_000_000_000], 2) and not excused(1_000_000_000, [3_000_000_001], 2)
    assert not excused(3_000_000_000, [1_000_000_000], 2) and not excused(1, [2], 0)

