//! The result of authentication: an identity with its rights.

use super::identity::ClientIdentity;
use super::rights::{Right, Rights};
use crate::record::{Timestamp, TopicName};
use std::sync::Arc;

/// The permissions of an authenticated request. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Permit(Option<Arc<Grant>>);

/// The grant behind an authenticated request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub identity: ClientIdentity,
    pub rights: Rights,
    /// Restricts a ticket to consuming these topics.
    pub ticket_topics: Option<Vec<TopicName>>,
    pub origin: GrantOrigin,
}

/// The origin of a grant. It decides when the grant ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantOrigin {
    pub source: GrantSource,
    /// The expiry of the token, session, ticket or certificate, in ms since the epoch. The expiry of a key is looked up
    /// in the current table instead.
    pub expires: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantSource {
    /// The key with this name and this fingerprint.
    Key { name: String, fingerprint: String },
    /// A token of the issuer with this fingerprint, signed with the key of this fingerprint.
    Token { issuer: String, fingerprint: String },
}

/// An authenticated request is not permitted. `Display` is a sentence for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error("{client:?} may not {right} topic {topic}: it lacks the right {right} for it")]
    Right { client: String, right: Right, topic: TopicName },
    #[error("this ticket of {client:?} does not permit to {right} {topic}: it is for other topics")]
    Ticket { client: String, right: Right, topic: TopicName },
    #[error("{client:?} may not describe topic {topic}: it lacks any right for it")]
    Describe { client: String, topic: TopicName },
    #[error("{client:?} may not read the metrics: it lacks the right metrics")]
    Metrics { client: String },
}

impl Permit {
    /// Permits everything, for a bridge without an auth file.
    pub fn unrestricted() -> Self {
        Self(None)
    }

    pub(super) fn from_grant(grant: Grant) -> Self {
        Self(Some(Arc::new(grant)))
    }

    /// Returns the client's identity, or `None` if authentication is off.
    pub fn identity(&self) -> Option<&ClientIdentity> {
        self.0.as_deref().map(|grant| &grant.identity)
    }

    pub(super) fn grant(&self) -> Option<&Grant> {
        self.0.as_deref()
    }

    pub(super) fn shared_grant(&self) -> Option<Arc<Grant>> {
        self.0.clone()
    }

    /// Returns the client's rights, or `None` if everything is permitted.
    pub fn rights(&self) -> Option<&Rights> {
        self.0.as_deref().map(|grant| &grant.rights)
    }

    /// Checks that `right` is granted for `topic`.
    pub fn may(&self, right: Right, topic: &TopicName) -> Result<(), Denied> {
        match &self.0 {
            Some(grant) => grant.may(right, topic),
            None => Ok(()),
        }
    }

    /// Whether lists of topics include `topic`.
    pub fn may_see(&self, topic: &TopicName) -> bool {
        self.0.as_ref().is_none_or(|grant| grant.may_see(topic))
    }

    /// Checks that the client may describe `topic`: any right to it is enough.
    pub fn may_describe(&self, topic: &TopicName) -> Result<(), Denied> {
        match &self.0 {
            Some(grant) if !grant.may_see(topic) => {
                Err(Denied::Describe { client: grant.client(), topic: topic.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Checks the right `metrics`. Tickets never have it.
    pub fn may_read_metrics(&self) -> Result<(), Denied> {
        match &self.0 {
            Some(grant) if !grant.rights.metrics || grant.ticket_topics.is_some() => {
                Err(Denied::Metrics { client: grant.client() })
            }
            _ => Ok(()),
        }
    }
}

impl Grant {
    pub fn may(&self, right: Right, topic: &TopicName) -> Result<(), Denied> {
        if let Some(topics) = &self.ticket_topics
            && !(right == Right::Consume && topics.contains(topic))
        {
            return Err(Denied::Ticket { client: self.client(), right, topic: topic.clone() });
        }
        match self.rights.allow(right, topic) {
            true => Ok(()),
            false => Err(Denied::Right { client: self.client(), right, topic: topic.clone() }),
        }
    }

    fn may_see(&self, topic: &TopicName) -> bool {
        match &self.ticket_topics {
            Some(topics) => topics.contains(topic) && self.rights.allow(Right::Consume, topic),
            None => self.rights.allow_any(topic),
        }
    }

    fn client(&self) -> String {
        self.identity.name().to_owned()
    }
}
