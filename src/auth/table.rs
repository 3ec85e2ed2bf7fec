//! An immutable snapshot of the auth file, which authenticates credentials. Reloading the file creates a new table.

use super::credential::Credential;
use super::file::Rules;
use super::identity::ClientIdentity;
use super::jwt::{self, Flaw, Issuer, Remote, TokenVerdict};
use super::keys::{ApiKey, ApiKeys};
use super::password::Password;
use super::permit::{Grant, GrantOrigin, GrantSource};
use super::rights::{Right, Rights};
use super::secret::{Digest, HiddenText, MacKey};
use super::signed_token::{SignedToken, Ticket, TokenUse};
use crate::record::{Timestamp, TopicName};
use crate::sync::lock;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The time between issuing a ticket and its first use.
pub const OPEN_WITHIN: Duration = Duration::from_secs(60);
/// The size of each cache of verified credentials. A full cache is cleared.
const REMEMBERED: usize = 1024;

#[derive(Debug)]
pub struct AuthTable {
    keys: ApiKeys,
    issuers: Vec<Issuer>,
    seal: MacKey,
    session: Duration,
    /// The digest of all files that were read.
    text: Digest,
    /// HMACs of names with their verified passwords, so that each password is hashed only once.
    right: Mutex<HashSet<[u8; 32]>>,
    /// Verified tokens, so that each signature is checked only once.
    good: Mutex<HashMap<Digest, Grant>>,
}

/// Why a credential was rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthError {
    /// The request has no credential.
    Missing,
    /// The credential is unknown or wrong. Clients are not told which, so that they cannot search for names.
    Wrong,
    /// A token has a valid signature but is not acceptable; the text says why.
    Bad(String),
    /// The credential was valid once.
    Expired,
    /// The credential cannot be checked at the moment; the text says why.
    Busy(&'static str),
}

/// Why a grant is no longer valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantEnd {
    Expired,
    Revoked,
}

/// Whether a ticket opens its first stream or resumes one. Only the first use has a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketUse {
    First,
    /// The request has the id of the last event.
    Again,
}

/// The result of looking up a credential.
pub enum Decision<'a> {
    Granted(Grant),
    Refused(AuthError),
    /// Look it up again after refreshing these key sets.
    Fetch(Vec<Arc<Remote>>),
    /// Check the password, on a blocking thread.
    Try {
        name: &'a str,
        secret: &'a HiddenText,
        password: Password,
    },
}

impl AuthTable {
    /// Builds a table. `fallback` signs sessions and tickets if the file has no `ticket_secret`; `text` is the digest of
    /// all files that were read.
    pub fn new(rules: Rules, issuers: Vec<Issuer>, fallback: &[u8], text: Digest) -> Result<Self, String> {
        let secret = rules.ticket_secret.as_ref().map_or(fallback, |secret| secret.reveal().as_bytes());
        let seal = MacKey::new(secret).ok_or("ticket_secret cannot be used")?;
        Ok(Self {
            keys: ApiKeys::new(rules.keys)?,
            seal,
            session: rules.session,
            text,
            right: Mutex::default(),
            issuers,
            good: Mutex::default(),
        })
    }

    /// Whether an issuer takes its keys from `remote`.
    pub fn uses(&self, remote: &Arc<Remote>) -> bool {
        self.issuers.iter().any(|issuer| issuer.uses(remote))
    }

