//! Rights to topics, granted by patterns of topic names.

use crate::record::{InvalidTopicName, TopicName};
use serde::{Deserialize, Serialize};
use std::fmt;

/// An operation on a topic that needs a right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Right {
    Produce,
    Consume,
    /// Create, change or delete the topic itself.
    Manage,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Produce => "produce",
            Self::Consume => "consume",
            Self::Manage => "manage",
        })
    }
}

/// A set of topics: `*` for all, `readings.*` for a prefix, or the name of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum TopicPattern {
    Prefix(String),
    Name(String),
}

impl TopicPattern {
    pub fn matches(&self, topic: &str) -> bool {
        match self {
            Self::Prefix(prefix) => topic.starts_with(prefix.as_str()),
            Self::Name(name) => topic == name,
        }
    }
}

/// A text that is not a [`TopicPattern`].
#[derive(Debug, thiserror::Error)]
#[error("{0}; a pattern is *, a prefix that ends with *, or a topic's name")]
pub struct InvalidTopicPattern(#[from] InvalidTopicName);

impl TryFrom<String> for TopicPattern {
    type Error = InvalidTopicPattern;

    fn try_from(text: String) -> Result<Self, InvalidTopicPattern> {
        match text.strip_suffix('*') {
            Some("") => Ok(Self::Prefix(String::new())),
            // These two are not valid names, but names can start with them. Every other prefix must be a valid name.
            Some(prefix @ ("." | "..")) => Ok(Self::Prefix(prefix.to_owned())),
            Some(prefix) => {
                TopicName::new(prefix)?;
                Ok(Self::Prefix(prefix.to_owned()))
            }
            None => {
                TopicName::new(&text)?;
                Ok(Self::Name(text))
            }
        }
    }
}

impl From<TopicPattern> for String {
    fn from(pattern: TopicPattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// The rights of a client. Empty by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rights {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub produce: Vec<TopicPattern>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consume: Vec<TopicPattern>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manage: Vec<TopicPattern>,
    /// Whether `/metrics` may be read from another machine.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub metrics: bool,
}

impl Rights {
    /// Returns the right to consume exactly these topics.
    pub fn consume_only(topics: &[TopicName]) -> Self {
        let consume = topics.iter().map(|topic| TopicPattern::Name(topic.as_str().to_owned())).collect();
        Self { consume, ..Self::default() }
    }

    /// Returns the union of both sets of rights.
    pub fn union(mut self, other: Self) -> Self {
        self.produce.extend(other.produce);
        self.consume.extend(other.consume);
        self.manage.extend(other.manage);
        self.metrics |= other.metrics;
        self
    }

    pub fn allow(&self, right: Right, topic: &TopicName) -> bool {
        self.patterns(right).iter().any(|pattern| pattern.matches(topic.as_str()))
    }

    /// Whether any right is granted for `topic`, which makes its existence visible.
    pub fn allow_any(&self, topic: &TopicName) -> bool {
        [Right::Consume, Right::Produce, Right::Manage].into_iter().any(|right| self.allow(right, topic))
    }

    fn patterns(&self, right: Right) -> &[TopicPattern] {
        match right {
            Right::Produce => &self.produce,
            Right::Consume => &self.consume,
            Right::Manage => &self.manage,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> Result<TopicPattern, InvalidTopicPattern> {
        TopicPattern::try_from(text.to_owned())
    }

    #[test]
    fn a_pattern_is_a_star_a_prefix_or_a_name() {
        let cases = [
            ("*", "anything", true),
            ("readings.*", "readings.boiler", true),
            ("readings.*", "readings.", true),
            ("readings.*", "readings", false),
            ("readings*", "readings", true),
            ("readings", "readings", true),
            ("readings", "readings2", false),
            ("Readings", "readings", false),
            ("..*", "..x", true),
        ];
        for (text, topic, matches) in cases {
            assert_eq!(pattern(text).unwrap().matches(topic), matches, "{text} of {topic}");
        }
        for bad in ["", "a*b", "**", "*a", "a/b", ".", "a b*", "é*"] {
            assert!(pattern(bad).is_err_and(|error| error.to_string().contains("a pattern is")), "{bad}");
        }
    }

    #[test]
    fn rights_are_independent_and_any_of_them_makes_a_topic_visible() {
        let rights = Rights { produce: vec![pattern("in.*").unwrap()], ..Rights::default() };
        let topic = |name| TopicName::new(name).unwrap();
        assert!(rights.allow(Right::Produce, &topic("in.a")) && rights.allow_any(&topic("in.a")));
        assert!(!rights.allow(Right::Consume, &topic("in.a")) && !rights.allow(Right::Manage, &topic("in.a")));
        assert!(!rights.allow_any(&topic("out")));
    }

    proptest! {
        #[test]
        fn a_pattern_is_displayed_as_it_was_parsed(text in "[a-zA-Z0-9._*/ -]{0,12}") {
            if let Ok(read) = pattern(&text) {
                prop_assert_eq!(read.to_string(), text);
            }
        }
    }
}
