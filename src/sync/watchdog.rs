//! The one way to start a thread: named, owned, joined.

use crate::sync::lock;
use log::error;
use std::collections::{BTreeMap, HashMap};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};
use std::task::Poll;
use std::thread::{JoinHandle, Thread, ThreadId};
use std::time::{Duration, Instant};

const RESTART_PAUSE: Duration = Duration::from_millis(100);

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Threads whose last panic was a moment ago, by name, with it and how many there were at such short intervals.
static TROUBLED: Mutex<BTreeMap<String, (Instant, u32)>> = Mutex::new(BTreeMap::new());

/// A thread that has worked for so long is over its trouble.
const CALM: Duration = Duration::from_secs(5);
/// So many panics without a calm in between are no accident.
const TOO_OFTEN: u32 = 3;

/// Threads in the middle of something, and since when.
static AT_WORK: LazyLock<Mutex<HashMap<ThreadId, (Thread, Instant)>>> = LazyLock::new(Mutex::default);

/// Longer than anything takes: a silent broker of the old protocol holds a call for up to two minutes.
const HUNG: Duration = Duration::from_secs(600);

/// Says that this thread is at a piece of work that ends, and not waiting for the next; until it is dropped.
pub fn busy() -> BusyThread {
    let thread = std::thread::current();
    let id = thread.id();
    lock(&AT_WORK).insert(id, (thread, Instant::now()));
    BusyThread(id)
}

pub struct BusyThread(ThreadId);

impl Drop for BusyThread {
    fn drop(&mut self) {
        lock(&AT_WORK).remove(&self.0);
    }
}

/// Says that what this thread does now may take as long as it wants, until it is dropped.
pub fn pause() -> Pause {
    let work = lock(&AT_WORK).remove(&std::thread::current().id());
    Pause(work.map(|(thread, _)| thread))
}

/// Whoever was at work before is at it anew after this.
pub struct Pause(Option<Thread>);

impl Drop for Pause {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            lock(&AT_WORK).insert(thread.id(), (thread, Instant::now()));
        }
    }
}

/// The names of threads that have not come to the end of a piece of work for so long that they never will.
pub fn stalled() -> Vec<String> {
    at_work_for(HUNG)
}

fn at_work_for(long: Duration) -> Vec<String> {
    lock(&AT_WORK).values().filter(|(_, since)| since.elapsed() >= long).map(|(thread, _)| name(thread)).collect()
}

/// The names of threads that panic again and again, and so get nothing done.
pub fn panicking() -> Vec<String> {
    let mut panicking = lock(&TROUBLED);
    panicking.retain(|_, (last, _)| last.elapsed() < CALM);
    panicking.iter().filter(|(_, (_, times))| *times >= TOO_OFTEN).map(|(name, _)| name.clone()).collect()
}

/// Does `work`. A panic in it is logged and counted, and gives `None`.
pub fn catch_panic<T>(work: impl FnOnce() -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(work)).ok();
    if done.is_none() {
        let name = name(&std::thread::current());
        note_panic(&name);
        error!("thread {name} panicked and goes on; please report this");
    }
    done
}

/// Awaits `work`. A panic in it is counted, and gives `None`. Where a request causes it, it says nothing about the
/// thread that serves many, so it makes no thread `troubled`: else a client could end the bridge through its watchdog.
pub async fn caught_in_request<F: Future>(work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    poll_fn(|cx| match caught_in_poll(|| work.as_mut().poll(cx)) {
        Some(Poll::Ready(output)) => Poll::Ready(Some(output)),
        Some(Poll::Pending) => Poll::Pending,
        None => Poll::Ready(None),
    })
    .await
}

/// The same for one step of such work, and for work that does not wait.
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

fn note_panic(name: &str) {
    PANICS.fetch_add(1, Ordering::Relaxed);
    let mut panicking = lock(&TROUBLED);
    let (last, times) = panicking.entry(name.to_owned()).or_insert_with(|| (Instant::now(), 0));
    *times = if last.elapsed() < CALM { *times + 1 } else { 1 };
    *last = Instant::now();
}

/// Panics of all threads so far, each of them a fault of ours.
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// A running thread. Dropping it waits for the thread's end; what makes the thread end (a closed
/// channel, an ended flag) is its owner's to do before, by the order of the owner's fields.
pub struct Worker {
    name: String,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Runs `work` on a thread of this name. A panic in it is logged and counted, and `work` is called
    /// again: one bad record must not silence a stream for ever.
    pub fn start(name: impl Into<String>, mut work: impl FnMut() + Send + 'static) -> std::io::Result<Self> {
        let name = name.into();
        let run = move || {
            while catch_panic(&mut work).is_none() {
                // One that panics at once again must not take a core and fill the log.
                std::thread::sleep(RESTART_PAUSE);
            }
        };
        let thread = std::thread::Builder::new().name(name.clone()).spawn(run)?;
        Ok(Self { name, thread: Some(thread) })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the thread's work is over.
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
            error!("thread {} did not end well", self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crossbeam_channel::bounded;

    #[test]
    fn a_panic_is_counted_and_the_work_goes_on() {
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
        assert!(!panicking().contains(&"test".to_owned()), "once is an accident");
    }

    #[test]
    fn a_thread_that_does_not_come_to_an_end_is_named_and_one_that_waits_is_not() {
        let (begin, begun) = bounded::<()>(0);
        let (end, ended) = bounded::<()>(0);
        let worker = Worker::start("slow", move || {
            while begun.recv().is_ok() {
                let _at_work = busy();
                let _ = ended.recv();
            }
        });
        let is_named = || at_work_for(Duration::ZERO).contains(&"slow".to_owned());
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
    fn what_may_take_long_is_not_taken_for_hanging_and_what_comes_after_it_is() {
        let is_named = || at_work_for(Duration::ZERO).contains(&"patient".to_owned());
        let (tell, told) = bounded(3);
        let worker = Worker::start("patient", move || {
            let _at_work = busy();
            tell.send(is_named()).unwrap();
            let pause = pause();
            tell.send(is_named()).unwrap();
            drop(pause);
            tell.send(is_named()).unwrap();
        });
        drop(worker.unwrap());
        assert_eq!(told.iter().collect::<Vec<_>>(), [true, false, true]);
        assert!(!is_named());
    }

    #[test]
    fn a_thread_that_panics_again_and_again_is_named() {
        let (give, jobs) = bounded::<()>(4);
        let worker = Worker::start("unlucky", move || assert!(jobs.recv().is_err(), "every time"));
        (0..TOO_OFTEN).for_each(|_| give.send(()).unwrap());
        drop(give);
        drop(worker.unwrap());
        assert!(panicking().contains(&"unlucky".to_owned()));
    }
}
