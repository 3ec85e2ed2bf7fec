//! An immutable snapshot of the auth file, which authenticates credentials. Reloading the file creates a new table.

use super::credential::Credential;
use super::crypto::{Digest, MacKey};
use super::file::AuthRules;
use super::identity::ClientIdentity;
use super::jwt::{self, Issuer, Remote, TokenFlaw, TokenVerdict};
use super::keys::{ApiKey, ApiKeys, DuplicateKey};
use super::password::Password;
use super::permit::{Grant, GrantOrigin, GrantSource};
use super::rights::{Right, Rights};
use super::signed_token::{SignedToken, Ticket, TokenUse};
use crate::record::{Timestamp, TopicName};
use crate::secret::Secret;
use crate::sync::lock;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Maximum time between the issue of a ticket and its first use.
pub const OPEN_WITHIN: Duration = Duration::from_secs(60);
/// The size of each cache of verified credentials. A full cache is cleared.
const MAX_VERIFIED: usize = 1024;

#[derive(Debug)]
pub struct AuthTable {
    keys: ApiKeys,
    issuers: Vec<Issuer>,
    mac_key: MacKey,
    session: Duration,
    /// The digest of all files that were read.
    digest: Digest,
    /// HMACs of names with their verified passwords, so that each password is hashed only once.
    verified_passwords: Mutex<HashSet<[u8; 32]>>,
    /// Verified tokens, so that each signature is checked only once.
    verified_tokens: Mutex<HashMap<Digest, Grant>>,
}

/// The reason for rejecting a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthError {
    /// The request has no credential.
    Missing,
    /// The credential is unknown or wrong. The response does not say which, so that clients cannot search for names.
    Unknown,
    /// The signature of a token is valid, but the token is not acceptable. Contains a sentence for the client.
    InvalidToken(String),
    /// The credential has expired or was revoked.
    Expired,
    /// The credential cannot be checked at the moment. Contains a sentence for the client.
    Unavailable(&'static str),
    /// The check panicked, which is a bug.
    Failed,
}

/// The rules of an auth file that cannot be used together.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    #[error("ticket_secret cannot be used")]
    TicketSecret,
    #[error(transparent)]
    DuplicateKey(#[from] DuplicateKey),
}

/// The reason for the end of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantEnd {
    Expired,
    Revoked,
}

/// The use of a ticket: to open its first stream, or to resume a stream. Only the first use has a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketUse {
    First,
    /// The request has a `Last-Event-ID`, as a header or a parameter.
    Resume,
}

/// The result of looking up a credential.
pub enum Decision<'a> {
    Granted(Grant),
    Rejected(AuthError),
    /// The caller must refresh these key sets and look the credential up again.
    FetchKeys(Vec<Arc<Remote>>),
    /// The caller must check the password, on a blocking thread.
    CheckPassword {
        name: &'a str,
        secret: &'a Secret,
        password: Password,
    },
}

impl AuthTable {
    /// Builds a table. `fallback` signs sessions and tickets if the file has no `ticket_secret`. `digest` is the digest of
    /// all files that were read.
    pub fn new(rules: AuthRules, issuers: Vec<Issuer>, fallback: &[u8], digest: Digest) -> Result<Self, TableError> {
        let secret = rules.ticket_secret.as_ref().map_or(fallback, |secret| secret.reveal().as_bytes());
        let mac_key = MacKey::new(secret).ok_or(TableError::TicketSecret)?;
        Ok(Self {
            keys: ApiKeys::new(rules.keys)?,
            mac_key,
            session: rules.session,
            digest,
            verified_passwords: Mutex::default(),
            issuers,
            verified_tokens: Mutex::default(),
        })
    }

    /// Whether the keys of an issuer come from `remote`.
    pub fn uses(&self, remote: &Arc<Remote>) -> bool {
        self.issuers.iter().any(|issuer| issuer.uses(remote))
    }

