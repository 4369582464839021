//! Signs of life, joined into lives.
//!
//! A process lives from its first sign to its last, whatever lies between: one that only stood still may go on at any
//! moment, and whoever started another one meanwhile must have made sure that it does not.

use crate::span::Span;

/// One coordinator process. `notes`: what else a reader knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life<N = ()> {
    pub node: String,
    pub pid: u32,
    pub epoch: u64,
    /// ns on CLOCK_MONOTONIC.
    pub first: u64,
    pub last: u64,
    pub notes: N,
}

impl<N> Life<N> {
    #[must_use]
    pub fn span(&self) -> Span {
        Span { first: self.first, last: self.last }
    }

    #[must_use]
    pub fn covers(&self, at: u64) -> bool {
        self.span().covers(at)
    }

    /// Its pid as the kernel's calls take it.
    #[must_use]
    pub fn process(&self) -> i32 {
        i32::try_from(self.pid).expect("Linux has no greater pids")
    }

    /// For people.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} (pid {}, epoch {})", self.node, self.pid, self.epoch)
    }

    /// Whether this is the process of which something else is told. A process has one epoch for life; 0 is a process
    /// whose id was not noted.
    fn is(&self, node: &str, pid: u32, epoch: u64) -> bool {
        self.node == node && self.epoch == epoch && (self.pid == pid || pid == 0)
    }
}

/// All of whom there was a sign, in the order of these.
#[derive(Clone, Debug, Default)]
pub struct Lives<N = ()>(Vec<Life<N>>);

impl<N: Default> Lives<N> {
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// The process lived during this span. Gives its life, and whether the sign made that longer.
    pub fn sign(&mut self, node: &str, pid: u32, epoch: u64, span: Span) -> (&mut Life<N>, bool) {
        let Span { first, last } = span;
        let known = self.0.iter().rposition(|life| life.is(node, pid, epoch));
        let index = known.unwrap_or_else(|| {
            self.0.push(Life { node: node.to_owned(), pid, epoch, first, last, notes: N::default() });
            self.0.len() - 1
        });
        let life = &mut self.0[index];
        let longer = known.is_none() || first < life.first || life.last < last;
        life.first = life.first.min(first);
        life.last = life.last.max(last);
        (life, longer)
    }

    /// In the order of their first signs.
    #[must_use]
    pub fn all(&self) -> &[Life<N>] {
        &self.0
    }

    /// By their beginning.
    #[must_use]
    pub fn by_beginning(mut self) -> Vec<Life<N>> {
        self.0.sort_by_key(Life::span);
        self.0
    }
}

/// For the [`judge`](crate::judge).
#[must_use]
pub fn spans<N>(lives: &[Life<N>]) -> Vec<Span> {
    lives.iter().map(Life::span).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(moment: u64) -> Span {
        Span::between(moment, moment)
    }

    #[test]
    fn a_life_goes_from_the_first_sign_to_the_last_whatever_lies_between() {
        let mut lives = Lives::<()>::none();
        lives.sign("a", 1, 7, at(5));
        lives.sign("b", 2, 8, at(50));
        lives.sign("a", 1, 7, at(90));
        lives.sign("a", 1, 7, at(3));
        let spans = spans(&lives.by_beginning());
        assert_eq!(spans, [Span::between(3, 90), at(50)]);
    }

    #[test]
    fn the_same_pid_with_another_epoch_or_on_another_node_is_another_process() {
        let mut lives = Lives::<()>::none();
        for (node, epoch) in [("a", 7), ("a", 8), ("b", 8)] {
            lives.sign(node, 1, epoch, at(5));
        }
        assert_eq!(lives.all().len(), 3);
    }

    #[test]
    fn a_sign_without_a_pid_is_of_the_process_with_that_epoch() {
        let mut lives = Lives::<()>::none();
        lives.sign("a", 1, 7, at(5));
        lives.sign("a", 0, 7, at(9));
        lives.sign("a", 0, 8, at(20));
        let found: Vec<_> = lives.all().iter().map(|life| (life.pid, life.span())).collect();
        assert_eq!(found, [(1, Span::between(5, 9)), (0, at(20))]);
    }

    #[test]
    fn a_sign_says_whether_it_told_anything() {
        let mut lives = Lives::<()>::none();
        let longer = [at(5), at(5), at(9), at(7), Span::between(1, 7)].map(|span| lives.sign("a", 1, 7, span).1);
        assert_eq!(longer, [true, false, true, false, true]);
    }
}
