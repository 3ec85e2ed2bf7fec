//! One connection to one broker: frames out, frames in, nothing believed.

use super::login::Authentication;
use super::schema::ApiRequest;
use super::settings::WireSettings;
use super::throttle::ThrottleTime;
use super::transport::{BrokerTransport, failed, is_hang_up};
use super::versions::ApiVersions;
use crate::broker::BrokerError;
use crate::sync::memory_budget::Share;
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An answer grows by at most this much at a time beyond what has come, so that one that is
/// announced and never sent costs nothing.
const GROWTH: usize = 1 << 20;

/// A listener that wants SASL tells anybody its versions, and hangs up on whoever then asks for more.
const MAY_WANT_SASL: &str = "if its listener wants SASL, give SASL_PLAINTEXT or SASL_SSL as security.protocol in a file with \
                        --kafka-config";

/// A broker before 0.10 hangs up on the question for its versions, and so does many another.
const MAY_BE_OLD: &str = "it is starting or ending, or wants TLS (security.protocol=SSL or SASL_SSL in a file with \
                          --kafka-config), or is no Kafka, or one before 0.11, which --driver crate is for";

/// A connection on which requests are answered one by one.
///
/// After an error it is of no use, unless that is [`BrokerError::Unsupported`]: drop it.
pub struct BrokerConnection {
    sender: FrameSender,
    receiver: FrameReceiver,
    login: Authentication,
    /// Of the credentials, whenever the broker wants them again.
    login_timeout: Duration,
    throttled: ThrottleTime,
    /// Before that the broker reads nothing more.
    throttled_until: Option<Instant>,
}

/// The half that sends, for a thread of its own.
pub struct FrameSender {
    stream: Arc<BrokerTransport>,
    address: Arc<str>,
    client_id: StrBytes,
    versions: Arc<ApiVersions>,
    next_correlation: i32,
    frame: BytesMut,
}

/// The half that receives, for a thread of its own. Answers come in the order of the requests.
pub struct FrameReceiver {
    stream: Arc<BrokerTransport>,
    address: Arc<str>,
    max_frame: usize,
    /// What it may mean that the connection ends before the next answer.
    hint: Option<&'static str>,
}

/// What is needed to read the answer to a request that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlight {
    correlation: i32,
    pub version: i16,
}

/// What [`Connection::open`] has behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeStage {
    /// TCP, and TLS where that is wanted.
    Connected,
    /// ApiVersions.
    Answered,
}

impl BrokerConnection {
    /// Connects to `address` (`host:port`, each resolved address in turn), asks for the versions it
    /// speaks and says who we are. `Unavailable` where nobody listens or answers, `Corrupt` where it is
    /// not Kafka, `Untrusted` where it is not secured as the settings say or refuses us.
    pub fn open(address: &str, settings: &WireSettings) -> Result<Self, BrokerError> {
        Self::open_in_stages(address, settings, &mut |_, _| ())
    }

    /// Likewise, but gives up on a broker that does not connect, or is silent after that, for `patience`. Only the
    /// login may take longer: it may wait for an authorization server, which says nothing about the broker.
    pub fn open_within(address: &str, settings: &WireSettings, patience: Duration) -> Result<Self, BrokerError> {
        Self::establish(address, settings, patience.min(settings.connect_timeout), &mut |_, _| ())
    }

