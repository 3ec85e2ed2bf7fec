//! The client's side of SCRAM (RFC 5802) with SHA-256 (RFC 7677) or SHA-512, without I/O.
//!
//! Names and passwords are sent without SASLprep, as by Kafka's Java client.

use crate::secret::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use pbkdf2::pbkdf2_hmac;
use sha2::{Digest, Sha256, Sha512};

/// With fewer iterations, passwords could be guessed cheaply from a recorded exchange. Kafka has the same minimum.
const MIN_ITERATIONS: u32 = 4096;
/// More iterations would let a server exhaust the bridge's CPU. Kafka's maximum is 16384.
const MAX_ITERATIONS: u32 = 1_000_000;

/// The hash function of a SCRAM mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScramHash {
    /// SHA-256 (RFC 7677).
    Sha256,
    /// SHA-512.
    Sha512,
}

impl ScramHash {
    /// Returns the mechanism's SASL name.
    pub fn mechanism(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    fn salted_password(self, password: &str, salt: &[u8], iterations: u32) -> Vec<u8> {
        let password = password.as_bytes();
        match self {
            Self::Sha256 => {
                let mut out = [0; 32];
                pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut out);
                out.to_vec()
            }
            Self::Sha512 => {
                let mut out = [0; 64];
                pbkdf2_hmac::<Sha512>(password, salt, iterations, &mut out);
                out.to_vec()
            }
        }
    }

    fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }

    fn mac(self, key: &[u8], text: &str) -> Result<Vec<u8>, ScramError> {
        Ok(match self {
            Self::Sha256 => keyed::<Hmac<Sha256>>(key, text)?.finalize().into_bytes().to_vec(),
            Self::Sha512 => keyed::<Hmac<Sha512>>(key, text)?.finalize().into_bytes().to_vec(),
        })
    }

    /// Compares in constant time.
    fn is_mac(self, key: &[u8], text: &str, mac: &[u8]) -> bool {
        match self {
            Self::Sha256 => keyed::<Hmac<Sha256>>(key, text).is_ok_and(|m| m.verify_slice(mac).is_ok()),
            Self::Sha512 => keyed::<Hmac<Sha512>>(key, text).is_ok_and(|m| m.verify_slice(mac).is_ok()),
        }
    }
}

fn keyed<M: Mac + KeyInit>(key: &[u8], text: &str) -> Result<M, ScramError> {
    let mut mac = <M as KeyInit>::new_from_slice(key).map_err(|_| ScramError::InvalidKey)?;
    mac.update(text.as_bytes());
    Ok(mac)
}

/// Whether the credentials are a user's or those of a delegation token (KIP-48).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScramAccount {
    /// A user with a password.
    User,
    /// A delegation token with its HMAC as the password.
    DelegationToken,
}

/// The client's side of one authentication: each step turns a message from the server into the client's next one.
pub struct Scram {
    hash: ScramHash,
    password: Secret,
    nonce: String,
    first_bare: String,
    stage: ScramStage,
}

enum ScramStage {
    First,
    Final { server_key: Vec<u8>, auth_message: String },
}

/// The client's reaction to a message from the server.
#[derive(Debug, PartialEq, Eq)]
pub enum ScramReply {
    Send(String),
    /// The server has proved that it knows the password too.
    Done,
}

