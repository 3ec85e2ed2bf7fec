//! One JSON object per line, for `curl | jq`.

use super::cloudevents::{EVENT_BYTES, RecordEvent};
use super::envelope;
use super::projection::Projection;
use crate::broker::BrokerError;
use crate::http::problem::Problem;
use crate::hub::{Format, FormatChoice, Gap};
use crate::record::{Partition, RecordRef, TopicName};

/// The line of a record is its envelope, an object with the selected fields, or a CloudEvent. Any other line, with an
/// `event` member, is a notice, such as a gap; only CloudEvents have a `specversion`.
pub enum Ndjson {
    Record,
    Exact,
    CloudEvents,
    Fields {
        /// Contains the fields, because formats with different fields must have different names.
        name: String,
        fields: Projection,
    },
}

impl Format for Ndjson {
    fn name(&self) -> &str {
        match self {
            Self::Record => "ndjson",
            Self::Exact => "ndjson-exact",
            Self::CloudEvents => "ndjson-cloudevents",
            Self::Fields { name, .. } => name,
        }
    }

    fn choice(&self) -> FormatChoice {
        match self {
            Self::Record | Self::Exact | Self::CloudEvents => FormatChoice::Fixed,
            Self::Fields { .. } => FormatChoice::ByClient,
        }
    }

    fn uses_ids(&self) -> bool {
        false
    }

    fn record(&self, out: &mut Vec<u8>, topic: &TopicName, partition: Partition, record: &RecordRef<'_>, _id: &str) {
        match self {
            Self::Record => envelope::write(out, topic, partition, record),
            Self::Exact => envelope::write_exact(out, topic, partition, record),
            Self::CloudEvents => RecordEvent::of(record).write(out, topic, partition, record),
            Self::Fields { fields, .. } => fields.write(out, topic, partition, record),
        }
        out.push(b'\n');
    }

    fn undecoded(&self, out: &mut Vec<u8>, topic: &TopicName, partition: Partition, record: &RecordRef<'_>, _id: &str) {
        out.extend_from_slice(b"{\"event\":\"schema_error\",");
        envelope::write_undecoded_members(out, topic, partition, record);
        out.extend_from_slice(b"}\n");
    }

    fn bound(&self, record: &RecordRef<'_>) -> usize {
        match self {
            Self::Record | Self::Exact => record.encoded_bound(),
            Self::CloudEvents => EVENT_BYTES + record.encoded_bound(),
            Self::Fields { fields, .. } => fields.overhead() + record.encoded_bound(),
        }
    }

    fn quick_bound(&self, record: &RecordRef<'_>) -> usize {
        match self {
            Self::Record | Self::Exact => record.quick_bound(),
            Self::CloudEvents => EVENT_BYTES + record.quick_bound(),
            Self::Fields { fields, .. } => fields.overhead() + record.quick_bound(),
        }
    }

    /// Writes nothing: each line has its partition and offset, and there is no cursor to carry.
    fn checkpoint(&self, _out: &mut Vec<u8>, _id: &str) {}

    fn live(&self, out: &mut Vec<u8>, keys: u64, _id: &str) {
        out.extend_from_slice(format!("{{\"event\":\"live\",\"keys\":{keys}}}\n").as_bytes());
    }

    fn gap(&self, out: &mut Vec<u8>, gap: &Gap, _id: &str) {
        out.extend_from_slice(b"{\"event\":\"gap\",");
        envelope::write_gap_members(out, gap);
        out.extend_from_slice(b"}\n");
    }

    fn waiting(&self, out: &mut Vec<u8>, topic: &TopicName) {
        // A topic name contains no character that JSON escapes.
        out.extend_from_slice(format!("{{\"event\":\"waiting\",\"topic\":\"{topic}\"}}\n").as_bytes());
    }

    fn problem(&self, out: &mut Vec<u8>, error: &BrokerError) {
        write_problem(out, &Problem::from(error));
    }
}

/// Appends the last line of a stream that ends with `problem`.
pub fn write_problem(out: &mut Vec<u8>, problem: &Problem) {
    out.extend_from_slice(b"{\"event\":\"problem\",");
    out.extend_from_slice(problem.json().strip_prefix('{').unwrap_or("}").as_bytes());
    out.push(b'\n');
}
