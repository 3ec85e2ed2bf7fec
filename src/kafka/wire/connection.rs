//! A connection to a broker: opening it, authentication, and one request at a time.

use super::frame::{FrameReceiver, FrameSender};
use super::invalid_response::ResponseFault;
use super::login::Authentication;
use super::schema::ApiRequest;
use super::settings::WireSettings;
use super::socket::CloseReason;
use super::throttle::ThrottleTime;
use super::transport::BrokerTransport;
use super::versions::ApiVersions;
use crate::broker::BrokerError;
use crate::sync::memory_budget::Share;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A connection with one request in flight at a time.
///
/// After any error except [`BrokerError::Unsupported`] the connection is out of step and must be dropped.
pub struct BrokerConnection {
    sender: FrameSender,
    receiver: FrameReceiver,
    login: Authentication,
    /// The timeout of each authentication, of the first one and of later ones.
    login_timeout: Duration,
    throttled: ThrottleTime,
    /// The broker does not read from this connection before this time (KIP-219).
    throttled_until: Option<Instant>,
}

/// A stage that [`BrokerConnection::open`] has completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeStage {
    /// TCP is connected, and the TLS handshake is complete if TLS is configured.
    Connected,
    /// The broker has answered ApiVersions.
    Answered,
}

impl BrokerConnection {
    /// Connects to `address` (`host:port`, trying each resolved address), requests the supported versions and
    /// authenticates.
    ///
    /// Errors: `Unavailable` if there is no connection or no response, `Corrupt` if the server is not Kafka, `Untrusted`
    /// if TLS or SASL differ from the settings or the broker rejects the credentials.
    pub fn open(address: &str, settings: &WireSettings) -> Result<Self, BrokerError> {
        Self::open_in_stages(address, settings, &mut |_, _| ())
    }

    /// Like [`open`](Self::open), with `patience` as the timeout of connecting and of the first response. Authentication
    /// may take longer: it may wait for an authorization server, which says nothing about the broker.
    pub fn open_within(address: &str, settings: &WireSettings, patience: Duration) -> Result<Self, BrokerError> {
        Self::establish(address, settings, patience.min(settings.connect_timeout), &mut |_, _| ())
    }

    /// Like [`open`](Self::open), and calls `reached` at each stage, with the broker's versions if they are known.
    pub fn open_in_stages(
        address: &str,
        settings: &WireSettings,
        reached: &mut dyn FnMut(HandshakeStage, &ApiVersions),
    ) -> Result<Self, BrokerError> {
        Self::establish(address, settings, settings.connect_timeout, reached)
    }

    fn establish(
        address: &str,
        settings: &WireSettings,
        patience: Duration,
        reached: &mut dyn FnMut(HandshakeStage, &ApiVersions),
    ) -> Result<Self, BrokerError> {
        let stream = Arc::new(BrokerTransport::connect(address, &settings.security, patience)?);
        let address: Arc<str> = address.into();
        let client_id = StrBytes::from_string(settings.client_id.clone());
        let sender = FrameSender::new(stream.clone(), address.clone(), client_id);
        let mut receiver = FrameReceiver::new(stream, address, settings.max_frame);
        receiver.set_close_reason((!settings.security.is_on()).then_some(CloseReason::NotThisProtocol));
        let login = Authentication::new(settings.security.sasl.clone());
        let mut connection = Self {
            sender,
            receiver,
            login,
            login_timeout: settings.connect_timeout,
            throttled: settings.throttled.clone(),
            throttled_until: None,
        };
        reached(HandshakeStage::Connected, connection.versions());
        let versions = connection.request_versions(patience)?;
        connection.sender.set_versions(versions);
        reached(HandshakeStage::Answered, connection.versions());
        connection.authenticate()?;
        let close_reason = settings.security.sasl.is_none().then_some(CloseReason::SaslRequired);
        connection.receiver.set_close_reason(close_reason);
        Ok(connection)
    }

    /// Returns `host:port`, as passed to [`open`](Self::open).
    pub fn address(&self) -> &str {
        self.receiver.address()
    }

    /// Returns the versions that the broker supports.
    pub fn versions(&self) -> &Arc<ApiVersions> {
        self.sender.versions()
    }

