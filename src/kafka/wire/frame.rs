//! Sends requests and receives responses as frames of a connection. Every length and id in a response is checked.

use super::invalid_response::{InvalidResponse, ResponseFault};
use super::schema::ApiRequest;
use super::socket::{CloseReason, ConnectionStep, io_error};
use super::transport::BrokerTransport;
use super::versions::{ApiVersions, UnsupportedRequest};
use crate::broker::{BrokerError, Cause};
use crate::kafka::security::TlsFailure;
use crate::sync::memory_budget::Share;
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

/// The buffer of a response grows by this much at first, and doubles as bytes arrive, so that an announced length alone
/// allocates little.
const GROWTH: usize = 1 << 20;

/// The sending half of a connection, for use by a separate thread.
pub struct FrameSender {
    stream: Arc<BrokerTransport>,
    address: Arc<str>,
    client_id: StrBytes,
    versions: Arc<ApiVersions>,
    next_correlation: i32,
    frame: BytesMut,
}

/// The receiving half of a connection, for use by a separate thread. Responses arrive in the order of the requests.
pub struct FrameReceiver {
    stream: Arc<BrokerTransport>,
    address: Arc<str>,
    max_frame: usize,
    /// A possible reason if the broker closes the connection before the next response.
    close_reason: Option<CloseReason>,
}

/// A request in flight: the data needed to read its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlight {
    correlation: i32,
    pub version: i16,
}

impl FrameSender {
    /// Creates the sending half. `address` is for errors, `client_id` for each request.
    pub(super) fn new(stream: Arc<BrokerTransport>, address: Arc<str>, client_id: StrBytes) -> Self {
        let versions = Arc::default();
        Self { stream, address, client_id, versions, next_correlation: 0, frame: BytesMut::new() }
    }

    /// Returns the versions that the broker supports: none before [`set_versions`](Self::set_versions).
    pub fn versions(&self) -> &Arc<ApiVersions> {
        &self.versions
    }

    /// Sets the versions that the broker supports.
    pub(super) fn set_versions(&mut self, versions: ApiVersions) {
        self.versions = Arc::new(versions);
    }

    /// Returns the newest common version of request `Q`, up to `at_most`.
    pub fn version_for<Q: ApiRequest>(&self, at_most: i16) -> Result<i16, BrokerError> {
        self.versions.common::<Q>(at_most)
    }

    /// Returns whether the broker has kept the connection open, as far as the socket shows. Must not be called while a
    /// response is outstanding: the socket is non-blocking during the call, also for a concurrent reader.
    pub fn is_open(&self) -> bool {
        self.stream.is_open()
    }

    /// Sends all of `request` by `deadline`.
    pub fn send<Q: ApiRequest>(
        &mut self,
        request: &Q,
        version: i16,
        deadline: Instant,
    ) -> Result<InFlight, BrokerError> {
        let in_flight = InFlight { correlation: self.next_correlation, version };
        self.next_correlation = self.next_correlation.wrapping_add(1);
        self.encode(request, in_flight).map_err(|source| {
            BrokerError::Unsupported(Cause::new(UnsupportedRequest::Encoding { key: Q::KEY, version, source }))
        })?;
        let sent = self.stream.write_all(&self.frame, deadline);
        sent.map_err(|error| io_error(&self.address, ConnectionStep::Send, error, None))?;
        Ok(in_flight)
    }

    fn encode<Q: ApiRequest>(&mut self, request: &Q, in_flight: InFlight) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.frame.clear();
        self.frame.put_i32(0);
        RequestHeader::default()
            .with_request_api_key(Q::KEY as i16)
            .with_request_api_version(in_flight.version)
            .with_correlation_id(in_flight.correlation)
            .with_client_id(Some(self.client_id.clone()))
            .encode(&mut self.frame, Q::header_version(in_flight.version))?;
        request.encode(&mut self.frame, in_flight.version)?;
        let len = i32::try_from(self.frame.len() - 4)?;
        if let Some(head) = self.frame.first_chunk_mut::<4>() {
            *head = len.to_be_bytes();
        }
        Ok(())
    }
}

