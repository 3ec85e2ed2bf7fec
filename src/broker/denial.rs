//! Operations that Kafka's ACLs deny, and how to allow them.

use super::error_response::ErrorResponse;
use crate::record::TopicName;
use std::fmt;

/// An operation that the broker denied. The text names the missing ACL and the command that adds it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// An operation on a topic.
    Topic {
        /// The name of the topic.
        topic: TopicName,
        /// The denied operation.
        operation: Operation,
        /// The bridge's principal on the broker (`User:alice`), if known.
        principal: Option<String>,
    },
    /// An operation on another resource, with the broker's error.
    Other(#[source] ErrorResponse),
}

/// An operation on a topic, as in Kafka's ACLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Fetching metadata. `Read` and `Write` imply it.
    Describe,
    /// Fetching records.
    Read,
    /// Producing records.
    Write,
    /// Producing records to a topic that may have to be created first.
    WriteOrCreate,
    /// Reading the configuration of the topic.
    DescribeConfigs,
    /// Creating the topic.
    Create,
    /// Deleting the topic.
    Delete,
}

impl Operation {
    fn verb(self) -> &'static str {
        match self {
            Self::Describe => "see",
            Self::Read => "read",
            Self::Write | Self::WriteOrCreate => "write to",
            Self::DescribeConfigs => "read the configuration of",
            Self::Create => "create",
            Self::Delete => "delete",
        }
    }

    /// The operation to allow, as `kafka-acls` calls it. For `Describe` that is `Read`, because a user who describes a
    /// topic usually wants to read it.
    fn acl_name(self) -> &'static str {
        match self {
            Self::Describe | Self::Read => "Read",
            Self::Write | Self::WriteOrCreate => "Write",
            Self::DescribeConfigs => "DescribeConfigs",
            Self::Create => "Create",
            Self::Delete => "Delete",
        }
    }

    fn addition(self) -> &'static str {
        match self {
            Self::WriteOrCreate => " (and --operation Create, if the bridge should create the topic)",
            _ => "",
        }
    }
}

impl Denial {
    /// Adds the principal, if the error concerns a topic.
    pub fn with_principal(mut self, find: impl FnOnce() -> Option<String>) -> Self {
        if let Self::Topic { principal, .. } = &mut self {
            *principal = find();
        }
        self
    }
}

/// The command that adds an ACL for `principal` with the given options.
pub fn kafka_acls(principal: Option<&str>, options: &str) -> String {
    let principal = principal.unwrap_or("User:NAME");
    // Quoted for the shell, because the distinguished name of a certificate contains spaces and commas.
    let principal = match principal.bytes().all(|b| b.is_ascii_alphanumeric() || b":._-@".contains(&b)) {
        true => principal.to_owned(),
        false => format!("'{}'", principal.replace('\'', "'\\''")),
    };
    format!("kafka-acls --bootstrap-server HOST:PORT --add --allow-principal {principal} {options}")
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic { topic, operation, principal } => {
                let user = principal.as_deref().unwrap_or("the bridge's user");
                let command =
                    kafka_acls(principal.as_deref(), &format!("--operation {} --topic {topic}", operation.acl_name()));
                let (verb, addition) = (operation.verb(), operation.addition());
                write!(f, "{user} may not {verb} topic {topic:?}; allow it with: {command}{addition}")
            }
            Self::Other(response) => response.fmt(f),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_names_the_command_that_adds_the_acl() {
        let denial = |operation, principal: Option<&str>| {
            let topic = TopicName::new("readings").unwrap();
            Denial::Topic { topic, operation, principal: principal.map(str::to_owned) }.to_string()
        };
        assert_eq!(
            denial(Operation::Read, Some("User:bob")),
            "User:bob may not read topic \"readings\"; allow it with: kafka-acls --bootstrap-server HOST:PORT --add \
             --allow-principal User:bob --operation Read --topic readings"
        );
        let quoted = denial(Operation::WriteOrCreate, Some("User:CN=bob's,O=Plant"));
        assert!(
            quoted.contains("--allow-principal 'User:CN=bob'\\''s,O=Plant' --operation Write --topic readings (and")
        );
        assert!(denial(Operation::Delete, None).contains("the bridge's user may not delete"));
    }
}
