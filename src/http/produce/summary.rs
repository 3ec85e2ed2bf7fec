//! Summarizes the results of many items of a body in bounded memory: counts, offset ranges and the first errors.

use super::partial_item::ItemUnit;
use super::response::RecordResult;
use crate::broker::{Acks, RecordLocation};
use crate::http::problem::Problem;
use crate::record::{Offset, Partition};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::json;
use warp::http::StatusCode;
use warp::http::header::{CONTENT_TYPE, HeaderValue};
use warp::reply::Response;

/// Maximum number of failed items that are listed.
const MAX_ERRORS: usize = 100;
/// Maximum number of offset ranges that are listed. Records of other producers split the ranges.
const MAX_RANGES: usize = 1000;

/// The status of an upload of which some records were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartialFailure {
    /// 207, whatever the others failed of.
    MultiStatus,
    /// The status of the server error, if one occurred, so that the client sends the body again.
    ServerError,
}

#[derive(Debug, Serialize)]
pub struct UploadSummary {
    #[serde(skip)]
    unit: ItemUnit,
    /// Acknowledged records, or with `acks=0` sent ones.
    written: u64,
    failed: u64,
    offsets: Vec<OffsetRange>,
    /// Written records outside the listed ranges.
    #[serde(skip_serializing_if = "is_zero")]
    offsets_omitted: u64,
    errors: Vec<ItemError>,
    /// Failed items that are not listed.
    #[serde(skip_serializing_if = "is_zero")]
    errors_omitted: u64,
    /// The reason if the body was not read to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    incomplete: Option<String>,
    #[serde(skip)]
    problem: Option<Problem>,
}

/// Consecutive offsets of one partition.
#[derive(Debug, Serialize)]
struct OffsetRange {
    partition: Partition,
    first: Offset,
    last: Offset,
}

#[derive(Debug)]
struct ItemError {
    unit: ItemUnit,
    number: u64,
    code: u32,
    error: String,
}

