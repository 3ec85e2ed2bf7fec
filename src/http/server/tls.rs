//! The server side of TLS: handshakes, and certificates that are reloaded when their files change.

use super::rejected_certs::RejectedCerts;
use crate::http::certificate::ClientCertificate;
use crate::http::transport::ClientTransport;
use crate::os::file_stamp::FileStamp;
use crate::sync::{read_lock, write_lock};
use crate::tls::{self, PemError, UnsupportedCpu};
use log::{error, info};
use rustls::server::{Acceptor, NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use std::future::{Future, poll_fn};
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, RwLock};
use std::task::Poll;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::LazyConfigAcceptor;

/// Paths of the PEM files that TLS needs.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The server's certificate, followed by its intermediate certificates.
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub clients: ClientCertificates,
}

/// Whether clients authenticate with certificates (mutual TLS).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientCertificates {
    Anonymous,
    /// A client may send a certificate, signed by a CA of this file.
    Requested(PathBuf),
    /// Every client must send a certificate, signed by a CA of this file.
    Required(PathBuf),
}

/// The files of [`TlsFiles`] cannot be used. Names the file at fault, for the operator.
#[derive(Debug, Error)]
pub enum ServerTlsError {
    #[error(transparent)]
    UnsupportedCpu(#[from] UnsupportedCpu),
    #[error(transparent)]
    Pem(#[from] PemError),
    #[error("TLS cannot be set up: {0}")]
    Setup(#[source] rustls::Error),
    #[error("{} contains a certificate that cannot be used as a CA: {source}", file.display())]
    Authority { file: PathBuf, source: rustls::Error },
    #[error("{} cannot be used for clients: {source}", file.display())]
    Clients { file: PathBuf, source: VerifierBuilderError },
    #[error("the certificate in {} and the key in {} cannot be used: {source}", certificate.display(), key.display())]
    Certificate { certificate: PathBuf, key: PathBuf, source: rustls::Error },
}

/// The TLS configuration of the listener.
#[derive(Clone)]
pub struct ServerTls {
    files: Arc<TlsFiles>,
    /// Stamps of the files, taken before they were read.
    loaded: Vec<FileStamp>,
    config: Arc<RwLock<Arc<ServerConfig>>>,
    rejected: Arc<RejectedCerts>,
    /// Limits the number of handshakes that use the CPU at a time.
    handshakes: Arc<Semaphore>,
}

/// The first byte of every TLS connection: the content type of a handshake record (RFC 8446, 5.1).
const HANDSHAKE: u8 = 0x16;
/// Maximum number of bytes that are buffered in encrypted form for a slow client: two full records of plaintext.
const SEND_BUFFER: usize = 32 << 10;
/// Interval between two checks of the files for changes.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

impl ServerTls {
    /// Loads the files.
    pub fn load(files: TlsFiles) -> Result<Self, ServerTlsError> {
        let loaded = files.stamps();
        let config = Arc::new(RwLock::new(load(&files)?));
        // Handshakes may use half of the cores; the others serve open connections.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (rejected, handshakes) = (Arc::default(), Arc::new(Semaphore::new(cores.div_ceil(2))));
        Ok(Self { files: Arc::new(files), loaded, config, rejected, handshakes })
    }

    /// Waits for a client's first byte, and returns whether it begins a TLS handshake.
    pub async fn begins_handshake(stream: &TcpStream) -> io::Result<bool> {
        let mut first = [0];
        // A client that disconnects at once has not sent plain HTTP.
        Ok(stream.peek(&mut first).await? == 0 || first[0] == HANDSHAKE)
    }

    /// Completes a handshake, and returns the names in the client's certificate. The caller limits the time.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<(ClientTransport, Option<Arc<ClientCertificate>>)> {
        let client = stream.peer_addr().ok();
        self.handshake(stream).await.inspect_err(|error| self.rejected.log(error, client))
    }

    async fn handshake(&self, stream: TcpStream) -> io::Result<(ClientTransport, Option<Arc<ClientCertificate>>)> {
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let permit = self.handshakes.acquire().await.map_err(io::Error::other)?;
        let config = read_lock(&self.config).clone();
        let mut handshake = pin!(hello.into_stream_with(config, |session| session.set_buffer_limit(Some(SEND_BUFFER))));
        // Only the first step is expensive. The permit is released before the client's reply is awaited.
        let first = poll_fn(|cx| Poll::Ready(handshake.as_mut().poll(cx))).await;
        drop(permit);
        let stream = match first {
            Poll::Ready(done) => done?,
            Poll::Pending => handshake.await?,
        };
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let certificate = certificates.first().map(|leaf| Arc::new(ClientCertificate::parse(leaf)));
        Ok((ClientTransport::Tls(Box::new(stream)), certificate))
    }

    /// Reloads the files whenever they change. Open connections keep their certificate. Never returns.
    pub async fn follow_files(self) {
        let mut loaded = self.loaded.clone();
        let mut before = loaded.clone();
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            let now = self.stamps().await;
            // Waits until the files are stable: the certificate and its key are written one after the other.
            if now == before && now != loaded {
                let files = self.files.clone();
                match tokio::task::spawn_blocking(move || load(&files)).await {
                    Ok(Ok(config)) => {
                        *write_lock(&self.config) = config;
                        info!("reloaded the certificate in {}", self.files.certificate.display());
                    }
                    Ok(Err(error)) => error!("rejected the new certificate, keeping the previous one: {error}"),
                    Err(_) => error!("cannot load the new certificate, keeping the previous one"),
                }
                loaded.clone_from(&now);
            }
            before = now;
        }
    }

    async fn stamps(&self) -> Vec<FileStamp> {
        let files = self.files.clone();
        tokio::task::spawn_blocking(move || files.stamps()).await.unwrap_or_default()
    }
}

impl TlsFiles {
    fn stamps(&self) -> Vec<FileStamp> {
        let all = [Some(&self.certificate), Some(&self.key), self.clients.authority()];
        all.into_iter().flatten().cloned().map(FileStamp::now).collect()
    }
}

impl ClientCertificates {
    fn authority(&self) -> Option<&PathBuf> {
        match self {
            Self::Anonymous => None,
            Self::Requested(file) | Self::Required(file) => Some(file),
        }
    }
}

fn load(files: &TlsFiles) -> Result<Arc<ServerConfig>, ServerTlsError> {
    let provider = tls::provider()?;
    let chain = tls::certificates(&files.certificate)?;
    let key = tls::private_key(&files.key)?;
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = builder.map_err(ServerTlsError::Setup)?;
    let builder = match files.clients.authority() {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let mut roots = RootCertStore::empty();
            for certificate in tls::certificates(file)? {
                let rejected = |source| ServerTlsError::Authority { file: file.clone(), source };
                roots.add(certificate).map_err(rejected)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match files.clients {
                ClientCertificates::Required(_) => verifier,
                ClientCertificates::Anonymous | ClientCertificates::Requested(_) => verifier.allow_unauthenticated(),
            };
            let rejected = |source| ServerTlsError::Clients { file: file.clone(), source };
            builder.with_client_cert_verifier(verifier.build().map_err(rejected)?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|source| ServerTlsError::Certificate {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        source,
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    match files.clients {
        // Tickets make resumption cheap, and the server keeps no state for them.
        ClientCertificates::Anonymous => {
            config.ticketer = rustls_graviola::Ticketer::new().map_err(ServerTlsError::Setup)?;
        }
        // Without resumption every connection verifies the client's certificate.
        ClientCertificates::Requested(_) | ClientCertificates::Required(_) => {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
    }
    Ok(Arc::new(config))
}
