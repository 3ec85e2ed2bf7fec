//! Addresses where Kafka and the bridge do not accept each other. It mostly takes a person to mend that, and each try
//! may be one of few that an account has before it is locked: so they are tried ever more rarely, by all threads together.

use crate::broker::BrokerError;
use crate::sync::backoff::Backoff;
use crate::sync::lock;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// The pause after the first refusal, which may be an accident, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

#[derive(Default)]
pub struct AuthBackoff(Mutex<HashMap<String, AuthFailure>>);

struct AuthFailure {
    why: BrokerError,
    at: Instant,
    /// Before that nobody tries again; whoever wants to gets `why`.
    until: Instant,
    backoff: Backoff,
}

impl AuthBackoff {
    /// Opens a connection to `address`, unless that was refused a moment ago.
    pub fn heed<T>(&self, address: &str, open: impl FnOnce() -> Result<T, BrokerError>) -> Result<T, BrokerError> {
        let came = Instant::now();
        if let Some(refusal) = self.all().get(address)
            && came < refusal.until
        {
            return Err(refusal.why.clone());
        }
        let opened = open();
        match &opened {
            Ok(_) => drop(self.all().remove(address)),
            Err(why @ BrokerError::Untrusted(_)) => self.note(address, why, came),
            // Who is away says nothing of whether we are accepted.
            Err(_) => {}
        }
        opened
    }

    fn note(&self, address: &str, why: &BrokerError, came: Instant) {
        let now = Instant::now();
        let mut all = self.all();
        let refusal = all.entry(address.to_owned()).or_insert_with(|| AuthFailure {
            why: why.clone(),
            at: came,
            until: now,
            backoff: Backoff::new(PAUSES.0, PAUSES.1),
        });
        refusal.why = why.clone();
        // Several who tried at once are one try.
        if refusal.at <= came {
            refusal.at = now;
            refusal.until = now + refusal.backoff.pause(fastrand::f64());
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, AuthFailure>> {
        lock(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn refused() -> Result<(), BrokerError> {
        Err(BrokerError::Untrusted("wrong password".to_owned()))
    }

    fn not_tried() -> Result<(), BrokerError> {
        panic!("it was tried")
    }

    fn end_pause(refusals: &AuthBackoff) -> Duration {
        let mut all = refusals.all();
        let refusal = all.get_mut("kafka:9093").unwrap();
        let pause = refusal.until - refusal.at;
        (refusal.at, refusal.until) = (Instant::now(), Instant::now());
        pause
    }

    #[test]
    fn whoever_is_refused_tries_ever_more_rarely_until_it_is_let_in() {
        let refusals = AuthBackoff::default();
        let mut pauses = Vec::new();
        for _ in 0..10 {
            assert_eq!(refusals.heed("kafka:9093", refused), refused());
            assert_eq!(refusals.heed("kafka:9093", not_tried), refused());
            assert_eq!(refusals.heed("other:9093", || Ok(())), Ok(()));
            pauses.push(end_pause(&refusals));
        }
        assert!(pauses[0] <= PAUSES.0 && pauses[9] >= PAUSES.1 / 2, "{pauses:?}");
        assert_eq!(refusals.heed("kafka:9093", || Ok(())), Ok(()));
        assert_eq!(refusals.heed("kafka:9093", refused), refused());
        assert!(end_pause(&refusals) <= PAUSES.0);
    }

    #[test]
    fn several_who_are_refused_at_once_make_the_pause_no_longer() {
        let refusals = AuthBackoff::default();
        let nested = || {
            (0..9).for_each(|_| drop(refusals.heed("kafka:9093", refused)));
            refused()
        };
        assert_eq!(refusals.heed("kafka:9093", nested), refused());
        assert!(end_pause(&refusals) <= PAUSES.0);
    }

    #[test]
    fn whoever_is_away_is_tried_again_at_once() {
        let refusals = AuthBackoff::default();
        for _ in 0..3 {
            let away = || Err::<(), _>(BrokerError::Unavailable("refused".to_owned()));
            assert!(matches!(refusals.heed("kafka:9093", away), Err(BrokerError::Unavailable(_))));
        }
    }
}
