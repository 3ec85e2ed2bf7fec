//! A token bucket.

use std::time::{Duration, Instant};

/// The remaining tokens of a burst, refilled at a constant rate.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    tokens: f64,
    at: Instant,
}

/// The capacity, in seconds of the rate.
const BURST: f64 = 2.0;

impl Bucket {
    pub fn full(rate: f64, now: Instant) -> Self {
        Self { tokens: rate * BURST, at: now }
    }

    /// Takes one token, or returns the time until one is available.
    pub fn take(&mut self, rate: f64, now: Instant) -> Result<(), Duration> {
        self.fill(rate, now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / rate))
    }

    /// Returns a token. The next refill discards tokens beyond the capacity.
    pub fn refund(&mut self) {
        self.tokens += 1.0;
    }

    pub fn is_full(&mut self, rate: f64, now: Instant) -> bool {
        self.fill(rate, now);
        self.tokens >= rate * BURST
    }

    fn fill(&mut self, rate: f64, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * rate).min(rate * BURST);
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_refilled_at_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::full(10.0, start);
        assert!(bucket.is_full(10.0, start));
        for _ in 0..20 {
            assert_eq!(bucket.take(10.0, start), Ok(()));
        }
        assert_eq!(bucket.take(10.0, start), Err(Duration::from_millis(100)));
        assert_eq!(bucket.take(10.0, start + Duration::from_millis(101)), Ok(()));
        assert!(bucket.take(10.0, start + Duration::from_millis(101)).is_err());
        assert!(!bucket.is_full(10.0, start + Duration::from_secs(1)));
        assert!(bucket.is_full(10.0, start + Duration::from_secs(3)));
    }
}
