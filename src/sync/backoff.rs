//! How long to wait before the next try.

use std::time::Duration;

/// Between tries to reach a broker: its first, and its longest.
const BROKER: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Pauses that double from `first` to `most`, each between half and all of it at random, so that
/// many who lost the same broker do not come back in one wave.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, next: first }
    }

    /// For a broker that does not answer.
    pub fn for_broker() -> Self {
        Self::new(BROKER.0, BROKER.1)
    }

    /// `random` is at least 0 and below 1.
    pub fn pause(&mut self, random: f64) -> Duration {
        let pause = self.next.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0));
        self.next = (self.next * 2).min(self.most);
        pause
    }

    /// After a success.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_most_and_start_again_after_a_success() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(50), ms(300));
        let pauses: Vec<_> = (0..5).map(|_| backoff.pause(1.0)).collect();
        assert_eq!(pauses, [50, 100, 200, 300, 300].map(ms));
        backoff.reset();
        assert_eq!(backoff.pause(0.0), ms(25));
    }
}
