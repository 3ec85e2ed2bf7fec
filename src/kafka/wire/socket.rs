//! TCP connections with deadlines.

use crate::broker::{BrokerError, Cause};
use crate::kafka::security::TlsFailure;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// The step of a connection that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionStep {
    Resolve,
    Connect,
    TlsHandshake,
    Send,
    Receive,
}

/// A possible reason for which a broker closes a connection without a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// A SASL listener answers ApiVersions without authentication, and closes the connection on any other request.
    SaslRequired,
    /// A broker before 0.10 closes the connection on ApiVersions, and so do TLS listeners and many other servers.
    NotThisProtocol,
}

/// An I/O error on the connection to a broker.
#[derive(Debug, thiserror::Error)]
pub struct SocketError {
    /// The broker, as `host:port`.
    pub address: String,
    pub step: ConnectionStep,
    pub source: io::Error,
    /// The possible reason, if the broker closed the connection.
    pub close_reason: Option<CloseReason>,
}

impl fmt::Display for ConnectionStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "no such address",
            Self::Connect => "no connection",
            Self::TlsHandshake => "no TLS",
            Self::Send => "the request could not be sent",
            Self::Receive => "no answer",
        })
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SaslRequired => {
                "if its listener requires SASL, set security.protocol to SASL_PLAINTEXT or SASL_SSL in the file of the \
                 setting kafka-config"
            }
            Self::NotThisProtocol => {
                "it is starting or stopping, or requires TLS (security.protocol=SSL or SASL_SSL in the file of the setting \
                 kafka-config), or is not Kafka, or is older than 0.11, which driver crate is for"
            }
        })
    }
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, step, source, close_reason } = self;
        match (step, source.kind()) {
            (ConnectionStep::TlsHandshake, _) if is_closed(source) => write!(
                f,
                "{address} closed the connection during the TLS handshake: it may be starting or stopping, or its listener \
                 is PLAINTEXT or SASL_PLAINTEXT, and security.protocol must be set to that"
            ),
            (ConnectionStep::Resolve, _) => write!(f, "{address}: {step}: {source}"),
            (_, ErrorKind::WouldBlock | ErrorKind::TimedOut) => write!(f, "{address}: {step} in time"),
            (_, ErrorKind::UnexpectedEof) => write!(f, "{address}: the broker closed the connection"),
            _ => write!(f, "{address}: {step}: {source}"),
        }?;
        match close_reason {
            Some(reason) if is_closed(source) => write!(f, "; {reason}"),
            _ => Ok(()),
        }
    }
}

/// Connects to `address` (`host:port`), trying each resolved address for `timeout`.
pub fn connect(address: &str, timeout: Duration) -> Result<TcpStream, BrokerError> {
    let resolved: Vec<SocketAddr> =
        address.to_socket_addrs().map_err(|error| io_error(address, ConnectionStep::Resolve, error, None))?.collect();
    let mut why = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for at in resolved {
        match TcpStream::connect_timeout(&at, timeout) {
            Ok(stream) => {
                // Without TCP_NODELAY the kernel delays small requests. The connection works without it.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => why = error,
        }
    }
    Err(io_error(address, ConnectionStep::Connect, why, None))
}

/// Converts an I/O error on the connection to `address`: a TLS error is `Untrusted`, any other one `Unavailable`.
pub fn io_error(
    address: &str,
    step: ConnectionStep,
    source: io::Error,
    close_reason: Option<CloseReason>,
) -> BrokerError {
    if let Some(fault) = crate::tls::fault_in(&source) {
        return tls_error(address, fault.clone());
    }
    let address = address.to_owned();
    BrokerError::Unavailable(Cause::new(SocketError { address, step, source, close_reason }))
}

/// Converts a TLS error on a connection to `address`.
pub fn tls_error(address: &str, source: rustls::Error) -> BrokerError {
    BrokerError::Untrusted(Cause::new(TlsFailure::Connection { address: address.to_owned(), source }))
}

/// Returns whether the error means that the broker closed the connection.
pub fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

/// Returns the time until `deadline`. A timeout of zero is an error, because a socket rejects it.
fn remaining(deadline: Instant) -> io::Result<Option<Duration>> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(ErrorKind::TimedOut.into()),
        left => Ok(Some(left)),
    }
}

/// Reads some bytes by `deadline`; 0 is the end of the stream.
pub fn read_some(mut tcp: &TcpStream, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
    loop {
        tcp.set_read_timeout(remaining(deadline)?)?;
        match tcp.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Writes all of `bytes` by `deadline`.
pub fn write_all(mut tcp: &TcpStream, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        tcp.set_write_timeout(remaining(deadline)?)?;
        match tcp.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
