//! Why bytes or a JSON value do not fit a schema.

/// Why bytes do not have the form that their schema describes, or why their JSON is too large. The text is one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(pub String);

impl DecodeError {
    /// The end of the text if the JSON exceeds the limit of the caller.
    const TOO_LARGE: &str = "is too large";

    /// Whether a larger limit may help. The end of a text from outside may say so too, which only costs a second attempt.
    pub fn may_be_too_large(&self) -> bool {
        self.0.ends_with(Self::TOO_LARGE)
    }
}

/// Why a JSON value does not fit a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct EncodeError {
    /// The place in the value: `value.site.name`, `value[3]`, without the leading `value` for a key: `key.id`. Callers put the
    /// root before it, so here it begins with `.` or `[`, or is empty.
    pub path: String,
    /// What was given and what the schema allows.
    pub reason: String,
}