/// Why an authentication failed. The text is about the server ("it").
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    /// The server ended the exchange with this error.
    #[error("it reports {0:?}")]
    Reported(String),
    /// The server's signature is missing or wrong.
    #[error("it did not prove that it knows the password, so it may be an impostor")]
    NoProof,
    /// A required attribute is missing.
    #[error("its first message has no {0}")]
    Missing(&'static str),
    /// The server requires an extension (`m=`).
    #[error("it requires an extension that the bridge does not support")]
    UnsupportedExtension,
    /// The server's nonce is not an extension of the client's.
    #[error("its nonce does not continue the client's nonce")]
    InvalidNonce,
    /// The salt cannot be decoded.
    #[error("its salt is not base64")]
    InvalidSalt(#[source] base64::DecodeError),
    /// The number of iterations is out of bounds.
    #[error("it asks for {0} iterations; allowed are {MIN_ITERATIONS} to {MAX_ITERATIONS}")]
    Iterations(u32),
    /// HMAC rejects the key.
    #[error("its key has a length that cannot be used")]
    InvalidKey,
}

const GS2_HEADER: &str = "n,,";

impl Scram {
    /// Starts an authentication. `nonce` must be printable, without commas, and never used before.
    pub fn new(hash: ScramHash, user: &str, password: Secret, account: ScramAccount, nonce: String) -> Self {
        let name = user.replace('=', "=3D").replace(',', "=2C");
        let extension = match account {
            ScramAccount::User => "",
            ScramAccount::DelegationToken => ",tokenauth=true",
        };
        let first_bare = format!("n={name},r={nonce}{extension}");
        Self { hash, password, nonce, first_bare, stage: ScramStage::First }
    }

    /// Returns the client's first message.
    pub fn first(&self) -> String {
        format!("{GS2_HEADER}{}", self.first_bare)
    }

    /// Handles the server's next message.
    pub fn next(&mut self, message: &str) -> Result<ScramReply, ScramError> {
        match &self.stage {
            ScramStage::First => self.prove(message),
            ScramStage::Final { server_key, auth_message } => {
                let field = |name| attribute(message, name);
                if let Some(error) = field("e=") {
                    return Err(ScramError::Reported(error.to_owned()));
                }
                let signature = field("v=").and_then(|v| STANDARD.decode(v).ok()).unwrap_or_default();
                if self.hash.is_mac(server_key, auth_message, &signature) {
                    Ok(ScramReply::Done)
                } else {
                    Err(ScramError::NoProof)
                }
            }
        }
    }

    fn prove(&mut self, server_first: &str) -> Result<ScramReply, ScramError> {
        let field = |name| attribute(server_first, name).ok_or(ScramError::Missing(name));
        if server_first.starts_with("m=") {
            return Err(ScramError::UnsupportedExtension);
        }
        let nonce = field("r=")?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(ScramError::InvalidNonce);
        }
        let salt = STANDARD.decode(field("s=")?).map_err(ScramError::InvalidSalt)?;
        let iterations = field("i=")?.parse().unwrap_or(0);
        if !(MIN_ITERATIONS..=MAX_ITERATIONS).contains(&iterations) {
            return Err(ScramError::Iterations(iterations));
        }
        let salted = self.hash.salted_password(self.password.reveal(), &salt, iterations);
        let client_key = self.hash.mac(&salted, "Client Key")?;
        let server_key = self.hash.mac(&salted, "Server Key")?;
        let without_proof = format!("c={},r={nonce}", STANDARD.encode(GS2_HEADER));
        let auth_message = format!("{},{server_first},{without_proof}", self.first_bare);
        let signature = self.hash.mac(&self.hash.digest(&client_key), &auth_message)?;
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(key, signed)| key ^ signed).collect();
        self.stage = ScramStage::Final { server_key, auth_message };
        Ok(ScramReply::Send(format!("{without_proof},p={}", STANDARD.encode(proof))))
    }
}

