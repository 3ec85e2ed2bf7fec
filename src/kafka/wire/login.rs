//! SASL authentication of a connection (KIP-152), and reauthentication before the session expires (KIP-368).

use super::frame::{FrameReceiver, FrameSender};
use super::schema::ApiRequest;
use crate::broker::{BrokerError, Cause};
use crate::kafka::security::{RejectedCredentials, Sasl, SaslExchange, SaslStep, ScramError};
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
    /// Creates the state of a connection that is not authenticated yet.
    pub fn new(sasl: Option<Arc<Sasl>>) -> Self {
        Self { sasl, session: LoginSession::default() }
    }

    /// Returns the current session.
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

/// A broker and the bridge cannot authenticate each other by SASL.
#[derive(Debug, thiserror::Error)]
#[error("{address}: {reason}")]
pub struct LoginError {
    /// The broker, as `host:port`.
    pub address: String,
    /// The reason.
    #[source]
    pub reason: LoginFailure,
}

/// The reason of a [`LoginError`]. The text is about the broker ("it").
#[derive(Debug, thiserror::Error)]
pub enum LoginFailure {
    /// The broker supports other mechanisms.
    #[error("it supports not {mechanism} but {}: set sasl.mechanism to one of these", offered.join(", "))]
    Mechanism {
        /// The configured mechanism.
        mechanism: &'static str,
        /// The mechanisms of the broker.
        offered: Vec<String>,
    },
    /// The listener does not use SASL.
    #[error(
        "its listener does not use SASL: set security.protocol to PLAINTEXT or SSL, or use the port of a SASL listener"
    )]
    NoSasl,
    /// The broker has no SaslAuthenticate request (KIP-152).
    #[error("it supports only the SASL protocol before Kafka 1.0, which the bridge does not")]
    TooOld,
    /// The broker responds to the handshake with another error.
    #[error("{0}")]
    Handshake(Kafka),
    /// The broker rejects the credentials.
    #[error(transparent)]
    Rejected(RejectedCredentials),
    /// The broker breaks the protocol of the mechanism, or does not prove that it knows the password.
    #[error("{mechanism} failed: {source}")]
    Exchange {
        /// The mechanism.
        mechanism: &'static str,
        /// The error of the mechanism.
        source: ScramError,
    },
    /// The exchange has too many messages.
    #[error("it does not finish the authentication")]
    Unfinished,
}

struct SaslRounds<'a> {
    sender: &'a mut FrameSender,
    receiver: &'a mut FrameReceiver,
    deadline: Instant,
}

impl SaslRounds<'_> {
    /// Runs the mechanism's exchange, and returns the session's lifetime in ms from the broker.
    fn run(&mut self, sasl: &Sasl, mut exchange: SaslExchange, first: Vec<u8>) -> Result<i64, BrokerError> {
        self.handshake(sasl)?;
        let mut message = first;
        for _ in 0..MAX_MESSAGES {
            let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from(message));
            let response = self.ask(&request, i16::MAX)?;
            if response.error_code != 0 {
                let message = response.error_message.map(|message| message.to_string());
                return Err(self.failed(LoginFailure::Rejected(sasl.rejected(message, exchange.hint()))));
            }
            let mechanism = sasl.mechanism();
            let next = exchange.next(&response.auth_bytes);
            message = match next.map_err(|source| self.failed(LoginFailure::Exchange { mechanism, source }))? {
                SaslStep::Send(message) => message,
                SaslStep::Done => return Ok(response.session_lifetime_ms),
            };
        }
        Err(self.failed(LoginFailure::Unfinished))
    }

    fn handshake(&mut self, sasl: &Sasl) -> Result<(), BrokerError> {
        let mechanism = sasl.mechanism();
        let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
        let response = self.ask(&request, i16::MAX)?;
        match Kafka::try_from_code(response.error_code) {
            None => Ok(()),
            Some(Kafka::UnsupportedSaslMechanism) => {
                let offered = response.mechanisms.iter().map(|m| m.to_string()).collect();
                Err(self.failed(LoginFailure::Mechanism { mechanism, offered }))
            }
            Some(Kafka::IllegalSaslState) => Err(self.failed(LoginFailure::NoSasl)),
            Some(other) => Err(self.failed(LoginFailure::Handshake(other))),
        }
    }

    fn ask<Q: ApiRequest>(&mut self, request: &Q, at_most: i16) -> Result<Q::Response, BrokerError> {
        let version = self.sender.version_for::<Q>(at_most).map_err(|_| self.failed(LoginFailure::TooOld))?;
        let in_flight = self.sender.send(request, version, self.deadline)?;
        self.receiver.receive::<Q>(in_flight, self.deadline)
    }

    fn failed(&self, reason: LoginFailure) -> BrokerError {
        let address = self.receiver.address().to_owned();
        BrokerError::Untrusted(Cause::new(LoginError { address, reason }))
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
