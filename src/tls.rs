//! TLS support shared by clients and servers: the cryptography provider, PEM files, and the configuration of clients.

mod client;
mod pem_file;
mod verifier;

pub use client::{ClientTls, TlsError, TlsIdentity, TlsVersions, Trust, trust_anchors, ureq_config, ureq_config_with};
pub use pem_file::{PemError, PemItem, certificates, private_key};
pub use verifier::NameCheck;

use rustls::crypto::CryptoProvider;
use std::io;
use std::sync::Arc;

/// The CPU lacks instructions that the cryptography library requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this CPU does not support TLS: it needs {NEEDED}; run without TLS, behind a proxy that terminates TLS, or on another \
     machine"
)]
pub struct UnsupportedCpu;

/// Returns the cryptography provider for rustls. The provider, graviola, is written in assembly for CPUs from about
/// 2013 on, and would abort the process on others.
pub fn provider() -> Result<Arc<CryptoProvider>, UnsupportedCpu> {
    if graviola::util::is_cpu_supported() {
        Ok(Arc::new(rustls_graviola::default_provider()))
    } else {
        Err(UnsupportedCpu)
    }
}

/// Returns the TLS error that caused an I/O error, if any.
pub fn fault_in(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Returns the TLS error that caused a request to fail, if any. ureq often wraps it in an I/O error.
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
