//! The description of a topic, as `GET /topics` and `GET /topics/{topic}` return it.

use super::problem::Problem;
use super::records::PageBody;
use crate::broker::TopicInfo;
use crate::hub::overview::PartitionEnds;
use serde_json::json;

/// Appends the description of a topic without the brace at its end.
pub fn add_description(out: &mut PageBody, topic: &TopicInfo, ends: &[PartitionEnds]) -> Result<(), Problem> {
    // A topic name contains no character that JSON escapes.
    out.add(&format!("{{\"name\":\"{}\",\"partitions\":[", topic.name))?;
    for (number, (info, ends)) in topic.partitions.iter().zip(ends).enumerate() {
        let comma = if number > 0 { "," } else { "" };
        let PartitionEnds { earliest, latest } = ends;
        let info = json!({"partition": info.partition, "leader": info.leader, "earliest": earliest, "latest": latest});
        out.add(&format!("{comma}{info}"))?;
    }
    out.add("]")?;
    Ok(())
}
