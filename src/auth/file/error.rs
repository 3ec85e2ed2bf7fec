//! Errors in the auth file. None of them contains a secret.

use super::{MAX_NAME_LEN, MIN_SECRET_LEN};
use crate::auth::password::InvalidHash;
use std::time::Duration;
use thiserror::Error;

/// An error in the auth file, on one line of text.
#[derive(Debug, Error)]
#[error("line {line}: {fault}")]
pub struct AuthFileError {
    /// The number of the line, from 1.
    pub line: usize,
    #[source]
    pub fault: AuthFileFault,
}

#[derive(Debug, Error)]
pub enum AuthFileFault {
    /// A message of the TOML parser, without the values that it quotes. The parser's error is dropped, because it
    /// contains the text of the file.
    #[error("{0}")]
    Syntax(String),
    #[error("this is an API key, which belongs to its client; put only the lines below it in this file")]
    PlainKey,
    #[error("ticket_secret is shorter than {MIN_SECRET_LEN} characters; `openssl rand -hex 32` makes a good one")]
    ShortTicketSecret,
    #[error("session must be a duration such as 30m, 12h or 7d, up to 31d")]
    Session,
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error("key {name:?}: {fault}")]
    Key {
        name: String,
        #[source]
        fault: KeyFault,
    },
    #[error("jwt {name:?}: {fault}")]
    Issuer {
        name: String,
        #[source]
        fault: IssuerFault,
    },
    #[error("two [[jwt]] are named {0:?}; names must be unique")]
    DuplicateIssuer(String),
}

/// The name of a key or an issuer is not valid.
#[derive(Debug, Error)]
#[error("name {0:?} is not valid: use 1 to {MAX_NAME_LEN} characters, no colon and no slash")]
pub struct InvalidName(pub String);

/// An error in a `[[key]]`.
#[derive(Debug, Error)]
pub enum KeyFault {
    #[error("give it either sha256 or argon2, or certificate = true")]
    Proof,
    #[error("sha256 is not 64 hexadecimal digits; `curlew key new` prints a key and its line")]
    Sha256,
    #[error(transparent)]
    Argon2(#[from] InvalidHash),
    #[error("expires must be an instant with a time zone, such as 2027-01-31T00:00:00Z")]
    Expires,
}

/// An error in a `[[jwt]]`.
#[derive(Debug, Error)]
pub enum IssuerFault {
    #[error("give it one of secret, public_key, public_key_file, jwks_file and jwks_url")]
    Source,
    #[error("jwks_url must be a URL such as https://idp.example/jwks.json")]
    Url,
    #[error("{setting} must be a duration such as 30s, from {} s to {} s", min.as_secs(), max.as_secs())]
    Duration { setting: &'static str, min: Duration, max: Duration },
}
