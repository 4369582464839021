//! From a seed to a schedule: the same seed, kinds and session always make the same one, on any machine.
//!
//! Kinds come from a bag in which each lies as often as it weighs; it is emptied before it is filled again, so that a run
//! of a few minutes has met every kind. A quarter of the steps are pairs: the second fault begins while the first is under
//! way. Whom a fault hits is drawn as "the active one" or as a number, for who is active is not the schedule's to know.

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::kinds::{self, Kind};

/// Whom a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Whoever is active at that moment.
    Active,
    /// The candidate that the dice mean.
    Some,
}

/// Everything that is left to chance in one fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Whom it hits.
    pub target: Target,
    /// How long it lasts, ms.
    pub hold_ms: u64,
    /// For all else.
    pub dice: u64,
}

/// A fault of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Its kind's name.
    pub kind: &'static str,
    /// After the step's begin, ms.
    pub delay_ms: u64,
    /// The rest.
    pub draw: Draw,
}

/// A fault, or a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// One or two.
    pub faults: Vec<Planned>,
    /// After the recovery, ms.
    pub calm_ms: u64,
}

/// An endless sequence of steps.
pub struct Schedule {
    random: ChaCha8Rng,
    kinds: Vec<&'static Kind>,
    bag: Vec<&'static Kind>,
    session_ms: u64,
}

impl Schedule {
    /// Of these kinds, in the order of the list.
    pub fn new(seed: u64, kinds: Vec<&'static Kind>, session_ms: u64) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(seed), kinds, bag: Vec::new(), session_ms }
    }

    /// One of each, in their order, alone.
    pub fn each_once(mut self) -> Vec<Step> {
        let kinds = self.kinds.clone();
        kinds.into_iter().map(|kind| Step { faults: vec![self.plan(kind, 0)], calm_ms: 150 }).collect()
    }

    fn take(&mut self) -> Option<&'static Kind> {
        if self.bag.is_empty() {
            let weighed = self.kinds.iter().flat_map(|kind| std::iter::repeat_n(*kind, kind.weight));
            self.bag = weighed.collect();
            self.bag.shuffle(&mut self.random);
        }
        self.bag.pop()
    }

    /// From far below to above the session, more often below: a run should see many faults.
    fn hold(&mut self, kind: &Kind) -> u64 {
        let session = self.session_ms;
        let (short, long) = (session / 20..session * 6 / 10, session * 6 / 10..session * 16 / 10);
        let is_long = self.random.random_ratio(3, 10);
        let hold = self.random.random_range(if is_long { long } else { short });
        if kind.instant { 0 } else { hold }
    }

    fn plan(&mut self, kind: &'static Kind, delay_ms: u64) -> Planned {
        let target = if self.random.random_ratio(3, 4) { Target::Active } else { Target::Some };
        let (hold_ms, dice) = (self.hold(kind), self.random.random());
        Planned { kind: kind.name, delay_ms, draw: Draw { target, hold_ms, dice } }
    }
}

impl Iterator for Schedule {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let kind = self.take()?;
        let first = self.plan(kind, 0);
        // Drawn in any case, so that a pair that finds no partner changes nothing of what follows.
        let (pair, delay) = (self.random.random_ratio(1, 4), self.random.random_range(0..=self.session_ms / 3));
        let partners: Vec<&'static Kind> =
            self.kinds.iter().copied().filter(|other| kinds::apart(kind.name, other.name).is_none()).collect();
        let mut faults = vec![first];
        if pair && let Some(second) = partners.choose(&mut self.random) {
            // Under way together: while the first holds, or right behind one that is over at once.
            let delay = if kind.instant { delay % 200 } else { delay.min(faults[0].draw.hold_ms / 2) };
            faults.push(self.plan(second, delay));
        }
        Some(Step { faults, calm_ms: self.random.random_range(100..=400) })
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            let Planned { kind, delay_ms, draw } = fault;
            let on = match draw.target {
                Target::Active => "the active one".to_owned(),
                Target::Some => format!("number {}", draw.dice),
            };
            let joint = if index == 0 { String::new() } else { format!("  and after {delay_ms} ms ") };
            write!(formatter, "{joint}{kind} upon {on} for {} ms", draw.hold_ms)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(seed: u64) -> Vec<Step> {
        Schedule::new(seed, kinds::KINDS.iter().collect(), 4000).take(500).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_schedule_and_another_one_another() {
        assert_eq!(schedule(7), schedule(7));
        assert_ne!(schedule(7), schedule(8));
    }

    #[test]
    fn five_hundred_steps_meet_every_kind_alone_and_in_pairs_that_are_permitted() {
        let steps = schedule(1);
        for kind in kinds::KINDS {
            let met = |pair: bool| {
                steps.iter().any(|step| {
                    (step.faults.len() == 2) == pair && step.faults.iter().any(|fault| fault.kind == kind.name)
                })
            };
            assert!(met(false) && met(true), "{}", kind.name);
        }
        for step in &steps {
            if let [first, second] = &step.faults[..] {
                assert_eq!(kinds::apart(first.kind, second.kind), None);
                assert!(second.delay_ms <= first.draw.hold_ms.max(200));
            }
        }
    }

    #[test]
    fn holds_lie_below_and_above_the_session() {
        let steps = schedule(3);
        let holds = || steps.iter().flat_map(|step| &step.faults).map(|fault| fault.draw.hold_ms);
        assert!(holds().any(|hold| hold > 4000));
        assert!(holds().any(|hold| (1..1000).contains(&hold)));
    }
}
