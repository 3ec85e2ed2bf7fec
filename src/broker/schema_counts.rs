//! How many keys and values were decoded by their schemas.

/// Counts of keys and values with a schema. A record that several readers of the log fetch counts for each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SchemaCounts {
    /// Keys and values that were decoded.
    pub decoded: u64,
    failed: [u64; SchemaFailure::ALL.len()],
}

/// Why a key or value could not be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaFailure {
    /// The registry cannot be reached.
    Unreachable,
    /// The registry does not have the schema.
    NotFound,
    /// The registry rejects the request or the bridge's credentials.
    Refused,
    /// The registry was not asked, because too many ids are unknown.
    TooManyUnknown,
    /// The schema cannot be used.
    InvalidSchema,
    /// The bytes do not have the form that the schema describes, or the JSON is too large.
    Undecodable,
    /// The record names its schema in a way that is not supported.
    UnsupportedFraming,
}

impl SchemaFailure {
    /// All reasons.
    pub const ALL: [Self; 7] = [
        Self::Unreachable,
        Self::NotFound,
        Self::Refused,
        Self::TooManyUnknown,
        Self::InvalidSchema,
        Self::Undecodable,
        Self::UnsupportedFraming,
    ];

    /// The label in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::NotFound => "not_found",
            Self::Refused => "refused",
            Self::TooManyUnknown => "too_many_unknown",
            Self::InvalidSchema => "invalid_schema",
            Self::Undecodable => "undecodable",
            Self::UnsupportedFraming => "unsupported_framing",
        }
    }
}

impl SchemaCounts {
    /// Creates counts without failures.
    pub fn of(decoded: u64) -> Self {
        Self { decoded, ..Self::default() }
    }

    /// Returns the number of keys and values that could not be decoded for this reason.
    pub fn failed(&self, reason: SchemaFailure) -> u64 {
        self.failed[reason as usize]
    }

    /// Sets the number of keys and values that could not be decoded for this reason.
    pub fn set_failed(&mut self, reason: SchemaFailure, count: u64) {
        self.failed[reason as usize] = count;
    }
}
