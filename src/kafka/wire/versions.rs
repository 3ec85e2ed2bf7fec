//! Which versions of which requests a broker speaks.

use super::schema::ApiRequest;
use crate::broker::{BrokerError, Capabilities, Support};
use kafka_protocol::messages::{ApiKey, ApiVersionsResponse, FetchRequest};
use kafka_protocol::protocol::VersionRange;
use std::collections::HashMap;

/// A broker's answer to ApiVersions.
#[derive(Debug, Clone, Default)]
pub struct ApiVersions {
    address: String,
    ranges: HashMap<i16, VersionRange>,
}

impl ApiVersions {
    pub fn read(address: &str, answer: &ApiVersionsResponse) -> Self {
        let range = |v: &kafka_protocol::messages::api_versions_response::ApiVersion| {
            (v.api_key, VersionRange { min: v.min_version, max: v.max_version })
        };
        Self { address: address.to_owned(), ranges: answer.api_keys.iter().map(range).collect() }
    }

    /// The versions of request `key` (Kafka's "API key"); `None` where the broker does not know it.
    pub fn range(&self, key: ApiKey) -> Option<VersionRange> {
        self.ranges.get(&(key as i16)).copied()
    }

    /// For a person: `Fetch 4 to 17, Produce 0 to 13`.
    pub fn describe(&self) -> String {
        let of = |key: ApiKey| match self.range(key) {
            Some(range) => format!("{key:?} {} to {}", range.min, range.max),
            None => format!("no {key:?}"),
        };
        [ApiKey::Fetch, ApiKey::Produce].map(of).join(", ")
    }

    /// Whether this client can read from this broker. Fetch tells: a broker of Kafka 4 still lists
    /// Produce from version 0 as a courtesy, and answers "unsupported" to it.
    pub fn speaks_wire(&self) -> bool {
        self.common::<FetchRequest>(i16::MAX).is_ok()
    }

    /// Whether a client of the requests' first versions can read from this broker.
    pub fn speaks_old_protocol(&self) -> bool {
        self.range(ApiKey::Fetch).is_some_and(|fetch| fetch.min == 0)
    }

    /// The newest version of `Q` that both sides speak, `at_most` at most.
    pub fn common<Q: ApiRequest>(&self, at_most: i16) -> Result<i16, BrokerError> {
        let ours = VersionRange { min: Q::VERSIONS.min, max: Q::VERSIONS.max.min(at_most) };
        let Some(theirs) = self.range(Q::KEY) else {
            return Err(BrokerError::Unsupported(format!("{} does not know {:?} requests", self.address, Q::KEY)));
        };
        let both = ours.intersect(&theirs);
        if both.is_empty() {
            let way_out = if theirs.max < ours.min { "; --driver crate is for brokers before Kafka 0.11" } else { "" };
            return Err(BrokerError::Unsupported(format!(
                "{} speaks versions {theirs} of {:?}; this driver speaks {ours}{way_out}",
                self.address,
                Q::KEY
            )));
        }
        Ok(both.max)
    }

    /// Record batches (headers, timestamps) are as old as Fetch 4, which this driver needs anyway.
    pub fn capabilities(&self) -> Capabilities {
        let idempotence = if self.range(ApiKey::InitProducerId).is_some() { Support::Yes } else { Support::No };
        Capabilities { headers: Support::Yes, timestamps: Support::Yes, idempotence }
    }
}
