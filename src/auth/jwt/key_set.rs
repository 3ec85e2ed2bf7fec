//! Keys that verify tokens. Each key is bound to one algorithm, so that a token's header cannot choose another.

use super::super::crypto::Digest;
use super::error::{KeySetError, MIN_SECRET_LEN};
use crate::secret::Secret;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, Header};
use serde::Deserialize;
use serde_json::Value;
use std::fmt;

/// The shortest RSA modulus, in bytes: 2048 bits (RFC 7518, 3.3).
const MIN_RSA_MODULUS_LEN: usize = 256;
/// The length of an uncompressed P-256 point, in bytes (SEC 1, 2.3.3).
const P256_POINT_LEN: usize = 65;
/// Maximum number of keys in a set. Further keys are ignored.
const MAX_KEYS: usize = 100;

#[derive(Default, Clone)]
pub struct KeySet(Vec<TokenKey>);

#[derive(Clone)]
pub struct TokenKey {
    /// The `kid`, if the set has one for this key.
    id: Option<String>,
    pub algorithm: Algorithm,
    pub key: DecodingKey,
    pub fingerprint: String,
}

/// The source of a key set. Shared secrets are accepted from files only, never from a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySetSource {
    File,
    Url,
}

impl KeySet {
    pub fn from_secret(secret: &Secret) -> Result<Self, KeySetError> {
        if secret.reveal().len() < MIN_SECRET_LEN {
            return Err(KeySetError::ShortSecret);
        }
        Ok(Self(vec![TokenKey::new(None, Algorithm::HS256, DecodingKey::from_secret(secret.reveal().as_bytes()))]))
    }

    /// Parses one or more public keys in PEM: RSA, P-256 or Ed25519.
    pub fn from_pem(text: &str) -> Result<Self, KeySetError> {
        let mut keys = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("-----BEGIN ") {
            let (block, after) = match rest[start..].find("\n-----END ") {
                Some(end) => {
                    let end = start + end + 1;
                    let line = rest[end..].find('\n').map_or(rest.len(), |line| end + line + 1);
                    (&rest[start..line], &rest[line..])
                }
                None => (&rest[start..], ""),
            };
            keys.push(parse_pem_block(block)?);
            rest = after;
        }
        if keys.is_empty() { Err(KeySetError::NoPem) } else { Ok(Self(keys)) }
    }

    /// Parses a JWK set (RFC 7517, 5). Ignores keys that are not for signatures or have an unsupported type.
    pub fn from_jwks(text: &str, from: KeySetSource) -> Result<Self, KeySetError> {
        #[derive(Deserialize)]
        struct JwkSet {
            keys: Vec<Value>,
        }
        let set: JwkSet = serde_json::from_str(text).map_err(|_| KeySetError::NotJwks)?;
        let keys = set.keys.into_iter().filter_map(|key| parse_jwk(&serde_json::from_value(key).ok()?, from));
        let keys: Vec<_> = keys.take(MAX_KEYS).collect();
        match keys.is_empty() {
            true => Err(KeySetError::NoUsableKey),
            false => Ok(Self(keys)),
        }
    }

    /// Returns the keys that may have signed a token: those with its algorithm, and with its `kid` if both have one.
    pub fn candidates<'a>(&'a self, header: &'a Header) -> impl Iterator<Item = &'a TokenKey> {
        self.0.iter().filter(|key| key.algorithm == header.alg).filter(|key| match (&key.id, &header.kid) {
            (Some(own), Some(given)) => own == given,
            _ => true,
        })
    }

    pub fn contains(&self, fingerprint: &str) -> bool {
        self.0.iter().any(|key| key.fingerprint == fingerprint)
    }

    /// Whether both sets have the same keys with the same `kid`s. A new `kid` for the same key counts as a change.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let named = |key: &TokenKey| (key.id.clone(), key.fingerprint.clone());
        self.0.iter().map(named).eq(other.0.iter().map(named))
    }
}

impl TokenKey {
    fn new(id: Option<String>, algorithm: Algorithm, key: DecodingKey) -> Self {
        // Sessions and tickets contain the fingerprint, so the name must not depend on a version of jsonwebtoken. A key has
        // no other algorithm.
        let name = match algorithm {
            Algorithm::HS256 => "HS256",
            Algorithm::RS256 => "RS256",
            Algorithm::ES256 => "ES256",
            _ => "EdDSA",
        };
        let digest = match key.kind() {
            DecodingKeyKind::SecretOrDer(bytes) => Digest::of_parts(&[name.as_bytes(), bytes]),
            DecodingKeyKind::RsaModulusExponent { n, e } => Digest::of_parts(&[name.as_bytes(), n, e]),
        };
        Self { id, algorithm, key, fingerprint: digest.fingerprint() }
    }
}

fn parse_pem_block(block: &str) -> Result<TokenKey, KeySetError> {
    if block.contains("PRIVATE KEY-----") {
        return Err(KeySetError::PrivateKey);
    }
    if block.contains("BEGIN CERTIFICATE") {
        return Err(KeySetError::Certificate);
    }
    let bytes = block.as_bytes();
    if let Ok(key) = DecodingKey::from_rsa_pem(bytes) {
        // The DER encoding is a few bytes longer than the modulus.
        return match key.try_get_as_bytes() {
            Ok(der) if der.len() > MIN_RSA_MODULUS_LEN => Ok(TokenKey::new(None, Algorithm::RS256, key)),
            _ => Err(KeySetError::ShortRsa),
        };
    }
    if let Ok(key) = DecodingKey::from_ec_pem(bytes) {
        return match key.try_get_as_bytes() {
            Ok(point) if point.len() == P256_POINT_LEN => Ok(TokenKey::new(None, Algorithm::ES256, key)),
            _ => Err(KeySetError::OtherCurve),
        };
    }
    match DecodingKey::from_ed_pem(bytes) {
        Ok(key) => Ok(TokenKey::new(None, Algorithm::EdDSA, key)),
        Err(_) => Err(KeySetError::DamagedPem),
    }
}

fn parse_jwk(jwk: &Jwk, from: KeySetSource) -> Option<TokenKey> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        AlgorithmParameters::OctetKey(_) if from == KeySetSource::File => Algorithm::HS256,
        _ => return None,
    };
    let matches_algorithm = |given: &KeyAlgorithm| *given == KeyAlgorithm::from(algorithm);
    let is_signature_key = jwk.common.public_key_use.as_ref().is_none_or(|given| *given == PublicKeyUse::Signature);
    if !is_signature_key || !jwk.common.key_algorithm.as_ref().is_none_or(matches_algorithm) {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    let is_long_enough = match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, .. } => n.len() >= MIN_RSA_MODULUS_LEN,
        DecodingKeyKind::SecretOrDer(bytes) => match algorithm {
            Algorithm::ES256 => bytes.len() == P256_POINT_LEN,
            // An Ed25519 public key has 32 bytes, like the shortest secret.
            _ => bytes.len() >= MIN_SECRET_LEN,
        },
    };
    is_long_enough.then(|| TokenKey::new(jwk.common.key_id.clone(), algorithm, key))
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| (&key.id, key.algorithm))).finish()
    }
}
