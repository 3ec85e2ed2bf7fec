//! Digests and message authentication codes, compared in constant time.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Digests several parts. Each is prefixed with its length, so that no two lists of parts have the same input.
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        Self(digest.finalize().into())
    }

    /// Parses 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digit = |at: usize| pair.get(at).and_then(|c| char::from(*c).to_digit(16));
            *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
        }
        Some(Self(bytes))
    }

    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Compares in constant time.
    pub fn equals(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// Returns the first 72 bits as 12 characters of base64url: enough for a fingerprint.
    pub fn fingerprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.get(..9).unwrap_or_default())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(digest)")
    }
}

/// An HMAC-SHA-256 key, which signs tokens that clients send back.
#[derive(Clone)]
pub struct MacKey(Hmac<Sha256>);

impl MacKey {
    pub fn new(secret: &[u8]) -> Option<Self> {
        Hmac::new_from_slice(secret).ok().map(Self)
    }

    /// Returns the HMAC of `bytes`.
    pub fn sign(&self, bytes: &[u8]) -> [u8; 32] {
        self.0.clone().chain_update(bytes).finalize().into_bytes().into()
    }

    /// Whether `mac` is the HMAC of `bytes`. Compares in constant time.
    pub fn verify(&self, bytes: &[u8], mac: &[u8]) -> bool {
        self.0.clone().chain_update(bytes).verify_slice(mac).is_ok()
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(key)")
    }
}

/// The operating system returned no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system returned no random bytes: {0}")]
pub struct NoRandomBytes(#[from] getrandom::Error);

/// Returns 256 random bits from the operating system.
pub fn random() -> Result<[u8; 32], NoRandomBytes> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_displayed_as_it_was_parsed() {
        // From FIPS 180-2, appendix B.1.
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of("abc").hex(), hex);
        assert!(Digest::from_hex(hex).unwrap().equals(&Digest::of("abc")));
        assert!(Digest::from_hex(&hex.to_uppercase()).is_some());
        for bad in ["", "ba", &hex[1..], &format!("{hex}0"), &hex.replace('b', "g"), &hex.replace("ba", "+a")] {
            assert_eq!(Digest::from_hex(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_mac_matches_only_its_text_and_key() {
        let mac = MacKey::new(b"a secret").unwrap();
        let signature = mac.sign(b"text");
        assert!(mac.verify(b"text", &signature));
        assert!(
            !mac.verify(b"texts", &signature) && !mac.verify(b"text", &signature[1..]) && !mac.verify(b"text", b"")
        );
        assert!(!MacKey::new(b"another secret").unwrap().verify(b"text", &signature));
    }

    #[test]
    fn debug_output_contains_no_secret() {
        let shown = format!("{:?} {:?}", Digest::of("hush"), MacKey::new(b"hush").unwrap());
        assert_eq!(shown, "(digest) (key)");
    }
}
