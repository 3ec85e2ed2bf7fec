//! Tokens of identity providers: JSON Web Tokens (RFC 7519) signed with HS256, RS256, ES256 or EdDSA.

mod error;
mod issuer;
mod key_set;
mod remote;

pub use error::{FetcherError, KeySetError};
pub use issuer::{Issuer, IssuerKeys, IssuerSettings, TokenFlaw, TokenVerdict};
pub use key_set::{KeySet, KeySetSource};
pub use remote::{Fetcher, KeySetUrl, Remote};

use jsonwebtoken::{Header, decode_header};

/// Parses the header of a token without verifying the signature. Returns `None` if `text` is not a JWT.
pub fn header(text: &str) -> Option<Header> {
    if text.bytes().filter(|byte| *byte == b'.').count() != 2 {
        return None;
    }
    // No critical header parameter is supported, so a token that has one must be rejected (RFC 7515, 4.1.11).
    decode_header(text).ok().filter(|header| header.crit.is_none())
}

#[cfg(test)]
mod tests;
