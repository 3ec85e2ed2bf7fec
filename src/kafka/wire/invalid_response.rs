//! Responses that are not Kafka's protocol.

use kafka_protocol::messages::ApiKey;
use std::error::Error;

/// A broker's response that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{address} {fault}")]
pub struct InvalidResponse {
    /// The broker, as `host:port`.
    pub address: String,
    /// The fault in the response.
    #[source]
    pub fault: ResponseFault,
}

/// The fault in an [`InvalidResponse`]. The text follows the address of the broker.
#[derive(Debug, thiserror::Error)]
pub enum ResponseFault {
    /// The first bytes are those of an HTTP response.
    #[error("answers with HTTP; it is not a Kafka listener")]
    Http,
    /// The length of the response is out of range.
    #[error("announces a response of {announced} bytes; allowed are 4 to {limit}")]
    Length {
        /// The announced length in bytes.
        announced: i32,
        /// The limit in bytes.
        limit: usize,
    },
    /// The header of the response cannot be decoded.
    #[error("sends a malformed header: {0}")]
    Header(#[source] Box<dyn Error + Send + Sync>),
    /// The correlation id is not that of the oldest request in flight.
    #[error("answers request {found} where {expected} was next")]
    Correlation {
        /// The correlation id of the response.
        found: i32,
        /// The correlation id of the request.
        expected: i32,
    },
    /// The body of the response does not have the layout of its version.
    #[error("sends a malformed response to {key:?} version {version}")]
    Body {
        /// The type of the request.
        key: ApiKey,
        /// The version of the request.
        version: i16,
        /// The error of the validation or of the codec.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The response to ApiVersions has an error code.
    #[error("answers ApiVersions with error {0}")]
    ApiVersions(i16),
    /// The response does not contain the topic, broker or partition that was requested.
    #[error("leaves out the requested {0}")]
    Missing(&'static str),
}
