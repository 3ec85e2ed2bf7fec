//! TLS for clients: handshakes, and certificates that may change while we serve.

use super::rejected_certs::RejectedCerts;
use crate::http::certificate::ClientCertificate;
use crate::http::transport::Transport;
use crate::os::file_stamp::FileStamp;
use crate::sync::{read_lock, write_lock};
use log::{error, info};
use rustls::server::{Acceptor, NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use std::future::{Future, poll_fn};
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, RwLock};
use std::task::Poll;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::LazyConfigAcceptor;

/// Where the certificate and what belongs to it are; all are PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// With the intermediate certificates behind it.
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub clients: Clients,
}

/// Whether clients show certificates of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clients {
    Anonymous,
    /// Those that have one of this authority are known by it.
    Requested(PathBuf),
    /// Nobody else gets in.
    Required(PathBuf),
}

/// What TLS connections are made with.
#[derive(Clone)]
pub struct ServerTls {
    files: Arc<TlsFiles>,
    /// As they were before they were read.
    loaded: Vec<FileStamp>,
    config: Arc<RwLock<Arc<ServerConfig>>>,
    unfit: Arc<RejectedCerts>,
    /// Handshakes that calculate at a time.
    turns: Arc<Semaphore>,
}

/// The first byte of every TLS connection: a record of kind handshake (RFC 8446, 5.1).
const HANDSHAKE: u8 = 0x16;
/// Plain bytes that may wait, encrypted, for a client that takes nothing: two full records.
const WAITING: usize = 32 << 10;
/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

impl ServerTls {
    /// An error is for the person who started the program.
    pub fn load(files: TlsFiles) -> Result<Self, String> {
        let loaded = files.seen();
        let config = Arc::new(RwLock::new(load(&files)?));
        // Others than those who are about to be let in are to be served meanwhile.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (unfit, turns) = (Arc::default(), Arc::new(Semaphore::new(cores.div_ceil(2))));
        Ok(Self { files: Arc::new(files), loaded, config, unfit, turns })
    }

    /// Whether a client's first byte is one of TLS; waits for it.
    pub async fn is_spoken_by(stream: &TcpStream) -> io::Result<bool> {
        let mut first = [0];
        // A client that leaves at once has spoken no other language.
        Ok(stream.peek(&mut first).await? == 0 || first[0] == HANDSHAKE)
    }

    /// Takes as long as the client does.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<(Transport, Option<Arc<ClientCertificate>>)> {
        let client = stream.peer_addr().ok();
        self.shake_hands(stream).await.inspect_err(|error| self.unfit.tell(error, client))
    }

    async fn shake_hands(&self, stream: TcpStream) -> io::Result<(Transport, Option<Arc<ClientCertificate>>)> {
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let turn = self.turns.acquire().await.map_err(io::Error::other)?;
        let config = read_lock(&self.config).clone();
        let mut handshake = pin!(hello.into_stream_with(config, |session| session.set_buffer_limit(Some(WAITING))));
        // The first step is the one that costs; the client's answer is not waited for in turn.
        let first = poll_fn(|cx| Poll::Ready(handshake.as_mut().poll(cx))).await;
        drop(turn);
        let stream = match first {
            Poll::Ready(done) => done?,
            Poll::Pending => handshake.await?,
        };
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let certificate = certificates.first().map(|leaf| Arc::new(ClientCertificate::parse(leaf)));
        Ok((Transport::Tls(Box::new(stream)), certificate))
    }

    /// Loads the files anew whenever they have changed; open connections go on with what they began with. Never ends.
    pub async fn follow_files(self) {
        let mut loaded = self.loaded.clone();
        let mut before = loaded.clone();
        loop {
            tokio::time::sleep(LOOK).await;
            let now = self.seen().await;
            // Not between the writing of the certificate and of its key.
            if now == before && now != loaded {
                let files = self.files.clone();
                match tokio::task::spawn_blocking(move || load(&files)).await {
                    Ok(Ok(config)) => {
                        *write_lock(&self.config) = config;
                        info!("the certificate in {} is in use now", self.files.certificate.display());
                    }
                    Ok(Err(what)) => error!("{what}; the certificate from before stays in use"),
                    Err(_) => error!("cannot load the new certificate; the one from before stays in use"),
                }
                loaded.clone_from(&now);
            }
            before = now;
        }
    }

    async fn seen(&self) -> Vec<FileStamp> {
        let files = self.files.clone();
        tokio::task::spawn_blocking(move || files.seen()).await.unwrap_or_default()
    }
}

impl TlsFiles {
    fn seen(&self) -> Vec<FileStamp> {
        let all = [Some(&self.certificate), Some(&self.key), self.clients.authority()];
        all.into_iter().flatten().cloned().map(FileStamp::now).collect()
    }
}

impl Clients {
    fn authority(&self) -> Option<&PathBuf> {
        match self {
            Self::Anonymous => None,
            Self::Requested(file) | Self::Required(file) => Some(file),
        }
    }
}

fn load(files: &TlsFiles) -> Result<Arc<ServerConfig>, String> {
    let provider = crate::tls::provider()?;
    let chain = crate::tls::certificates(&files.certificate)?;
    let key = crate::tls::private_key(&files.key)?;
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| format!("TLS cannot be set up: {e}"))?;
    let builder = match files.clients.authority() {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let mut roots = RootCertStore::empty();
            for certificate in crate::tls::certificates(file)? {
                let unfit = |e| format!("{} holds a certificate that cannot be an authority: {e}", file.display());
                roots.add(certificate).map_err(unfit)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match files.clients {
                Clients::Required(_) => verifier,
                Clients::Anonymous | Clients::Requested(_) => verifier.allow_unauthenticated(),
            };
            let unfit = |e| format!("{} cannot be used for clients: {e}", file.display());
            builder.with_client_cert_verifier(verifier.build().map_err(unfit)?)
        }
    };
    let (certificate, key_file) = (files.certificate.display(), files.key.display());
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|e| format!("the certificate in {certificate} and the key in {key_file} cannot be used: {e}"))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    match files.clients {
        // Those who come back calculate less, and nothing of them is kept here.
        Clients::Anonymous => {
            config.ticketer = rustls_graviola::Ticketer::new().map_err(|e| format!("TLS cannot be set up: {e}"))?;
        }
        // Each time they come their certificate is checked anew.
        Clients::Requested(_) | Clients::Required(_) => {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
    }
    Ok(Arc::new(config))
}
