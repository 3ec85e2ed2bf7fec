//! Tokens of others: JSON Web Tokens (RFC 7519), signed with HS256, RS256, ES256 or EdDSA.

mod issuer;
mod key_set;
mod remote;

pub use issuer::{Flaw, Issuer, IssuerKeys, IssuerTerms, TokenVerdict};
pub use key_set::{KeySet, KeySetSource};
pub use remote::{Fetcher, KeySetUrl, Remote};

use jsonwebtoken::{Header, decode_header};

/// The header of what may be a token of somebody's; what it says is not believed yet.
pub fn header(text: &str) -> Option<Header> {
    if text.bytes().filter(|byte| *byte == b'.').count() != 2 {
        return None;
    }
    // What must be understood is not understood here (RFC 7515, 4.1.11).
    decode_header(text).ok().filter(|header| header.crit.is_none())
}

#[cfg(test)]
mod tests;
