//! SASL authentication of a connection (KIP-152), and reauthentication before the session expires (KIP-368).

use super::frame::{FrameReceiver, FrameSender};
use super::schema::ApiRequest;
use crate::broker::BrokerError;
use crate::kafka::security::{Sasl, SaslExchange, SaslStep};
use bytes::Bytes;
use kafka_protocol::error::ResponseError as Kafka;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The shortest time between authentications: a broker rejects a reauthentication within one second.
const MIN_REAUTHENTICATION: Duration = Duration::from_millis(1100);
/// The limit of messages in one authentication, of which SCRAM needs three.
const MAX_MESSAGES: usize = 8;

/// How long a broker accepts requests on a connection before it requires reauthentication.
///
/// The broker checks this when it receives a request: a request sent earlier is still answered, and reauthentication
/// is accepted even after the session expired. So checking before each request is enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoginSession {
    renew_at: Option<Instant>,
}

impl LoginSession {
    /// Starts a session. `began` is a time before the request was sent; `lifetime` is in ms, 0 means unlimited. `random`
    /// in 0..1 places reauthentication at 85 to 95 % of the lifetime, as in Java's clients, so that connections that were
    /// opened together do not reauthenticate together.
    pub fn new(began: Instant, lifetime: i64, random: f64) -> Self {
        let lifetime = u64::try_from(lifetime).ok().filter(|ms| *ms > 0).map(Duration::from_millis);
        let part = |life: Duration| life.mul_f64(0.85 + 0.1 * random).max(MIN_REAUTHENTICATION);
        // A lifetime that overflows never ends.
        Self { renew_at: lifetime.and_then(|life| began.checked_add(part(life))) }
    }

    /// Returns whether to authenticate again before the next request.
    pub fn is_due(&self, now: Instant) -> bool {
        self.renew_at.is_some_and(|at| now >= at)
    }
}

/// The credentials and the session of one connection.
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

    /// Authenticates if SASL is configured. No response may be outstanding. After an error the connection must be dropped.
    /// `timeout` applies to the broker, and before that to the authorization server.
    pub fn authenticate(
        &mut self,
        sender: &mut FrameSender,
        receiver: &mut FrameReceiver,
        timeout: Duration,
    ) -> Result<(), BrokerError> {
        let Some(sasl) = &self.sasl else { return Ok(()) };
        let (exchange, first) = sasl.begin(timeout)?;
        let began = Instant::now();
        let mut rounds = SaslRounds { sender, receiver: &mut *receiver, deadline: began + timeout };
        let lifetime = rounds.run(sasl, exchange, first)?;
        let again = if self.session == LoginSession::default() { "" } else { " again" };
        log::debug!("{} accepted the credentials{again}", receiver.address());
        self.session = LoginSession::new(began, lifetime, fastrand::f64());
        Ok(())
    }
}

struct SaslRounds<'a> {
    sender: &'a mut FrameSender,
    receiver: &'a mut FrameReceiver,
    deadline: Instant,
}

impl SaslRounds<'_> {
    /// Runs the mechanism's exchange, and returns the session's lifetime in ms from the broker.
    fn run(&mut self, sasl: &Sasl, mut exchange: SaslExchange<'_>, first: Vec<u8>) -> Result<i64, BrokerError> {
        self.handshake(sasl)?;
        let mut message = first;
        for _ in 0..MAX_MESSAGES {
            let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from(message));
            let answer = self.ask(&request, i16::MAX)?;
            if answer.error_code != 0 {
                let words = answer.error_message.as_deref().unwrap_or("it gives no reason");
                let why = exchange.hint().map_or_else(|| words.to_owned(), |hint| format!("{words}; {hint}"));
                return Err(self.rejected(&sasl.rejected(&why)));
            }
            message = match exchange.next(&answer.auth_bytes).map_err(|error| self.with_address(error))? {
                SaslStep::Send(message) => message,
                SaslStep::Done => return Ok(answer.session_lifetime_ms),
            };
        }
        Err(self.rejected("it does not finish the authentication"))
    }

    fn handshake(&mut self, sasl: &Sasl) -> Result<(), BrokerError> {
        let mechanism = sasl.mechanism();
        let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
        let answer = self.ask(&request, i16::MAX)?;
        match Kafka::try_from_code(answer.error_code) {
            None => Ok(()),
            Some(Kafka::UnsupportedSaslMechanism) => {
                let offered: Vec<&str> = answer.mechanisms.iter().map(|m| m.as_str()).collect();
                let offered = offered.join(", ");
                Err(self.rejected(&format!("it supports not {mechanism} but {offered}: set sasl.mechanism to one of these")))
            }
            Some(Kafka::IllegalSaslState) => Err(self.rejected(
                "its listener does not use SASL: set security.protocol to PLAINTEXT or SSL, or use the port of a SASL listener",
            )),
            Some(other) => Err(self.rejected(&other.to_string())),
        }
    }

    fn ask<Q: ApiRequest>(&mut self, request: &Q, at_most: i16) -> Result<Q::Response, BrokerError> {
        let too_old =
            |_| self.rejected("it supports only the SASL protocol before Kafka 1.0, which the bridge does not");
        let version = self.sender.version_for::<Q>(at_most).map_err(too_old)?;
        let in_flight = self.sender.send(request, version, self.deadline)?;
        self.receiver.receive::<Q>(in_flight, self.deadline)
    }

    fn rejected(&self, why: &str) -> BrokerError {
        BrokerError::Untrusted(format!("{}: {why}", self.receiver.address()))
    }

    fn with_address(&self, error: BrokerError) -> BrokerError {
        match error {
            BrokerError::Untrusted(why) => self.rejected(&why),
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
            // Not sooner than the broker accepts it, which it still does after the session has expired.
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
    fn an_unlimited_session_is_never_renewed() {
        let began = Instant::now();
        for lifetime in [0, -1, i64::MIN] {
            let session = LoginSession::new(began, lifetime, 0.5);
            assert!(!session.is_due(began + Duration::from_secs(86_400 * 365)), "{lifetime}");
        }
        let _ = LoginSession::new(began, i64::MAX, 0.5);
    }
}
