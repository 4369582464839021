//! An additional hammer where one is at hand: `cgroup.kill` of a child cgroup that holds the coordinator.
//!
//! Only an addition: the proof of death stays `waitpid`. It needs cgroup v2, a delegated subtree (`Delegate=yes`) and a
//! cgroup of our own; anything else means that there is none.
//!
//! Whatever is done to a cgroup waits in the kernel for everybody else who does something to any cgroup, and they may hang. So
//! a thread of its own does it: the main thread only asks, and never waits. It does fork into the cgroup itself, which
//! needs the same kernel lock; so right before, the thread tries that out, and where it hangs the start goes without.
//!
//! Linux since 6.13 (and its stable branches) kills a process at its birth if the cgroup that it is born into and that of
//! its parent have not been killed equally often: it compares the two counters by mistake. So a birth is tried out before
//! a coordinator depends on it, and a cgroup that has been killed is replaced before the next start.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::eventfd::EventFd;

use crate::syscalls::can_be_born_in;

/// How long a guardian that ends waits for its cgroup to be removed. An empty one that stays does no harm.
const LEAVE: Duration = Duration::from_millis(500);
/// How often a birth is tried out: whoever waits for all children may have waited for this one, and know how it ended.
const BIRTHS: usize = 3;

/// A child cgroup of the guardian's own, for the coordinator, as the main thread knows it.
pub struct Cgroup {
    /// `None` once it is to be removed.
    orders: Option<Sender<Order>>,
    view: Arc<Mutex<View>>,
    /// Hung up by the thread's end.
    ended: Receiver<()>,
}

enum Order {
    Kill,
    Renew,
    TryOut,
}

#[derive(Default)]
struct View {
    /// It is being made or tried out.
    busy: bool,
    /// For the coordinator to be born there. `None` where that is not possible.
    directory: Option<Arc<File>>,
    /// A kill was asked for and is not done.
    killing: bool,
    /// It was killed since it was made.
    spent: bool,
}

impl Cgroup {
    /// Has one made, if that is permitted here and works. The bell rings when that is known.
    pub fn make(bell: Arc<EventFd>) -> Option<Self> {
        let view = Arc::new(Mutex::new(View { busy: true, ..View::default() }));
        let (orders, asked) = channel();
        let (end, ended) = channel();
        let shared = Arc::clone(&view);
        let thread = std::thread::Builder::new().name("cgroup".to_owned()).spawn(move || {
            serve(&asked, &shared, &bell);
            drop(end);
        });
        thread.is_ok().then_some(Self { orders: Some(orders), view, ended })
    }

    /// Where the coordinator is to be born, if that is known to be possible at the moment.
    pub fn directory(&self) -> Option<Arc<File>> {
        self.with(|view| view.directory.clone().filter(|_| !view.busy))
    }

    /// Has a birth tried out.
    pub fn try_out(&self) {
        let wanted = self.with(|view| view.directory.is_some() && !std::mem::replace(&mut view.busy, true));
        if wanted {
            self.ask(Order::TryOut);
        }
    }

    /// Whether it is being made or tried out at the moment.
    pub fn is_busy(&self) -> bool {
        self.with(|view| view.busy)
    }

    /// Has all that is in it killed.
    pub fn kill(&self) {
        let wanted = self.with(|view| {
            view.spent |= view.directory.is_some();
            view.directory.is_some() && !std::mem::replace(&mut view.killing, true)
        });
        if wanted {
            self.ask(Order::Kill);
        }
    }

    /// Has it replaced if it was killed. Only while nothing is in it.
    pub fn renew(&self) {
        let wanted = self.with(|view| {
            let spent = view.spent;
            if spent {
                *view = View { busy: true, ..View::default() };
            }
            spent
        });
        if wanted {
            self.ask(Order::Renew);
        }
    }

    fn ask(&self, order: Order) {
        // A thread that has failed leaves its last view.
        let _ = self.orders.as_ref().map(|orders| orders.send(order));
    }

