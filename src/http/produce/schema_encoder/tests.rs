use super::*;
use crate::http::produce::body::{Bodies, BodyMemory};
use crate::schemas::catalog::KnownSchema;
use crate::schemas::framing::SchemaId;
use crate::schemas::registry::RegistryError;
use crate::schemas::source::SchemaSource;
use crate::sync::memory_budget::MemoryBudget;
use bytes::Bytes;
use std::cell::RefCell;

/// A registry in which every schema is an integer of Avro.
#[derive(Debug)]
struct Integers;

fn integer() -> KnownSchema {
    let source = SchemaSource { kind: SchemaKind::Avro, text: "\"int\"".to_owned(), references: Vec::new() };
    (SchemaId::Id(1), Arc::new(Schema::parse(&source).unwrap()))
}

impl SchemaCatalog for Integers {
    fn known(&self, _id: SchemaId) -> Option<Arc<Schema>> {
        Some(integer().1)
    }

    fn known_latest(&self, _subject: &str) -> Option<KnownSchema> {
        Some(integer())
    }

    fn known_registered(&self, _subject: &str, _source: &SchemaSource) -> Option<KnownSchema> {
        Some(integer())
    }

    fn by_id(&self, _id: SchemaId) -> Result<Arc<Schema>, RegistryError> {
        Ok(integer().1)
    }

    fn latest(&self, _subject: &str) -> Result<KnownSchema, RegistryError> {
        Ok(integer())
    }

    fn register(&self, _subject: &str, _source: &SchemaSource) -> Result<KnownSchema, RegistryError> {
        Ok(integer())
    }
}

#[tokio::test]
async fn a_small_body_waits_for_a_turn_of_each_large_one_and_not_for_all_their_records() {
    let encoder = SchemaEncoder::with_threads(Arc::new(Integers), 1);
    let (topic, bodies) = (TopicName::new("t").unwrap(), Bodies::new(&MemoryBudget::default()));
    let finished = RefCell::new(Vec::new());
    let encode = async |count: usize| {
        let record = NewRecord { value: Some(Bytes::from_static(b"1")), ..NewRecord::default() };
        let entries = vec![Ok(record); count];
        let form = RecordForm::Envelope(SchemaKind::Avro);
        let unencoded = Unencoded::new(entries, form, (BodyMemory::new(&bodies), 0), 1 << 20).unwrap();
        let chosen = ChosenSchemas { key: None, value: Some(SchemaChoice::Latest) };
        let encoded = encoder.encode(&topic, chosen, unencoded).await.unwrap();
        let value = Some(Bytes::from_static(&[0, 0, 0, 0, 1, 2]));
        assert_eq!(encoded.records.iter().filter(|record| record.value == value).count(), count);
        finished.borrow_mut().push(count);
    };
    // 40 turns each, on one thread.
    let large = 10_000;
    tokio::join!(encode(large), encode(large), encode(1));
    assert_eq!(*finished.borrow(), [1, large, large]);
}
