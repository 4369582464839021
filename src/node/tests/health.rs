//! What a reload of the probe means for a coordinator that runs.

use super::*;

fn probe(url: &str) -> String {
    format!("[health]\nhttp = \"http://127.0.0.1:1/{url}\"\ninterval = \"1s\"\ntimeout = \"1s\"\nfailures = 2\n")
}

fn reload(bench: &mut Bench, more: &str) -> String {
    bench.hear(Input::ReloadAsked);
    let read = Reread { config: (*config(more)).clone(), level_applies: true };
    bench.hear(Input::Reread(Ok(Box::new(read))))
}

/// Answers the question that was asked last.
fn answer(bench: &mut Bench, fine: bool) -> String {
    let asked = bench.wanted.iter().rev().find_map(|output| match output {
        Output::Ask { question, probe, .. } => Some((*question, probe.clone())),
        _ => None,
    });
    let (question, _) = asked.expect("a question");
    bench.hear(Input::Answered { question, answer: if fine { Ok(()) } else { Err("no".to_owned()) } })
}

#[test]
fn a_probe_that_a_reload_has_changed_judges_the_coordinator_that_runs() {
    let mut bench = Bench::started(&probe("former"));
    answer(&mut bench, true);
    assert_eq!(bench.role(), Role::Active);
    assert_eq!(reload(&mut bench, &probe("latter")), "Reconfigured");
    for _ in 0..2 {
        assert_eq!(bench.role(), Role::Active);
        bench.renew();
        bench.pass(Duration::from_secs(1));
        let asks =
            |output: &Output| matches!(output, Output::Ask { probe, .. } if format!("{probe:?}").contains("latter"));
        assert!(bench.wanted.iter().any(asks), "{:?}", bench.wanted);
        answer(&mut bench, false);
    }
    assert_eq!(bench.machine_end(), Some(crate::role::End::CoordinatorUnhealthy));
}

#[test]
fn a_probe_that_a_reload_has_corrected_saves_a_coordinator_that_is_starting() {
    let mut bench = Bench::started(&probe("wrong"));
    answer(&mut bench, false);
    assert_eq!(bench.role(), Role::Promoting);
    reload(&mut bench, "");
    assert_eq!(bench.role(), Role::Active, "without a probe it is ready as soon as it runs");
}
