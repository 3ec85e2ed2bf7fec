use super::*;
use crate::http::produce::body::Bodies;
use crate::schemas::source::SchemaSource;
use crate::sync::memory_budget::MemoryBudget;

/// A text with a default of so many bytes.
fn with_default(bytes: usize) -> FoundSchemas {
    let default = "x".repeat(bytes);
    let text =
        format!(r#"{{"type":"record","name":"R","fields":[{{"name":"s","type":"string","default":"{default}"}}]}}"#);
    let source = SchemaSource { kind: SchemaKind::Avro, text, references: Vec::new() };
    let schema = Arc::new(Schema::parse(&source).unwrap());
    FoundSchemas { key: None, value: Some(FoundSchema { id: SchemaId::Id(1), schema }) }
}

fn records(values: &[&'static str]) -> Vec<Result<NewRecord, Problem>> {
    let record =
        |value: &&'static str| NewRecord { value: Some(Bytes::from_static(value.as_bytes())), ..NewRecord::default() };
    values.iter().map(record).map(Ok).collect()
}

/// Encodes records in one turn. Returns the sizes of the values, or the error.
fn encoded(
    schemas: FoundSchemas,
    values: &[&'static str],
    memory: &MemoryBudget,
    largest: usize,
) -> Result<Vec<usize>, Problem> {
    let held = BodyMemory::new(&Bodies::new(memory));
    let form = RecordForm::Envelope(SchemaKind::Avro);
    let unencoded = Unencoded::new(records(values), form, (held, 0), largest).unwrap();
    let EncodingTurn::Finished(encoded) = EncodingJob::new(schemas, unencoded).turn() else { panic!("not finished") };
    let encoded = encoded?;
    let sizes: Vec<usize> = encoded.records.iter().filter_map(|record| Some(record.value.as_ref()?.len())).collect();
    // All that is encoded is reserved, except the exempt bytes.
    let reserved = memory.bodies.used() + memory.small_bodies.used();
    assert!(reserved + 4096 > sizes.iter().sum(), "{reserved}");
    Ok(sizes)
}

#[test]
fn the_memory_of_defaults_is_reserved_before_they_are_encoded() {
    let memory = MemoryBudget::new(4 << 20);
    let limit = memory.bodies.limit();
    let fits = limit / 8;
    // The length of the text takes 3 bytes, the framing 5.
    assert_eq!(encoded(with_default(fits), &["{}", "{}"], &memory, limit).unwrap(), [fits + 8, fits + 8]);
    assert_eq!(memory.bodies.used() + memory.small_bodies.used(), 0);
    let error = encoded(with_default(limit / 3), &["{}", "{}", "{}", "{}"], &memory, limit).unwrap_err();
    assert!(error.detail().contains("memory"), "{}", error.detail());
}

#[test]
fn a_record_that_is_too_large_when_encoded_is_named() {
    let memory = MemoryBudget::default();
    let values = ["{\"s\":\"\"}", "{}"];
    assert_eq!(encoded(with_default(5000), &values, &memory, 5002).unwrap(), [6, 5007]);
    let error = encoded(with_default(5000), &values, &memory, 5001).unwrap_err();
    let expected = "records[1]: the value is larger than 5001 bytes when encoded, the limit of --max-body; send smaller \
                    records; nothing was written";
    assert_eq!((error.error_code(), error.detail()), (413, expected));
}

#[test]
fn a_body_is_encoded_in_turns() {
    let held = BodyMemory::new(&Bodies::new(&MemoryBudget::default()));
    let form = RecordForm::Envelope(SchemaKind::Avro);
    let unencoded = Unencoded::new(records(&["{}"; 1000]), form, (held, 0), 1 << 20).unwrap();
    let mut turn = EncodingJob::new(with_default(1), unencoded).turn();
    let mut turns = 1;
    let encoded = loop {
        match turn {
            EncodingTurn::Finished(encoded) => break encoded.unwrap(),
            EncodingTurn::Unfinished(rest) => turn = rest.turn(),
        }
        turns += 1;
    };
    assert!(turns >= 4, "{turns}");
    assert!(encoded.records.iter().all(|record| record.value.as_deref() == Some(b"\0\0\0\0\x01\x02x")));
}
