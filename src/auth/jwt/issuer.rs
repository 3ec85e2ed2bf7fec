//! Verifies the tokens of one issuer, and turns their claims into grants.

use super::key_set::KeySet;
use super::remote::Remote;
use crate::auth::crypto::Digest;
use crate::auth::identity::ClientIdentity;
use crate::auth::permit::{Grant, GrantOrigin, GrantSource};
use crate::auth::rights::{Rights, TopicPattern};
use crate::record::Timestamp;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Header, Validation, decode};
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// Maximum number of keys tried for one token. It bounds the cost of a forged token.
const MAX_KEYS_TRIED: usize = 8;
/// The longest subject, in characters: names appear in logs and tickets.
const MAX_NAME_LEN: usize = 100;

/// The settings of an issuer, except for its keys.
#[derive(Debug, Clone)]
pub struct IssuerSettings {
    /// The prefix of the names of its subjects.
    pub name: String,
    /// The accepted values of `iss`. Any value is accepted if this is empty.
    pub issuers: Vec<String>,
    /// The accepted values of `aud`. If this is empty, tokens with an audience are rejected, because they are meant for
    /// another service.
    pub audiences: Vec<String>,
    /// The tolerated clock skew.
    pub leeway: Duration,
    /// The claim with the subject's name.
    pub identity: String,
    /// The claim with the rights: a member's name, or a JSON pointer (RFC 6901).
    pub claim: String,
    /// The rights of every token of the issuer, in addition to those in its claim.
    pub rights: Rights,
}

impl IssuerSettings {
    /// Digests the values in a fixed order, so that the result depends on neither the names nor the order of the fields.
    fn digest(&self) -> Digest {
        let Self { name, issuers, audiences, leeway, identity, claim, rights } = self;
        let Rights { produce, consume, manage, metrics } = rights;
        let patterns = |patterns: &[TopicPattern]| patterns.iter().map(TopicPattern::to_string).collect::<Vec<_>>();
        let lists = [issuers.clone(), audiences.clone(), patterns(produce), patterns(consume), patterns(manage)];
        let mut values = vec![name.clone(), identity.clone(), claim.clone()];
        values.extend([leeway.as_millis().to_string(), metrics.to_string()]);
        // The length of each list separates it from the next list.
        values.extend(lists.into_iter().flat_map(|list| std::iter::once(list.len().to_string()).chain(list)));
        Digest::of_parts(&values.iter().map(String::as_bytes).collect::<Vec<_>>())
    }
}

#[derive(Debug)]
pub struct Issuer {
    settings: IssuerSettings,
    keys: IssuerKeys,
    /// Depends on all settings: a change ends all sessions and tickets that come from tokens of this issuer.
    pub fingerprint: String,
}

#[derive(Debug, Clone)]
pub enum IssuerKeys {
    Known(Arc<KeySet>),
    Remote(Arc<Remote>),
}

/// The result of verifying a token against one issuer.
#[derive(Debug)]
pub enum TokenVerdict {
    Valid(Box<Grant>),
    /// None of the issuer's keys has signed the token.
    OtherSigner,
    /// The signature is valid, but the token is not.
    Invalid(TokenFlaw),
    /// The token names a key that is not in the fetched set. It may be a new key.
    UnknownKey(Arc<Remote>),
}

/// The reason for rejecting a token with a valid signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenFlaw {
    Expired,
    Other(String),
}

impl Issuer {
    pub fn new(settings: IssuerSettings, keys: IssuerKeys) -> Self {
        let fingerprint = settings.digest().fingerprint();
        Self { settings, keys, fingerprint }
    }

    /// Whether the issuer still has the key with this fingerprint.
    pub fn has_key(&self, fingerprint: &str) -> bool {
        // Until the first fetch succeeds, sessions and tickets stay valid: their own signature was verified.
        self.key_set().is_none_or(|keys| keys.contains(fingerprint))
    }

    /// Whether the keys come from `remote`.
    pub fn uses(&self, remote: &Arc<Remote>) -> bool {
        matches!(&self.keys, IssuerKeys::Remote(own) if Arc::ptr_eq(own, remote))
    }

    fn key_set(&self) -> Option<Arc<KeySet>> {
        match &self.keys {
            IssuerKeys::Known(keys) => Some(keys.clone()),
            IssuerKeys::Remote(remote) => remote.keys(),
        }
    }

