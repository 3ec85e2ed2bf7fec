//! TLS support shared by clients and servers: the cryptography provider and the parsing of PEM files.

mod client;
mod verifier;

pub use client::{ClientTls, TlsError, TlsIdentity, TlsVersions, Trust, trust_anchors, ureq_config};
pub use verifier::NameCheck;

use crate::os::small_file;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Returns the cryptography provider for rustls. Returns an error for the operator if graviola does not support this CPU:
/// it is written in assembly for CPUs from about 2013 on, and would abort the process on others.
pub fn provider() -> Result<Arc<CryptoProvider>, String> {
    if graviola::util::is_cpu_supported() {
        Ok(Arc::new(rustls_graviola::default_provider()))
    } else {
        Err(format!(
            "this CPU does not support TLS: it needs {NEEDED}; run without TLS, behind a proxy that terminates TLS, or on \
             another machine"
        ))
    }
}

/// Returns the TLS error that made reading or writing fail, if there is one.
pub fn fault_in(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Returns the TLS error that made a request fail, if there is one. ureq mostly wraps it in an I/O error.
pub fn fault_of(error: &ureq::Error) -> Option<&rustls::Error> {
    match error {
        ureq::Error::Rustls(error) => Some(error),
        ureq::Error::Io(error) => fault_in(error),
        _ => None,
    }
}

#[cfg(target_arch = "x86_64")]
const NEEDED: &str =
    "AES, PCLMULQDQ, BMI1, ADX, AVX and AVX2 (Intel since Broadwell, AMD since Zen; virtual machines may hide them)";
#[cfg(target_arch = "aarch64")]
const NEEDED: &str = "NEON, AES, PMULL and SHA2 (a Raspberry Pi 5 has them, a Raspberry Pi 4 does not)";

/// Reads the certificates of a PEM file, in order. Rejects a file without certificates. An error names the file.
pub fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let fault = |error| fault(file, &error, "certificates (-----BEGIN CERTIFICATE-----)");
    let text = read(file)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(fault)?;
    if certificates.is_empty() { Err(fault(pem::Error::NoItemsFound)) } else { Ok(certificates) }
}

/// Reads the first private key of a PEM file: PKCS#8, PKCS#1 or SEC1, not encrypted. An error names the file.
pub fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(&read(file)?)
        .map_err(|error| fault(file, &error, "private key (-----BEGIN PRIVATE KEY-----, not encrypted)"))
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    small_file::read_regular(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
}

fn fault(file: &Path, error: &pem::Error, wanted: &str) -> String {
    let file = file.display();
    match error {
        pem::Error::NoItemsFound => format!("{file} holds no {wanted} in PEM"),
        other => format!("{file} is not well-formed PEM: {other}"),
    }
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
        assert!(certificates.unwrap_err().contains("holds no certificates"));
        assert!(key.unwrap_err().contains("holds no private key"));
        let both = block("CERTIFICATE").repeat(2) + &block("PRIVATE KEY");
        assert_eq!(read(&both), (Ok(2), Ok(b"hello".to_vec())));
        let (_, encrypted) = read(&block("ENCRYPTED PRIVATE KEY"));
        assert!(encrypted.unwrap_err().contains("not encrypted"));
        let (certificates, _) = read("-----BEGIN CERTIFICATE-----\naGVsbG8=\n");
        assert!(certificates.unwrap_err().contains("is not well-formed PEM"));
        std::fs::remove_file(&file).unwrap();
        assert!(private_key(&file).unwrap_err().starts_with("cannot read "));
    }
}