    fn with<T>(&self, act: impl FnOnce(&mut View) -> T) -> T {
        act(&mut self.view.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.ended.recv_timeout(LEAVE);
    }
}

fn serve(asked: &Receiver<Order>, view: &Mutex<View>, bell: &EventFd) {
    let with = |act: &dyn Fn(&mut View)| act(&mut view.lock().unwrap_or_else(PoisonError::into_inner));
    let show = |made: Option<&Made>| {
        with(&|view| *view = View { directory: made.map(|made| Arc::clone(&made.directory)), ..View::default() });
        // It only fails if it rings already.
        let _ = bell.write(1);
    };
    let mut made = Made::find();
    show(made.as_ref());
    while let Ok(order) = asked.recv() {
        match order {
            Order::Kill => {
                if let Some(made) = &made {
                    made.kill();
                }
                with(&|view| view.killing = false);
            }
            Order::TryOut => {
                let lives = made.as_ref().is_some_and(Made::bears);
                with(&|view| {
                    view.busy = false;
                    if !lives {
                        view.directory = None;
                    }
                });
                let _ = bell.write(1);
            }
            Order::Renew => {
                // First, for the next one has the same name.
                drop(made);
                made = Made::find();
                show(made.as_ref());
            }
        }
    }
}

/// The directory. Every call may block.
struct Made {
    path: PathBuf,
    directory: Arc<File>,
}

impl Made {
    fn find() -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?.trim().to_owned();
        let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
        let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let root = mounts.find(|fields| fields.get(2) == Some(&"cgroup2"))?.get(1).map(PathBuf::from)?;
        if own.is_empty() {
            return None;
        }
        Self::at(&root.join(own).join(format!("primacy-{}", std::process::id())))
    }

    fn at(path: &Path) -> Option<Self> {
        fs::create_dir(path).ok()?;
        let Ok(directory) = File::open(path) else {
            let _ = fs::remove_dir(path);
            return None;
        };
        // Dropping it removes the directory again.
        let made = Self { path: path.to_owned(), directory: Arc::new(directory) };
        (made.path.join("cgroup.kill").exists() && made.bears()).then_some(made)
    }

    /// Whether a process that is born there lives.
    fn bears(&self) -> bool {
        (0..BIRTHS).any(|_| can_be_born_in(self.directory.as_fd()))
    }

    fn kill(&self) {
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // Fails while processes are in it.
        let _ = fs::remove_dir(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_for_a_kill_does_not_wait_for_it() {
        let (orders, asked) = channel();
        let (_end, ended) = channel();
        let directory = Arc::new(File::open("/").unwrap());
        let view = Arc::new(Mutex::new(View { directory: Some(directory), ..View::default() }));
        // Nobody serves it: the thread hangs in the kernel.
        let cgroup = Cgroup { orders: Some(orders), view, ended };
        for _ in 0..1000 {
            cgroup.kill();
        }
        assert_eq!(asked.try_iter().count(), 1, "what waits does not grow");
        assert!(cgroup.directory().is_some() && !cgroup.is_busy());
        cgroup.try_out();
        assert!(cgroup.directory().is_none() && cgroup.is_busy(), "nobody is born into one that hangs");
        cgroup.renew();
        assert!(cgroup.directory().is_none() && cgroup.is_busy(), "nobody is born into one that was killed");
    }

    #[test]
    fn one_that_was_not_killed_stays() {
        let (orders, asked) = channel();
        let (_end, ended) = channel();
        let directory = Arc::new(File::open("/").unwrap());
        let view = Arc::new(Mutex::new(View { directory: Some(directory), ..View::default() }));
        let cgroup = Cgroup { orders: Some(orders), view, ended };
        cgroup.renew();
        assert!(cgroup.directory().is_some());
        assert_eq!(asked.try_iter().count(), 0);
    }
}
