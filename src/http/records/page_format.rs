//! The formats of a page of records.

use crate::cel::Variable;
use crate::http::accept::{accept, preferred};
use crate::http::event::cloudevents::{self, RecordEvent};
use crate::http::event::{envelope, json};
use crate::http::problem::Problem;
use crate::record::{Offset, RecordRef, TopicPartition};
use warp::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, LINK};

const BATCH: &str = "application/cloudevents-batch+json";
/// The bytes of a message beside its key and value.
const MEMBER_BYTES: usize = 96;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageFormat {
    /// An object whose `records` are envelopes.
    Record,
    /// An object whose `records` are CloudEvents.
    CloudEvents,
    /// A list of CloudEvents (JSON event format, section 4), for clients that accept its media type.
    CloudEventsBatch,
    /// A list of messages, as the Confluent REST Proxy v1 returns them.
    Messages(MessageForm),
}

/// How a message has its key and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageForm {
    /// The stored bytes in base64.
    Binary,
    /// As in the envelope: JSON, which a schema may have decoded.
    Json,
}

impl PageFormat {
    /// Returns the format for the parameter `format` and the `Accept` header.
    pub fn of(given: Option<&str>, headers: &HeaderMap) -> Result<Self, Problem> {
        let accepted = preferred(&accept(headers), |range| match range {
            BATCH => Some(Self::CloudEventsBatch),
            "application/json" | "application/*" | "*/*" => Some(Self::Record),
            _ => None,
        });
        match (given, accepted) {
            (None | Some("cloudevents"), Some(Self::CloudEventsBatch)) => Ok(Self::CloudEventsBatch),
            (Some("cloudevents"), _) => Ok(Self::CloudEvents),
            (None | Some("record"), _) => Ok(Self::Record),
            (Some(other), _) => {
                let detail = format!("format is {other:?}; allowed for a page are record and cloudevents");
                Err(Problem::bad_request(detail))
            }
        }
    }

    /// Returns the text before the first record.
    pub fn start(self) -> &'static str {
        match self {
            Self::Record | Self::CloudEvents => "{\"records\":[",
            Self::CloudEventsBatch | Self::Messages(_) => "[",
        }
    }

    /// Returns the text after the last record.
    pub fn end(self, next: Offset, earliest: Offset, latest: Offset) -> String {
        match self {
            Self::Record | Self::CloudEvents => {
                format!("],\"next_offset\":{next},\"earliest\":{earliest},\"latest\":{latest}}}\n")
            }
            Self::CloudEventsBatch | Self::Messages(_) => "]\n".to_owned(),
        }
    }

    /// Returns an upper bound of the size of a record, in bytes.
    pub fn bound(self, record: &RecordRef<'_>) -> usize {
        match self {
            Self::Record => record.encoded_bound(),
            Self::CloudEvents | Self::CloudEventsBatch => cloudevents::EVENT_BYTES + record.encoded_bound(),
            Self::Messages(form) => form.bound(record),
        }
    }

    pub fn write(self, out: &mut Vec<u8>, at: &TopicPartition, record: &RecordRef<'_>) {
        match self {
            Self::Record => envelope::write(out, &at.topic, at.partition, record),
            Self::Messages(form) => form.write(out, at, record),
            Self::CloudEvents | Self::CloudEventsBatch => {
                RecordEvent::of(record).write(out, &at.topic, at.partition, record);
            }
        }
    }

    /// Sets the headers of a batch, which has no other place for the next offset: a link to the next page (RFC 8288).
    pub fn set_headers(self, response: &mut HeaderMap, next: Offset, limit: usize) {
        if self != Self::CloudEventsBatch {
            return;
        }
        response.insert(CONTENT_TYPE, HeaderValue::from_static(BATCH));
        if let Ok(link) = HeaderValue::from_str(&format!("<?offset={next}&limit={limit}>; rel=\"next\"")) {
            response.insert(LINK, link);
        }
    }
}

impl MessageForm {
    /// Returns an upper bound of the size of a message, in bytes.
    pub fn bound(self, record: &RecordRef<'_>) -> usize {
        let base64 = |bytes: Option<&[u8]>| bytes.map_or(0, |bytes| bytes.len().div_ceil(3) * 4);
        match self {
            Self::Binary => MEMBER_BYTES + base64(record.stored_key()) + base64(record.stored_value()),
            Self::Json => MEMBER_BYTES + record.encoded_bound(),
        }
    }

    /// Appends `{"key","value","partition","offset"}`.
    pub fn write(self, out: &mut Vec<u8>, at: &TopicPartition, record: &RecordRef<'_>) {
        let mut before = b'{';
        for (member, name, stored) in
            [(Variable::Key, "\"key\":", record.stored_key()), (Variable::Value, "\"value\":", record.stored_value())]
        {
            out.push(std::mem::replace(&mut before, b','));
            if self == Self::Json {
                envelope::write_member(out, member, &at.topic, at.partition, record);
                continue;
            }
            out.extend_from_slice(name.as_bytes());
            match stored {
                Some(bytes) => {
                    json::base64_string(out, bytes);
                }
                None => out.extend_from_slice(b"null"),
            }
        }
        for member in [Variable::Partition, Variable::Offset] {
            out.push(b',');
            envelope::write_member(out, member, &at.topic, at.partition, record);
        }
        out.push(b'}');
    }
}
