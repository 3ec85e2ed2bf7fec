//! The bytes of one connection, plain or under TLS. One thread may read while another writes.

use super::tls_stream::TlsStream;
use crate::broker::BrokerError;
use crate::kafka::security::Security;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

pub enum BrokerTransport {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

impl BrokerTransport {
    /// To `address` (`host:port`), each resolved address in turn. `timeout` holds for each of them, and again for TLS.
    pub fn connect(address: &str, security: &Security, timeout: Duration) -> Result<Self, BrokerError> {
        let tcp = connect(address, timeout)?;
        match &security.tls {
            None => Ok(Self::Plain(tcp)),
            Some(tls) => {
                let stream = TlsStream::connect(tcp, address, tls.config.clone(), Instant::now() + timeout)?;
                Ok(Self::Tls(Box::new(stream)))
            }
        }
    }

    /// Fills `buffer`. For one thread at a time.
    pub fn read_exact(&self, mut buffer: &mut [u8], deadline: Instant) -> io::Result<()> {
        while !buffer.is_empty() {
            let read = match self {
                Self::Plain(tcp) => read_some(tcp, buffer, deadline)?,
                Self::Tls(tls) => tls.read(buffer, deadline)?,
            };
            match read {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                len => buffer = buffer.get_mut(len..).unwrap_or_default(),
            }
        }
        Ok(())
    }

    /// For one thread at a time. After an error the connection is of no use.
    pub fn write_all(&self, bytes: &[u8], deadline: Instant) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => write_all(tcp, bytes, deadline),
            Self::Tls(tls) => tls.write_all(bytes, deadline),
        }
    }

    /// Whether the other side has not closed the connection, as far as is known here. Only to be asked
    /// while no answer is due: the socket does not block meanwhile, nor does whoever reads from it.
    pub fn is_open(&self) -> bool {
        let tcp = self.tcp();
        let peeked = tcp.set_nonblocking(true).and_then(|()| tcp.peek(&mut [0]));
        let blocks_again = tcp.set_nonblocking(false);
        // Bytes that nobody asked for are no good sign either.
        blocks_again.is_ok() && peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// From any thread: whoever reads or writes gets an error at once.
    pub fn shutdown(&self) {
        // An error means that the connection has ended already.
        let _ = self.tcp().shutdown(Shutdown::Both);
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.tcp(),
        }
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
    Err(failed(address, "no connection", &why))
}

/// What an error of the connection to `address` means, while `what` was wanted.
pub fn failed(address: &str, what: &str, error: &io::Error) -> BrokerError {
    if let Some(tls) = crate::tls::fault_in(error) {
        return super::tls_stream::failed(address, tls);
    }
    BrokerError::Unavailable(match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => format!("{address}: {what} in time"),
        ErrorKind::UnexpectedEof => format!("{address}: the broker closed the connection"),
        _ => format!("{address}: {what}: {error}"),
    })
}

/// Whether the other side has ended the connection.
pub fn is_hang_up(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

/// What is left until `deadline`; a timeout of zero means "none" to the socket.
fn left(deadline: Instant) -> io::Result<Option<Duration>> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(ErrorKind::TimedOut.into()),
        left => Ok(Some(left)),
    }
}

/// 0 is the end.
pub fn read_some(mut tcp: &TcpStream, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
    loop {
        tcp.set_read_timeout(left(deadline)?)?;
        match tcp.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

pub fn write_all(mut tcp: &TcpStream, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        tcp.set_write_timeout(left(deadline)?)?;
        match tcp.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