    /// Verifies a token. Its unverified `header` only selects among the keys.
    pub fn verify(&self, token: &str, header: &Header) -> TokenVerdict {
        let keys = self.key_set();
        let candidates: Vec<_> = keys.iter().flat_map(|keys| keys.candidates(header)).take(MAX_KEYS_TRIED).collect();
        for key in &candidates {
            let validation = self.validation(key.algorithm);
            match decode::<Value>(token, &key.key, &validation) {
                Ok(token) => return self.grant(&token.claims, &key.fingerprint),
                Err(error) => match classify(error.kind()) {
                    Some(flaw) => return TokenVerdict::Invalid(flaw),
                    None => continue,
                },
            }
        }
        match &self.keys {
            // A token without `kid` may be signed with a new key.
            IssuerKeys::Remote(remote) if candidates.is_empty() || header.kid.is_none() => {
                TokenVerdict::UnknownKey(remote.clone())
            }
            _ => TokenVerdict::OtherSigner,
        }
    }

    fn validation(&self, algorithm: jsonwebtoken::Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = self.settings.leeway.as_secs();
        validation.validate_nbf = true;
        let mut required = HashSet::from(["exp".to_owned()]);
        if !self.settings.issuers.is_empty() {
            validation.set_issuer(&self.settings.issuers);
            required.insert("iss".to_owned());
        }
        if !self.settings.audiences.is_empty() {
            validation.set_audience(&self.settings.audiences);
            required.insert("aud".to_owned());
        }
        validation.required_spec_claims = required;
        validation
    }

    fn grant(&self, claims: &Value, key: &str) -> TokenVerdict {
        let claimed = match self.settings.claim.starts_with('/') {
            true => claims.pointer(&self.settings.claim),
            false => claims.get(&self.settings.claim),
        };
        let claimed =
            claimed.map_or(Ok(Rights::default()), |claimed| serde_json::from_value::<Rights>(claimed.clone()));
        let Ok(claimed) = claimed else {
            let claim = &self.settings.claim;
            let like = r#"{"produce":["readings.*"],"consume":["*"]}"#;
            return TokenVerdict::Invalid(TokenFlaw::Other(format!(
                "the token's claim {claim:?} is not such as {like}"
            )));
        };
        // jsonwebtoken has checked that `exp` is a number in the future.
        let expires = claims.get("exp").and_then(Value::as_f64).unwrap_or_default();
        let expires = (expires * 1000.0) as Timestamp;
        let leeway = Timestamp::try_from(self.settings.leeway.as_millis()).unwrap_or_default();
        let source = GrantSource::Token { issuer: self.fingerprint.clone(), fingerprint: key.to_owned() };
        TokenVerdict::Valid(Box::new(Grant {
            identity: ClientIdentity::new(&self.name_of(claims)),
            rights: self.settings.rights.clone().union(claimed),
            ticket_topics: None,
            origin: GrantOrigin { source, expires: Some(expires.saturating_add(leeway)) },
        }))
    }

    /// Returns `ISSUER/SUBJECT`. The names of keys contain no slash, so they cannot be the same.
    fn name_of(&self, claims: &Value) -> String {
        let subject = claims.get(&self.settings.identity).and_then(Value::as_str).unwrap_or("(no name)");
        let subject: String = subject.chars().filter(|c| !c.is_control()).take(MAX_NAME_LEN).collect();
        format!("{}/{subject}", self.settings.name)
    }
}

/// Returns the flaw of a signed token, or `None` if the key has not signed the token.
fn classify(kind: &ErrorKind) -> Option<TokenFlaw> {
    let other = |what: &str| Some(TokenFlaw::Other(format!("the token {what}")));
    match kind {
        ErrorKind::ExpiredSignature => Some(TokenFlaw::Expired),
        ErrorKind::ImmatureSignature => other("is not valid yet (nbf)"),
        ErrorKind::InvalidAudience => other("is for another audience"),
        ErrorKind::InvalidIssuer => other("is from another issuer"),
        ErrorKind::MissingRequiredClaim(claim) => other(&format!("lacks the claim {claim}")),
        ErrorKind::InvalidClaimFormat(claim) => other(&format!("has a claim {claim} of the wrong type")),
        _ => None,
    }
}
