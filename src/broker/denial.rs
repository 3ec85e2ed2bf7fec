//! What an access rule forbids, and how to allow it.

use crate::record::TopicName;
use std::fmt;

/// The text says which rule is missing, and the command that makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    Topic {
        topic: TopicName,
        operation: Operation,
        /// Whom the broker takes us for (`User:alice`), as far as that is known here.
        principal: Option<String>,
    },
    /// Something else than a topic, in the broker's words.
    Other(String),
}

/// What was to be done with a topic, as Kafka's access rules call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// To look at it, which reading and writing include.
    Describe,
    Read,
    Write,
    /// Also to make the topic, where there is none.
    WriteOrCreate,
    Delete,
}

impl Operation {
    fn verb(self) -> &'static str {
        match self {
            Self::Describe => "see",
            Self::Read => "read",
            Self::Write | Self::WriteOrCreate => "write to",
            Self::Delete => "delete",
        }
    }

    /// What `kafka-acls` calls the operation to allow: whoever looks at a topic wants to read it.
    fn to_allow(self) -> &'static str {
        match self {
            Self::Describe | Self::Read => "Read",
            Self::Write | Self::WriteOrCreate => "Write",
            Self::Delete => "Delete",
        }
    }

    fn besides(self) -> &'static str {
        match self {
            Self::WriteOrCreate => " (and --operation Create, where the bridge is to make it)",
            _ => "",
        }
    }
}

impl Denial {
    /// With the principal, where it is about one.
    pub fn of(mut self, whom: impl FnOnce() -> Option<String>) -> Self {
        if let Self::Topic { principal, .. } = &mut self {
            *principal = whom();
        }
        self
    }
}

/// The command that lets `principal` do what `options` say.
pub fn kafka_acls(principal: Option<&str>, options: &str) -> String {
    let principal = principal.unwrap_or("User:NAME");
    // Quotes for the shell, since a principal may be a certificate's name.
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
                let who = principal.as_deref().unwrap_or("the bridge's user");
                let command =
                    kafka_acls(principal.as_deref(), &format!("--operation {} --topic {topic}", operation.to_allow()));
                let (verb, besides) = (operation.verb(), operation.besides());
                write!(f, "{who} may not {verb} topic {topic:?}; allow it with: {command}{besides}")
            }
            Self::Other(words) => f.write_str(words),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_text_holds_the_command_that_allows_it() {
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