    /// Whether both tables come from files with the same contents.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// Looks up a credential at the time `now`.
    pub fn look_up<'a>(&self, credential: &'a Credential, ticket_use: TicketUse, now: Timestamp) -> Decision<'a> {
        let granted = match credential {
            Credential::Bearer(secret) => match self.key_grant(None, secret, now) {
                Err(AuthError::Unknown) => return self.look_up_token(secret, now),
                result => result,
            },
            Credential::Named { name, secret } => match self.key_grant(Some(name), secret, now) {
                // Clients that support only Basic send a token as the password.
                Err(AuthError::Unknown) if jwt::header(secret.reveal()).is_some() => {
                    return self.look_up_token(secret, now);
                }
                Err(AuthError::Unknown) => return self.look_up_password(name, secret, now),
                result => result,
            },
            Credential::Session(text) => self.token_grant(text, TokenUse::Session, ticket_use, now),
            Credential::Ticket(text) => self.token_grant(text, TokenUse::Ticket, ticket_use, now),
            Credential::Certificate { name, expires } => self.certificate_grant(name, *expires, now),
        };
        granted.map_or_else(Decision::Rejected, Decision::Granted)
    }

    fn key_grant(&self, name: Option<&str>, secret: &Secret, now: Timestamp) -> Result<Grant, AuthError> {
        let key = self.keys.find(name, secret).ok_or(AuthError::Unknown)?;
        grant(key, now)
    }

    fn certificate_grant(&self, name: &str, expires: Timestamp, now: Timestamp) -> Result<Grant, AuthError> {
        let mut grant =
            grant(self.keys.by_name(name).filter(|key| key.is_certificate()).ok_or(AuthError::Unknown)?, now)?;
        if expires <= now {
            return Err(AuthError::Expired);
        }
        grant.origin.expires = Some(expires);
        Ok(grant)
    }

    fn look_up_token(&self, token: &Secret, now: Timestamp) -> Decision<'static> {
        let digest = Digest::of(token.reveal());
        if let Some(grant) = lock(&self.verified_tokens).get(&digest)
            && self.expiry(&grant.origin, now).is_ok()
        {
            return Decision::Granted(grant.clone());
        }
        let Some(header) = jwt::header(token.reveal()) else { return Decision::Rejected(AuthError::Unknown) };
        let (mut rejected, mut unfetched) = (AuthError::Unknown, Vec::new());
        for issuer in &self.issuers {
            match issuer.verify(token.reveal(), &header) {
                TokenVerdict::Valid(grant) => {
                    let mut verified = lock(&self.verified_tokens);
                    if verified.len() >= MAX_VERIFIED {
                        verified.clear();
                    }
                    verified.insert(digest, (*grant).clone());
                    return Decision::Granted(*grant);
                }
                TokenVerdict::OtherSigner => {}
                TokenVerdict::Invalid(TokenFlaw::Expired) => rejected = AuthError::Expired,
                TokenVerdict::Invalid(TokenFlaw::Other(why)) => rejected = AuthError::InvalidToken(why),
                TokenVerdict::UnknownKey(remote) => unfetched.push(remote),
            }
        }
        match rejected {
            AuthError::Unknown if !unfetched.is_empty() => Decision::FetchKeys(unfetched),
            rejected => Decision::Rejected(rejected),
        }
    }

    fn look_up_password<'a>(&self, name: &'a str, secret: &'a Secret, now: Timestamp) -> Decision<'a> {
        let Some(password) = self.keys.password(name) else { return Decision::Rejected(AuthError::Unknown) };
        match self.is_verified(name, secret) {
            true => self.password_grant(name, now).map_or_else(Decision::Rejected, Decision::Granted),
            false => Decision::CheckPassword { name, secret, password: password.clone() },
        }
    }

    /// Caches a verified password and returns its grant. Called after [`Decision::CheckPassword`].
    pub fn accept_password(&self, name: &str, secret: &Secret, now: Timestamp) -> Result<Grant, AuthError> {
        let grant = self.password_grant(name, now)?;
        let mut verified = lock(&self.verified_passwords);
        if verified.len() >= MAX_VERIFIED {
            verified.clear();
        }
        verified.insert(self.password_mac(name, secret));
        Ok(grant)
    }

    fn password_grant(&self, name: &str, now: Timestamp) -> Result<Grant, AuthError> {
        // For an unknown name, another key's password was checked.
        let key = self.keys.by_name(name).filter(|key| key.is_password()).ok_or(AuthError::Unknown)?;
        grant(key, now)
    }

    /// Whether this password of `name` has been verified before.
    pub fn is_verified(&self, name: &str, secret: &Secret) -> bool {
        let mac = self.password_mac(name, secret);
        lock(&self.verified_passwords).contains(&mac)
    }

    fn password_mac(&self, name: &str, secret: &Secret) -> [u8; 32] {
        self.mac_key.sign(format!("curlew password {name}:{}", secret.reveal()).as_bytes())
    }

    fn token_grant(
        &self,
        text: &Secret,
        token_use: TokenUse,
        ticket_use: TicketUse,
        now: Timestamp,
    ) -> Result<Grant, AuthError> {
        let token = SignedToken::verify(text.reveal(), &self.mac_key, token_use).ok_or(AuthError::Unknown)?;
        if let Some(ticket) = &token.ticket
            && ticket_use == TicketUse::First
            && ticket.open_by < now
        {
            return Err(AuthError::Expired);
        }
        let origin = token.origin();
        self.expiry(&origin, now).map_err(|_| AuthError::Expired)?;
        let rights = self.rights_of(&origin.source, token.rights).ok_or(AuthError::Expired)?;
        Ok(Grant {
            identity: ClientIdentity::new(&token.name),
            rights,
            ticket_topics: token.ticket.map(|ticket| ticket.topics),
            origin,
        })
    }

    /// Returns the current rights of a key, or the rights that a token was issued with.
    fn rights_of(&self, source: &GrantSource, own: Option<Rights>) -> Option<Rights> {
        match source {
            GrantSource::Key { name, .. } => self.keys.by_name(name).map(|key| key.rights.clone()),
            GrantSource::Token { .. } => own,
        }
    }

    /// Returns the expiry of a grant according to this table, or `None` if it does not expire.
    pub fn expiry(&self, origin: &GrantOrigin, now: Timestamp) -> Result<Option<Timestamp>, GrantEnd> {
        let source_expiry = match &origin.source {
            GrantSource::Key { name, fingerprint } => {
                let key = self.keys.by_name(name).filter(|key| key.fingerprint() == *fingerprint);
                key.ok_or(GrantEnd::Revoked)?.expires
            }
            GrantSource::Token { issuer, fingerprint } => {
                let mut issuers = self.issuers.iter().filter(|known| known.fingerprint == *issuer);
                match issuers.any(|issuer| issuer.has_key(fingerprint)) {
                    true => None,
                    false => return Err(GrantEnd::Revoked),
                }
            }
        };
        let until = source_expiry.into_iter().chain(origin.expires).min();
        match until {
            Some(until) if until <= now => Err(GrantEnd::Expired),
            until => Ok(until),
        }
    }

    /// Checks that a grant still permits `right` for all of `topics`, with the key's current rights.
    pub fn still_allows(&self, grant: &Grant, right: Right, topics: &[TopicName]) -> Result<(), super::Denied> {
        let rights = self.rights_of(&grant.origin.source, Some(grant.rights.clone())).unwrap_or_default();
        let now = Grant { rights, ..grant.clone() };
        topics.iter().try_for_each(|topic| now.may(right, topic))
    }

    /// Issues a session. Returns it with its expiry in ms since the epoch.
    pub fn session(&self, grant: &Grant, now: Timestamp) -> Result<(String, Timestamp), GrantEnd> {
        let token = self.token_for(grant, None, now)?;
        Ok((token.sign(&self.mac_key, TokenUse::Session), token.expires))
    }

    /// Issues a ticket to consume `topics`. Returns it with its expiry in ms since the epoch.
    pub fn ticket(
        &self,
        grant: &Grant,
        topics: Vec<TopicName>,
        now: Timestamp,
    ) -> Result<(String, Timestamp), GrantEnd> {
        let open_by = now.saturating_add(millis(OPEN_WITHIN));
        let token = self.token_for(grant, Some(Ticket { topics, open_by }), now)?;
        Ok((token.sign(&self.mac_key, TokenUse::Ticket), token.expires))
    }

    fn token_for(&self, grant: &Grant, ticket: Option<Ticket>, now: Timestamp) -> Result<SignedToken, GrantEnd> {
        let until = self.expiry(&grant.origin, now)?;
        let longest = now.saturating_add(millis(self.session));
        let rights = match (&grant.origin.source, &ticket) {
            (GrantSource::Key { .. }, _) => None,
            (GrantSource::Token { .. }, None) => Some(grant.rights.clone()),
            (GrantSource::Token { .. }, Some(ticket)) => Some(Rights::consume_only(&ticket.topics)),
        };
        Ok(SignedToken {
            name: grant.identity.name().to_owned(),
            source: grant.origin.source.clone(),
            expires: until.map_or(longest, |until| until.min(longest)),
            rights,
            ticket,
        })
    }
}

fn grant(key: &ApiKey, now: Timestamp) -> Result<Grant, AuthError> {
    if key.is_expired(now) {
        return Err(AuthError::Expired);
    }
    let source = GrantSource::Key { name: key.identity.name().to_owned(), fingerprint: key.fingerprint() };
    let origin = GrantOrigin { source, expires: None };
    Ok(Grant { identity: key.identity.clone(), rights: key.rights.clone(), ticket_topics: None, origin })
}

fn millis(time: Duration) -> Timestamp {
    Timestamp::try_from(time.as_millis()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
