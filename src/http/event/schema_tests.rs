//! Frames of records with schemas.

use super::projection::Projection;
use super::{EventFormat, fields_as_csv, fields_as_events, fields_as_lines, format};
use crate::cel::FieldPath;
use crate::hub::Format;
use crate::record::owned::OwnedRecord;
use crate::record::{
    DecodedPart, DecodedParts, DecodedRecords, FailureDuration, RecordRef, Records, SchemaId, TopicName,
};
use crate::sync::memory_budget::Share;
use proptest::prelude::*;
use std::sync::Arc;

/// A key or value: its bytes, and the JSON or the error of its schema.
type Part = (Option<Vec<u8>>, Option<Result<String, String>>);

fn records((key, value): &(Part, Part)) -> Records {
    let mut data = Vec::new();
    let mut add = |bytes: &Vec<u8>| {
        data.extend_from_slice(bytes);
        data.len() - bytes.len()..data.len()
    };
    let (key_span, value_span) = (key.0.as_ref().map(&mut add), value.0.as_ref().map(&mut add));
    let mut records = Records::over(data.into());
    records.push(7, 8, key_span, value_span);
    let mut text = Vec::new();
    let mut part = |(bytes, outcome): &Part| {
        bytes.as_ref()?;
        let outcome = outcome.as_ref()?;
        let start = text.len();
        text.extend_from_slice(outcome.as_ref().unwrap_or_else(|error| error).as_bytes());
        let (id, range) = (SchemaId::Guid(uuid::Uuid::max()), start..text.len());
        Some(if outcome.is_ok() {
            DecodedPart::json(id, range)
        } else {
            DecodedPart::failed(Some(id), range, FailureDuration::Permanent)
        })
    };
    let parts = DecodedParts { key: part(key), value: part(value) };
    let memory = Share::new("test", 0, 0).empty_reservation();
    records.with_decoded(DecodedRecords::new(text.into(), vec![parts], memory))
}

fn part() -> impl Strategy<Value = Part> {
    let bytes = prop::collection::vec(prop_oneof![Just(0u8), Just(b'\n'), any::<u8>()], 0..1500);
    let json = prop::sample::select(vec!["{\"t\":1}", "\"boiler\"", "[\"\\u0001\",null]", "{\n\"a\":\n1}", "12"]);
    let outcome = prop_oneof![json.prop_map(|json| Ok(json.to_owned())), "[\\x01-\u{ff}]{0,80}".prop_map(Err)];
    (prop::option::of(bytes), prop::option::of(outcome))
}

fn formats() -> Vec<Arc<dyn Format>> {
    let fixed = [
        EventFormat::SseCloudEvents,
        EventFormat::NdjsonCloudEvents,
        EventFormat::SseValue,
        EventFormat::SseRecord,
        EventFormat::SseExact,
        EventFormat::Ndjson,
        EventFormat::NdjsonExact,
    ];
    let fields = |list: &str| Projection::new(FieldPath::parse_list(list, 1024).unwrap());
    let mut formats: Vec<_> = fixed.into_iter().map(format).collect();
    for list in ["key,value", "value.t,key.t,offset"] {
        formats.extend([fields_as_events(fields(list)), fields_as_lines(fields(list)), fields_as_csv(fields(list))]);
    }
    formats
}

fn frames(format: &Arc<dyn Format>, record: &RecordRef<'_>) -> [Vec<u8>; 2] {
    let topic = TopicName::new("t").unwrap();
    let mut frames = [Vec::new(), Vec::new()];
    format.record(&mut frames[0], &topic, 3, record, "");
    format.undecoded(&mut frames[1], &topic, 3, record, "");
    frames
}

proptest! {
    #[test]
    fn no_frame_of_a_record_with_schemas_is_larger_than_its_bound(parts in (part(), part())) {
        let records = records(&parts);
        let record = records.iter().next().unwrap();
        for format in formats() {
            for frame in frames(&format, &record) {
                prop_assert!(frame.len() <= format.bound(&record), "{}: {parts:?}", format.name());
            }
            prop_assert!(format.bound(&record) <= format.quick_bound(&record), "{}: {parts:?}", format.name());
        }
    }

    #[test]
    fn a_copy_of_a_record_with_schemas_has_the_same_frames(parts in (part(), part())) {
        let records = records(&parts);
        let record = records.iter().next().unwrap();
        let copy = OwnedRecord::copy(&record);
        for format in formats() {
            prop_assert_eq!(frames(&format, &record), frames(&format, &copy.as_ref()));
        }
        prop_assert_eq!(OwnedRecord::memory_for(&record), OwnedRecord::memory_for(&copy.as_ref()));
    }
}
