//! Whose tokens are taken, and what they allow.

use super::key_set::KeySet;
use super::remote::Remote;
use crate::auth::identity::ClientIdentity;
use crate::auth::permit::{Grant, GrantOrigin, GrantSource};
use crate::auth::rights::Rights;
use crate::auth::secret::Digest;
use crate::record::Timestamp;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Header, Validation, decode};
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// Keys that a token is tried with; more of one name are nobody's.
const MOST_TRIES: usize = 8;
/// Longer names would fill logs and tickets.
const LONGEST_NAME: usize = 100;

/// What the file says about an issuer, but for its keys.
#[derive(Debug, Clone)]
pub struct IssuerTerms {
    /// Goes before the names of its tokens' subjects.
    pub name: String,
    /// `iss` must be one of these; empty: any.
    pub issuers: Vec<String>,
    /// `aud` must hold one of these; empty: tokens that name an audience are not for us.
    pub audiences: Vec<String>,
    /// By how much its clock may differ.
    pub leeway: Duration,
    /// The claim that names somebody.
    pub identity: String,
    /// The claim that holds their rights: a member's name, or a JSON pointer.
    pub claim: String,
    /// What all of its tokens allow.
    pub rights: Rights,
}

#[derive(Debug)]
pub struct Issuer {
    terms: IssuerTerms,
    keys: IssuerKeys,
    /// Another one as soon as the terms are.
    pub fingerprint: String,
}

#[derive(Debug, Clone)]
pub enum IssuerKeys {
    Known(Arc<KeySet>),
    Remote(Arc<Remote>),
}

/// What an issuer says to a token.
#[derive(Debug)]
pub enum TokenVerdict {
    Good(Box<Grant>),
    /// It has not signed it.
    Foreign,
    /// It has signed it, and it is not good all the same.
    Bad(Flaw),
    /// Signed with a key that may be there by now.
    UnknownKey(Arc<Remote>),
}

/// What is wrong with a token that its issuer has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    Expired,
    Other(String),
}

impl Issuer {
    pub fn new(terms: IssuerTerms, keys: IssuerKeys) -> Self {
        let fingerprint = Digest::of(&format!("{terms:?}")).short();
        Self { terms, keys, fingerprint }
    }

    /// Whether it still vouches for what a key of this fingerprint has signed.
    pub fn vouches_for(&self, fingerprint: &str) -> bool {
        // Until they are fetched, what was sealed here is believed.
        self.key_set().is_none_or(|keys| keys.has(fingerprint))
    }

    pub fn uses(&self, remote: &Arc<Remote>) -> bool {
        matches!(&self.keys, IssuerKeys::Remote(own) if Arc::ptr_eq(own, remote))
    }

    fn key_set(&self) -> Option<Arc<KeySet>> {
        match &self.keys {
            IssuerKeys::Known(keys) => Some(keys.clone()),
            IssuerKeys::Remote(remote) => remote.keys(),
        }
    }

    /// `header` is the token's own, which chooses among the keys and nothing else.
    pub fn judge(&self, token: &str, header: &Header) -> TokenVerdict {
        let keys = self.key_set();
        let fitting: Vec<_> = keys.iter().flat_map(|keys| keys.fitting(header)).take(MOST_TRIES).collect();
        for key in &fitting {
            let validation = self.validation(key.algorithm);
            match decode::<Value>(token, &key.key, &validation) {
                Ok(token) => return self.grant(&token.claims, &key.fingerprint),
                Err(error) => match flaw(error.kind()) {
                    Some(flaw) => return TokenVerdict::Bad(flaw),
                    None => continue,
                },
            }
        }
        match &self.keys {
            // A key without a name may have been changed for another.
            IssuerKeys::Remote(remote) if fitting.is_empty() || header.kid.is_none() => {
                TokenVerdict::UnknownKey(remote.clone())
            }
            _ => TokenVerdict::Foreign,
        }
    }

    fn validation(&self, algorithm: jsonwebtoken::Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = self.terms.leeway.as_secs();
        validation.validate_nbf = true;
        let mut required = HashSet::from(["exp".to_owned()]);
        if !self.terms.issuers.is_empty() {
            validation.set_issuer(&self.terms.issuers);
            required.insert("iss".to_owned());
        }
        if !self.terms.audiences.is_empty() {
            validation.set_audience(&self.terms.audiences);
            required.insert("aud".to_owned());
        }
        validation.required_spec_claims = required;
        validation
    }

    fn grant(&self, claims: &Value, key: &str) -> TokenVerdict {
        let claimed = match self.terms.claim.starts_with('/') {
            true => claims.pointer(&self.terms.claim),
            false => claims.get(&self.terms.claim),
        };
        let claimed =
            claimed.map_or(Ok(Rights::default()), |claimed| serde_json::from_value::<Rights>(claimed.clone()));
        let Ok(claimed) = claimed else {
            let claim = &self.terms.claim;
            let like = r#"{"produce":["readings.*"],"consume":["*"]}"#;
            return TokenVerdict::Bad(Flaw::Other(format!("the token's claim {claim:?} is not such as {like}")));
        };
        // jsonwebtoken has seen that it is a number and not over.
        let expires = claims.get("exp").and_then(Value::as_f64).unwrap_or_default();
        let ends = (expires * 1000.0) as Timestamp;
        let leeway = Timestamp::try_from(self.terms.leeway.as_millis()).unwrap_or_default();
        let source = GrantSource::Token { issuer: self.fingerprint.clone(), fingerprint: key.to_owned() };
        TokenVerdict::Good(Box::new(Grant {
            identity: ClientIdentity::new(&self.name_of(claims)),
            rights: self.terms.rights.clone().and(claimed),
            only: None,
            held: GrantOrigin { source, ends: Some(ends.saturating_add(leeway)) },
        }))
    }

    /// `idp/alice`, so that it is nobody's key.
    fn name_of(&self, claims: &Value) -> String {
        let subject = claims.get(&self.terms.identity).and_then(Value::as_str).unwrap_or("(no name)");
        let subject: String = subject.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
        format!("{}/{subject}", self.terms.name)
    }
}

/// `None`: this key has not signed it.
fn flaw(kind: &ErrorKind) -> Option<Flaw> {
    let other = |what: &str| Some(Flaw::Other(format!("the token {what}")));
    match kind {
        ErrorKind::ExpiredSignature => Some(Flaw::Expired),
        ErrorKind::ImmatureSignature => other("begins later than now"),
        ErrorKind::InvalidAudience => other("is for another audience"),
        ErrorKind::InvalidIssuer => other("is of another issuer"),
        ErrorKind::MissingRequiredClaim(claim) => other(&format!("lacks the claim {claim}")),
        ErrorKind::InvalidClaimFormat(claim) => other(&format!("has a claim {claim} of the wrong kind")),
        _ => None,
    }
}
