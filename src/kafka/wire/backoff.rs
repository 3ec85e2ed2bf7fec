//! How long to wait before the next attempt.

use std::time::Duration;

/// 50 ms, doubled up to 2 s, each of them anything from half to all of that, so that many who lost
/// the same broker do not come back at the same instant. Endless.
pub struct Backoff<R = fn() -> f64> {
    next: Duration,
    /// From 0 to 1.
    random: R,
}

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

impl Backoff {
    pub fn new() -> Self {
        Self::with_random(fastrand::f64)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: FnMut() -> f64> Backoff<R> {
    pub fn with_random(random: R) -> Self {
        Self { next: FIRST, random }
    }

    /// Begins anew, after a success.
    pub fn reset(&mut self) {
        self.next = FIRST;
    }

    /// The next pause; there is always one.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next.mul_f64(0.5 + (self.random)().clamp(0.0, 1.0) / 2.0);
        self.next = (self.next * 2).min(LONGEST);
        pause
    }
}

impl<R: FnMut() -> f64> Iterator for Backoff<R> {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.pause())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(random: f64, pauses: usize) -> Vec<u128> {
        Backoff::with_random(|| random).take(pauses).map(|p| p.as_millis()).collect()
    }

    #[test]
    fn pauses_double_up_to_two_seconds() {
        assert_eq!(millis(1.0, 8), [50, 100, 200, 400, 800, 1600, 2000, 2000]);
    }

    #[test]
    fn chance_shortens_a_pause_to_half_at_most() {
        assert_eq!(millis(0.0, 8), [25, 50, 100, 200, 400, 800, 1000, 1000]);
    }

    #[test]
    fn a_success_begins_anew() {
        let mut backoff = Backoff::with_random(|| 1.0);
        backoff.by_ref().take(5).for_each(drop);
        backoff.reset();
        assert_eq!(backoff.pause().as_millis(), 50);
    }
}
