//! API keys: who holds one, and which of them somebody shows.

use super::identity::ClientIdentity;
use super::password::Password;
use super::rights::Rights;
use super::secret::{Digest, HiddenText, random};
use crate::record::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::collections::HashMap;

/// What keys made here begin with, so that scanners of repositories find those that were committed.
pub const PREFIX: &str = "curlew_";

/// A new key: 256 bits that nobody can guess, so that a plain hash of it gives nothing away.
pub fn new_key() -> Result<HiddenText, String> {
    Ok(HiddenText::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random()?))))
}

/// One key as the file has it.
#[derive(Debug, Clone)]
pub struct ApiKey {
    pub identity: ClientIdentity,
    pub rights: Rights,
    /// In ms since the epoch.
    pub expires: Option<Timestamp>,
    pub proof: KeyProof,
}

/// What a key is known by.
#[derive(Debug, Clone)]
pub enum KeyProof {
    /// Of a key with so much entropy that nobody tries them all.
    Sha256(Digest),
    /// Of what a person remembers: found by its name, because each try is meant to cost something.
    Argon2(Password),
    /// Of a client's certificate with this name in it, which TLS has checked.
    Certificate,
}

impl ApiKey {
    /// Another one as soon as the key is: what was given out for the old one ends.
    pub fn fingerprint(&self) -> String {
        match &self.proof {
            KeyProof::Sha256(digest) => Digest::of(&digest.hex()).short(),
            KeyProof::Argon2(password) => password.fingerprint(),
            KeyProof::Certificate => "certificate".to_owned(),
        }
    }

    pub fn is_password(&self) -> bool {
        matches!(self.proof, KeyProof::Argon2(_))
    }

    pub fn is_certificate(&self) -> bool {
        matches!(self.proof, KeyProof::Certificate)
    }

    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// All keys, found by what is shown.
#[derive(Debug, Default)]
pub struct ApiKeys {
    keys: Vec<ApiKey>,
    by_name: HashMap<String, usize>,
    /// The place in a table of digests tells nothing about the key: nobody can choose a key by its digest.
    by_digest: HashMap<Digest, usize>,
}

impl ApiKeys {
    /// An error names the key that is there twice.
    pub fn new(keys: Vec<ApiKey>) -> Result<Self, String> {
        let (mut by_name, mut by_digest) = (HashMap::new(), HashMap::new());
        for (index, key) in keys.iter().enumerate() {
            let name = key.identity.name();
            if by_name.insert(name.to_owned(), index).is_some() {
                return Err(format!("two keys are named {name:?}; give each a name of its own"));
            }
            if let KeyProof::Sha256(digest) = key.proof
                && by_digest.insert(digest, index).is_some()
            {
                return Err(format!("key {name:?} has the sha256 of another key"));
            }
        }
        Ok(Self { keys, by_name, by_digest })
    }

    pub fn named(&self, name: &str) -> Option<&ApiKey> {
        self.by_name.get(name).and_then(|index| self.keys.get(*index))
    }

    /// The key that is shown; with a name, only the key of that name.
    pub fn shown(&self, name: Option<&str>, secret: &HiddenText) -> Option<&ApiKey> {
        let digest = Digest::of(secret.reveal());
        let key = self.by_digest.get(&digest).and_then(|index| self.keys.get(*index))?;
        let KeyProof::Sha256(own) = &key.proof else { return None };
        (own.is(&digest) && name.is_none_or(|name| name == key.identity.name())).then_some(key)
    }

    /// The password of this name; where there is none, one that takes as long to refuse.
    pub fn password(&self, name: &str) -> Option<&Password> {
        let named = self.named(name).filter(|key| key.is_password());
        let key = named.or_else(|| self.keys.iter().find(|key| key.is_password()))?;
        match &key.proof {
            KeyProof::Argon2(password) => Some(password),
            KeyProof::Sha256(_) | KeyProof::Certificate => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key(name: &str, secret: &str) -> ApiKey {
        ApiKey {
            identity: ClientIdentity::new(name),
            rights: Rights::default(),
            expires: None,
            proof: KeyProof::Sha256(Digest::of(secret)),
        }
    }

    #[test]
    fn a_key_is_found_by_what_is_shown() {
        let keys = ApiKeys::new(vec![key("a", "1"), key("b", "2")]).unwrap();
        let shown = |name: Option<&str>, secret: &str| {
            keys.shown(name, &HiddenText::new(secret)).map(|key| key.identity.name().to_owned())
        };
        assert_eq!(shown(None, "2").as_deref(), Some("b"));
        assert_eq!(shown(Some("b"), "2").as_deref(), Some("b"));
        assert_eq!(shown(Some("a"), "2"), None);
        assert_eq!(shown(None, "3"), None);
        assert_eq!(shown(None, ""), None);
    }

    #[test]
    fn a_key_that_is_there_twice_is_named() {
        assert!(ApiKeys::new(vec![key("a", "1"), key("a", "2")]).unwrap_err().contains("\"a\""));
        assert!(ApiKeys::new(vec![key("a", "1"), key("b", "1")]).unwrap_err().contains("\"b\""));
    }

    #[test]
    fn a_new_key_has_256_bits_and_is_never_the_same() {
        let (a, b) = (new_key().unwrap(), new_key().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.reveal().strip_prefix(PREFIX).unwrap().len(), 43);
        let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        assert!(a.reveal().bytes().all(fine), "it needs no quoting anywhere");
    }
}
