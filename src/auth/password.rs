//! Passwords, hashed with Argon2 so that each guess costs memory and time.

use super::crypto::{Digest, NoRandomBytes, random};
use crate::secret::Secret;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Argon2, Params};
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// The maximum memory cost of one check, in KiB (64 MiB).
const MAX_MEMORY_COST: u32 = 64 << 10;
/// The maximum time cost, in passes over the memory.
const MAX_TIME_COST: u32 = 16;

/// A parsed PHC string: `$argon2id$v=19$m=19456,t=2,p=1$…`.
#[derive(Clone)]
pub struct Password(Arc<PasswordHash>);

impl Password {
    /// Parses a PHC string. Rejects algorithms other than Argon2, and hashes that are too expensive to check.
    pub fn parse(text: &str) -> Result<Self, InvalidHash> {
        let hash = PasswordHash::new(text).map_err(|_| InvalidHash::NotPhc)?;
        if !matches!(hash.algorithm.as_str(), "argon2id" | "argon2i" | "argon2d") || hash.hash.is_none() {
            return Err(InvalidHash::OtherKind);
        }
        let params = Params::try_from(&hash).map_err(|_| InvalidHash::Parameters)?;
        let (memory, time) = (params.m_cost(), params.t_cost());
        if memory > MAX_MEMORY_COST || time > MAX_TIME_COST {
            return Err(InvalidHash::TooExpensive { memory, time });
        }
        Ok(Self(Arc::new(hash)))
    }

    /// Hashes a password with the default parameters of Argon2 and a new salt. Returns a PHC string.
    pub fn hash(secret: &Secret) -> Result<String, HashError> {
        let salt = random()?;
        let hash =
            Argon2::default().hash_password_with_salt(secret.reveal().as_bytes(), salt.get(..16).unwrap_or(&salt));
        Ok(hash.map(|hash: PasswordHash| hash.to_string())?)
    }

    /// Whether `secret` is the password. Takes tens of milliseconds and some MiB: never call it on an async thread.
    pub fn verify(&self, secret: &Secret) -> bool {
        Argon2::default().verify_password(secret.reveal().as_bytes(), self.0.as_ref()).is_ok()
    }

    pub fn fingerprint(&self) -> String {
        Digest::of(&self.0.to_string()).fingerprint()
    }
}

/// The value of `argon2` is not the hash of a password that can be checked. The value is not repeated: it may be a
/// password.
#[derive(Debug, Error)]
pub enum InvalidHash {
    #[error("argon2 is not a PHC string; {HELP}")]
    NotPhc,
    #[error("argon2 holds another kind of hash; {HELP}")]
    OtherKind,
    #[error("argon2 has invalid parameters; {HELP}")]
    Parameters,
    #[error("argon2 has the parameters m={memory},t={time}; at most m={MAX_MEMORY_COST},t={MAX_TIME_COST} are allowed")]
    TooExpensive { memory: u32, time: u32 },
}

const HELP: &str = "give the line that `curlew key password` prints, such as $argon2id$v=19$m=19456,t=2,p=1$…$…";

/// A password could not be hashed.
#[derive(Debug, Error)]
pub enum HashError {
    #[error(transparent)]
    Salt(#[from] NoRandomBytes),
    #[error("cannot hash: {0}")]
    Argon2(#[from] argon2::password_hash::Error),
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(password)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_hashed_password_is_verified() {
        let line = Password::hash(&Secret::new("correct horse")).unwrap();
        let password = Password::parse(&line).unwrap();
        assert!(line.starts_with("$argon2id$v=19$") && password.verify(&Secret::new("correct horse")));
        assert!(!password.verify(&Secret::new("correct horses")) && !password.verify(&Secret::new("")));
        assert_ne!(Password::hash(&Secret::new("correct horse")).unwrap(), line, "another salt");
        assert_eq!(format!("{password:?}"), "(password)");
    }

    #[test]
    fn malformed_and_too_expensive_hashes_are_rejected() {
        let cases = [
            ("", "not a PHC string"),
            ("secret", "not a PHC string"),
            ("$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA", "another kind of hash"),
            ("$scrypt$ln=16,r=8,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAA", "another kind of hash"),
            ("$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAA", "at most m=65536"),
        ];
        for (text, expected) in cases {
            let why = Password::parse(text).unwrap_err().to_string();
            assert!(why.contains(expected), "{text}: {why}");
        }
    }

    proptest! {
        #[test]
        fn no_text_causes_a_panic(text in "(\\$argon2id)?(\\$v=[0-9]{0,3})?(\\$[a-z=0-9,]{0,20})?(\\$[A-Za-z0-9+/]{0,40})*") {
            let _ = Password::parse(&text);
        }
    }
}