    /// Whether both tables come from files with the same contents.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        self.text == other.text
    }

    /// Looks up a credential at the time `now`.
    pub fn answer<'a>(&self, credential: &'a Credential, arrival: TicketUse, now: Timestamp) -> Decision<'a> {
        let granted = match credential {
            Credential::Bearer(secret) => match self.shown(None, secret, now) {
                Err(AuthError::Wrong) => return self.answer_to_token(secret, now),
                shown => shown,
            },
            Credential::Named { name, secret } => match self.shown(Some(name), secret, now) {
                // Clients that support only Basic send a token as the password.
                Err(AuthError::Wrong) if jwt::header(secret.reveal()).is_some() => {
                    return self.answer_to_token(secret, now);
                }
                Err(AuthError::Wrong) => return self.answer_to_password(name, secret, now),
                shown => shown,
            },
            Credential::Session(text) => self.pass(text, TokenUse::Session, arrival, now),
            Credential::Ticket(text) => self.pass(text, TokenUse::Ticket, arrival, now),
            Credential::Certificate { name, ends } => self.certified(name, *ends, now),
        };
        granted.map_or_else(Decision::Refused, Decision::Granted)
    }

    fn shown(&self, name: Option<&str>, secret: &HiddenText, now: Timestamp) -> Result<Grant, AuthError> {
        let key = self.keys.shown(name, secret).ok_or(AuthError::Wrong)?;
        grant(key, now)
    }

    fn certified(&self, name: &str, ends: Timestamp, now: Timestamp) -> Result<Grant, AuthError> {
        let mut grant = grant(self.keys.named(name).filter(|key| key.is_certificate()).ok_or(AuthError::Wrong)?, now)?;
        if ends <= now {
            return Err(AuthError::Expired);
        }
        grant.held.ends = Some(ends);
        Ok(grant)
    }

    fn answer_to_token(&self, token: &HiddenText, now: Timestamp) -> Decision<'static> {
        let digest = Digest::of(token.reveal());
        if let Some(grant) = lock(&self.good).get(&digest)
            && self.until(&grant.held, now).is_ok()
        {
            return Decision::Granted(grant.clone());
        }
        let Some(header) = jwt::header(token.reveal()) else { return Decision::Refused(AuthError::Wrong) };
        let (mut refused, mut unknown) = (AuthError::Wrong, Vec::new());
        for issuer in &self.issuers {
            match issuer.judge(token.reveal(), &header) {
                TokenVerdict::Good(grant) => {
                    let mut good = lock(&self.good);
                    if good.len() >= REMEMBERED {
                        good.clear();
                    }
                    good.insert(digest, (*grant).clone());
                    return Decision::Granted(*grant);
                }
                TokenVerdict::Foreign => {}
                TokenVerdict::Bad(Flaw::Expired) => refused = AuthError::Expired,
                TokenVerdict::Bad(Flaw::Other(why)) => refused = AuthError::Bad(why),
                TokenVerdict::UnknownKey(remote) => unknown.push(remote),
            }
        }
        match refused {
            AuthError::Wrong if !unknown.is_empty() => Decision::Fetch(unknown),
            refused => Decision::Refused(refused),
        }
    }

    fn answer_to_password<'a>(&self, name: &'a str, secret: &'a HiddenText, now: Timestamp) -> Decision<'a> {
        let Some(password) = self.keys.password(name) else { return Decision::Refused(AuthError::Wrong) };
        match self.remembers(name, secret) {
            true => self.of_password(name, now).map_or_else(Decision::Refused, Decision::Granted),
            false => Decision::Try { name, secret, password: password.clone() },
        }
    }

    /// Caches a verified password and returns its grant. Called after [`Decision::Try`].
    pub fn tried(&self, name: &str, secret: &HiddenText, now: Timestamp) -> Result<Grant, AuthError> {
        let grant = self.of_password(name, now)?;
        let mut right = lock(&self.right);
        if right.len() >= REMEMBERED {
            right.clear();
        }
        right.insert(self.memory_of(name, secret));
        Ok(grant)
    }

    fn of_password(&self, name: &str, now: Timestamp) -> Result<Grant, AuthError> {
        // For an unknown name, another key's password was checked.
        let key = self.keys.named(name).filter(|key| key.is_password()).ok_or(AuthError::Wrong)?;
        grant(key, now)
    }

    /// Whether this password of `name` has been verified before.
    pub fn remembers(&self, name: &str, secret: &HiddenText) -> bool {
        let memory = self.memory_of(name, secret);
        lock(&self.right).contains(&memory)
    }

    fn memory_of(&self, name: &str, secret: &HiddenText) -> [u8; 32] {
        self.seal.of(format!("curlew password {name}:{}", secret.reveal()).as_bytes())
    }

    fn pass(
        &self,
        text: &HiddenText,
        made_for: TokenUse,
        arrival: TicketUse,
        now: Timestamp,
    ) -> Result<Grant, AuthError> {
        let pass = SignedToken::open(text.reveal(), &self.seal, made_for).ok_or(AuthError::Wrong)?;
        if let Some(ticket) = &pass.ticket
            && arrival == TicketUse::First
            && ticket.open_by < now
        {
            return Err(AuthError::Expired);
        }
        let held = pass.held();
        self.until(&held, now).map_err(|_| AuthError::Expired)?;
        let rights = self.rights_of(&held.source, pass.rights).ok_or(AuthError::Expired)?;
        Ok(Grant {
            identity: ClientIdentity::new(&pass.name),
            rights,
            only: pass.ticket.map(|ticket| ticket.topics),
            held,
        })
    }

    /// Returns the current rights of a key, or the rights that a token was issued with.
    fn rights_of(&self, source: &GrantSource, own: Option<Rights>) -> Option<Rights> {
        match source {
            GrantSource::Key { name, .. } => self.keys.named(name).map(|key| key.rights.clone()),
            GrantSource::Token { .. } => own,
        }
    }

    /// Returns when a grant expires as of this table, or `None` if it does not expire.
    pub fn until(&self, held: &GrantOrigin, now: Timestamp) -> Result<Option<Timestamp>, GrantEnd> {
        let source_ends = match &held.source {
            GrantSource::Key { name, fingerprint } => {
                let key = self.keys.named(name).filter(|key| key.fingerprint() == *fingerprint);
                key.ok_or(GrantEnd::Revoked)?.expires
            }
            GrantSource::Token { issuer, fingerprint } => {
                let mut issuers = self.issuers.iter().filter(|known| known.fingerprint == *issuer);
                match issuers.any(|issuer| issuer.vouches_for(fingerprint)) {
                    true => None,
                    false => return Err(GrantEnd::Revoked),
                }
            }
        };
        let until = source_ends.into_iter().chain(held.ends).min();
        match until {
            Some(until) if until <= now => Err(GrantEnd::Expired),
            until => Ok(until),
        }
    }

    /// Checks that a grant still permits `right` for all of `topics`, with the key's current rights.
    pub fn still_allows(&self, grant: &Grant, right: Right, topics: &[TopicName]) -> Result<(), super::Denied> {
        let rights = self.rights_of(&grant.held.source, Some(grant.rights.clone())).unwrap_or_default();
        let now = Grant { rights, ..grant.clone() };
        topics.iter().try_for_each(|topic| now.may(right, topic))
    }

    /// Issues a session. Returns it with its expiry in ms since the epoch.
    pub fn session(&self, grant: &Grant, now: Timestamp) -> Result<(String, Timestamp), GrantEnd> {
        let pass = self.pass_for(grant, None, now)?;
        Ok((pass.seal(&self.seal, TokenUse::Session), pass.ends))
    }

    /// Issues a ticket to consume `topics`. Returns it with its expiry in ms since the epoch.
    pub fn ticket(
        &self,
        grant: &Grant,
        topics: Vec<TopicName>,
        now: Timestamp,
    ) -> Result<(String, Timestamp), GrantEnd> {
        let open_by = now.saturating_add(millis(OPEN_WITHIN));
        let pass = self.pass_for(grant, Some(Ticket { topics, open_by }), now)?;
        Ok((pass.seal(&self.seal, TokenUse::Ticket), pass.ends))
    }

    fn pass_for(&self, grant: &Grant, ticket: Option<Ticket>, now: Timestamp) -> Result<SignedToken, GrantEnd> {
        let until = self.until(&grant.held, now)?;
        let longest = now.saturating_add(millis(self.session));
        let rights = match (&grant.held.source, &ticket) {
            (GrantSource::Key { .. }, _) => None,
            (GrantSource::Token { .. }, None) => Some(grant.rights.clone()),
            (GrantSource::Token { .. }, Some(ticket)) => Some(Rights::to_consume(&ticket.topics)),
        };
        Ok(SignedToken {
            name: grant.identity.name().to_owned(),
            source: grant.held.source.clone(),
            ends: until.map_or(longest, |until| until.min(longest)),
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
    let held = GrantOrigin { source, ends: None };
    Ok(Grant { identity: key.identity.clone(), rights: key.rights.clone(), only: None, held })
}

fn millis(time: Duration) -> Timestamp {
    Timestamp::try_from(time.as_millis()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
