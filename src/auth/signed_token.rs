//! Tokens that the bridge issues: sessions for a cookie, tickets for a URL. They are signed and stateless: with a shared
//! `ticket_secret` every replica accepts them, also after a restart.

use super::crypto::MacKey;
use super::permit::{GrantOrigin, GrantSource};
use super::rights::Rights;
use crate::record::{Timestamp, TopicName};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// The maximum length of a token, in bytes.
const MAX_LEN: usize = 48 << 10;

/// The purpose of a token. It is part of the signed bytes, so a token for one purpose is invalid for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenUse {
    Session,
    Ticket,
}

/// The contents of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedToken {
    /// The client's identity.
    pub name: String,
    pub source: GrantSource,
    /// The expiry in ms since the epoch, in whole seconds.
    pub expires: Timestamp,
    /// The rights of an identity provider's token, which the client does not send again. `None` for a key, whose rights
    /// are looked up in the current table.
    pub rights: Option<Rights>,
    /// Present in tickets only.
    pub ticket: Option<Ticket>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    pub topics: Vec<TopicName>,
    /// The deadline for its first use in ms since the epoch, in whole seconds.
    pub open_by: Timestamp,
}

/// The JSON payload. Its names have one letter because tickets are part of URLs.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenPayload {
    /// The identity's name.
    n: String,
    /// The name of the key, if it differs from the identity's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    k: Option<String>,
    /// The fingerprint of the token's issuer; absent for keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    i: Option<String>,
    /// The key's fingerprint.
    f: String,
    /// The expiry in seconds since the epoch.
    e: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    r: Option<Rights>,
    /// The topics of a ticket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    t: Vec<String>,
    /// The deadline for the first use of a ticket, in seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    o: Option<i64>,
}

impl SignedToken {
    pub fn origin(&self) -> GrantOrigin {
        GrantOrigin { source: self.source.clone(), expires: Some(self.expires) }
    }

    /// Encodes and signs the token: payload and HMAC in base64url, separated by a dot.
    pub fn sign(&self, mac_key: &MacKey, token_use: TokenUse) -> String {
        let (k, i, f) = match &self.source {
            GrantSource::Key { name, fingerprint } => (Some(name.clone()), None, fingerprint.clone()),
            GrantSource::Token { issuer, fingerprint } => (None, Some(issuer.clone()), fingerprint.clone()),
        };
        let ticket = self.ticket.as_ref();
        let fields = TokenPayload {
            n: self.name.clone(),
            k: k.filter(|name| *name != self.name),
            i,
            f,
            e: self.expires.div_euclid(1000),
            r: self.rights.clone(),
            t: ticket.map(|t| t.topics.iter().map(|topic| topic.as_str().to_owned()).collect()).unwrap_or_default(),
            o: ticket.map(|t| t.open_by.div_euclid(1000)),
        };
        // Serializing these types cannot fail.
        let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&fields).unwrap_or_default());
        let mac = URL_SAFE_NO_PAD.encode(mac_key.sign(&signing_input(token_use, &payload)));
        format!("{payload}.{mac}")
    }

    /// Verifies and decodes a token. Returns `None` if it is malformed, was signed with another key, or has another use.
    pub fn verify(text: &str, mac_key: &MacKey, token_use: TokenUse) -> Option<Self> {
        let (payload, mac) = text.split_once('.').filter(|_| text.len() <= MAX_LEN)?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        if !mac_key.verify(&signing_input(token_use, payload), &mac) {
            return None;
        }
        let fields: TokenPayload = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        let source = match fields.i {
            Some(issuer) => GrantSource::Token { issuer, fingerprint: fields.f },
            None => GrantSource::Key { name: fields.k.unwrap_or_else(|| fields.n.clone()), fingerprint: fields.f },
        };
        let topics = fields.t.iter().map(|topic| TopicName::new(topic)).collect::<Result<Vec<_>, _>>().ok()?;
        let ticket = fields.o.map(|open_by| Ticket { topics, open_by: open_by.saturating_mul(1000) });
        if ticket.is_some() != (token_use == TokenUse::Ticket) {
            return None;
        }
        Some(Self { name: fields.n, source, expires: fields.e.saturating_mul(1000), rights: fields.r, ticket })
    }
}

fn signing_input(token_use: TokenUse, payload: &str) -> Vec<u8> {
    let prefix = match token_use {
        TokenUse::Session => "curlew session ",
        TokenUse::Ticket => "curlew ticket ",
    };
    [prefix, payload].concat().into_bytes()
}

#[cfg(test)]
mod tests;
