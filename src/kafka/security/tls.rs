//! TLS as one cluster wants it, read once at the start.

use super::verifier::Verifier;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use std::fmt;
use std::sync::Arc;

/// Whose signatures on brokers' certificates are believed.
#[derive(Debug, Clone)]
pub enum Trust {
    /// The CAs that the system knows.
    System,
    /// These CAs, or brokers' own certificates.
    Given(Vec<CertificateDer<'static>>),
}

/// A certificate of the bridge's own, by which a broker knows it.
pub struct TlsIdentity {
    /// The bridge's first, then those that lead to a CA.
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

/// Kafka's `ssl.endpoint.identification.algorithm`: whether a certificate must be for the host it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameCheck {
    Required,
    Skipped,
}

/// Of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    Both,
    Only12,
    Only13,
}

static ONLY_12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
static ONLY_13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// A client's side of TLS, for any number of connections.
pub struct BrokerTls {
    pub config: Arc<ClientConfig>,
    /// For connections that are not Kafka's: to where tokens come from.
    pub provider: Arc<CryptoProvider>,
}

impl BrokerTls {
    /// An error says what to change, and never holds a key.
    pub fn new(
        trust: Trust,
        identity: Option<TlsIdentity>,
        names: NameCheck,
        versions: Versions,
    ) -> Result<Self, String> {
        let provider = crate::tls::provider()?;
        let given = match &trust {
            Trust::System => Vec::new(),
            Trust::Given(certificates) => certificates.clone(),
        };
        let mut roots = RootCertStore::empty();
        let (taken, _) = roots.add_parsable_certificates(roots_of(trust));
        if taken == 0 {
            return Err(match given.is_empty() {
                true => {
                    "this system has no CA certificates; give the one to trust: of Kafka with ssl.truststore.location, of a \
                     bridge with --cacert"
                        .to_owned()
                }
                false => "the truststore holds no certificate that can be read".to_owned(),
            });
        }
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
        let inner = inner.map_err(|error| format!("the truststore cannot be used: {error}"))?;
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions.list())
            .map_err(|error| format!("TLS cannot be set up: {error}"))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier { inner, given, names }));
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(TlsIdentity { chain, key }) => builder.with_client_auth_cert(chain, key).map_err(|error| {
                format!("the keystore cannot be used: {error}; its key must be the one of its first certificate")
            })?,
        };
        Ok(Self { config: Arc::new(config), provider })
    }
}

impl Versions {
    fn list(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Both => rustls::ALL_VERSIONS,
            Self::Only12 => ONLY_12,
            Self::Only13 => ONLY_13,
        }
    }
}

/// The system's certificates, without those that cannot be read.
pub fn roots_of(trust: Trust) -> Vec<CertificateDer<'static>> {
    match trust {
        Trust::Given(certificates) => certificates,
        Trust::System => rustls_native_certs::load_native_certs().certs,
    }
}

impl fmt::Debug for BrokerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({} certificates)", self.chain.len())
    }
}
