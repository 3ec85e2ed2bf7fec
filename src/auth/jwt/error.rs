//! Errors of key sets.

use crate::tls::UnsupportedCpu;
use std::io;
use thiserror::Error;

/// The shortest secret for HS256, in bytes (RFC 7518, 3.2).
pub const MIN_SECRET_LEN: usize = 32;

/// Keys that cannot be used. The text is not repeated: it may be a secret.
#[derive(Debug, Error)]
pub enum KeySetError {
    #[error("secret is shorter than {MIN_SECRET_LEN} characters; `openssl rand -hex 32` makes a good one")]
    ShortSecret,
    #[error("there is no public key in PEM (-----BEGIN PUBLIC KEY-----)")]
    NoPem,
    #[error("this is a private key; give the public one: openssl pkey -in FILE -pubout")]
    PrivateKey,
    #[error("this is a certificate; give its public key: openssl x509 -in FILE -noout -pubkey")]
    Certificate,
    #[error("the RSA key is shorter than 2048 bits")]
    ShortRsa,
    #[error("the elliptic-curve key is not on P-256, which ES256 requires")]
    OtherCurve,
    #[error("a PEM key is damaged, or is neither RSA nor P-256 nor Ed25519")]
    DamagedPem,
    #[error("this is not a JWK set, such as {{\"keys\":[…]}}")]
    NotJwks,
    #[error("no key of the set is for RS256, ES256, EdDSA (or HS256, in a file)")]
    NoUsableKey,
}

/// The thread that fetches a key set cannot be started.
#[derive(Debug, Error)]
pub enum FetcherError {
    #[error(transparent)]
    UnsupportedCpu(#[from] UnsupportedCpu),
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
}

/// A key set cannot be fetched.
#[derive(Debug, Error)]
pub enum FetchError {
    #[error(transparent)]
    Http(#[from] ureq::Error),
    #[error("status {0}; redirects are not followed: give the final URL")]
    Status(ureq::http::StatusCode),
    #[error(transparent)]
    Keys(#[from] KeySetError),
}
