//! When a page cache is kept warm, and what is said of it.

use super::*;
use crate::status::Warm;
use crate::warm::order::Order;

const WARM: &str = "[standby]\nwarm = [\"/opt/jars\"]\nwarm_limit = \"1MiB\"\n";

impl Bench {
    fn kept(&self) -> Option<Option<Order>> {
        self.wanted
            .iter()
            .find_map(|output| if let Output::KeepWarm(order) = output { Some(order.clone()) } else { None })
    }

    fn warmed(&mut self, warm: &Warm) -> usize {
        self.hear(Input::Warmed(warm.clone()));
        self.lines().len()
    }

    fn shown(&self) -> Option<Warm> {
        self.node.snapshot(self.now).server.warm
    }
}

#[test]
fn a_standby_keeps_warm_what_is_listed_until_it_is_elected() {
    let bench = Bench::new(WARM);
    let order = Order { paths: vec!["/opt/jars".into()], limit: 1 << 20, volume: "/volume".into() };
    assert_eq!(bench.kept(), Some(Some(order)));
    let mut bench = Bench::standing(WARM);
    let warm = Warm { files: 3, bytes: 9, ..Warm::default() };
    bench.warmed(&warm);
    assert_eq!(bench.shown(), Some(warm.clone()));
    let outcome = ElectionOutcome { epoch: 6, volume: Some("v".to_owned()), ..ElectionOutcome::default() };
    bench.fact(Fact::Elected(Box::new(outcome)));
    assert_eq!(bench.kept(), Some(None));
    assert_eq!(bench.shown(), None);
    // A word that was on its way.
    assert_eq!(bench.warmed(&warm), 0);
    assert_eq!(bench.shown(), None);
}

#[test]
fn where_nothing_is_listed_and_where_nobody_is_elected_nothing_is_kept() {
    assert_eq!(Bench::new("").kept(), None);
    let always_on = config(WARM);
    let always_on = Arc::new(Config { mode: Mode::AlwaysOn, ..(*always_on).clone() });
    let mut node = Node::new(always_on, identity(), at(Moment::from_millis(1)));
    node.hear(at(Moment::from_millis(2)), Input::TimePassed);
    assert!(!std::iter::from_fn(|| node.poll_output()).any(|output| matches!(output, Output::KeepWarm(_))));
}

#[test]
fn a_line_is_written_when_something_has_changed_and_a_problem_is_told_once() {
    let mut bench = Bench::standing(WARM);
    let warm = Warm { files: 3, bytes: 9, left_out: 1, problems: vec!["one".to_owned()] };
    assert_eq!(bench.warmed(&warm), 2);
    assert_eq!(bench.warmed(&warm), 0);
    // How much of it is there varies, and shows in the status alone.
    assert_eq!(bench.warmed(&Warm { bytes: 8, ..warm.clone() }), 0);
    assert_eq!(bench.shown().unwrap().bytes, 8);
    assert_eq!(bench.warmed(&Warm { files: 4, problems: vec!["one".to_owned(), "two".to_owned()], ..warm }), 2);
}
