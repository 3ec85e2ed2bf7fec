//! Exponential back-off with jitter.

use std::time::Duration;

/// The first and the longest pause between attempts to reach a broker.
const BROKER: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Pauses that double from `first` to `max`. Each pause is shortened by up to half at random, so that clients that lost their
/// connections together do not reconnect together.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// Creates a back-off whose first pause is `first`.
    pub fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, next: first }
    }

    /// Creates the back-off for a broker that does not respond.
    pub fn for_broker() -> Self {
        Self::new(BROKER.0, BROKER.1)
    }

    /// Returns the next pause. `random` is between 0 and 1, and selects the jitter.
    pub fn pause(&mut self, random: f64) -> Duration {
        let pause = self.next.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0));
        self.next = (self.next * 2).min(self.max);
        pause
    }

    /// Returns to the first pause, after a success.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_maximum_and_start_over_after_a_success() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(50), ms(300));
        let pauses: Vec<_> = (0..5).map(|_| backoff.pause(1.0)).collect();
        assert_eq!(pauses, [50, 100, 200, 300, 300].map(ms));
        backoff.reset();
        assert_eq!(backoff.pause(0.0), ms(25));
    }
}
