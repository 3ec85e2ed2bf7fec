//! SASL on a connection (KIP-152), at its begin and again before the broker's patience ends (KIP-368).

use super::connection::{FrameReceiver, FrameSender};
use super::schema::ApiRequest;
use crate::broker::BrokerError;
use crate::kafka::security::{Exchange, Sasl, Step};
use bytes::Bytes;
use kafka_protocol::error::ResponseError as Kafka;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A broker takes credentials again no sooner than a second after the last time.
const SOONEST: Duration = Duration::from_millis(1100);
/// SCRAM has three; more would be a broker that never makes up its mind.
const MOST_ROUNDS: usize = 8;

/// For how long a broker takes requests on a connection before it wants the credentials again.
///
/// It checks when a request comes: one that was sent before is answered all the same, and the
/// credentials themselves may come late. So it is enough to look before each request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoginSession {
    renew_at: Option<Instant>,
}

impl LoginSession {
    /// `began` before the broker was asked; `lifetime` in ms, 0 for ever. `random` in 0..1 keeps connections that
    /// were opened together from asking together, as Java's clients do: at 85 to 95 % of the lifetime.
    pub fn new(began: Instant, lifetime: i64, random: f64) -> Self {
        let lifetime = u64::try_from(lifetime).ok().filter(|ms| *ms > 0).map(Duration::from_millis);
        let part = |life: Duration| life.mul_f64(0.85 + 0.1 * random).max(SOONEST);
        // A time too far to be told never comes.
        Self { renew_at: lifetime.and_then(|life| began.checked_add(part(life))) }
    }

    pub fn is_due(&self, now: Instant) -> bool {
        self.renew_at.is_some_and(|at| now >= at)
    }
}

/// What the two halves of a connection need to say who they are once more.
pub struct Authentication {
    sasl: Option<Arc<Sasl>>,
    session: LoginSession,
}

impl Authentication {
    pub fn new(sasl: Option<Arc<Sasl>>) -> Self {
        Self { sasl, session: LoginSession::default() }
    }

    pub fn session(&self) -> LoginSession {
        self.session
    }

    /// Says who we are, where that is wanted; no answer may be due. After an error the connection is of no use.
    /// `timeout` holds for the broker, and before for whoever gives tokens.
    pub fn authenticate(
        &mut self,
        sender: &mut FrameSender,
        receiver: &mut FrameReceiver,
        timeout: Duration,
    ) -> Result<(), BrokerError> {
        let Some(sasl) = &self.sasl else { return Ok(()) };
        let (exchange, first) = sasl.begin(timeout)?;
        let began = Instant::now();
        let mut rounds = Rounds { sender, receiver: &mut *receiver, deadline: began + timeout };
        let lifetime = rounds.all(sasl, exchange, first)?;
        let again = if self.session == LoginSession::default() { "" } else { " again" };
        log::debug!("{} has taken the credentials{again}", receiver.address());
        self.session = LoginSession::new(began, lifetime, fastrand::f64());
        Ok(())
    }
}

struct Rounds<'a> {
    sender: &'a mut FrameSender,
    receiver: &'a mut FrameReceiver,
    deadline: Instant,
}

impl Rounds<'_> {
    /// The session's lifetime in ms, as the broker tells it.
    fn all(&mut self, sasl: &Sasl, mut exchange: Exchange<'_>, first: Vec<u8>) -> Result<i64, BrokerError> {
        self.agree_on(sasl)?;
        let mut message = first;
        for _ in 0..MOST_ROUNDS {
            let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from(message));
            let answer = self.ask(&request, i16::MAX)?;
            if answer.error_code != 0 {
                let words = answer.error_message.as_deref().unwrap_or("it does not say why");
                let why = exchange.hint().map_or_else(|| words.to_owned(), |hint| format!("{words}; {hint}"));
                return Err(self.refused(&sasl.refused(&why)));
            }
            message = match exchange.next(&answer.auth_bytes).map_err(|error| self.named(error))? {
                Step::Send(message) => message,
                Step::Done => return Ok(answer.session_lifetime_ms),
            };
        }
        Err(self.refused("it asks on and on"))
    }

    fn agree_on(&mut self, sasl: &Sasl) -> Result<(), BrokerError> {
        let mechanism = sasl.mechanism();
        let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
        let answer = self.ask(&request, i16::MAX)?;
        match Kafka::try_from_code(answer.error_code) {
            None => Ok(()),
            Some(Kafka::UnsupportedSaslMechanism) => {
                let offered: Vec<&str> = answer.mechanisms.iter().map(|m| m.as_str()).collect();
                let offered = offered.join(", ");
                Err(self.refused(&format!("it does not do {mechanism} but {offered}: give one as sasl.mechanism")))
            }
            Some(Kafka::IllegalSaslState) => Err(self.refused(
                "its listener wants no SASL: give PLAINTEXT or SSL as security.protocol, or the port of a SASL listener",
            )),
            Some(other) => Err(self.refused(&other.to_string())),
        }
    }

    fn ask<Q: ApiRequest>(&mut self, request: &Q, at_most: i16) -> Result<Q::Answer, BrokerError> {
        let too_old = |_| self.refused("it does SASL as before Kafka 1.0, which is not done here");
        let version = self.sender.version_for::<Q>(at_most).map_err(too_old)?;
        let ticket = self.sender.send(request, version, self.deadline)?;
        self.receiver.receive::<Q>(ticket, self.deadline)
    }

    fn refused(&self, why: &str) -> BrokerError {
        BrokerError::Untrusted(format!("{}: {why}", self.receiver.address()))
    }

    fn named(&self, error: BrokerError) -> BrokerError {
        match error {
            BrokerError::Untrusted(why) => self.refused(&why),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_renewed_before_it_ends_and_not_within_a_second() {
        let began = Instant::now();
        let after = |ms| began + Duration::from_millis(ms);
        let cases = [
            (10_000, 0.0, 8_500),
            (10_000, 1.0, 9_500),
            (3_600_000, 0.5, 3_240_000),
            // Not sooner than the broker takes it; it still takes it when the session has ended.
            (1_000, 0.0, 1_100),
            (1, 1.0, 1_100),
        ];
        for (lifetime, random, due) in cases {
            let session = LoginSession::new(began, lifetime, random);
            assert!(!session.is_due(after(due - 2)), "{lifetime} ms, {random}");
            assert!(session.is_due(after(due + 2)), "{lifetime} ms, {random}");
        }
    }

    #[test]
    fn a_session_without_an_end_is_never_renewed() {
        let began = Instant::now();
        for lifetime in [0, -1, i64::MIN] {
            let session = LoginSession::new(began, lifetime, 0.5);
            assert!(!session.is_due(began + Duration::from_secs(86_400 * 365)), "{lifetime}");
        }
        let _ = LoginSession::new(began, i64::MAX, 0.5);
    }
}
