//! Where the ZooKeeper crate's session runs, and how it ends without a word.
//!
//! The crate leaves its session to a task that it spawns, and gives nobody a hold on it: the session is closed when the last
//! handle is dropped. Whoever carries a session to another connection has to end that task and not the session. So what a
//! future of the crate's spawns is spawned here, and can be cancelled.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};

use spawns_core::{Spawn, Task};
use tokio::task::JoinHandle;

/// The tasks that a future of the crate's spawned. They go on when this is dropped.
#[derive(Debug, Default)]
pub struct Tasks(Mutex<Vec<JoinHandle<()>>>);

impl Tasks {
    /// Drops the tasks where they are: they say goodbye to nobody. Afterwards none of them runs.
    pub async fn cancel(self) {
        for task in self.0.into_inner().unwrap_or_else(PoisonError::into_inner) {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Spawn for Tasks {
    fn spawn(&self, task: Task) {
        let mut future = Box::into_pin(task.future);
        let task = tokio::spawn(poll_fn(move |context| {
            let theirs = Self::default();
            let _scope = spawns_core::enter(&theirs);
            future.as_mut().poll(context)
        }));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }
}

/// Polls a future of the crate's, and has the tasks that it spawns.
pub async fn scope<F: Future>(future: F) -> (F::Output, Tasks) {
    let mut future = pin!(future);
    let tasks = Tasks::default();
    let output = poll_fn(|context| {
        let _scope = spawns_core::enter(&tasks);
        future.as_mut().poll(context)
    })
    .await;
    (output, tasks)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::mpsc;

    use super::*;

    /// Long enough for any machine.
    const LIMIT: Duration = Duration::from_secs(30);

    struct Tells(mpsc::UnboundedSender<&'static str>);

    impl Drop for Tells {
        fn drop(&mut self) {
            let _ = self.0.send("dropped");
        }
    }

    #[tokio::test]
    async fn a_cancelled_task_is_dropped_where_it_waits_and_an_abandoned_one_goes_on() {
        for cancelled in [true, false] {
            let (sender, mut said) = mpsc::unbounded_channel();
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

    #[tokio::test]
    async fn tasks_spawn_tasks_and_a_panic_harms_no_other() {
        let (sender, mut done) = mpsc::unbounded_channel();
        let spawning = async {
            drop(spawns_core::spawn(async { panic!("on purpose") }));
            drop(spawns_core::spawn(async move {
                drop(spawns_core::spawn(async move { sender.send(()).unwrap() }));
            }));
        };
        let _tasks = scope(spawning).await;
        tokio::time::timeout(LIMIT, done.recv()).await.unwrap().unwrap();
    }
}
