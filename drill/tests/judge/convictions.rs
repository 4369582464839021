//! For each charge at least one forged history that must be convicted of exactly that.

use drill::history::{Entry, Line, parse};
use drill::judge::{Offence, judge, told};

use crate::forge::{Plot, Scene, history, varied};
use crate::forgeries;

#[track_caller]
fn convicted(name: &str, lines: &[Line], expected: Offence) {
    let verdict = judge(lines);
    let others = verdict.charges.iter().filter(|charge| charge.offence != expected).count();
    assert!(verdict.convicted() && others == 0, "wanted {}, got {}", expected.name(), told(name, &verdict));
    for charge in &verdict.charges {
        assert!(!charge.evidence.is_empty());
        assert!(charge.lines.iter().all(|line| (1..=lines.len()).contains(line)), "{charge:?}");
    }
}

#[test]
fn each_forgery_is_convicted_of_exactly_what_it_is() {
    let scenes = Plot::INNOCENT.map(|plot| Scene { calm: 14_000, ..Scene::of(plot) });
    for (name, offence, change) in forgeries::ALL {
        let (mut changed, mut tried) = (0, 0);
        for pick in 0..6 {
            let mut lines = history(3, &scenes);
            tried += 1;
            if change(&mut lines, pick) {
                changed += 1;
                convicted(name, &lines, offence);
            }
        }
        assert!(changed > 0, "{name}: no place for it in {tried} tries");
    }
}

#[test]
fn every_charge_has_a_forgery() {
    for offence in Offence::ALL {
        let forged = forgeries::ALL.iter().any(|(_, of, _)| *of == offence);
        assert!(forged || offence == Offence::EpochNotGrowing, "{} is never forged", offence.name());
    }
}

#[test]
fn an_epoch_that_serves_two_coordinators_does_not_grow() {
    convicted("", &history(3, &[Plot::Kill, Plot::LocalRestart].map(Scene::of)), Offence::EpochNotGrowing);
}

#[test]
fn an_active_one_without_a_living_coordinator_is_no_recovery() {
    let mut lines = history(2, &[Scene { gap: 5_000, ..Scene::of(Plot::Kill) }]);
    for line in &mut lines {
        if let Entry::Recovered { node, epoch } = &mut line.entry {
            (*node, *epoch) = ("node-a".to_owned(), 1);
        }
    }
    convicted("", &lines, Offence::NotRecovered);
}

#[test]
fn a_recovery_that_takes_too_long_is_none() {
    let late = history(2, &[Scene { gap: 9_500, ..Scene::of(Plot::Kill) }]);
    convicted("", &late, Offence::NotRecovered);
}

#[test]
fn an_unknown_cause_needs_a_sentence() {
    let mut lines = varied();
    let leadership = lines.iter_mut().find_map(|line| match &mut line.entry {
        Entry::Leadership(value) => Some(value),
        _ => None,
    });
    let leadership = leadership.expect("there are some");
    leadership["cause"] = "unknown".into();
    let told = lines.clone();
    assert!(!judge(&told).convicted());
    for line in &mut lines {
        if let Entry::Leadership(value) = &mut line.entry {
            value["detail"] = " ".into();
        }
    }
    convicted("", &lines, Offence::UncausedFailover);
}

#[test]
fn a_run_that_shows_nothing_may_not_pass() {
    convicted("nothing at all", &[], Offence::Vacuous);
    convicted("no faults", &history(3, &[]), Offence::Vacuous);
    let without = |wanted: fn(&Entry) -> bool| -> Vec<Line> {
        varied().into_iter().filter(|line| !wanted(&line.entry)).collect()
    };
    convicted("no leaderships", &without(|entry| matches!(entry, Entry::Leadership(_))), Offence::Vacuous);
    convicted("nobody knows what ran", &without(|entry| matches!(entry, Entry::Run(_))), Offence::Vacuous);
    convicted("never ready", &without(|entry| *entry == Entry::Ready), Offence::Vacuous);
    let mut idle = without(|entry| matches!(entry, Entry::Client { .. } | Entry::ClientOutage { .. }));
    for line in &mut idle {
        if let Entry::Metadata(metadata) = &mut line.entry {
            metadata.applied.clear();
        }
    }
    convicted("no clients", &idle, Offence::Vacuous);
    let mut undone = varied();
    for line in &mut undone {
        if let Entry::FaultEnd { ok, .. } = &mut line.entry {
            *ok = false;
        }
    }
    convicted("every fault failed", &undone, Offence::Vacuous);
    let lives = judge(&without(|entry| matches!(entry, Entry::Coordinator { .. })));
    assert!(lives.count(Offence::EpochOfNobody) > 0, "writers without lives");
}

#[test]
fn a_history_that_was_cut_short_is_vacuous_wherever_it_was_cut() {
    let whole = varied();
    for length in (0..whole.len()).step_by(whole.len() / 40) {
        let verdict = judge(&whole[..length]);
        let complete = whole[..length].iter().any(|line| matches!(line.entry, Entry::Coordinator { .. }));
        assert!(complete || verdict.count(Offence::Vacuous) > 0, "cut at {length}");
        assert!(verdict.convicted(), "cut at {length}");
    }
}

#[test]
fn a_torn_last_line_is_read_as_one_and_a_broken_line_is_not_read_at_all() {
    let lines = varied();
    let text: String = lines.iter().map(|line| serde_json::to_string(line).expect("it is plain data") + "\n").collect();
    let torn = parse(&text[..text.len() - 20]).expect("only its end is torn");
    assert_eq!(torn.len(), lines.len());
    assert!(matches!(torn.last().map(|line| &line.entry), Some(Entry::Note { .. })));
    assert_eq!(parse(&text).expect("it is whole"), lines);
    let broken = text.replacen("\"entry\"", "\"entri\"", 1);
    let error = format!("{:#}", parse(&broken).expect_err("its first line is broken"));
    assert!(error.contains("line 1"), "{error}");
}
