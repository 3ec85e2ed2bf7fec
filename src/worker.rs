//! The one way to start a thread: named, owned, joined.

use log::error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;
use std::time::Duration;

const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// A running thread. Dropping it waits for the thread's end; what makes the thread end (a closed
/// channel, an ended flag) is its owner's to do before, by the order of the owner's fields.
pub struct Worker {
    name: String,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Runs `work` on a thread of this name. A panic in it is logged, and `work` is called again:
    /// one bad record must not silence a stream for ever.
    pub fn start(name: impl Into<String>, mut work: impl FnMut() + Send + 'static) -> std::io::Result<Self> {
        let name = name.into();
        let own = name.clone();
        let run = move || {
            while catch_unwind(AssertUnwindSafe(&mut work)).is_err() {
                error!("thread {own} panicked and starts again; please report this");
                // One that panics at once again must not take a core and fill the log.
                std::thread::sleep(RESTART_PAUSE);
            }
        };
        let thread = std::thread::Builder::new().name(name.clone()).spawn(run)?;
        Ok(Self { name, thread: Some(thread) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if thread.thread().id() == std::thread::current().id() {
            return;
        }
        if thread.join().is_err() {
            error!("thread {} did not end well", self.name);
        }
    }
}
