//! Secrets that a person remembers: argon2, so that each try costs memory and time.

use super::secret::{Digest, HiddenText, random};
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Argon2, Params};
use std::fmt;
use std::sync::Arc;

/// Memory of one try at most, in KiB: 64 MiB. A few run at a time.
const MOST_MEMORY: u32 = 64 << 10;
/// Passes over it.
const MOST_PASSES: u32 = 16;

/// A PHC string, `$argon2id$v=19$m=19456,t=2,p=1$…`, that has been read.
#[derive(Clone)]
pub struct Password(Arc<PasswordHash>);

impl Password {
    pub fn parse(text: &str) -> Result<Self, String> {
        let help = "give the line that `curlew key password` prints, such as $argon2id$v=19$m=19456,t=2,p=1$…$…";
        let hash = PasswordHash::new(text).map_err(|_| format!("argon2 is no PHC string; {help}"))?;
        if !matches!(hash.algorithm.as_str(), "argon2id" | "argon2i" | "argon2d") || hash.hash.is_none() {
            return Err(format!("argon2 is of another kind; {help}"));
        }
        let params = Params::try_from(&hash).map_err(|_| format!("argon2 has parameters that are none; {help}"))?;
        if params.m_cost() > MOST_MEMORY || params.t_cost() > MOST_PASSES {
            return Err(format!(
                "argon2 takes m={},t={} for a try; at most m={MOST_MEMORY},t={MOST_PASSES} are allowed",
                params.m_cost(),
                params.t_cost()
            ));
        }
        Ok(Self(Arc::new(hash)))
    }

    /// With argon2's own parameters and a new salt.
    pub fn hash(secret: &HiddenText) -> Result<String, String> {
        let salt = random()?;
        let hash =
            Argon2::default().hash_password_with_salt(secret.reveal().as_bytes(), salt.get(..16).unwrap_or(&salt));
        hash.map(|hash: PasswordHash| hash.to_string()).map_err(|e| format!("cannot hash: {e}"))
    }

    /// Takes tens of milliseconds and some MiB: not for an async thread.
    pub fn is(&self, secret: &HiddenText) -> bool {
        Argon2::default().verify_password(secret.reveal().as_bytes(), self.0.as_ref()).is_ok()
    }

    pub fn fingerprint(&self) -> String {
        Digest::of(&self.0.to_string()).short()
    }
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
    fn a_password_is_hashed_and_known_again() {
        let line = Password::hash(&HiddenText::new("correct horse")).unwrap();
        let password = Password::parse(&line).unwrap();
        assert!(line.starts_with("$argon2id$v=19$") && password.is(&HiddenText::new("correct horse")));
        assert!(!password.is(&HiddenText::new("correct horses")) && !password.is(&HiddenText::new("")));
        assert_ne!(Password::hash(&HiddenText::new("correct horse")).unwrap(), line, "another salt");
        assert_eq!(format!("{password:?}"), "(password)");
    }

    #[test]
    fn what_would_take_too_much_or_is_none_is_refused() {
        let cases = [
            ("", "no PHC string"),
            ("secret", "no PHC string"),
            ("$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA", "of another kind"),
            ("$scrypt$ln=16,r=8,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAA", "of another kind"),
            ("$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAA", "at most m=65536"),
        ];
        for (text, expected) in cases {
            let why = Password::parse(text).unwrap_err();
            assert!(why.contains(expected), "{text}: {why}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(\\$argon2id)?(\\$v=[0-9]{0,3})?(\\$[a-z=0-9,]{0,20})?(\\$[A-Za-z0-9+/]{0,40})*") {
            let _ = Password::parse(&text);
        }
    }
}
