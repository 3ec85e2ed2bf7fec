//! What a request may do.

use super::identity::ClientIdentity;
use super::rights::{Right, Rights};
use crate::record::{Timestamp, TopicName};
use std::fmt;
use std::sync::Arc;

/// Given to a request that has shown who asks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Permit(Option<Arc<Grant>>);

/// What somebody was let in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub identity: ClientIdentity,
    pub rights: Rights,
    /// A ticket's: consuming these topics and nothing else.
    pub only: Option<Vec<TopicName>>,
    pub held: GrantOrigin,
}

/// What a grant hangs on: it ends with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantOrigin {
    pub source: GrantSource,
    /// By itself, in ms since the epoch; a key's own end is the key's.
    pub ends: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantSource {
    /// This very key of the file.
    Key { name: String, fingerprint: String },
    /// A token that this issuer has signed with this very key.
    Token { issuer: String, fingerprint: String },
}

/// Somebody may not do something, in words for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied(String);

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Permit {
    /// Everything, where nobody has to say who they are.
    pub fn everything() -> Self {
        Self(None)
    }

    pub(super) fn of(grant: Grant) -> Self {
        Self(Some(Arc::new(grant)))
    }

    /// Who asks; `None` where nobody has to say.
    pub fn identity(&self) -> Option<&ClientIdentity> {
        self.0.as_deref().map(|grant| &grant.identity)
    }

    pub(super) fn grant(&self) -> Option<&Grant> {
        self.0.as_deref()
    }

    pub(super) fn shared(&self) -> Option<Arc<Grant>> {
        self.0.clone()
    }

    /// What they may do; `None`: everything.
    pub fn rights(&self) -> Option<&Rights> {
        self.0.as_deref().map(|grant| &grant.rights)
    }

    pub fn may(&self, right: Right, topic: &TopicName) -> Result<(), Denied> {
        match &self.0 {
            Some(grant) => grant.may(right, topic),
            None => Ok(()),
        }
    }

    /// Whether the topic is listed for them.
    pub fn may_see(&self, topic: &TopicName) -> bool {
        self.0.as_ref().is_none_or(|grant| grant.may_see(topic))
    }

    /// That the topic exists, and how long it is, for who may do anything with it.
    pub fn may_look_at(&self, topic: &TopicName) -> Result<(), Denied> {
        match &self.0 {
            Some(grant) if !grant.may_see(topic) => Err(grant.denied("look at", topic, "any right")),
            _ => Ok(()),
        }
    }

    pub fn may_read_metrics(&self) -> Result<(), Denied> {
        match &self.0 {
            Some(grant) if !grant.rights.metrics || grant.only.is_some() => {
                let name = &grant.identity;
                Err(Denied(format!("{name:?} may not read the metrics: it lacks the right metrics")))
            }
            _ => Ok(()),
        }
    }
}

impl Grant {
    pub fn may(&self, right: Right, topic: &TopicName) -> Result<(), Denied> {
        if let Some(only) = &self.only
            && !(right == Right::Consume && only.contains(topic))
        {
            let name = self.identity.name();
            let right = right.as_str();
            return Err(Denied(format!(
                "this ticket of {name:?} does not allow to {right} {topic}; it is for other topics"
            )));
        }
        match self.rights.allow(right, topic) {
            true => Ok(()),
            false => Err(self.denied(right.as_str(), topic, &format!("the right {}", right.as_str()))),
        }
    }

    fn may_see(&self, topic: &TopicName) -> bool {
        match &self.only {
            Some(only) => only.contains(topic) && self.rights.allow(Right::Consume, topic),
            None => self.rights.allow_seeing(topic),
        }
    }

    fn denied(&self, what: &str, topic: &TopicName, lacks: &str) -> Denied {
        Denied(format!("{:?} may not {what} topic {topic}: it lacks {lacks} for it", self.identity.name()))
    }
}
