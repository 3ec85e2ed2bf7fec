//! Quotas. A broker that is used too much responds with how long it wants to be left alone, and reads nothing more on the
//! connection until then (KIP-219).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A broker may announce anything; its quotas' window is 11 s where nothing else is set.
const MOST: Duration = Duration::from_secs(15);

/// The time that brokers have asked all connections of one cluster to stay away, altogether.
#[derive(Debug, Clone, Default)]
pub struct ThrottleTime(Arc<AtomicU64>);

impl ThrottleTime {
    /// Counts a response's `throttle_time_ms`; returns how long to stay away.
    pub fn note(&self, throttle_ms: i32) -> Duration {
        let pause = Duration::from_millis(u64::try_from(throttle_ms).unwrap_or(0)).min(MOST);
        self.0.fetch_add(pause.as_millis().try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
        pause
    }

    pub fn total(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_broker_announces_is_bounded_and_counted() {
        let throttled = ThrottleTime::default();
        let pauses = [0, -1, i32::MIN, 250, i32::MAX].map(|ms| throttled.clone().note(ms));
        let ms = Duration::from_millis;
        assert_eq!(pauses, [ms(0), ms(0), ms(0), ms(250), MOST]);
        assert_eq!(throttled.total(), ms(250) + MOST);
    }
}
