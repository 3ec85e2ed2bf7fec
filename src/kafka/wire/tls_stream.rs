//! TLS over a socket that one thread reads while another writes.
//!
//! rustls keeps both directions in one state, behind a lock here. The lock is held only to seal or to
//! open records, never over a read or a write of the socket: who waits for an answer holds up nobody.

use super::transport::{is_hang_up, read_some, write_all};
use crate::broker::BrokerError;
use crate::kafka::security::explain;
use crate::sync::lock;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Bytes taken from the socket at a time: some records.
const READ: usize = 64 << 10;
/// Bytes sealed at a time, so that who reads gets the lock in between.
const SEAL: usize = 64 << 10;

pub struct TlsStream {
    tcp: TcpStream,
    session: Mutex<ClientConnection>,
    /// Of who reads.
    sealed_in: Mutex<Incoming>,
    /// Of who writes. Held over the whole write, since records must leave in the order in which they were sealed.
    sealed_out: Mutex<Vec<u8>>,
}

/// What came and was not opened yet.
struct Incoming {
    bytes: Box<[u8]>,
    filled: Range<usize>,
}

impl TlsStream {
    /// Shakes hands over a new connection to `address` (`host:port`), whose host the certificate must be for.
    pub fn connect(
        tcp: TcpStream,
        address: &str,
        config: Arc<ClientConfig>,
        deadline: Instant,
    ) -> Result<Self, BrokerError> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        // A final dot is right in DNS and unknown in certificates.
        let name = ServerName::try_from(host.trim_end_matches('.').to_owned())
            .map_err(|_| BrokerError::Untrusted(format!("{host:?} is no host name that a certificate can be for")))?;
        let mut session = ClientConnection::new(config, name).map_err(|error| failed(address, &error))?;
        session.set_buffer_limit(None);
        let mut incoming = Incoming { bytes: vec![0; READ].into(), filled: 0..0 };
        shake_hands(&tcp, &mut session, &mut incoming, deadline).map_err(|error| cut_short(address, error))?;
        Ok(Self { tcp, session: Mutex::new(session), sealed_in: Mutex::new(incoming), sealed_out: Mutex::default() })
    }

    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Some bytes; 0 is the end.
    pub fn read(&self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        let mut incoming = lock(&self.sealed_in);
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

    pub fn write_all(&self, bytes: &[u8], deadline: Instant) -> io::Result<()> {
        let mut sealed = lock(&self.sealed_out);
        for chunk in bytes.chunks(SEAL) {
            sealed.clear();
            {
                let mut session = lock(&self.session);
                session.writer().write_all(chunk)?;
                // With it goes what the other side's messages have called for meanwhile, such as new keys.
                while session.wants_write() {
                    session.write_tls(&mut *sealed)?;
                }
            }
            write_all(&self.tcp, &sealed, deadline)?;
        }
        Ok(())
    }
}

impl Incoming {
    /// Whether there was anything to open.
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

fn shake_hands(
    tcp: &TcpStream,
    session: &mut ClientConnection,
    incoming: &mut Incoming,
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
                    // So that the broker's log says why, too.
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

/// What an error of TLS itself means.
pub fn failed(address: &str, error: &rustls::Error) -> BrokerError {
    BrokerError::Untrusted(explain(address, error))
}

/// What it means that the connection ended before TLS had begun.
fn cut_short(address: &str, error: io::Error) -> BrokerError {
    if !is_hang_up(&error) {
        return super::transport::failed(address, "no TLS", &error);
    }
    BrokerError::Unavailable(format!(
        "{address} hung up when TLS was begun: it may be starting or ending, or its listener is PLAINTEXT or \
         SASL_PLAINTEXT and security.protocol must say so"
    ))
}
