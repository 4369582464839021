//! The end that the guardian makes of a leadership by itself, as a decision: what may be done next.

use crate::moment::Moment;
use crate::status::End;

/// Why, and by which deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    deadline: Option<Moment>,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: the tree is being killed.
    AwaitTree,
    /// Close the lock, and wait until it is closed.
    CloseLock,
    /// Report the deadline's end, if it was that, and leave with the last will.
    Leave { fenced_at: Option<Moment> },
}

impl Ending {
    pub const fn at_deadline(deadline: Moment) -> Self {
        Self { deadline: Some(deadline) }
    }

    pub const fn without_supervisor() -> Self {
        Self { deadline: None }
    }

    pub const fn is_at_deadline(&self) -> bool {
        self.deadline.is_some()
    }

    /// As noted in the lock file and in the history.
    pub const fn cause(&self) -> End {
        if self.is_at_deadline() { End::LeaseExpired } else { End::SupervisorLost }
    }

    /// Never the lock before the tree, never the last will before the lock.
    pub const fn next_step(&self, tree_is_dead: bool, lock_is_open_here: bool) -> Step {
        match (tree_is_dead, lock_is_open_here) {
            (false, _) => Step::AwaitTree,
            (true, true) => Step::CloseLock,
            (true, false) => Step::Leave { fenced_at: self.deadline },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_will_comes_after_the_lock_and_the_lock_after_the_tree() {
        let ending = Ending::at_deadline(Moment::from_millis(5));
        assert_eq!(ending.next_step(false, true), Step::AwaitTree);
        assert_eq!(ending.next_step(false, false), Step::AwaitTree);
        assert_eq!(ending.next_step(true, true), Step::CloseLock);
        assert_eq!(ending.next_step(true, false), Step::Leave { fenced_at: Some(Moment::from_millis(5)) });
        assert_eq!(ending.cause(), End::LeaseExpired);
        assert_eq!(Ending::without_supervisor().cause(), End::SupervisorLost);
    }
}
