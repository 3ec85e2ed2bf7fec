//! Owned threads: named, restarted after a panic, and joined on drop.

use super::watchdog::catch_panic;
use log::error;
use std::thread::JoinHandle;
use std::time::Duration;

/// Pause before a thread restarts its work after a panic.
const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// A running thread. Dropping it joins the thread. The owner must make the thread end first, by closing a channel or setting a
/// flag. Often the order of the owner's fields takes care of that.
pub struct Worker {
    name: String,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Runs `work` on a new thread of this name. After a panic, which is logged and counted, `work` runs again, because one bad
    /// record must not stop all streams.
    pub fn start(name: impl Into<String>, mut work: impl FnMut() + Send + 'static) -> std::io::Result<Self> {
        let name = name.into();
        let run = move || {
            while catch_panic(&mut work).is_none() {
                // Repeated panics must neither occupy a core nor fill the log.
                std::thread::sleep(RESTART_PAUSE);
            }
        };
        let thread = std::thread::Builder::new().name(name.clone()).spawn(run)?;
        Ok(Self { name, thread: Some(thread) })
    }

    /// The name of the thread, as the watchdog and `/health` report it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the thread has ended.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if thread.thread().id() == std::thread::current().id() {
            return;
        }
        if thread.join().is_err() {
            error!("thread {} ended with a panic", self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sync::watchdog::{panicking, panics};
    use crossbeam_channel::bounded;

    #[test]
    fn a_panic_is_counted_and_the_work_continues() {
        let (give, jobs) = bounded(4);
        let (done, seen) = bounded(4);
        let before = panics();
        let worker = Worker::start("test", move || {
            while let Ok(job) = jobs.recv() {
                assert_ne!(job, 1, "a bad record");
                done.send(job).unwrap();
            }
        });
        (0..3).for_each(|job| give.send(job).unwrap());
        drop(give);
        assert_eq!(seen.iter().collect::<Vec<_>>(), [0, 2]);
        drop(worker.unwrap());
        assert!(panics() > before);
        assert!(!panicking().contains(&"test".to_owned()), "one panic is not a series");
    }
}
