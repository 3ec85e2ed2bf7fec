//! The end of the bridge in steps that a load balancer and its clients can follow: not ready, but still serving; then no
//! new connections, and the streams and the uploads of lines end one after the other; then what is left.

use super::problem::Problem;
use crate::broker::BrokerError;
use crate::hub::Rejected;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::watch;

/// Between the ends of two streams. Their clients reconnect elsewhere, at a rate that others can take.
const BETWEEN_STREAMS: Duration = Duration::from_millis(10);
/// How long a client may pause in the middle of its request when the bridge ends, and as a part of the drain timeout.
const GRACE: Duration = Duration::from_secs(1);
const GRACE_PART: f64 = 0.2;
/// The part of the drain timeout for streams and bodies. The rest is for the last ones' clients, and for queued records.
const PART: f64 = 0.8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Serving,
    /// `/ready` says 503 and all else goes on, for as long as a balancer needs to notice.
    NotReady,
    /// Streams and uploads of lines end within this time, and other bodies where they pause.
    Draining {
        streams: Duration,
        grace: Duration,
    },
    /// Nothing more is written.
    Closed,
}

impl Phase {
    fn is_end(&self) -> bool {
        matches!(self, Self::Draining { .. } | Self::Closed)
    }
}

/// Resolves to the reason when an upload or a stream must end early: a shutdown, or a grant that has ended.
pub type Revoked = Pin<Box<dyn Future<Output = Problem> + Send + Sync>>;

/// The phase, for everything that depends on it.
pub struct Shutdown {
    phase: watch::Sender<Phase>,
    /// The same for bodies, which are counted apart.
    bodies: watch::Sender<Phase>,
}

impl Shutdown {
    pub fn new() -> Self {
        let phase = || watch::Sender::new(Phase::Serving);
        Self { phase: phase(), bodies: phase() }
    }

    pub fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
        self.bodies.send_replace(phase);
    }

    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Streams and uploads of lines, each of which ends for the shutdown at its own moment.
    pub fn streams(&self) -> usize {
        self.phase.receiver_count()
    }

    /// Other bodies that are being read.
    pub fn bodies(&self) -> usize {
        self.bodies.receiver_count()
    }

    pub fn end_of_body(&self) -> BodyEnd {
        BodyEnd(self.bodies.subscribe())
    }

    /// Says when and why a stream or an upload ends: for `over`, or for the shutdown, each at another moment of its time.
    pub fn end_of_stream(&self, over: Option<Revoked>) -> Revoked {
        let mut phases = self.phase.subscribe();
        let draining = async move {
            if let Phase::Draining { streams, .. } = end(&mut phases).await {
                tokio::time::sleep(streams.mul_f64(fastrand::f64())).await;
            }
            Problem::from(&BrokerError::ShuttingDown)
        };
        match over {
            None => Box::pin(draining),
            Some(over) => Box::pin(async move {
                tokio::select! {
                    problem = over => problem,
                    problem = draining => problem,
                }
            }),
        }
    }
}

/// When a body of one record or of an envelope ends for the shutdown.
pub struct BodyEnd(watch::Receiver<Phase>);

impl BodyEnd {
    /// Says why, once the client has paused for too long since the last call. It may be dropped and called again.
    pub async fn paused(&mut self) -> Problem {
        if let Phase::Draining { grace, .. } = end(&mut self.0).await {
            let _ = tokio::time::timeout(grace, self.0.wait_for(|phase| *phase == Phase::Closed)).await;
        }
        Rejected::ShuttingDown.into()
    }
}

/// Waits until streams and bodies end.
async fn end(phases: &mut watch::Receiver<Phase>) -> Phase {
    let phase = phases.wait_for(Phase::is_end).await.map(|phase| *phase);
    match phase {
        Ok(phase) => phase,
        // The bridge is gone, and so is what waits here.
        Err(_) => std::future::pending().await,
    }
}

/// The time over which so many streams end. Few end at once: a person who presses Ctrl-C must not wait.
pub fn spread(streams: usize, drain: Duration) -> Duration {
    let all = BETWEEN_STREAMS.saturating_mul(u32::try_from(streams).unwrap_or(u32::MAX));
    all.min(last_end(drain))
}

/// When the last stream or body must have ended.
pub fn last_end(drain: Duration) -> Duration {
    drain.mul_f64(PART)
}

/// How long a client may pause in the middle of a request.
pub fn grace(drain: Duration) -> Duration {
    GRACE.min(drain.mul_f64(GRACE_PART))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_streams_end_over_most_of_the_drain_timeout_and_few_at_once() {
        let drain = Duration::from_secs(10);
        for (streams, ms) in [(0, 0), (1, 10), (500, 5000), (10_000, 8000), (usize::MAX, 8000)] {
            assert_eq!(spread(streams, drain), Duration::from_millis(ms), "{streams}");
        }
    }

    #[tokio::test]
    async fn a_stream_ends_at_its_own_moment_of_the_time_and_says_why() {
        let end_of_stream = |phase| {
            let shutdown = Shutdown::new();
            let ends = shutdown.end_of_stream(None);
            shutdown.enter(phase);
            (shutdown, ends)
        };
        let draining = |streams| Phase::Draining { streams, grace: Duration::ZERO };
        let pending = [Phase::Serving, Phase::NotReady, draining(Duration::from_secs(3600))];
        for phase in pending {
            let (_shutdown, ends) = end_of_stream(phase);
            // One moment in an hour is not the first one.
            assert!(futures_util::FutureExt::now_or_never(ends).is_none(), "{phase:?}");
        }
        for phase in [draining(Duration::ZERO), Phase::Closed] {
            let (_shutdown, ends) = end_of_stream(phase);
            assert!(ends.await.detail().contains("shutting down"), "{phase:?}");
        }
        let shutdown = Shutdown::new();
        let revoked: Revoked = Box::pin(async { Problem::bad_request("revoked") });
        assert_eq!(shutdown.end_of_stream(Some(revoked)).await.detail(), "revoked");
    }

    #[tokio::test]
    async fn a_body_ends_when_it_pauses_too_long_or_nothing_more_is_written() {
        let shutdown = Shutdown::new();
        let mut ends = shutdown.end_of_body();
        assert_eq!((shutdown.bodies(), shutdown.streams()), (1, 0));
        for phase in [Phase::Serving, Phase::NotReady, Phase::Draining { streams: Duration::ZERO, grace: GRACE * 3600 }]
        {
            shutdown.enter(phase);
            assert!(futures_util::FutureExt::now_or_never(ends.paused()).is_none(), "{phase:?}");
        }
        for phase in [Phase::Closed, Phase::Draining { streams: GRACE * 3600, grace: Duration::ZERO }] {
            shutdown.enter(phase);
            assert!(ends.paused().await.detail().contains("shutting down"), "{phase:?}");
        }
        drop(ends);
        assert_eq!(shutdown.bodies(), 0);
        assert_eq!(grace(Duration::from_secs(10)), GRACE);
        assert_eq!(grace(GRACE), GRACE / 5);
    }
}
