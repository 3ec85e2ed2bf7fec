//! Topic names.

use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// A valid Kafka topic name: 1 to 249 of `A-Z a-z 0-9 . _ -`, but not `.` or `..`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName(Arc<str>);

/// Why a text is not a topic name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidTopicName {
    /// The name is empty.
    #[error("a topic name must not be empty")]
    Empty,
    /// The name is `.` or `..`.
    #[error("{0:?} cannot be a topic name")]
    Reserved(String),
    /// The name has more bytes than [`TopicName::MAX_LEN`].
    #[error("a topic name has at most {} characters; this one has {length}", TopicName::MAX_LEN)]
    TooLong {
        /// The length of the name, in bytes.
        length: usize,
    },
    /// The name contains a character that is not allowed.
    #[error("topic name {name:?} contains {character:?}; allowed are A-Z a-z 0-9 . _ -")]
    Character {
        /// The name.
        name: String,
        /// The first character that is not allowed.
        character: char,
    },
}

impl TopicName {
    /// Kafka's limit on the length of a topic name, in bytes.
    pub const MAX_LEN: usize = 249;

    /// Checks `name`.
    pub fn new(name: &str) -> Result<Self, InvalidTopicName> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if name.is_empty() {
            return Err(InvalidTopicName::Empty);
        }
        if name == "." || name == ".." {
            return Err(InvalidTopicName::Reserved(name.to_owned()));
        }
        if name.len() > Self::MAX_LEN {
            return Err(InvalidTopicName::TooLong { length: name.len() });
        }
        match name.chars().find(|c| !u8::try_from(*c).is_ok_and(allowed)) {
            Some(character) => Err(InvalidTopicName::Character { name: name.to_owned(), character }),
            None => Ok(Self(name.into())),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}
