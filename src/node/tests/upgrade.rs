//! When a node lets another program take over in its process.

use super::*;
use crate::intents::{Control, Intended, Switchover, Wish};

fn asked(bench: &mut Bench, number: u64) -> String {
    bench.hear(Input::Asked(Asked::Upgrade { number, by: "alice".to_owned(), reason: None }))
}

fn checked(bench: &mut Bench) -> String {
    bench.hear(Input::ProgramChecked(Ok("0.2.0".to_owned())))
}

fn refusal(bench: &Bench) -> String {
    bench.node.snapshot(bench.now).upgrade.refused.unwrap_or_default()
}

#[test]
fn a_standby_asks_the_program_leaves_in_order_and_executes_it_instead_of_ending() {
    let mut bench = Bench::standing("");
    assert_eq!(asked(&mut bench, 1), "CheckProgram");
    assert_eq!(asked(&mut bench, 2), "", "it is asked already");
    assert_eq!(checked(&mut bench), "");
    let told = bench.node.snapshot(bench.now).upgrade;
    assert_eq!((told.covers, told.version.as_deref(), told.refused), (2, Some("0.2.0"), None));
    // Whoever asked has the answer by then.
    assert_eq!(bench.pass(Duration::from_millis(150)), "");
    assert_eq!(bench.pass(Duration::from_millis(100)), "Resign(clean: false)");
    assert_eq!(bench.fact(Fact::Resigned), "Close", "the service manager hears of no end");
    assert_eq!(bench.hear(Input::ElectionEnded), "Execute");
    assert_eq!(asked(&mut bench, 3), "");
}

#[test]
fn a_node_that_has_no_place_in_the_queue_executes_it_too() {
    let mut bench = Bench::new("");
    assert_eq!(asked(&mut bench, 1), "CheckProgram");
    checked(&mut bench);
    assert_eq!(bench.pass(Duration::from_millis(250)), "Close");
    assert_eq!(bench.hear(Input::ElectionEnded), "Execute");
}

#[test]
fn a_program_that_would_not_take_over_changes_nothing() {
    let mut bench = Bench::standing("");
    asked(&mut bench, 1);
    assert_eq!(bench.hear(Input::ProgramChecked(Err("no such file".to_owned()))), "");
    assert_eq!(refusal(&bench), "no such file");
    assert_eq!(bench.pass(Duration::from_secs(2)), "");
    assert_eq!(asked(&mut bench, 2), "CheckProgram", "it may be asked again");
}

#[test]
fn nobody_takes_over_from_a_node_that_is_elected_leads_or_ends() {
    for mut bench in [Bench::elected(""), Bench::started("")] {
        assert_eq!(asked(&mut bench, 1), "");
        assert!(refusal(&bench).contains("this node"), "{}", refusal(&bench));
    }
    let mut bench = Bench::started("");
    assert_eq!(bench.hear(Input::StopAsked { signal: StopSignal::Terminate }), "Stop");
    assert_eq!(asked(&mut bench, 1), "");
    assert_eq!(refusal(&bench), "this node is about to end");
}

#[test]
fn what_has_changed_since_it_was_asked_counts() {
    let elect = |bench: &mut Bench| {
        let outcome = ElectionOutcome { epoch: 6, volume: Some("v".to_owned()), ..ElectionOutcome::default() };
        bench.fact(Fact::Elected(Box::new(outcome)))
    };
    // While the program is asked, and while the answer leaves.
    let mut bench = Bench::standing("");
    asked(&mut bench, 1);
    assert_eq!(elect(&mut bench), "AcquireLock");
    assert_eq!(checked(&mut bench), "");
    assert!(refusal(&bench).contains("about to become active"));
    let mut bench = Bench::standing("");
    asked(&mut bench, 1);
    checked(&mut bench);
    elect(&mut bench);
    assert_eq!(bench.pass(Duration::from_millis(250)), "");
    assert!(refusal(&bench).contains("about to become active"));
    assert_eq!(bench.role(), Role::Promoting);
}

#[test]
fn a_stop_has_precedence_wherever_the_upgrade_is() {
    let stop = Input::StopAsked { signal: StopSignal::Terminate };
    let mut bench = Bench::standing("");
    asked(&mut bench, 1);
    assert_eq!(bench.hear(stop.clone()), "Resign(clean: false)");
    checked(&mut bench);
    assert_eq!(bench.fact(Fact::Resigned), "Stopping Close");
    assert_eq!(bench.hear(Input::ElectionEnded), "Exit(Stopped)");
    let mut bench = Bench::standing("");
    asked(&mut bench, 1);
    checked(&mut bench);
    bench.pass(Duration::from_millis(250));
    bench.fact(Fact::Resigned);
    bench.hear(stop);
    assert_eq!(bench.hear(Input::ElectionEnded), "Exit(Stopped)");
}

#[test]
fn the_target_of_a_switchover_stays() {
    let mut bench = Bench::standing("");
    let wish = Wish::default();
    let switchover = Switchover { to: "a".to_owned(), not_before: None, expect_epoch: 6, now: false, wish, asked: 0 };
    let control = Control { switchover: Some(switchover), ..Control::default() };
    bench.fact(Fact::Intended(Box::new(Intended { control, ..Intended::default() })));
    assert_eq!(asked(&mut bench, 1), "");
    assert!(refusal(&bench).contains("a switchover to this node"), "{}", refusal(&bench));
}
