//! The errors of fetching or reading an OAuth token.

use super::explain::TlsFailure;
use crate::broker::{BrokerError, Cause};
use std::path::PathBuf;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The authorization server cannot be reached, or its response cannot be read.
    #[error("no token from {url}: {source}")]
    Request {
        /// The URL of the token endpoint.
        url: String,
        /// The error of the HTTP client.
        source: ureq::Error,
    },
    /// The authorization server responds with an error that is not about the credentials.
    #[error("no token from {url}: it responds with status {status}")]
    Status {
        /// The URL of the token endpoint.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The response of the authorization server contains no token.
    #[error("no token from {url}: the response has no access_token")]
    NoAccessToken {
        /// The URL of the token endpoint.
        url: String,
    },
    /// The authorization server rejects the client's credentials (RFC 6749, 5.2).
    #[error("{url} rejects client {client:?} (status {status}): {reason}; check clientId, clientSecret and scope")]
    Rejected {
        /// The URL of the token endpoint.
        url: String,
        /// The client's id.
        client: String,
        /// The HTTP status.
        status: u16,
        /// The server's description of the error.
        reason: String,
    },
    /// The token file cannot be read.
    #[error("no token in {}: {source}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The token file contains something other than a token.
    #[error("{} does not contain a token", .0.display())]
    NotAToken(PathBuf),
    /// TLS with the authorization server failed.
    #[error(transparent)]
    Tls(TlsFailure),
}

impl From<TokenError> for BrokerError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Rejected { .. } | TokenError::NotAToken(_) | TokenError::Tls(_) => {
                Self::Untrusted(Cause::new(error))
            }
            TokenError::Request { .. }
            | TokenError::Status { .. }
            | TokenError::NoAccessToken { .. }
            | TokenError::File { .. } => Self::NoCredentials(Cause::new(error)),
        }
    }
}
