//! TCP connections with deadlines.

use crate::broker::BrokerError;
use crate::kafka::security::explain;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// Connects to `address` (`host:port`), trying each resolved address for `timeout`.
pub fn connect(address: &str, timeout: Duration) -> Result<TcpStream, BrokerError> {
    let resolved: Vec<SocketAddr> = address
        .to_socket_addrs()
        .map_err(|error| BrokerError::Unavailable(format!("{address}: no such address: {error}")))?
        .collect();
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
    Err(io_error(address, "no connection", &why))
}

/// Converts an I/O error on the connection to `address`. `what` says what is missing, such as "no answer".
pub fn io_error(address: &str, what: &str, error: &io::Error) -> BrokerError {
    if let Some(tls) = crate::tls::fault_in(error) {
        return tls_error(address, tls);
    }
    BrokerError::Unavailable(match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => format!("{address}: {what} in time"),
        ErrorKind::UnexpectedEof => format!("{address}: the broker closed the connection"),
        _ => format!("{address}: {what}: {error}"),
    })
}

/// Converts a TLS error on a connection to `address`.
pub fn tls_error(address: &str, error: &rustls::Error) -> BrokerError {
    BrokerError::Untrusted(explain(address, error))
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
