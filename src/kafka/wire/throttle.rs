//! Client quotas. A broker that throttles a client responds with a throttle time, and reads nothing more from the
//! connection until it has passed (KIP-219).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The limit of one announced throttle time, which could be any number. By default Kafka measures quotas over 11 s.
const MAX_PAUSE: Duration = Duration::from_secs(15);

/// The total throttle time of all connections to one cluster.
#[derive(Debug, Clone, Default)]
pub struct ThrottleTime(Arc<AtomicU64>);

impl ThrottleTime {
    /// Adds a response's `throttle_time_ms`; returns how long to pause.
    pub fn note(&self, throttle_ms: i32) -> Duration {
        let pause = Duration::from_millis(u64::try_from(throttle_ms).unwrap_or(0)).min(MAX_PAUSE);
        self.0.fetch_add(pause.as_millis().try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
        pause
    }

    /// Returns the total so far.
    pub fn total(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announced_throttle_time_is_bounded_and_counted() {
        let throttled = ThrottleTime::default();
        let pauses = [0, -1, i32::MIN, 250, i32::MAX].map(|ms| throttled.clone().note(ms));
        let ms = Duration::from_millis;
        assert_eq!(pauses, [ms(0), ms(0), ms(0), ms(250), MAX_PAUSE]);
        assert_eq!(throttled.total(), ms(250) + MAX_PAUSE);
    }
}
