//! Exponential back-off after failed authentication, per address and shared by all threads. The cause is usually a
//! wrong setting, and every attempt may bring an account closer to being locked.

use crate::broker::BrokerError;
use crate::sync::backoff::Backoff;
use crate::sync::lock;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// The pause after the first failure, which may be accidental, and the longest pause.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// The addresses at which authentication failed last.
#[derive(Default)]
pub struct AuthBackoff(Mutex<HashMap<String, AuthFailure>>);

struct AuthFailure {
    why: BrokerError,
    at: Instant,
    /// Until then, every attempt fails with `why`.
    until: Instant,
    backoff: Backoff,
}

impl AuthBackoff {
    /// Calls `open` to connect to `address`, unless a back-off is in progress: then returns the last failure.
    pub fn attempt<T>(&self, address: &str, open: impl FnOnce() -> Result<T, BrokerError>) -> Result<T, BrokerError> {
        let arrived = Instant::now();
        if let Some(failure) = self.lock().get(address)
            && arrived < failure.until
        {
            return Err(failure.why.clone());
        }
        let opened = open();
        match &opened {
            Ok(_) => drop(self.lock().remove(address)),
            Err(why @ BrokerError::Untrusted(_)) => self.record_failure(address, why, arrived),
            // An unreachable broker does not show whether it would accept the credentials.
            Err(_) => {}
        }
        opened
    }

    fn record_failure(&self, address: &str, why: &BrokerError, arrived: Instant) {
        let now = Instant::now();
        let mut failures = self.lock();
        let failure = failures.entry(address.to_owned()).or_insert_with(|| AuthFailure {
            why: why.clone(),
            at: arrived,
            until: now,
            backoff: Backoff::new(PAUSES.0, PAUSES.1),
        });
        failure.why = why.clone();
        // Concurrent attempts count as one.
        if failure.at <= arrived {
            failure.at = now;
            failure.until = now + failure.backoff.pause(fastrand::f64());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, AuthFailure>> {
        lock(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rejected() -> Result<(), BrokerError> {
        Err(BrokerError::Untrusted("wrong password".into()))
    }

    fn not_tried() -> Result<(), BrokerError> {
        panic!("it was tried")
    }

    fn end_pause(backoff: &AuthBackoff) -> Duration {
        let mut failures = backoff.lock();
        let failure = failures.get_mut("kafka:9093").unwrap();
        let pause = failure.until - failure.at;
        (failure.at, failure.until) = (Instant::now(), Instant::now());
        pause
    }

    #[test]
    fn failures_lengthen_the_pause_until_a_success() {
        let backoff = AuthBackoff::default();
        let mut pauses = Vec::new();
        for _ in 0..10 {
            assert_eq!(backoff.attempt("kafka:9093", rejected), rejected());
            assert_eq!(backoff.attempt("kafka:9093", not_tried), rejected());
            assert_eq!(backoff.attempt("other:9093", || Ok(())), Ok(()));
            pauses.push(end_pause(&backoff));
        }
        assert!(pauses[0] <= PAUSES.0 && pauses[9] >= PAUSES.1 / 2, "{pauses:?}");
        assert_eq!(backoff.attempt("kafka:9093", || Ok(())), Ok(()));
        assert_eq!(backoff.attempt("kafka:9093", rejected), rejected());
        assert!(end_pause(&backoff) <= PAUSES.0);
    }

    #[test]
    fn concurrent_failures_lengthen_the_pause_once() {
        let backoff = AuthBackoff::default();
        let nested = || {
            (0..9).for_each(|_| drop(backoff.attempt("kafka:9093", rejected)));
            rejected()
        };
        assert_eq!(backoff.attempt("kafka:9093", nested), rejected());
        assert!(end_pause(&backoff) <= PAUSES.0);
    }

    #[test]
    fn an_unreachable_broker_is_tried_again_at_once() {
        let backoff = AuthBackoff::default();
        for _ in 0..3 {
            let away = || Err::<(), _>(BrokerError::Unavailable("rejected".into()));
            assert!(matches!(backoff.attempt("kafka:9093", away), Err(BrokerError::Unavailable(_))));
        }
    }
}