/// Returns the value of `name` (such as `r=`) in a message of comma-separated attributes.
fn attribute<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.split(',').find_map(|part| part.strip_prefix(name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn client(hash: ScramHash, user: &str, nonce: &str) -> Scram {
        Scram::new(hash, user, Secret::new("pencil"), ScramAccount::User, nonce.to_owned())
    }

    /// RFC 7677, section 3.
    const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    #[test]
    fn the_exchange_is_that_of_rfc_7677() {
        let mut scram = client(ScramHash::Sha256, "user", "rOprNGfwEbeRWgbNEkqO");
        assert_eq!(scram.first(), FIRST);
        assert_eq!(scram.next(SERVER_FIRST), Ok(ScramReply::Send(FINAL.to_owned())));
        assert_eq!(scram.next(SERVER_FINAL), Ok(ScramReply::Done));
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_rejected() {
        for wrong in ["v=AAAA", "v=", "", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=", "e=invalid-proof"] {
            let mut scram = client(ScramHash::Sha256, "user", "rOprNGfwEbeRWgbNEkqO");
            scram.next(SERVER_FIRST).unwrap();
            assert!(scram.next(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_invalid_first_message_from_the_server_is_rejected() {
        let cases = [
            ("", "no r="),
            ("r=other,s=W22Z,i=4096", "nonce"),
            ("r=abc,s=W22Z,i=4096", "nonce"),
            ("r=abcdef,i=4096", "no s="),
            ("r=abcdef,s=?,i=4096", "base64"),
            ("r=abcdef,s=W22Z", "no i="),
            ("r=abcdef,s=W22Z,i=4095", "iterations"),
            ("r=abcdef,s=W22Z,i=4000000000", "iterations"),
            ("r=abcdef,s=W22Z,i=-1", "iterations"),
            ("m=new,r=abcdef,s=W22Z,i=4096", "extension"),
        ];
        for (message, words) in cases {
            let error = client(ScramHash::Sha512, "user", "abc").next(message).unwrap_err().to_string();
            assert!(error.contains(words), "{message}: {error}");
        }
    }

    #[test]
    fn separators_in_a_name_are_escaped() {
        assert_eq!(client(ScramHash::Sha512, "a=b,c", "x").first(), "n,,n=a=3Db=2Cc,r=x");
        let token =
            Scram::new(ScramHash::Sha256, "id", Secret::new("hmac"), ScramAccount::DelegationToken, "x".to_owned());
        assert_eq!(token.first(), "n,,n=id,r=x,tokenauth=true");
    }

    /// The server's signature by RFC 5802.
    fn signature(hash: ScramHash, password: &str, salt: &[u8], iterations: u32, auth_message: &str) -> String {
        let salted = hash.salted_password(password, salt, iterations);
        let server_key = hash.mac(&salted, "Server Key").unwrap();
        format!("v={}", STANDARD.encode(hash.mac(&server_key, auth_message).unwrap()))
    }

    #[test]
    fn a_server_accepts_the_proof_with_sha_512() {
        let mut scram = client(ScramHash::Sha512, "user", "abc");
        let server_first = format!("r=abcdef,s={},i=8192", STANDARD.encode("salt"));
        let Ok(ScramReply::Send(proof)) = scram.next(&server_first) else { panic!("no proof") };
        let (without_proof, proof) = proof.split_once(",p=").unwrap();
        let auth_message = format!("n=user,r=abc,{server_first},{without_proof}");
        // RFC 5802: ClientKey := ClientProof XOR ClientSignature; H(ClientKey) must be the stored key.
        let salted = ScramHash::Sha512.salted_password("pencil", b"salt", 8192);
        let stored = ScramHash::Sha512.digest(&ScramHash::Sha512.mac(&salted, "Client Key").unwrap());
        let signed = ScramHash::Sha512.mac(&stored, &auth_message).unwrap();
        let key: Vec<u8> = STANDARD.decode(proof).unwrap().iter().zip(signed).map(|(p, s)| p ^ s).collect();
        assert_eq!(ScramHash::Sha512.digest(&key), stored);
        assert_eq!(
            scram.next(&signature(ScramHash::Sha512, "pencil", b"salt", 8192, &auth_message)),
            Ok(ScramReply::Done)
        );
    }

    proptest! {
        #[test]
        fn no_message_from_the_server_makes_it_panic(first in ".{0,80}", last in ".{0,80}") {
            let mut scram = client(ScramHash::Sha256, "user", "rOprNGfwEbeRWgbNEkqO");
            let _ = scram.next(&first);
            let _ = scram.next(SERVER_FIRST);
            prop_assert!(scram.next(&last).is_err());
        }
    }
}
