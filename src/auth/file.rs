//! Parses the auth file. Errors name the line and never contain a secret.

mod error;
mod jwt;

pub use error::{AuthFileError, InvalidName};
pub use jwt::KeySource;

use error::{AuthFileFault, KeyFault};

use super::crypto::Digest;
use super::identity::ClientIdentity;
use super::jwt::IssuerSettings;
use super::keys::{self, ApiKey, KeyProof};
use super::password::Password;
use super::rights::{Rights, TopicPattern};
use crate::record::Timestamp;
use crate::secret::Secret;
use crate::start_position::parse_age;
use serde::Deserialize;
use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use toml::Spanned;
use toml::value::Datetime;

/// The shortest `ticket_secret`, in bytes. A shorter one could be guessed.
const MIN_SECRET_LEN: usize = 32;
/// The default and the maximum of `session`.
const DEFAULT_SESSION: Duration = Duration::from_secs(12 * 3600);
const MAX_SESSION: Duration = Duration::from_secs(31 * 86_400);
/// The longest name, in bytes: names appear in logs and tickets.
const MAX_NAME_LEN: usize = 100;

/// The validated contents of the file.
#[derive(Debug)]
pub struct AuthRules {
    pub keys: Vec<ApiKey>,
    /// The issuers of accepted tokens, with the sources of their keys.
    pub issuers: Vec<(IssuerSettings, KeySource)>,
    /// Signs sessions and tickets. Without it, each process uses a random secret.
    pub ticket_secret: Option<Secret>,
    /// The lifetime of sessions and tickets.
    pub session: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuthFile {
    ticket_secret: Option<Spanned<Secret>>,
    session: Option<Spanned<String>>,
    #[serde(default)]
    key: Vec<Spanned<KeyEntry>>,
    #[serde(default)]
    jwt: Vec<Spanned<jwt::IssuerEntry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    name: String,
    sha256: Option<Secret>,
    argon2: Option<Secret>,
    #[serde(default)]
    certificate: bool,
    expires: Option<Datetime>,
    #[serde(default)]
    produce: Vec<TopicPattern>,
    #[serde(default)]
    consume: Vec<TopicPattern>,
    #[serde(default)]
    manage: Vec<TopicPattern>,
    #[serde(default)]
    metrics: bool,
}

/// Parses the text of the file.
pub fn parse(text: &str) -> Result<AuthRules, AuthFileError> {
    let at = |span: Range<usize>, fault: AuthFileFault| AuthFileError { line: line_of(text, span.start), fault };
    let file: AuthFile = toml::from_str(text).map_err(|error| {
        // The `Display` of toml's error quotes the line, which may contain a secret.
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        let fault = match text.lines().nth(line - 1).is_some_and(|line| line.starts_with(keys::PREFIX)) {
            true => AuthFileFault::PlainKey,
            false => AuthFileFault::Syntax(without_values(error.message())),
        };
        AuthFileError { line, fault }
    })?;
    let ticket_secret = file.ticket_secret.map(|secret| {
        let span = secret.span();
        let secret = secret.into_inner();
        match secret.reveal().len() >= MIN_SECRET_LEN {
            true => Ok(secret),
            false => Err(at(span, AuthFileFault::ShortTicketSecret)),
        }
    });
    let session = file.session.map_or(Ok(DEFAULT_SESSION), |session| {
        let span = session.span();
        duration(session.get_ref(), MAX_SESSION).ok_or_else(|| at(span, AuthFileFault::Session))
    });
    let keys = file.key.into_iter().map(|key| {
        let span = key.span();
        parse_key(key.into_inner()).map_err(|fault| at(span, fault))
    });
    let keys = keys.collect::<Result<_, _>>()?;
    let mut names = HashSet::new();
    let issuers = file.jwt.into_iter().map(|issuer| {
        let span = issuer.span();
        let issuer = jwt::validate(issuer.into_inner()).and_then(|issuer| match names.insert(issuer.0.name.clone()) {
            true => Ok(issuer),
            false => Err(AuthFileFault::DuplicateIssuer(issuer.0.name)),
        });
        issuer.map_err(|fault| at(span, fault))
    });
    let issuers = issuers.collect::<Result<_, _>>()?;
    Ok(AuthRules { keys, issuers, ticket_secret: ticket_secret.transpose()?, session: session? })
}

fn parse_key(key: KeyEntry) -> Result<ApiKey, AuthFileFault> {
    check_name(&key.name)?;
    let name = key.name.clone();
    api_key(key).map_err(|fault| AuthFileFault::Key { name, fault })
}

fn api_key(key: KeyEntry) -> Result<ApiKey, KeyFault> {
    let KeyEntry { name, sha256, argon2, certificate, expires, produce, consume, manage, metrics } = key;
    let proof = match (sha256, argon2, certificate) {
        (Some(hex), None, false) => KeyProof::Sha256(Digest::from_hex(hex.reveal()).ok_or(KeyFault::Sha256)?),
        (None, Some(text), false) => KeyProof::Argon2(Password::parse(text.reveal())?),
        (None, None, true) => KeyProof::Certificate,
        _ => return Err(KeyFault::Proof),
    };
    let expires = expires.map(|at| instant(&at).ok_or(KeyFault::Expires)).transpose()?;
    Ok(ApiKey {
        identity: ClientIdentity::new(&name),
        rights: Rights { produce, consume, manage, metrics },
        expires,
        proof,
    })
}

/// Checks the name of a key or an issuer. Names appear in logs, so control characters are not allowed. A colon ends the
/// user name in Basic authentication, and a slash separates an issuer from a subject.
pub fn check_name(name: &str) -> Result<(), InvalidName> {
    let is_allowed = |c: char| !c.is_control() && c != ':' && c != '/';
    match !name.is_empty() && name.len() <= MAX_NAME_LEN && name.chars().all(is_allowed) {
        true => Ok(()),
        false => Err(InvalidName(name.to_owned())),
    }
}

/// Converts a TOML datetime to ms since the epoch. Returns `None` if it has no offset.
fn instant(at: &Datetime) -> Option<Timestamp> {
    let time = OffsetDateTime::parse(&at.to_string(), &Rfc3339).ok()?;
    Some(time.unix_timestamp().saturating_mul(1000))
}

/// Parses a positive duration of at most `max`, such as `30s`, `12h` or `7d`.
fn duration(text: &str, max: Duration) -> Option<Duration> {
    let ms = parse_age(text).filter(|ms| *ms > 0).and_then(|ms| u64::try_from(ms).ok())?;
    Some(Duration::from_millis(ms)).filter(|time| *time <= max)
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// Removes quoted values from a message of serde, because a secret may have been given for another setting. Strings are in
/// quotation marks, numbers in backticks.
fn without_values(message: &str) -> String {
    let message = message.split('\n').next().unwrap_or_default();
    // In other messages, backticks quote the name of a field.
    let holds_value = message.starts_with("invalid ");
    let is_quote = |c: char| c == '"' || c == '`' && holds_value;
    let Some((before, after)) = message.split_once(is_quote) else { return message.to_owned() };
    let after = after.rsplit_once(is_quote).map_or("", |(_, after)| after);
    format!("{before}…{after}")
}

#[cfg(test)]
mod tests;
