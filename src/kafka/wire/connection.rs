//! One connection to one broker: frames out, frames in, nothing believed.

use super::settings::Settings;
use super::shape::Call;
use super::versions::Versions;
use crate::broker::BrokerError;
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An answer grows by at most this much at a time beyond what has come, so that one that is
/// announced and never sent costs nothing.
const GROWTH: usize = 1 << 20;

/// A connection on which requests are answered one by one.
///
/// After an error it is of no use, unless that is [`BrokerError::Unsupported`]: drop it.
pub struct Connection {
    sender: FrameSender,
    receiver: FrameReceiver,
}

/// The half that sends, for a thread of its own.
pub struct FrameSender {
    stream: Arc<TcpStream>,
    address: Arc<str>,
    client_id: StrBytes,
    versions: Arc<Versions>,
    next_correlation: i32,
    frame: BytesMut,
}

/// The half that receives, for a thread of its own. Answers come in the order of the requests.
pub struct FrameReceiver {
    stream: Arc<TcpStream>,
    address: Arc<str>,
    max_frame: usize,
}

/// What is needed to read the answer to a request that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    correlation: i32,
    pub version: i16,
}

impl Connection {
    /// Connects to `address` (`host:port`, each resolved address in turn) and asks for the versions
    /// it speaks. `Unavailable` where nobody listens or answers, `Corrupt` where it is not Kafka.
    pub fn open(address: &str, settings: &Settings) -> Result<Self, BrokerError> {
        let stream = Arc::new(connect(address, settings.connect_timeout)?);
        let address: Arc<str> = address.into();
        let sender = FrameSender {
            stream: stream.clone(),
            address: address.clone(),
            client_id: StrBytes::from_string(settings.client_id.clone()),
            versions: Arc::default(),
            next_correlation: 0,
            frame: BytesMut::new(),
        };
        let receiver = FrameReceiver { stream, address, max_frame: settings.max_frame };
        let mut connection = Self { sender, receiver };
        connection.sender.versions = Arc::new(connection.ask_versions(settings.connect_timeout)?);
        Ok(connection)
    }

    /// `host:port`, as given to [`open`](Self::open).
    pub fn address(&self) -> &str {
        &self.receiver.address
    }

    pub fn versions(&self) -> &Arc<Versions> {
        &self.sender.versions
    }

    /// The newest version of `Q` that both sides speak, `at_most` at most.
    pub fn version_for<Q: Call>(&self, at_most: i16) -> Result<i16, BrokerError> {
        self.sender.version_for::<Q>(at_most)
    }

    /// Sends a request and waits for its answer.
    pub fn call<Q: Call>(&mut self, request: &Q, version: i16, timeout: Duration) -> Result<Q::Answer, BrokerError> {
        let deadline = Instant::now() + timeout;
        let ticket = self.sender.send(request, version, deadline)?;
        self.receiver.receive::<Q>(ticket, deadline)
    }

    /// For several requests in flight: one thread sends, another receives.
    pub fn split(self) -> (FrameSender, FrameReceiver) {
        (self.sender, self.receiver)
    }

    /// Ends the connection from another thread: whoever waits on it gets an error at once.
    pub fn interrupter(&self) -> Interrupter {
        Interrupter(self.receiver.stream.clone())
    }

    /// KIP-511: a broker that does not know our version answers with error 35 in a body of version 0.
    fn ask_versions(&mut self, timeout: Duration) -> Result<Versions, BrokerError> {
        let name = |text| StrBytes::from_static_str(text);
        let request = ApiVersionsRequest::default()
            .with_client_software_name(name("curlew"))
            .with_client_software_version(name(env!("CARGO_PKG_VERSION")));
        let deadline = Instant::now() + timeout;
        let ticket = self.sender.send(&request, 3, deadline)?;
        let body = self.receiver.body::<ApiVersionsRequest>(ticket, deadline)?;
        let answer = if body.starts_with(&35i16.to_be_bytes()) {
            self.call(&ApiVersionsRequest::default(), 0, timeout)?
        } else {
            self.receiver.decode::<ApiVersionsRequest>(body, 3)?
        };
        self.read_versions(&answer)
    }

    fn read_versions(&self, answer: &ApiVersionsResponse) -> Result<Versions, BrokerError> {
        match answer.error_code {
            0 => Ok(Versions::read(self.address(), answer)),
            code => Err(self.receiver.corrupt(&format!("refuses to tell its versions (error {code})"))),
        }
    }
}

/// Ends a [`Connection`] from any thread.
#[derive(Clone)]
pub struct Interrupter(Arc<TcpStream>);

