//! The part of a computation that its viewers use. It is locked only briefly, unlike the computation itself, which is
//! locked while points are merged or a response of many megabytes is encoded. Async code may therefore lock it.

use super::span::RecentWindows;
use super::waiters::{HandleId, Ready, Waiters};
use crate::broker::BrokerError;
use crate::hub::subscription::ClientTag;
use crate::record::{Timestamp, now};
use std::time::{Duration, Instant};

/// How long a computation continues to read after its last request.
const ACTIVE: Duration = Duration::from_secs(30);

/// The requests of viewers, and what they see of the computation.
pub struct Viewers {
    waiters: Waiters,
    windows: RecentWindows,
    /// The earliest time of the requests that the computation has not seen yet.
    earliest: Option<Timestamp>,
    /// The status after the last change of the computation.
    pub status: ComputationStatus,
    pub last_used: Instant,
    /// The client of the last request.
    pub client: ClientTag,
    /// Whether the computation waits for a thread.
    pub is_queued: bool,
}

/// How far a computation has come.
#[derive(Debug, Clone, Default)]
pub struct ComputationStatus {
    /// Changes when the computation starts over.
    pub generation: u32,
    /// Number of merges into the table.
    pub version: u32,
    /// The time since which the table contains everything in the log. `None` if the log is not open.
    pub complete_from: Option<Timestamp>,
    /// Everything written before this time has been read: the time by the monotonic and by the system clock.
    pub read_to: Option<(Instant, Timestamp)>,
    /// Points before this time do not fit into memory.
    pub memory_limit: Option<Timestamp>,
    /// The error of the last task.
    pub error: Option<BrokerError>,
    /// The computation has ended with `error`.
    pub has_failed: bool,
}

/// Why the state of a computation cannot be returned.
#[derive(Debug)]
pub enum Unread {
    /// The log has not been read since the request, because of this error.
    Failed(BrokerError),
    /// Nothing has been read yet.
    NotYet,
}

/// What the viewers need from the computation.
#[derive(Debug, Clone, Copy, Default)]
pub struct ViewerNeeds {
    /// The earliest time of the requests since the last call of [`Viewers::needs`].
    pub from: Option<Timestamp>,
    /// The longest window of recent requests, in milliseconds.
    pub longest: i64,
    /// Everything written before this time must be read for the requests that wait.
    pub arrived: Option<Instant>,
    /// Whether a request waits, or the last one arrived a short time ago.
    pub is_active: bool,
}

impl ComputationStatus {
    /// Returns the times between which the computation is complete. Returns an error if nothing has been read yet, or if
    /// an error has prevented reading since `asked`, the time of the request.
    pub fn progress(&self, asked: Instant) -> Result<(Timestamp, Timestamp), Unread> {
        match (&self.error, self.complete_from, self.read_to) {
            (Some(error), _, read_to) if read_to.is_none_or(|(at, _)| at < asked) => Err(Unread::Failed(error.clone())),
            (_, Some(complete_from), Some((_, complete_to))) => Ok((complete_from, complete_to)),
            _ => Err(Unread::NotYet),
        }
    }
}

impl Viewers {
    pub fn new() -> Self {
        Self {
            waiters: Waiters::default(),
            windows: RecentWindows::default(),
            earliest: None,
            status: ComputationStatus::default(),
            last_used: Instant::now(),
            client: ClientTag::default(),
            is_queued: false,
        }
    }

    /// Adds a request for everything since `from`. `ready` is called when that has been read up to the time of this
    /// call. Returns the requests that can be answered now: all of them after the computation has failed.
    pub fn request(&mut self, handle: HandleId, from: Timestamp, client: ClientTag, ready: Ready) -> Vec<Ready> {
        let arrived = Instant::now();
        (self.last_used, self.client) = (arrived, client);
        self.windows.add(now().saturating_sub(from), arrived);
        self.earliest = Some(self.earliest.map_or(from, |earliest| earliest.min(from)));
        self.waiters.add(handle, from, arrived, ready);
        self.take_ready()
    }

    /// Removes the request of a handle.
    pub fn remove(&mut self, handle: HandleId) {
        self.waiters.remove(handle);
    }

    /// Returns what the computation has to do next.
    pub fn needs(&mut self, at: Instant) -> ViewerNeeds {
        let arrived = self.waiters.latest();
        ViewerNeeds {
            from: self.earliest.take(),
            longest: self.windows.longest(at),
            arrived,
            is_active: arrived.is_some() || at.saturating_duration_since(self.last_used) <= ACTIVE,
        }
    }

    /// Updates the status. Returns the requests that can be answered now.
    pub fn update(&mut self, status: ComputationStatus) -> Vec<Ready> {
        self.status = status;
        self.take_ready()
    }

    fn take_ready(&mut self) -> Vec<Ready> {
        let ComputationStatus { complete_from, read_to, memory_limit, has_failed, .. } = self.status;
        match has_failed {
            true => self.waiters.take_all(),
            false => self.waiters.take_ready(complete_from, memory_limit, read_to.map(|(at, _)| at)),
        }
    }
}
