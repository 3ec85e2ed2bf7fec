//! What the bridge itself gives out: sessions for a cookie, tickets for a URL. Whoever holds the secret that seals them can read
//! them back, on any replica and after a restart; nothing is kept about them.

use super::permit::{GrantOrigin, GrantSource};
use super::rights::Rights;
use super::secret::MacKey;
use crate::record::{Timestamp, TopicName};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// Longer ones were not made here.
const LONGEST: usize = 48 << 10;

/// What a sealed text is for. One is never taken for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenUse {
    Session,
    Ticket,
}

/// What a sealed text says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedToken {
    /// Who it was given to.
    pub name: String,
    pub source: GrantSource,
    /// In ms since the epoch; to the second.
    pub ends: Timestamp,
    /// Of a token, which cannot be asked again.
    pub rights: Option<Rights>,
    /// A ticket's topics, and by when it must have been used first.
    pub ticket: Option<Ticket>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    pub topics: Vec<TopicName>,
    /// In ms since the epoch; to the second.
    pub open_by: Timestamp,
}

/// As it is written. One letter each: it stands in URLs.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    n: String,
    /// What it hangs on: the key of this name, or of the same as its holder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    k: Option<String>,
    /// … or a key of this issuer of tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    i: Option<String>,
    /// The key's fingerprint.
    f: String,
    e: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    r: Option<Rights>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    t: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    o: Option<i64>,
}

impl SignedToken {
    pub fn held(&self) -> GrantOrigin {
        GrantOrigin { source: self.source.clone(), ends: Some(self.ends) }
    }

    pub fn seal(&self, seal: &MacKey, made_for: TokenUse) -> String {
        let (k, i, f) = match &self.source {
            GrantSource::Key { name, fingerprint } => (Some(name.clone()), None, fingerprint.clone()),
            GrantSource::Token { issuer, fingerprint } => (None, Some(issuer.clone()), fingerprint.clone()),
        };
        let ticket = self.ticket.as_ref();
        let sealed = Sealed {
            n: self.name.clone(),
            k: k.filter(|name| *name != self.name),
            i,
            f,
            e: self.ends.div_euclid(1000),
            r: self.rights.clone(),
            t: ticket.map(|t| t.topics.iter().map(|topic| topic.as_str().to_owned()).collect()).unwrap_or_default(),
            o: ticket.map(|t| t.open_by.div_euclid(1000)),
        };
        // Values of these types can always be written.
        let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&sealed).unwrap_or_default());
        let mac = URL_SAFE_NO_PAD.encode(seal.of(&signed(made_for, &payload)));
        format!("{payload}.{mac}")
    }

    /// `None`: not made here with this secret, or for another use, or damaged.
    pub fn open(text: &str, seal: &MacKey, made_for: TokenUse) -> Option<Self> {
        let (payload, mac) = text.split_once('.').filter(|_| text.len() <= LONGEST)?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        if !seal.fits(&signed(made_for, payload), &mac) {
            return None;
        }
        let sealed: Sealed = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        let source = match sealed.i {
            Some(issuer) => GrantSource::Token { issuer, fingerprint: sealed.f },
            None => GrantSource::Key { name: sealed.k.unwrap_or_else(|| sealed.n.clone()), fingerprint: sealed.f },
        };
        let topics = sealed.t.iter().map(|topic| TopicName::new(topic)).collect::<Result<Vec<_>, _>>().ok()?;
        let ticket = sealed.o.map(|open_by| Ticket { topics, open_by: open_by.saturating_mul(1000) });
        if ticket.is_some() != (made_for == TokenUse::Ticket) {
            return None;
        }
        Some(Self { name: sealed.n, source, ends: sealed.e.saturating_mul(1000), rights: sealed.r, ticket })
    }
}

fn signed(made_for: TokenUse, payload: &str) -> Vec<u8> {
    let use_of_it = match made_for {
        TokenUse::Session => "curlew session ",
        TokenUse::Ticket => "curlew ticket ",
    };
    [use_of_it, payload].concat().into_bytes()
}

#[cfg(test)]
mod tests;
