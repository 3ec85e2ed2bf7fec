//! The client side of TLS: trust anchors, client certificates and protocol versions.

use super::UnsupportedCpu;
use super::verifier::{CertificateVerifier, NameCheck};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use std::fmt;
use std::sync::Arc;
use ureq::tls::{ClientCert, PrivateKey, RootCerts};

/// The trust anchors for server certificates.
#[derive(Debug, Clone)]
pub enum Trust {
    /// The CAs in the system's trust store.
    System,
    /// These certificates, of CAs or of the servers themselves.
    Given(Vec<CertificateDer<'static>>),
}

/// The bridge's client certificate, for mutual TLS.
pub struct TlsIdentity {
    /// The client certificate first, then its intermediate certificates.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the client certificate.
    pub key: PrivateKeyDer<'static>,
}

/// The TLS versions to offer (`ssl.enabled.protocols`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersions {
    Both,
    Only12,
    Only13,
}

static ONLY_12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
static ONLY_13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// The TLS configuration of a client, shared by its connections.
pub struct ClientTls {
    /// The configuration for rustls.
    pub config: Arc<ClientConfig>,
}

/// Why a TLS configuration cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No CA is configured, and the system has none. Callers add the name of the setting for a CA.
    #[error("this system has no CA certificates")]
    NoSystemRoots,
    /// None of the configured certificates can be parsed.
    #[error("the truststore holds no certificate that can be read")]
    NoReadableRoots,
    #[error("the truststore cannot be used: {0}")]
    Truststore(#[from] VerifierBuilderError),
    #[error("the keystore cannot be used: {0}; its key must be the one of its first certificate")]
    Keystore(#[source] rustls::Error),
    #[error("the private key of the client certificate cannot be used: {0}")]
    PrivateKey(#[source] ureq::Error),
    #[error("TLS cannot be set up: {0}")]
    Versions(#[source] rustls::Error),
    #[error(transparent)]
    UnsupportedCpu(#[from] UnsupportedCpu),
}

impl ClientTls {
    /// Builds the configuration. Errors never contain a key.
    pub fn new(
        trust: Trust,
        identity: Option<TlsIdentity>,
        names: NameCheck,
        versions: TlsVersions,
    ) -> Result<Self, TlsError> {
        let provider = super::provider()?;
        let trusted = match &trust {
            Trust::System => Vec::new(),
            Trust::Given(certificates) => certificates.clone(),
        };
        let mut roots = RootCertStore::empty();
        let (accepted, _) = roots.add_parsable_certificates(trust_anchors(trust));
        if accepted == 0 {
            return Err(if trusted.is_empty() { TlsError::NoSystemRoots } else { TlsError::NoReadableRoots });
        }
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build()?;
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions.list())
            .map_err(TlsError::Versions)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(CertificateVerifier { inner, trusted, names }));
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(TlsIdentity { chain, key }) => {
                builder.with_client_auth_cert(chain, key).map_err(TlsError::Keystore)?
            }
        };
        Ok(Self { config: Arc::new(config) })
    }
}

impl TlsVersions {
    fn list(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Both => rustls::ALL_VERSIONS,
            Self::Only12 => ONLY_12,
            Self::Only13 => ONLY_13,
        }
    }
}

/// Returns the trusted certificates. Skips certificates of the system that cannot be read.
pub fn trust_anchors(trust: Trust) -> Vec<CertificateDer<'static>> {
    match trust {
        Trust::Given(certificates) => certificates,
        Trust::System => rustls_native_certs::load_native_certs().certs,
    }
}

/// Returns the TLS settings of ureq for the given trust anchors.
pub fn ureq_config(anchors: &[CertificateDer<'static>]) -> Result<ureq::tls::TlsConfig, UnsupportedCpu> {
    ureq_tls(anchors, None)
}

/// Returns the TLS settings of ureq for the given trust anchors and client certificate.
pub fn ureq_config_with(
    anchors: &[CertificateDer<'static>],
    identity: Option<&TlsIdentity>,
) -> Result<ureq::tls::TlsConfig, TlsError> {
    Ok(ureq_tls(anchors, identity.map(ureq_identity).transpose()?)?)
}

fn ureq_tls(
    anchors: &[CertificateDer<'static>],
    identity: Option<ClientCert>,
) -> Result<ureq::tls::TlsConfig, UnsupportedCpu> {
    Ok(ureq::tls::TlsConfig::builder()
        .unversioned_rustls_crypto_provider(super::provider()?)
        .root_certs(RootCerts::new_with_certs(&ureq_certificates(anchors)))
        .client_cert(identity)
        .build())
}

fn ureq_identity(TlsIdentity { chain, key }: &TlsIdentity) -> Result<ClientCert, TlsError> {
    let label = match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    // ureq has no name for the kind of a key, except in PEM.
    let der = STANDARD.encode(key.secret_der());
    let pem = format!("-----BEGIN {label}-----\n{der}\n-----END {label}-----\n");
    let key = PrivateKey::from_pem(pem.as_bytes()).map_err(TlsError::PrivateKey)?;
    Ok(ClientCert::new_with_certs(&ureq_certificates(chain), key))
}

fn ureq_certificates(certificates: &[CertificateDer<'static>]) -> Vec<ureq::tls::Certificate<'static>> {
    certificates.iter().map(|der| ureq::tls::Certificate::from_der(der).to_owned()).collect()
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls")
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({} certificates)", self.chain.len())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rustls::pki_types::{PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};

    #[test]
    fn a_client_certificate_with_each_kind_of_key_reaches_ureq() {
        // The length of an RSA key with 8,192 bits.
        let der = vec![7; 4_700];
        let keys: [PrivateKeyDer<'static>; 3] = [
            PrivatePkcs8KeyDer::from(der.clone()).into(),
            PrivatePkcs1KeyDer::from(der.clone()).into(),
            PrivateSec1KeyDer::from(der.clone()).into(),
        ];
        for key in keys {
            let identity = TlsIdentity { chain: vec![vec![1, 2].into(), vec![3].into()], key };
            let config = ureq_config_with(&[], Some(&identity)).unwrap();
            let sent = config.client_cert().unwrap();
            let chain: Vec<&[u8]> = sent.certs().iter().map(|certificate| certificate.der()).collect();
            assert_eq!((chain, sent.private_key().der()), (vec![&[1, 2][..], &[3]], der.as_slice()));
        }
    }
}
