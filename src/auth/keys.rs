//! The entries of `[[key]]`: API keys, passwords and certificate names, with an index to look them up.

use super::crypto::{Digest, NoRandomBytes, random};
use super::identity::ClientIdentity;
use super::password::Password;
use super::rights::Rights;
use crate::record::Timestamp;
use crate::secret::Secret;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::collections::HashMap;

/// The prefix of generated keys. It lets secret scanners find keys that were committed to a repository.
pub const PREFIX: &str = "curlew_";

/// Generates a key with 256 random bits. That much entropy makes an unsalted SHA-256 of the key safe to store.
pub fn new_key() -> Result<Secret, NoRandomBytes> {
    Ok(Secret::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random()?))))
}

/// A `[[key]]` of the auth file.
#[derive(Debug, Clone)]
pub struct ApiKey {
    pub identity: ClientIdentity,
    pub rights: Rights,
    /// Milliseconds since the epoch.
    pub expires: Option<Timestamp>,
    pub proof: KeyProof,
}

/// The proof that a client holds a key.
#[derive(Debug, Clone)]
pub enum KeyProof {
    /// The key itself. It has enough entropy for a fast hash, so it is found by its digest.
    Sha256(Digest),
    /// A password. It is found by its name, because checking a password is deliberately expensive.
    Argon2(Password),
    /// A client certificate with this name, which TLS has verified.
    Certificate,
}

impl ApiKey {
    /// Returns a text that changes with the key's secret. Sessions and tickets carry it, so they end when the key is
    /// replaced.
    pub fn fingerprint(&self) -> String {
        match &self.proof {
            KeyProof::Sha256(digest) => Digest::of(&digest.hex()).fingerprint(),
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

/// Two keys of the file have the same name or the same digest. Contains the name of the second key.
#[derive(Debug, thiserror::Error)]
pub enum DuplicateKey {
    #[error("two keys are named {0:?}; names must be unique")]
    Name(String),
    #[error("key {0:?} has the sha256 of another key")]
    Digest(String),
}

/// All keys of the file, indexed by name and by digest.
#[derive(Debug, Default)]
pub struct ApiKeys {
    keys: Vec<ApiKey>,
    name_index: HashMap<String, usize>,
    /// A hash table is safe against timing attacks here: a client cannot choose the digest of the key that it sends.
    digest_index: HashMap<Digest, usize>,
}

impl ApiKeys {
    /// Rejects duplicate names and duplicate digests.
    pub fn new(keys: Vec<ApiKey>) -> Result<Self, DuplicateKey> {
        let (mut name_index, mut digest_index) = (HashMap::new(), HashMap::new());
        for (index, key) in keys.iter().enumerate() {
            let name = key.identity.name();
            if name_index.insert(name.to_owned(), index).is_some() {
                return Err(DuplicateKey::Name(name.to_owned()));
            }
            if let KeyProof::Sha256(digest) = key.proof
                && digest_index.insert(digest, index).is_some()
            {
                return Err(DuplicateKey::Digest(name.to_owned()));
            }
        }
        Ok(Self { keys, name_index, digest_index })
    }

    pub fn by_name(&self, name: &str) -> Option<&ApiKey> {
        self.name_index.get(name).and_then(|index| self.keys.get(*index))
    }

    /// Finds the API key with this secret. With a `name`, the key must have that name too.
    pub fn find(&self, name: Option<&str>, secret: &Secret) -> Option<&ApiKey> {
        let digest = Digest::of(secret.reveal());
        let key = self.digest_index.get(&digest).and_then(|index| self.keys.get(*index))?;
        let KeyProof::Sha256(own) = &key.proof else { return None };
        (own.equals(&digest) && name.is_none_or(|name| name == key.identity.name())).then_some(key)
    }

    /// Returns the password to check for `name`. For an unknown name this is another key's password, so that the
    /// response time does not reveal which names exist.
    pub fn password(&self, name: &str) -> Option<&Password> {
        let named = self.by_name(name).filter(|key| key.is_password());
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
    fn a_key_is_found_by_its_secret() {
        let keys = ApiKeys::new(vec![key("a", "1"), key("b", "2")]).unwrap();
        let found = |name: Option<&str>, secret: &str| {
            keys.find(name, &Secret::new(secret)).map(|key| key.identity.name().to_owned())
        };
        assert_eq!(found(None, "2").as_deref(), Some("b"));
        assert_eq!(found(Some("b"), "2").as_deref(), Some("b"));
        assert_eq!(found(Some("a"), "2"), None);
        assert_eq!(found(None, "3"), None);
        assert_eq!(found(None, ""), None);
    }

    #[test]
    fn the_error_about_a_duplicate_names_the_key() {
        assert!(ApiKeys::new(vec![key("a", "1"), key("a", "2")]).unwrap_err().to_string().contains("\"a\""));
        assert!(ApiKeys::new(vec![key("a", "1"), key("b", "1")]).unwrap_err().to_string().contains("\"b\""));
    }

    #[test]
    fn new_keys_have_256_bits_and_differ() {
        let (a, b) = (new_key().unwrap(), new_key().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.reveal().strip_prefix(PREFIX).unwrap().len(), 43);
        let is_unreserved = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        assert!(a.reveal().bytes().all(is_unreserved), "keys need no quoting");
    }
}
