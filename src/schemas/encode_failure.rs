//! Why a JSON value is not encoded.

use super::mismatch::EncodeError;

/// Why a JSON value is not encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeFailure {
    /// The value does not fit the schema.
    #[error(transparent)]
    Mismatch(#[from] EncodeError),
    /// The encoded form exceeds the limit of the caller.
    #[error("the encoded value is too large")]
    TooLarge,
}
