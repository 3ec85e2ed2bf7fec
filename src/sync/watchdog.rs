//! Watches threads: counts their panics, and reports threads that stall or panic repeatedly.

use crate::sync::lock;
use log::error;
use std::collections::{BTreeMap, HashMap};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};
use std::task::Poll;
use std::thread::{Thread, ThreadId};
use std::time::{Duration, Instant};

static PANICS: AtomicU64 = AtomicU64::new(0);

/// The recent series of panics of each thread, by its name: the time of the last panic, and the length of the series.
static RECENT_PANICS: Mutex<BTreeMap<String, (Instant, u32)>> = Mutex::new(BTreeMap::new());

/// Panics that are further apart are not a series.
const PANIC_WINDOW: Duration = Duration::from_secs(5);
/// Minimum length of a series at which its thread is reported as [`panicking`].
const PANIC_LIMIT: u32 = 3;

/// The busy threads, and the time when each of them became busy.
static BUSY: LazyLock<Mutex<HashMap<ThreadId, (Thread, Instant)>>> = LazyLock::new(Mutex::default);

/// Time after which a busy thread counts as stalled. The longest legitimate call takes two minutes: with the `crate` driver, to
/// a broker that does not respond.
const STALLED_AFTER: Duration = Duration::from_secs(600);

/// Marks this thread as busy until the guard is dropped. A thread that waits for work is idle, and never counts as stalled.
pub fn busy() -> BusyThread {
    let thread = std::thread::current();
    let id = thread.id();
    lock(&BUSY).insert(id, (thread, Instant::now()));
    BusyThread(id)
}

/// Guard of [`busy`].
pub struct BusyThread(ThreadId);

impl Drop for BusyThread {
    fn drop(&mut self) {
        lock(&BUSY).remove(&self.0);
    }
}

/// Marks this thread as idle until the guard is dropped, for calls that may take arbitrarily long.
pub fn pause() -> Pause {
    let busy = lock(&BUSY).remove(&std::thread::current().id());
    Pause(busy.map(|(thread, _)| thread))
}

/// Guard of [`pause`]. When it is dropped, a thread that was busy before becomes busy again.
pub struct Pause(Option<Thread>);

impl Drop for Pause {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            lock(&BUSY).insert(thread.id(), (thread, Instant::now()));
        }
    }
}

/// Returns the names of the threads that have been busy for ten minutes, and are not expected to finish.
pub fn stalled() -> Vec<String> {
    busy_for(STALLED_AFTER)
}

fn busy_for(duration: Duration) -> Vec<String> {
    lock(&BUSY).values().filter(|(_, since)| since.elapsed() >= duration).map(|(thread, _)| name(thread)).collect()
}

/// Returns the names of the threads that panic repeatedly, and therefore make no progress.
pub fn panicking() -> Vec<String> {
    let mut panicking = lock(&RECENT_PANICS);
    panicking.retain(|_, (last, _)| last.elapsed() < PANIC_WINDOW);
    panicking.iter().filter(|(_, (_, times))| *times >= PANIC_LIMIT).map(|(name, _)| name.clone()).collect()
}

/// Runs `work`. Logs and counts a panic in it, and then returns `None`.
pub fn catch_panic<T>(work: impl FnOnce() -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(work)).ok();
    if done.is_none() {
        let name = name(&std::thread::current());
        record_panic(&name);
        error!("thread {name} panicked and continues; please report this");
    }
    done
}

/// Awaits the work of one request. Counts a panic in it, and then returns `None`. The panic does not count for the thread, which
/// serves many requests: otherwise a client could make the watchdog restart the bridge.
pub async fn caught_in_request<F: Future>(work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    poll_fn(|cx| match caught_in_poll(|| work.as_mut().poll(cx)) {
        Some(Poll::Ready(output)) => Poll::Ready(Some(output)),
        Some(Poll::Pending) => Poll::Pending,
        None => Poll::Ready(None),
    })
    .await
}

/// [`caught_in_request`] for a single poll, and for synchronous work.
pub fn caught_in_poll<T>(step: impl FnOnce() -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(step)).ok();
    if done.is_none() {
        PANICS.fetch_add(1, Ordering::Relaxed);
    }
    done
}

fn name(thread: &Thread) -> String {
    thread.name().unwrap_or("without a name").to_owned()
}

fn record_panic(name: &str) {
    PANICS.fetch_add(1, Ordering::Relaxed);
    let mut panicking = lock(&RECENT_PANICS);
    let (last, times) = panicking.entry(name.to_owned()).or_insert_with(|| (Instant::now(), 0));
    *times = if last.elapsed() < PANIC_WINDOW { *times + 1 } else { 1 };
    *last = Instant::now();
}

/// Returns the number of panics since the start of the process. Each of them is a bug.
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sync::worker::Worker;
    use crossbeam_channel::bounded;

    #[test]
    fn a_busy_thread_is_reported_and_an_idle_one_is_not() {
        let (begin, begun) = bounded::<()>(0);
        let (end, ended) = bounded::<()>(0);
        let worker = Worker::start("slow", move || {
            while begun.recv().is_ok() {
                let _busy = busy();
                let _ = ended.recv();
            }
        });
        let is_named = || busy_for(Duration::ZERO).contains(&"slow".to_owned());
        let wait_until = |named: bool| {
            let deadline = Instant::now() + Duration::from_secs(20);
            while is_named() != named {
                assert!(Instant::now() < deadline, "named: {}", !named);
                std::thread::yield_now();
            }
        };
        for _ in 0..2 {
            wait_until(false);
            begin.send(()).unwrap();
            wait_until(true);
            end.send(()).unwrap();
        }
        drop(begin);
        drop(worker.unwrap());
        assert!(!is_named() && stalled().is_empty());
    }

    #[test]
    fn a_paused_thread_is_not_reported_until_the_pause_ends() {
        let is_named = || busy_for(Duration::ZERO).contains(&"patient".to_owned());
        let (sender, observed) = bounded(3);
        let worker = Worker::start("patient", move || {
            let _busy = busy();
            sender.send(is_named()).unwrap();
            let pause = pause();
            sender.send(is_named()).unwrap();
            drop(pause);
            sender.send(is_named()).unwrap();
        });
        drop(worker.unwrap());
        assert_eq!(observed.iter().collect::<Vec<_>>(), [true, false, true]);
        assert!(!is_named());
    }

    #[test]
    fn a_thread_that_panics_repeatedly_is_reported() {
        let (give, jobs) = bounded::<()>(4);
        let worker = Worker::start("unlucky", move || assert!(jobs.recv().is_err(), "every time"));
        (0..PANIC_LIMIT).for_each(|_| give.send(()).unwrap());
        drop(give);
        drop(worker.unwrap());
        assert!(panicking().contains(&"unlucky".to_owned()));
    }
}
