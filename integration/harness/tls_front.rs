//! TLS in front of a server without it: demands a client certificate, as registries behind a gateway do.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use std::path::Path;
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

/// Decrypts connections and forwards them, until dropped.
pub struct TlsFront {
    pub port: u16,
    _runtime: Runtime,
}

impl TlsFront {
    /// Forwards connections to the port `upstream`. `certificates` holds the files of [`crate::secured::make_certificates`],
    /// and `server` names the server's among them. Clients need a certificate of its CA.
    pub fn start(upstream: u16, certificates: &Path, server: &str, version: &'static SupportedProtocolVersion) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(config(certificates, server, version)));
        let runtime = Runtime::new().expect("runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("port");
        let port = listener.local_addr().expect("address").port();
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move { drop(forward(client, &acceptor, upstream).await) });
            }
        });
        Self { port, _runtime: runtime }
    }
}

async fn forward(client: TcpStream, acceptor: &TlsAcceptor, upstream: u16) -> std::io::Result<()> {
    match acceptor.accept(client).into_fallible().await {
        Ok(mut client) => {
            let mut server = TcpStream::connect(("127.0.0.1", upstream)).await?;
            tokio::io::copy_bidirectional(&mut client, &mut server).await.map(drop)
        }
        // Closing a socket with unread data would discard the alert on its way to the client.
        Err((_, mut client)) => client.read_to_end(&mut Vec::new()).await.map(drop),
    }
}

fn config(certificates: &Path, server: &str, version: &'static SupportedProtocolVersion) -> ServerConfig {
    let read = |name: &str| std::fs::read(certificates.join(name)).expect("a file of make_certificates");
    let certificates_in = |name: &str| {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(name)).collect();
        found.expect("certificates")
    };
    let mut roots = RootCertStore::empty();
    certificates_in("ca.pem").into_iter().for_each(|ca| roots.add(ca).expect("a CA"));
    let provider = curlew::tls::provider().expect("a CPU for TLS");
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    let file = format!("{server}.pem");
    let key = PrivateKeyDer::from_pem_slice(&read(&file)).expect("a private key");
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_client_cert_verifier(verifier.expect("a verifier"))
        .with_single_cert(certificates_in(&file), key)
        .expect("a certificate and its key")
}
