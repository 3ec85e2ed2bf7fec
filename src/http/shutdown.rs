//! The end of the bridge in steps that a load balancer and its clients can follow: not ready, but still serving; then no
//! new connections, and the streams and the uploads of lines end one after the other; then what is left.

use super::problem::Problem;
use super::produce::Over;
use crate::broker::BrokerError;
use std::time::Duration;
use tokio::sync::watch;

/// Between the ends of two streams. Their clients reconnect elsewhere, at a rate that others can take.
const BETWEEN_STREAMS: Duration = Duration::from_millis(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Serving,
    /// `/ready` says 503 and all else goes on, for as long as a balancer needs to notice.
    NotReady,
    /// Streams and uploads end within this time.
    Draining(Duration),
}

/// The phase, for everything that depends on it.
pub struct Shutdown(watch::Sender<Phase>);

impl Shutdown {
    pub fn new() -> Self {
        Self(watch::Sender::new(Phase::Serving))
    }

    pub fn enter(&self, phase: Phase) {
        self.0.send_replace(phase);
    }

    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Streams and uploads that end for the shutdown, each at its own moment.
    pub fn streams(&self) -> usize {
        self.0.receiver_count()
    }

    /// Says when and why a stream or an upload ends: for `over`, or for the shutdown, each at another moment of its time.
    pub fn end_of_stream(&self, over: Option<Over>) -> Over {
        let mut phases = self.0.subscribe();
        let draining = async move {
            let phase = phases.wait_for(|phase| matches!(phase, Phase::Draining(_))).await.map(|phase| *phase);
            match phase {
                Ok(Phase::Draining(time)) => tokio::time::sleep(time.mul_f64(fastrand::f64())).await,
                // The bridge is gone, and its streams end without this.
                _ => std::future::pending().await,
            }
            Problem::from(&BrokerError::Ending)
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

/// The time over which so many streams end. Few end at once: a person who presses Ctrl-C must not wait.
pub fn spread(streams: usize, drain: Duration) -> Duration {
    let all = BETWEEN_STREAMS.saturating_mul(u32::try_from(streams).unwrap_or(u32::MAX));
    // The rest of the time is for the last streams' clients, and for queued records.
    all.min(drain.mul_f64(0.8))
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
        let pending = [Phase::Serving, Phase::NotReady, Phase::Draining(Duration::from_secs(3600))];
        for phase in pending {
            let (_shutdown, ends) = end_of_stream(phase);
            // One moment in an hour is not the first one.
            assert!(futures_util::FutureExt::now_or_never(ends).is_none(), "{phase:?}");
        }
        let (_shutdown, ends) = end_of_stream(Phase::Draining(Duration::ZERO));
        assert!(ends.await.detail().contains("shutting down"));
        let shutdown = Shutdown::new();
        let revoked: Over = Box::pin(async { Problem::bad_request("revoked") });
        assert_eq!(shutdown.end_of_stream(Some(revoked)).await.detail(), "revoked");
    }
}
