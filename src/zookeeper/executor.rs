//! Where the ZooKeeper crate's session runs.
//!
//! The crate leaves its session to a task, and waits for the socket and its clock (twenty ticks a session) with async-io,
//! which has a thread of its own. On tokio every tick would wake that thread, which wakes the runtime's thread, which sets
//! the timer anew and so wakes async-io's thread again: on an idle node, a third of all it does. Here the task runs on
//! whichever thread wakes it: a tick or an answer on async-io's, at once; a request, which comes from the runtime's
//! thread, by way of the runtime's queue, so that requests made together leave in one write. Measured: 158 turns a minute
//! of an idle leader's threads instead of 394 for the runtime's, 180 instead of 300 for async-io's.
//!
//! Rejected: `async_io::block_on` on a thread of its own. async-io's helper thread competes for the reactor with whoever
//! blocks on it, a dozen times after every event.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};

use async_task::Runnable;
use spawns_core::{Spawn, Task};

/// The tasks that a future of the crate's spawned. They go on when this is dropped.
#[derive(Debug, Default)]
pub struct Tasks(Mutex<Vec<async_task::Task<()>>>);

impl Tasks {
    fn take(&self) -> Vec<async_task::Task<()>> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Drops the tasks where they are: they say goodbye to nobody. Afterwards none of them runs.
    pub async fn cancel(self) {
        for task in self.take() {
            task.cancel().await;
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.take().into_iter().for_each(async_task::Task::detach);
    }
}

impl Spawn for Tasks {
    fn spawn(&self, task: Task) {
        let (runnable, task) = async_task::spawn(Box::into_pin(task.future), schedule);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(task);
        runnable.schedule();
    }
}

/// Polls a future of the crate's; tasks that it spawns run as described above.
pub async fn scope<F: Future>(future: F) -> (F::Output, Tasks) {
    let mut future = pin!(future);
    let tasks = Tasks::default();
    let output = std::future::poll_fn(|context| {
        before_what_is_woken(|| {
            let _scope = spawns_core::enter(&tasks);
            future.as_mut().poll(context)
        })
    })
    .await;
    (output, tasks)
}

fn schedule(runnable: Runnable) {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn(async { run(runnable) })),
        Err(_) => run_here(runnable),
    }
}

fn run(runnable: Runnable) {
    let theirs = Tasks::default();
    let _scope = spawns_core::enter(&theirs);
    runnable.run();
}

thread_local! {
    /// What is to run after what this thread is at; `None` while it is at nothing.
    static WOKEN: RefCell<Option<VecDeque<Runnable>>> = const { RefCell::new(None) };
}

fn run_here(runnable: Runnable) {
    let waiting = WOKEN.with_borrow_mut(|woken| match woken {
        Some(woken) => {
            woken.push_back(runnable);
            None
        }
        None => Some(runnable),
    });
    if let Some(runnable) = waiting {
        before_what_is_woken(|| run(runnable));
    }
}

/// Does something, and after it runs what it woke on this thread: one after the other, never one within the other.
fn before_what_is_woken<T>(something: impl FnOnce() -> T) -> T {
    if WOKEN.with_borrow(Option::is_some) {
        return something();
    }
    WOKEN.set(Some(VecDeque::new()));
    let _idle = Idle;
    let done = something();
    while let Some(next) = WOKEN.with_borrow_mut(|woken| woken.as_mut().and_then(VecDeque::pop_front)) {
        run(next);
    }
    done
}

/// However it ends, the thread is at nothing afterwards.
struct Idle;

impl Drop for Idle {
    fn drop(&mut self) {
        WOKEN.set(None);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use super::*;

    /// Long enough for any machine.
    const LIMIT: Duration = Duration::from_secs(30);

    /// Polls a spawning future once, as a runtime would, on a thread without a runtime.
    fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        let mut spawning = pin!(scope(async { drop(spawns_core::spawn(task)) }));
        assert!(spawning.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }

    struct Tells(tokio::sync::mpsc::UnboundedSender<&'static str>);

    impl Drop for Tells {
        fn drop(&mut self) {
            let _ = self.0.send("dropped");
        }
    }

    #[tokio::test]
    async fn a_cancelled_task_is_dropped_where_it_waits_and_an_abandoned_one_goes_on() {
        for cancelled in [true, false] {
            let (sender, mut said) = tokio::sync::mpsc::unbounded_channel();
            let (wake, woken) = futures::channel::oneshot::channel::<()>();
            let tells = Tells(sender);
            let task = async move {
                woken.await.unwrap();
                tells.0.send("done").unwrap();
            };
            let (_, tasks) = scope(async { drop(spawns_core::spawn(task)) }).await;
            tokio::task::yield_now().await;
            if cancelled {
                tasks.cancel().await;
                assert_eq!(said.try_recv(), Ok("dropped"));
                assert!(wake.send(()).is_err(), "it still waits");
            } else {
                drop(tasks);
                wake.send(()).unwrap();
                assert_eq!(tokio::time::timeout(LIMIT, said.recv()).await.unwrap(), Some("done"));
            }
        }
    }

    #[test]
    fn without_a_runtime_a_task_runs_on_the_thread_that_wakes_it() {
        let (sender, ran_on) = mpsc::channel();
        let (wake, woken) = futures::channel::oneshot::channel::<()>();
        spawn(async move {
            sender.send(std::thread::current().id()).unwrap();
            woken.await.unwrap();
            sender.send(std::thread::current().id()).unwrap();
        });
        assert_eq!(ran_on.try_recv(), Ok(std::thread::current().id()));
        let waker = std::thread::spawn(move || wake.send(()).unwrap());
        let other = waker.thread().id();
        waker.join().unwrap();
        assert_eq!(ran_on.try_recv(), Ok(other));
    }

    #[test]
    fn a_task_that_wakes_itself_a_million_times_needs_no_deep_stack() {
        let (sender, done) = mpsc::channel();
        let mut left = 1_000_000;
        spawn(std::future::poll_fn(move |context| {
            if left == 0 {
                sender.send(()).unwrap();
                return Poll::Ready(());
            }
            left -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        }));
        done.recv_timeout(LIMIT).unwrap();
    }

    #[test]
    fn tasks_spawn_tasks_and_a_panic_harms_no_other() {
        let (sender, done) = mpsc::channel();
        spawn(async { panic!("on purpose") });
        spawn(async move {
            spawns_core::spawn(async move { sender.send(()).unwrap() });
        });
        done.recv_timeout(LIMIT).unwrap();
    }

    #[tokio::test]
    async fn within_a_runtime_a_task_runs_after_what_the_runtime_is_at() {
        let (sender, mut ran) = tokio::sync::mpsc::unbounded_channel();
        scope(async { drop(spawns_core::spawn(async move { sender.send(()).unwrap() })) }).await;
        assert!(ran.try_recv().is_err(), "it ran in the middle of another task");
        tokio::time::timeout(LIMIT, ran.recv()).await.unwrap().unwrap();
    }
}
