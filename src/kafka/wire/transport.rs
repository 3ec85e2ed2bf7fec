//! The byte stream of one connection, with or without TLS. One thread may read while another one writes.

use super::socket::{connect, read_some, write_all};
use super::tls_stream::TlsStream;
use crate::broker::BrokerError;
use crate::kafka::security::Security;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// A TCP connection to a broker, with or without TLS.
pub enum BrokerTransport {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

impl BrokerTransport {
    /// Connects to `address` (`host:port`), trying each resolved address. `timeout` applies to each of them, and again to
    /// the TLS handshake.
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

    /// Fills `buffer` by `deadline`. Must be called by one thread at a time.
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

    /// Writes all of `bytes` by `deadline`. Must be called by one thread at a time. After an error the connection must
    /// be dropped.
    pub fn write_all(&self, bytes: &[u8], deadline: Instant) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => write_all(tcp, bytes, deadline),
            Self::Tls(tls) => tls.write_all(bytes, deadline),
        }
    }

    /// Returns whether the broker has kept the connection open, as far as the socket shows. Must not be called while a
    /// response is outstanding: the socket is non-blocking during the call, also for a concurrent reader.
    pub fn is_open(&self) -> bool {
        let tcp = self.tcp();
        let peeked = tcp.set_nonblocking(true).and_then(|()| tcp.peek(&mut [0]));
        let blocks_again = tcp.set_nonblocking(false);
        // Unsolicited bytes are an error as well.
        blocks_again.is_ok() && peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Closes the connection from any thread. Pending reads and writes fail at once.
    pub fn shutdown(&self) {
        // An error means that the connection is closed already.
        let _ = self.tcp().shutdown(Shutdown::Both);
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.tcp(),
        }
    }
}
