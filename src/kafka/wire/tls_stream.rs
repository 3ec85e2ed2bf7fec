//! TLS on a socket that one thread reads while another one writes.
//!
//! rustls keeps both directions in one state, which a lock guards here. The lock is held only while records are
//! encrypted or decrypted, never during socket I/O, so that a blocked reader does not block the writer.

use super::socket::{ConnectionStep, io_error, read_some, tls_error, write_all};
use crate::broker::{BrokerError, Cause};
use crate::kafka::security::TlsFailure;
use crate::sync::lock;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// The size of one read from the socket, which is several TLS records.
const READ_BYTES: usize = 64 << 10;
/// The most bytes to encrypt at a time, so that the reader gets the lock in between.
const CHUNK_BYTES: usize = 64 << 10;

/// A TLS connection.
pub struct TlsStream {
    tcp: TcpStream,
    session: Mutex<ClientConnection>,
    /// Locked by the reader.
    incoming: Mutex<EncryptedInput>,
    /// Locked by the writer during the entire write, because records must be sent in the order of their encryption.
    outgoing: Mutex<Vec<u8>>,
}

/// Bytes that arrived and are not decrypted yet.
struct EncryptedInput {
    bytes: Box<[u8]>,
    filled: Range<usize>,
}

impl TlsStream {
    /// Runs the TLS handshake on a new connection to `address` (`host:port`), whose host the certificate must name.
    pub fn connect(
        tcp: TcpStream,
        address: &str,
        config: Arc<ClientConfig>,
        deadline: Instant,
    ) -> Result<Self, BrokerError> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        // A trailing dot is valid in DNS but not in certificates.
        let name = ServerName::try_from(host.trim_end_matches('.').to_owned())
            .map_err(|_| BrokerError::Untrusted(Cause::new(TlsFailure::HostName(host.to_owned()))))?;
        let mut session = ClientConnection::new(config, name).map_err(|error| tls_error(address, error))?;
        session.set_buffer_limit(None);
        let mut incoming = EncryptedInput { bytes: vec![0; READ_BYTES].into(), filled: 0..0 };
        handshake(&tcp, &mut session, &mut incoming, deadline)
            .map_err(|error| io_error(address, ConnectionStep::TlsHandshake, error, None))?;
        Ok(Self { tcp, session: Mutex::new(session), incoming: Mutex::new(incoming), outgoing: Mutex::default() })
    }

    /// Returns the underlying socket.
    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Reads some bytes by `deadline`; 0 is the end of the stream.
    pub fn read(&self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        let mut incoming = lock(&self.incoming);
        loop {
            {
                let mut session = lock(&self.session);
                match session.reader().read(buffer) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    read => return read,
                }
                if incoming.open(&mut session)? {
                    continue;
                }
            }
            if incoming.fill(&self.tcp, deadline)? == 0 {
                return Ok(0);
            }
        }
    }

    /// Encrypts and writes all of `bytes` by `deadline`.
    pub fn write_all(&self, bytes: &[u8], deadline: Instant) -> io::Result<()> {
        let mut sealed = lock(&self.outgoing);
        for chunk in bytes.chunks(CHUNK_BYTES) {
            sealed.clear();
            {
                let mut session = lock(&self.session);
                session.writer().write_all(chunk)?;
                // This includes responses to messages from the broker, such as key updates.
                while session.wants_write() {
                    session.write_tls(&mut *sealed)?;
                }
            }
            write_all(&self.tcp, &sealed, deadline)?;
        }
        Ok(())
    }
}

impl EncryptedInput {
    /// Decrypts the bytes that have arrived. Returns `false` if there are no such bytes.
    fn open(&mut self, session: &mut ClientConnection) -> io::Result<bool> {
        let mut rest = self.bytes.get(self.filled.clone()).unwrap_or_default();
        if rest.is_empty() {
            return Ok(false);
        }
        self.filled.start += session.read_tls(&mut rest)?;
        session.process_new_packets().map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        Ok(true)
    }

    fn fill(&mut self, tcp: &TcpStream, deadline: Instant) -> io::Result<usize> {
        let len = read_some(tcp, &mut self.bytes, deadline)?;
        self.filled = 0..len;
        Ok(len)
    }
}

fn handshake(
    tcp: &TcpStream,
    session: &mut ClientConnection,
    incoming: &mut EncryptedInput,
    deadline: Instant,
) -> io::Result<()> {
    loop {
        let mut sealed = Vec::new();
        while session.wants_write() {
            session.write_tls(&mut sealed)?;
        }
        write_all(tcp, &sealed, deadline)?;
        if !session.is_handshaking() {
            return Ok(());
        }
        while session.wants_read() && session.is_handshaking() && !session.wants_write() {
            match incoming.open(session) {
                Ok(true) => {}
                Ok(false) => {
                    if incoming.fill(tcp, deadline)? == 0 {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => {
                    // The alert lets the broker log the reason too.
                    let mut alert = Vec::new();
                    if session.write_tls(&mut alert).is_ok() {
                        let _ = write_all(tcp, &alert, deadline);
                    }
                    return Err(error);
                }
            }
        }
    }
}