impl Serialize for ItemError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(Some(3))?;
        members.serialize_entry(&self.unit.to_string(), &self.number)?;
        members.serialize_entry("error_code", &self.code)?;
        members.serialize_entry("error", &self.error)?;
        members.end()
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl UploadSummary {
    pub fn new(unit: ItemUnit) -> Self {
        let (offsets, errors) = (Vec::new(), Vec::new());
        let (written, failed, offsets_omitted, errors_omitted) = (0, 0, 0, 0);
        let (incomplete, problem) = (None, None);
        Self { unit, written, failed, offsets, offsets_omitted, errors, errors_omitted, incomplete, problem }
    }

    pub fn unit(&self) -> ItemUnit {
        self.unit
    }

    pub fn add(&mut self, number: u64, entry: RecordResult) {
        match entry {
            Ok(location) => {
                self.written += 1;
                self.add_offset(location);
            }
            Err(problem) => {
                self.failed += 1;
                match self.errors.len() < MAX_ERRORS {
                    true => self.errors.push(ItemError {
                        unit: self.unit,
                        number,
                        code: problem.error_code(),
                        error: problem.detail().to_owned(),
                    }),
                    false => self.errors_omitted += 1,
                }
                self.blame(problem);
            }
        }
    }

    fn add_offset(&mut self, RecordLocation { partition, offset }: RecordLocation) {
        let Some(offset) = offset else { return };
        // Only the partition's last range can be extended, because its offsets only grow.
        if let Some(range) = self.offsets.iter_mut().rev().find(|range| range.partition == partition)
            && range.last.checked_add(1) == Some(offset)
        {
            range.last = offset;
        } else if self.offsets.len() < MAX_RANGES {
            self.offsets.push(OffsetRange { partition, first: offset, last: offset });
        } else {
            self.offsets_omitted += 1;
        }
    }

    fn blame(&mut self, problem: Problem) {
        self.problem = Some(match self.problem.take() {
            Some(before) => before.or_worse(problem),
            None => problem,
        });
    }

    /// Stores the reason why the body was not read to its end. The items that follow were not written.
    pub fn incomplete(&mut self, problem: Problem) {
        self.incomplete = Some(problem.detail().to_owned());
        self.blame(problem);
    }

    pub fn counts(&self) -> (u64, u64) {
        (self.written, self.failed)
    }

    /// Returns one receipt for items `first` to `last`.
    pub fn receipt(&self, first: u64, last: u64) -> Vec<u8> {
        let mut members = serde_json::to_value(self).unwrap_or_default();
        if let Some(members) = members.as_object_mut() {
            members.insert(format!("{}s", self.unit), json!([first, last]));
        }
        members.to_string().into_bytes()
    }

    /// Responds with 200 if every item was written (202 with `acks=0`), with 207 if some were, else with the status of
    /// the worst problem. `partial` may prefer that to the 207.
    pub fn respond(self, acks: Acks, partial: PartialFailure) -> Response {
        let members = serde_json::to_value(&self).unwrap_or_default();
        let unit = self.unit;
        let status = match (&self.problem, acks) {
            (Some(problem), _) if self.written == 0 => {
                let detail = match self.errors.first() {
                    Some(first) => format!("no {unit} was written; {unit} {}: {}", first.number, first.error),
                    None => problem.detail().to_owned(),
                };
                return problem.with_detail(detail).response_with(members);
            }
            (Some(problem), _) if partial == PartialFailure::ServerError && problem.is_server_error() => {
                let detail = format!("only {} records were written: {}", self.written, problem.detail());
                return problem.with_detail(detail).response_with(members);
            }
            (Some(_), _) => StatusCode::MULTI_STATUS,
            (None, Acks::None) => StatusCode::ACCEPTED,
            (None, _) => StatusCode::OK,
        };
        let mut response = Response::new(format!("{members}\n").into());
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn written(partition: Partition, offset: Offset) -> RecordResult {
        Ok(RecordLocation { partition, offset: Some(offset) })
    }

    fn json_of(summary: &UploadSummary) -> Value {
        serde_json::to_value(summary).unwrap()
    }

    #[test]
    fn offsets_join_into_ranges_for_each_partition() {
        let mut summary = UploadSummary::new(ItemUnit::Line);
        let locations = [(0, 5), (1, 0), (0, 6), (1, 1), (0, 7), (0, 9)];
        (1..).zip(locations).for_each(|(line, (partition, offset))| summary.add(line, written(partition, offset)));
        let range =
            |partition: i32, first: i64, last: i64| json!({"partition": partition, "first": first, "last": last});
        let expected = json!({
            "written": 6, "failed": 0, "offsets": [range(0, 5, 7), range(1, 0, 1), range(0, 9, 9)], "errors": [],
        });
        assert_eq!(json_of(&summary), expected);
    }

    #[test]
    fn no_range_continues_past_the_largest_offset() {
        let mut summary = UploadSummary::new(ItemUnit::Line);
        [Offset::MAX, Offset::MIN]
            .into_iter()
            .zip(1..)
            .for_each(|(offset, line)| summary.add(line, written(0, offset)));
        assert_eq!(json_of(&summary)["offsets"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_summary_is_bounded_and_counts_what_it_leaves_out() {
        let mut summary = UploadSummary::new(ItemUnit::Line);
        for line in 1..=1_000_000 {
            summary.add(2 * line, written(0, 2 * line as i64));
            summary.add(2 * line + 1, Err(Problem::unprocessable("bad")));
        }
        let json = json_of(&summary);
        assert_eq!((&json["written"], &json["failed"]), (&json!(1_000_000), &json!(1_000_000)));
        assert_eq!(
            (json["offsets"].as_array().unwrap().len(), &json["offsets_omitted"]),
            (MAX_RANGES, &json!(999_000))
        );
        assert_eq!((json["errors"].as_array().unwrap().len(), &json["errors_omitted"]), (MAX_ERRORS, &json!(999_900)));
        assert!(json.to_string().len() < 64 << 10);
    }
}