    /// Likewise, and tells each stage when it is reached, with what the broker speaks as far as that is known.
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
        let sender = FrameSender {
            stream: stream.clone(),
            address: address.clone(),
            client_id: StrBytes::from_string(settings.client_id.clone()),
            versions: Arc::default(),
            next_correlation: 0,
            frame: BytesMut::new(),
        };
        let hint = (!settings.security.is_on()).then_some(MAY_BE_OLD);
        let receiver = FrameReceiver { stream, address, max_frame: settings.max_frame, hint };
        let login = Authentication::new(settings.security.sasl.clone());
        let mut connection = Self {
            sender,
            receiver,
            login,
            login_timeout: settings.connect_timeout,
            throttled: settings.throttled.clone(),
            throttled_until: None,
        };
        reached(HandshakeStage::Connected, &connection.sender.versions);
        connection.sender.versions = Arc::new(connection.ask_versions(patience)?);
        reached(HandshakeStage::Answered, &connection.sender.versions);
        connection.authenticate()?;
        connection.receiver.hint = settings.security.sasl.is_none().then_some(MAY_WANT_SASL);
        Ok(connection)
    }

    /// `host:port`, as given to [`open`](Self::open).
    pub fn address(&self) -> &str {
        &self.receiver.address
    }

    pub fn versions(&self) -> &Arc<ApiVersions> {
        &self.sender.versions
    }

    /// The newest version of `Q` that both sides speak, `at_most` at most.
    pub fn version_for<Q: ApiRequest>(&self, at_most: i16) -> Result<i16, BrokerError> {
        self.sender.version_for::<Q>(at_most)
    }

    /// Sends a request and waits for its answer. Where the broker wants the credentials again, they go first; where it
    /// wants to be left alone, they wait.
    pub fn call<Q: ApiRequest>(
        &mut self,
        request: &Q,
        version: i16,
        timeout: Duration,
    ) -> Result<Q::Answer, BrokerError> {
        self.call_within(request, version, timeout, None)
    }

    /// Likewise; the answer, and what refers to its bytes, is paid for from `memory`.
    pub fn call_within<Q: ApiRequest>(
        &mut self,
        request: &Q,
        version: i16,
        timeout: Duration,
        memory: Option<&Arc<Share>>,
    ) -> Result<Q::Answer, BrokerError> {
        if let Some(until) = self.throttled_until.take() {
            std::thread::sleep(until.saturating_duration_since(Instant::now()));
        }
        if self.login.session().is_due(Instant::now()) {
            self.authenticate()?;
        }
        let deadline = Instant::now() + timeout;
        let ticket = self.sender.send(request, version, deadline)?;
        let body = self.receiver.body::<Q>(ticket, deadline, memory)?;
        let answer = self.receiver.decode::<Q>(body, ticket.version)?;
        let pause = self.throttled.note(Q::throttle_ms(&answer));
        self.throttled_until = (!pause.is_zero()).then(|| Instant::now() + pause);
        Ok(answer)
    }

    /// Until when the broker wants to be left alone.
    pub fn throttled_until(&self) -> Option<Instant> {
        self.throttled_until
    }

    fn authenticate(&mut self) -> Result<(), BrokerError> {
        self.login.authenticate(&mut self.sender, &mut self.receiver, self.login_timeout)
    }

    /// For several requests in flight: one thread sends, another receives. They need both halves to log in again.
    /// A broker that closes the connection now does so because of a request: metadata has come by the same listener.
    pub fn split(mut self) -> (FrameSender, FrameReceiver, Authentication) {
        self.receiver.hint = None;
        (self.sender, self.receiver, self.login)
    }

    /// Ends the connection from another thread: whoever waits on it gets an error at once.
    pub fn interrupter(&self) -> Interrupter {
        Interrupter(self.receiver.stream.clone())
    }

    /// KIP-511: a broker that does not know our version answers with error 35 in a body of version 0.
    fn ask_versions(&mut self, timeout: Duration) -> Result<ApiVersions, BrokerError> {
        let name = |text| StrBytes::from_static_str(text);
        let request = ApiVersionsRequest::default()
            .with_client_software_name(name("curlew"))
            .with_client_software_version(name(env!("CARGO_PKG_VERSION")));
        let deadline = Instant::now() + timeout;
        let ticket = self.sender.send(&request, 3, deadline)?;
        let body = self.receiver.body::<ApiVersionsRequest>(ticket, deadline, None)?;
        let answer = if body.starts_with(&35i16.to_be_bytes()) {
            self.call(&ApiVersionsRequest::default(), 0, timeout)?
        } else {
            self.receiver.decode::<ApiVersionsRequest>(body, 3)?
        };
        self.read_versions(&answer)
    }

    fn read_versions(&self, answer: &ApiVersionsResponse) -> Result<ApiVersions, BrokerError> {
        match answer.error_code {
            0 => Ok(ApiVersions::read(self.address(), answer)),
            code => Err(self.receiver.corrupt(&format!("refuses to tell its versions (error {code})"))),
        }
    }
}

/// Ends a [`Connection`] from any thread.
#[derive(Clone)]
pub struct Interrupter(Arc<BrokerTransport>);

impl Interrupter {
    pub fn interrupt(&self) {
        self.0.shutdown();
    }
}

impl FrameSender {
    pub fn version_for<Q: ApiRequest>(&self, at_most: i16) -> Result<i16, BrokerError> {
        self.versions.common::<Q>(at_most)
    }

    /// Whether the other side has not closed the connection, as far as is known here. Only to be asked
    /// while no answer is due: the socket does not block meanwhile, nor does whoever reads from it.
    pub fn is_open(&self) -> bool {
        self.stream.is_open()
    }

