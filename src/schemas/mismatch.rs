//! Why bytes or a JSON value do not fit a schema.

/// Why a key or value has no JSON. The text is one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes do not have the form that their schema describes.
    #[error("{0}")]
    Malformed(String),
    /// The JSON exceeds the limit of the caller.
    #[error("its JSON is too large")]
    TooLarge,
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
