//! The shutdown in phases that a load balancer and clients can follow: first not ready but still serving; then no new
//! connections, while streams and NDJSON uploads end one after another; then the remaining requests.

use super::problem::Problem;
use crate::broker::BrokerError;
use crate::hub::Rejected;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::watch;

/// Average time between the ends of two streams. Their clients reconnect elsewhere, at a rate that others can sustain.
const STREAM_END_INTERVAL: Duration = Duration::from_millis(10);
/// Maximum pause of a client in the middle of its request during the shutdown: this time, but no more than this part of
/// the drain timeout.
const GRACE: Duration = Duration::from_secs(1);
const GRACE_FRACTION: f64 = 0.2;
/// The part of the drain timeout for streams and bodies. The rest is for responses to the last ones and for queued records.
const STREAM_FRACTION: f64 = 0.8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Serving,
    /// `/ready` returns 503 and everything else works, for as long as a load balancer needs to notice.
    NotReady,
    /// Streams and NDJSON uploads end within `streams`, and other bodies once they pause for `grace`.
    Draining {
        streams: Duration,
        grace: Duration,
    },
    /// No more records are written.
    Closed,
}

impl Phase {
    fn ends_streams(&self) -> bool {
        matches!(self, Self::Draining { .. } | Self::Closed)
    }
}

/// Resolves to the reason when an upload or a stream must end early: a shutdown, or a grant that has ended.
pub type Revoked = Pin<Box<dyn Future<Output = Problem> + Send + Sync>>;

/// The current phase of the shutdown. Counts the open streams and bodies, which receive it.
pub struct Shutdown {
    /// Its receivers count the open streams and NDJSON uploads.
    phase: watch::Sender<Phase>,
    /// A copy of the phase, whose receivers count the open bodies.
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

    /// Number of open streams and NDJSON uploads, each of which ends at a random moment of the drain.
    pub fn streams(&self) -> usize {
        self.phase.receiver_count()
    }

    /// Number of other bodies that are being read.
    pub fn bodies(&self) -> usize {
        self.bodies.receiver_count()
    }

    pub fn end_of_body(&self) -> BodyEnd {
        BodyEnd(self.bodies.subscribe())
    }

    /// Resolves to the reason when a stream or an upload must end: when `early_end` resolves, or at a random moment of the
    /// drain.
    pub fn end_of_stream(&self, early_end: Option<Revoked>) -> Revoked {
        let mut phases = self.phase.subscribe();
        let draining = async move {
            if let Phase::Draining { streams, .. } = wait_for_end(&mut phases).await {
                tokio::time::sleep(streams.mul_f64(fastrand::f64())).await;
            }
            Problem::from(&BrokerError::ShuttingDown)
        };
        match early_end {
            None => Box::pin(draining),
            Some(early_end) => Box::pin(async move {
                tokio::select! {
                    problem = early_end => problem,
                    problem = draining => problem,
                }
            }),
        }
    }
}

/// Ends a body of one record or of an envelope during the shutdown.
pub struct BodyEnd(watch::Receiver<Phase>);

impl BodyEnd {
    /// Resolves to the reason once the client has paused for too long since the last call. Cancel safe.
    pub async fn paused(&mut self) -> Problem {
        if let Phase::Draining { grace, .. } = wait_for_end(&mut self.0).await {
            let _ = tokio::time::timeout(grace, self.0.wait_for(|phase| *phase == Phase::Closed)).await;
        }
        Rejected::ShuttingDown.into()
    }
}

/// Waits for the phase in which streams and bodies end.
async fn wait_for_end(phases: &mut watch::Receiver<Phase>) -> Phase {
    let phase = phases.wait_for(Phase::ends_streams).await.map(|phase| *phase);
    match phase {
        Ok(phase) => phase,
        // The sender lives as long as the bridge.
        Err(_) => std::future::pending().await,
    }
}

/// Returns the time over which `streams` streams end. A few end at once, so that Ctrl-C is quick.
pub fn spread(streams: usize, drain: Duration) -> Duration {
    let all = STREAM_END_INTERVAL.saturating_mul(u32::try_from(streams).unwrap_or(u32::MAX));
    all.min(last_end(drain))
}

/// Returns the time from the start of the drain within which every stream and body must end.
pub fn last_end(drain: Duration) -> Duration {
    drain.mul_f64(STREAM_FRACTION)
}

/// Returns the maximum pause of a client in the middle of a request.
pub fn grace(drain: Duration) -> Duration {
    GRACE.min(drain.mul_f64(GRACE_FRACTION))
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
    async fn a_stream_ends_at_a_random_moment_with_the_reason() {
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
            // A random moment of an hour is practically never the first one.
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
    async fn a_body_ends_after_a_long_pause_or_once_nothing_more_is_written() {
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