    /// Sends `request` whole, by `deadline`.
    pub fn send<Q: ApiRequest>(
        &mut self,
        request: &Q,
        version: i16,
        deadline: Instant,
    ) -> Result<InFlight, BrokerError> {
        let ticket = InFlight { correlation: self.next_correlation, version };
        self.next_correlation = self.next_correlation.wrapping_add(1);
        self.encode(request, ticket).map_err(|error| {
            BrokerError::Unsupported(format!("{:?} request version {version} cannot be written: {error}", Q::KEY))
        })?;
        let sent = self.stream.write_all(&self.frame, deadline);
        sent.map_err(|error| failed(&self.address, "the request could not be sent", &error))?;
        Ok(ticket)
    }

    fn encode<Q: ApiRequest>(&mut self, request: &Q, ticket: InFlight) -> Result<(), Box<dyn std::error::Error>> {
        self.frame.clear();
        self.frame.put_i32(0);
        RequestHeader::default()
            .with_request_api_key(Q::KEY as i16)
            .with_request_api_version(ticket.version)
            .with_correlation_id(ticket.correlation)
            .with_client_id(Some(self.client_id.clone()))
            .encode(&mut self.frame, Q::header_version(ticket.version))?;
        request.encode(&mut self.frame, ticket.version)?;
        let len = i32::try_from(self.frame.len() - 4)?;
        if let Some(head) = self.frame.first_chunk_mut::<4>() {
            *head = len.to_be_bytes();
        }
        Ok(())
    }
}

impl FrameReceiver {
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether the other side has not closed the connection. Only to be asked after a failure.
    pub fn is_open(&self) -> bool {
        self.stream.is_open()
    }

    /// The answer to the oldest request that has not been answered yet, which must be `ticket`'s.
    pub fn receive<Q: ApiRequest>(&mut self, ticket: InFlight, deadline: Instant) -> Result<Q::Answer, BrokerError> {
        let body = self.body::<Q>(ticket, deadline, None)?;
        self.decode::<Q>(body, ticket.version)
    }

    /// An answer without its header.
    fn body<Q: ApiRequest>(
        &mut self,
        ticket: InFlight,
        deadline: Instant,
        memory: Option<&Arc<Share>>,
    ) -> Result<Bytes, BrokerError> {
        let mut frame = self.frame(deadline, memory)?;
        self.hint = None;
        let header = ResponseHeader::decode(&mut frame, Q::Answer::header_version(ticket.version))
            .map_err(|error| self.corrupt(&format!("sends a damaged header: {error}")))?;
        if header.correlation_id != ticket.correlation {
            let (got, expected) = (header.correlation_id, ticket.correlation);
            return Err(self.corrupt(&format!("answers request {got} where {expected} was next")));
        }
        Ok(frame)
    }

    fn decode<Q: ApiRequest>(&self, mut body: Bytes, version: i16) -> Result<Q::Answer, BrokerError> {
        let damaged = || self.corrupt(&format!("sends a damaged answer to {:?} version {version}", Q::KEY));
        Q::SHAPE.check(&body, version).map_err(|_| damaged())?;
        Q::Answer::decode(&mut body, version).map_err(|_| damaged())
    }

    fn frame(&mut self, deadline: Instant, memory: Option<&Arc<Share>>) -> Result<Bytes, BrokerError> {
        let mut head = [0; 4];
        self.fill(&mut head, deadline)?;
        let len = match usize::try_from(i32::from_be_bytes(head)) {
            Ok(len) if (4..=self.max_frame).contains(&len) => len,
            _ => return Err(self.not_a_length(head)),
        };
        let mut frame = Vec::new();
        let mut memory = memory.map(Share::nothing);
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
        self.stream.read_exact(buffer, deadline).map_err(|error| {
            match (self.hint, failed(&self.address, "no answer", &error)) {
                (Some(hint), BrokerError::Unavailable(why)) if is_hang_up(&error) => {
                    BrokerError::Unavailable(format!("{why}; {hint}"))
                }
                (_, failed) => failed,
            }
        })
    }

    fn corrupt(&self, what: &str) -> BrokerError {
        BrokerError::Corrupt(format!("{} {what}", self.address))
    }

    /// Others answer on a port too: their first bytes, read as a length, are worth a hint.
    fn not_a_length(&self, head: [u8; 4]) -> BrokerError {
        match &head {
            [0x15, 3, ..] => BrokerError::Untrusted(format!(
                "{} wants TLS: give security.protocol=SSL or SASL_SSL in a file with --kafka-config",
                self.address
            )),
            b"HTTP" => self.corrupt("answers in HTTP; it is no Kafka listener"),
            _ => {
                let (announced, max) = (i32::from_be_bytes(head), self.max_frame);
                self.corrupt(&format!("announces an answer of {announced} bytes; allowed are 4 to {max}"))
            }
        }
    }
}

#[cfg(test)]
mod tests;