    /// Returns the newest common version of request `Q`, up to `at_most`.
    pub fn version_for<Q: ApiRequest>(&self, at_most: i16) -> Result<i16, BrokerError> {
        self.sender.version_for::<Q>(at_most)
    }

    /// Sends a request and waits for its response. First waits while the broker throttles this connection, and
    /// authenticates again if the session is about to expire.
    pub fn call<Q: ApiRequest>(
        &mut self,
        request: &Q,
        version: i16,
        timeout: Duration,
    ) -> Result<Q::Response, BrokerError> {
        self.call_within(request, version, timeout, None)
    }

    /// Like [`call`](Self::call); the response, and everything that refers to its bytes, is charged to `memory`.
    pub fn call_within<Q: ApiRequest>(
        &mut self,
        request: &Q,
        version: i16,
        timeout: Duration,
        memory: Option<&Arc<Share>>,
    ) -> Result<Q::Response, BrokerError> {
        if let Some(until) = self.throttled_until.take() {
            std::thread::sleep(until.saturating_duration_since(Instant::now()));
        }
        if self.login.session().is_due(Instant::now()) {
            self.authenticate()?;
        }
        let deadline = Instant::now() + timeout;
        let in_flight = self.sender.send(request, version, deadline)?;
        let body = self.receiver.body::<Q>(in_flight, deadline, memory)?;
        let response = self.receiver.decode::<Q>(body, in_flight.version)?;
        let pause = self.throttled.note(Q::throttle_ms(&response));
        self.throttled_until = (!pause.is_zero()).then(|| Instant::now() + pause);
        Ok(response)
    }

    /// Returns the time until which the broker throttles this connection.
    pub fn throttled_until(&self) -> Option<Instant> {
        self.throttled_until
    }

    /// Returns the error for a response of this broker with a fault that the codec does not detect.
    pub(super) fn invalid_response(&self, fault: ResponseFault) -> BrokerError {
        self.receiver.invalid(fault)
    }

    fn authenticate(&mut self) -> Result<(), BrokerError> {
        self.login.authenticate(&mut self.sender, &mut self.receiver, self.login_timeout)
    }

    /// Splits the connection so that one thread can send while another receives. Authenticating again needs both halves.
    ///
    /// Removes the possible reason for closing: metadata already came through the same listener, so if the broker closes
    /// the connection now, the kind of listener is not the reason.
    pub fn split(mut self) -> (FrameSender, FrameReceiver, Authentication) {
        self.receiver.set_close_reason(None);
        (self.sender, self.receiver, self.login)
    }

    /// Returns a handle that ends the connection from another thread.
    pub fn interrupter(&self) -> Interrupter {
        Interrupter(self.receiver.stream().clone())
    }

    /// KIP-511: a broker that does not support the requested version answers with error 35 in a body of version 0.
    fn request_versions(&mut self, timeout: Duration) -> Result<ApiVersions, BrokerError> {
        let name = |text| StrBytes::from_static_str(text);
        let request = ApiVersionsRequest::default()
            .with_client_software_name(name("curlew"))
            .with_client_software_version(name(env!("CARGO_PKG_VERSION")));
        let deadline = Instant::now() + timeout;
        let in_flight = self.sender.send(&request, 3, deadline)?;
        let body = self.receiver.body::<ApiVersionsRequest>(in_flight, deadline, None)?;
        let response = if body.starts_with(&35i16.to_be_bytes()) {
            self.call(&ApiVersionsRequest::default(), 0, timeout)?
        } else {
            self.receiver.decode::<ApiVersionsRequest>(body, 3)?
        };
        self.read_versions(&response)
    }

    fn read_versions(&self, response: &ApiVersionsResponse) -> Result<ApiVersions, BrokerError> {
        match response.error_code {
            0 => Ok(ApiVersions::from_response(self.address(), response)),
            code => Err(self.receiver.invalid(ResponseFault::ApiVersions(code))),
        }
    }
}

/// Ends a [`BrokerConnection`] from any thread. Pending reads and writes fail at once.
#[derive(Clone)]
pub struct Interrupter(Arc<BrokerTransport>);

impl Interrupter {
    /// Shuts the connection down in both directions.
    pub fn interrupt(&self) {
        self.0.shutdown();
    }
}

#[cfg(test)]
mod tests;
