//! Reads certificates and private keys from PEM files (RFC 7468).

use crate::os::small_file;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a PEM file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    /// The file does not contain the required item.
    #[error("{} holds no {wanted} in PEM", file.display())]
    Missing { file: PathBuf, wanted: PemItem },
    /// The file is not well-formed.
    #[error("{} is not well-formed PEM: {source}", file.display())]
    Malformed { file: PathBuf, source: pem::Error },
}

/// The content that a PEM file must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PemItem {
    Certificates,
    PrivateKey,
}

impl PemError {
    fn new(file: &Path, wanted: PemItem, source: pem::Error) -> Self {
        let file = file.to_owned();
        match source {
            pem::Error::NoItemsFound => Self::Missing { file, wanted },
            source => Self::Malformed { file, source },
        }
    }
}

/// For callers whose errors are text.
impl From<PemError> for String {
    fn from(error: PemError) -> Self {
        error.to_string()
    }
}

impl fmt::Display for PemItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificates => "certificates (-----BEGIN CERTIFICATE-----)",
            Self::PrivateKey => "private key (-----BEGIN PRIVATE KEY-----, not encrypted)",
        })
    }
}

/// Reads the certificates of a PEM file, in order. Rejects a file without certificates.
pub fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let error = |source| PemError::new(file, PemItem::Certificates, source);
    let text = read(file)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(error)?;
    if certificates.is_empty() { Err(error(pem::Error::NoItemsFound)) } else { Ok(certificates) }
}

/// Reads the first private key of a PEM file: PKCS#8, PKCS#1 or SEC1, not encrypted.
pub fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, PemError> {
    PrivateKeyDer::from_pem_slice(&read(file)?).map_err(|source| PemError::new(file, PemItem::PrivateKey, source))
}

fn read(file: &Path) -> Result<Vec<u8>, PemError> {
    small_file::read_regular(file).map_err(|source| PemError::Unreadable { file: file.to_owned(), source })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_is_wrong_with_a_pem_file() {
        let file = std::env::temp_dir().join(format!("curlew-pem-{}", std::process::id()));
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            (certificates(&file).map(|all| all.len()), private_key(&file).map(|key| key.secret_der().to_vec()))
        };
        let block = |kind: &str| format!("-----BEGIN {kind}-----\naGVsbG8=\n-----END {kind}-----\n");
        let (certificates, key) = read("");
        assert!(certificates.unwrap_err().to_string().contains("holds no certificates"));
        assert!(key.unwrap_err().to_string().contains("holds no private key"));
        let both = block("CERTIFICATE").repeat(2) + &block("PRIVATE KEY");
        let (certificates, key) = read(&both);
        assert_eq!((certificates.unwrap(), key.unwrap()), (2, b"hello".to_vec()));
        let (_, encrypted) = read(&block("ENCRYPTED PRIVATE KEY"));
        assert!(encrypted.unwrap_err().to_string().contains("not encrypted"));
        let (certificates, _) = read("-----BEGIN CERTIFICATE-----\naGVsbG8=\n");
        assert!(certificates.unwrap_err().to_string().contains("is not well-formed PEM"));
        std::fs::remove_file(&file).unwrap();
        assert!(private_key(&file).unwrap_err().to_string().starts_with("cannot read "));
    }
}