impl FrameReceiver {
    /// Creates the receiving half. A response of more than `max_frame` bytes is an error.
    pub(super) fn new(stream: Arc<BrokerTransport>, address: Arc<str>, max_frame: usize) -> Self {
        Self { stream, address, max_frame, close_reason: None }
    }

    /// Sets the possible reason to report if the broker closes the connection before the next response.
    pub(super) fn set_close_reason(&mut self, reason: Option<CloseReason>) {
        self.close_reason = reason;
    }

    /// Returns the transport that both halves share.
    pub(super) fn stream(&self) -> &Arc<BrokerTransport> {
        &self.stream
    }

    /// Returns the broker's `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns whether the broker has kept the connection open. Must be called only after a failure.
    pub fn is_open(&self) -> bool {
        self.stream.is_open()
    }

    /// Receives the response to the oldest request in flight, which must be `request`.
    pub fn receive<Q: ApiRequest>(&mut self, request: InFlight, deadline: Instant) -> Result<Q::Response, BrokerError> {
        let body = self.body::<Q>(request, deadline, None)?;
        self.decode::<Q>(body, request.version)
    }

    /// Receives a response and returns it without its header.
    pub(super) fn body<Q: ApiRequest>(
        &mut self,
        request: InFlight,
        deadline: Instant,
        memory: Option<&Arc<Share>>,
    ) -> Result<Bytes, BrokerError> {
        let mut frame = self.frame(deadline, memory)?;
        self.close_reason = None;
        let header = ResponseHeader::decode(&mut frame, Q::Response::header_version(request.version))
            .map_err(|error| self.invalid(ResponseFault::Header(error.into())))?;
        if header.correlation_id != request.correlation {
            let (found, expected) = (header.correlation_id, request.correlation);
            return Err(self.invalid(ResponseFault::Correlation { found, expected }));
        }
        Ok(frame)
    }

    /// Validates and decodes a response without its header.
    pub(super) fn decode<Q: ApiRequest>(&self, mut body: Bytes, version: i16) -> Result<Q::Response, BrokerError> {
        let malformed = |source| self.invalid(ResponseFault::Body { key: Q::KEY, version, source });
        Q::SCHEMA.check(&body, version).map_err(|error| malformed(error.into()))?;
        Q::Response::decode(&mut body, version).map_err(|error| malformed(error.into()))
    }

    fn frame(&mut self, deadline: Instant, memory: Option<&Arc<Share>>) -> Result<Bytes, BrokerError> {
        let mut head = [0; 4];
        self.fill(&mut head, deadline)?;
        let len = match usize::try_from(i32::from_be_bytes(head)) {
            Ok(len) if (4..=self.max_frame).contains(&len) => len,
            _ => return Err(self.not_a_length(head)),
        };
        let mut frame = Vec::new();
        let mut memory = memory.map(Share::empty_reservation);
        while frame.len() < len {
            let filled = frame.len();
            let more = filled.max(GROWTH).min(len - filled);
            if let Some(memory) = &mut memory {
                memory.grow(more)?;
            }
            frame.reserve_exact(more);
            frame.resize(filled + more, 0);
            self.fill(frame.get_mut(filled..).unwrap_or_default(), deadline)?;
        }
        Ok(match memory {
            Some(memory) => memory.hold(frame),
            None => frame.into(),
        })
    }

    fn fill(&self, buffer: &mut [u8], deadline: Instant) -> Result<(), BrokerError> {
        let read = self.stream.read_exact(buffer, deadline);
        read.map_err(|error| io_error(&self.address, ConnectionStep::Receive, error, self.close_reason))
    }

    /// Returns the error for a response with this fault.
    pub(super) fn invalid(&self, fault: ResponseFault) -> BrokerError {
        BrokerError::Corrupt(Cause::new(InvalidResponse { address: self.address.to_string(), fault }))
    }

    /// Diagnoses an impossible length: the first bytes identify TLS and HTTP servers.
    fn not_a_length(&self, head: [u8; 4]) -> BrokerError {
        match &head {
            [0x15, 3, ..] => BrokerError::Untrusted(Cause::new(TlsFailure::Required(self.address.to_string()))),
            b"HTTP" => self.invalid(ResponseFault::Http),
            _ => self.invalid(ResponseFault::Length { announced: i32::from_be_bytes(head), limit: self.max_frame }),
        }
    }
}
