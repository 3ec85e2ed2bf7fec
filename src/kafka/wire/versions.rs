//! The request versions that a broker supports.

use super::schema::ApiRequest;
use crate::broker::{BrokerError, Capabilities, Cause, Support};
use kafka_protocol::messages::{ApiKey, ApiVersionsResponse, FetchRequest};
use kafka_protocol::protocol::VersionRange;
use std::collections::HashMap;
use std::error::Error;

/// A request that cannot be sent to a broker.
#[derive(Debug, thiserror::Error)]
pub enum UnsupportedRequest {
    /// The broker does not support the request in any version.
    #[error("{address} does not support {key:?} requests")]
    Unknown {
        /// The broker, as `host:port`.
        address: String,
        /// The type of the request.
        key: ApiKey,
    },
    /// The broker and the client have no version in common.
    #[error("{address} supports {key:?} versions {theirs}, driver wire {ours}{}", driver_hint(*theirs, *ours))]
    Versions {
        /// The broker, as `host:port`.
        address: String,
        /// The type of the request.
        key: ApiKey,
        /// The versions of the broker.
        theirs: VersionRange,
        /// The versions of this client.
        ours: VersionRange,
    },
    /// A field of the request does not exist in its version.
    #[error("{key:?} request version {version} cannot be encoded: {source}")]
    Encoding {
        /// The type of the request.
        key: ApiKey,
        /// The version of the request.
        version: i16,
        /// The error of the codec.
        source: Box<dyn Error + Send + Sync>,
    },
}

fn driver_hint(theirs: VersionRange, ours: VersionRange) -> &'static str {
    if theirs.max < ours.min { "; driver crate is for brokers before Kafka 0.11" } else { "" }
}

/// A broker's response to ApiVersions.
#[derive(Debug, Clone, Default)]
pub struct ApiVersions {
    address: String,
    ranges: HashMap<i16, VersionRange>,
}

impl ApiVersions {
    /// Reads the response of the broker at `address`, which error messages name.
    pub fn from_response(address: &str, response: &ApiVersionsResponse) -> Self {
        let range = |v: &kafka_protocol::messages::api_versions_response::ApiVersion| {
            (v.api_key, VersionRange { min: v.min_version, max: v.max_version })
        };
        Self { address: address.to_owned(), ranges: response.api_keys.iter().map(range).collect() }
    }

    /// Returns the versions of request `key` (Kafka's "API key"); `None` if the broker does not support it.
    pub fn range(&self, key: ApiKey) -> Option<VersionRange> {
        self.ranges.get(&(key as i16)).copied()
    }

    /// Returns a summary for people: `Fetch 4 to 17, Produce 0 to 13`.
    pub fn describe(&self) -> String {
        let of = |key: ApiKey| match self.range(key) {
            Some(range) => format!("{key:?} {} to {}", range.min, range.max),
            None => format!("no {key:?}"),
        };
        [ApiKey::Fetch, ApiKey::Produce].map(of).join(", ")
    }

    /// Returns whether this client supports the broker. Decided by Fetch, because Kafka 4 still lists Produce from
    /// version 0 for old clients although it rejects that version.
    pub fn supports_wire(&self) -> bool {
        self.common::<FetchRequest>(i16::MAX).is_ok()
    }

    /// Returns whether the broker supports the protocol before Kafka 0.11 (Fetch version 0).
    pub fn supports_old_protocol(&self) -> bool {
        self.range(ApiKey::Fetch).is_some_and(|fetch| fetch.min == 0)
    }

    /// Returns the newest common version of request `Q`, up to `at_most`. Fails with `Unsupported` without a common version.
    pub fn common<Q: ApiRequest>(&self, at_most: i16) -> Result<i16, BrokerError> {
        let ours = VersionRange { min: Q::VERSIONS.min, max: Q::VERSIONS.max.min(at_most) };
        let Some(theirs) = self.range(Q::KEY) else {
            let unknown = UnsupportedRequest::Unknown { address: self.address.clone(), key: Q::KEY };
            return Err(BrokerError::Unsupported(Cause::new(unknown)));
        };
        let both = ours.intersect(&theirs);
        if both.is_empty() {
            let versions = UnsupportedRequest::Versions { address: self.address.clone(), key: Q::KEY, theirs, ours };
            return Err(BrokerError::Unsupported(Cause::new(versions)));
        }
        Ok(both.max)
    }

    /// Returns the capabilities of the broker. Record batches, with headers and timestamps, came with Fetch 4, which
    /// this client requires anyway.
    pub fn capabilities(&self) -> Capabilities {
        let idempotence = if self.range(ApiKey::InitProducerId).is_some() { Support::Yes } else { Support::No };
        Capabilities { headers: Support::Yes, timestamps: Support::Yes, idempotence }
    }
}