impl Interrupter {
    pub fn interrupt(&self) {
        // An error means that the connection has ended already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl FrameSender {
    pub fn version_for<Q: Call>(&self, at_most: i16) -> Result<i16, BrokerError> {
        self.versions.common::<Q>(at_most)
    }

    /// Whether the other side has not closed the connection, as far as is known here. Only to be asked
    /// while no answer is due: the socket does not block meanwhile, nor does whoever reads from it.
    pub fn is_open(&self) -> bool {
        let peeked = self.stream.set_nonblocking(true).and_then(|()| self.stream.peek(&mut [0]));
        let blocks_again = self.stream.set_nonblocking(false);
        // Bytes that nobody asked for are no good sign either.
        blocks_again.is_ok() && peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Sends `request` whole, by `deadline`.
    pub fn send<Q: Call>(&mut self, request: &Q, version: i16, deadline: Instant) -> Result<Ticket, BrokerError> {
        let ticket = Ticket { correlation: self.next_correlation, version };
        self.next_correlation = self.next_correlation.wrapping_add(1);
        self.encode(request, ticket).map_err(|error| {
            BrokerError::Unsupported(format!("{:?} request version {version} cannot be written: {error}", Q::KEY))
        })?;
        let sent = write_all(&self.stream, &self.frame, deadline);
        sent.map_err(|error| unavailable(&self.address, "the request could not be sent", &error))?;
        Ok(ticket)
    }

    fn encode<Q: Call>(&mut self, request: &Q, ticket: Ticket) -> Result<(), Box<dyn std::error::Error>> {
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
    /// The answer to the oldest request that has not been answered yet, which must be `ticket`'s.
    pub fn receive<Q: Call>(&mut self, ticket: Ticket, deadline: Instant) -> Result<Q::Answer, BrokerError> {
        let body = self.body::<Q>(ticket, deadline)?;
        self.decode::<Q>(body, ticket.version)
    }

    /// An answer without its header.
    fn body<Q: Call>(&mut self, ticket: Ticket, deadline: Instant) -> Result<Bytes, BrokerError> {
        let mut frame = self.frame(deadline)?;
        let header = ResponseHeader::decode(&mut frame, Q::Answer::header_version(ticket.version))
            .map_err(|error| self.corrupt(&format!("sends a damaged header: {error}")))?;
        if header.correlation_id != ticket.correlation {
            let (got, expected) = (header.correlation_id, ticket.correlation);
            return Err(self.corrupt(&format!("answers request {got} where {expected} was next")));
        }
        Ok(frame)
    }

    fn decode<Q: Call>(&self, mut body: Bytes, version: i16) -> Result<Q::Answer, BrokerError> {
        let damaged = || self.corrupt(&format!("sends a damaged answer to {:?} version {version}", Q::KEY));
        Q::SHAPE.check(&body, version).map_err(|_| damaged())?;
        Q::Answer::decode(&mut body, version).map_err(|_| damaged())
    }

    fn frame(&mut self, deadline: Instant) -> Result<Bytes, BrokerError> {
        let mut head = [0; 4];
        self.fill(&mut head, deadline)?;
        let len = match usize::try_from(i32::from_be_bytes(head)) {
            Ok(len) if (4..=self.max_frame).contains(&len) => len,
            _ => return Err(self.corrupt(&not_a_length(head, self.max_frame))),
        };
        let mut frame = Vec::new();
        while frame.len() < len {
            let filled = frame.len();
            let more = filled.max(GROWTH).min(len - filled);
            frame.reserve_exact(more);
            frame.resize(filled + more, 0);
            self.fill(frame.get_mut(filled..).unwrap_or_default(), deadline)?;
        }
        Ok(frame.into())
    }

    fn fill(&self, buffer: &mut [u8], deadline: Instant) -> Result<(), BrokerError> {
        read_exact(&self.stream, buffer, deadline).map_err(|error| unavailable(&self.address, "no answer", &error))
    }

    fn corrupt(&self, what: &str) -> BrokerError {
        BrokerError::Corrupt(format!("{} {what}", self.address))
    }
}

/// Others answer on a port too: their first bytes, read as a length, are worth a hint.
fn not_a_length(head: [u8; 4], max: usize) -> String {
    match &head {
        [0x15, 3, ..] => "wants TLS, which is not spoken here".to_owned(),
        b"HTTP" => "answers in HTTP; it is no Kafka listener".to_owned(),
        _ => format!("announces an answer of {} bytes; allowed are 4 to {max}", i32::from_be_bytes(head)),
    }
}

fn connect(address: &str, timeout: Duration) -> Result<TcpStream, BrokerError> {
    let resolved: Vec<SocketAddr> = address
        .to_socket_addrs()
        .map_err(|error| BrokerError::Unavailable(format!("{address}: no such address: {error}")))?
        .collect();
    let mut why = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for at in resolved {
        match TcpStream::connect_timeout(&at, timeout) {
            Ok(stream) => {
                // Without it the kernel holds small requests back; the connection works either way.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => why = error,
        }
    }
    Err(unavailable(address, "no connection", &why))
}

fn unavailable(address: &str, what: &str, error: &io::Error) -> BrokerError {
    BrokerError::Unavailable(match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => format!("{address}: {what} in time"),
        ErrorKind::UnexpectedEof => format!("{address}: the broker closed the connection"),
        _ => format!("{address}: {what}: {error}"),
    })
}

/// What is left until `deadline`; a timeout of zero means "none" to the socket.
fn left(deadline: Instant) -> io::Result<Option<Duration>> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(ErrorKind::TimedOut.into()),
        left => Ok(Some(left)),
    }
}

fn read_exact(mut stream: &TcpStream, mut buffer: &mut [u8], deadline: Instant) -> io::Result<()> {
    while !buffer.is_empty() {
        stream.set_read_timeout(left(deadline)?)?;
        match stream.read(buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(len) => buffer = buffer.get_mut(len..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn write_all(mut stream: &TcpStream, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.set_write_timeout(left(deadline)?)?;
        match stream.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
