//! The bytes before a message, which say which message of the schema it is.
//!
//! Confluent: the path of indexes from the file's messages down through nested ones, as zigzag varints after their count; a
//! single zero byte stands for the first message. Apicurio: a length and a message with the name as its first field.

use super::types::{MessageId, MessageRole, MessageTypes};
use super::wire::{WireReader, WireSpan, WireType, from_zigzag};
use crate::schemas::mismatch::DecodeError;

/// The most indexes. Messages in a schema are nested less deep.
const MAX_PATH: u64 = 128;

/// Which message follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexedMessage {
    pub message: MessageId,
    /// The message if the generated messages of maps are counted too, as Python and Go do, where that is another one.
    pub counting_maps: Option<MessageId>,
    pub span: WireSpan,
}

/// Reads the index of a message.
pub fn read(types: &MessageTypes, bytes: &[u8]) -> Result<IndexedMessage, DecodeError> {
    let all = WireSpan::of(bytes)?;
    let confluent = confluent(types, bytes, all);
    match confluent {
        Err(error) => apicurio(types, bytes, all).ok_or(error),
        found => found,
    }
}

fn confluent(types: &MessageTypes, bytes: &[u8], all: WireSpan) -> Result<IndexedMessage, DecodeError> {
    let mut reader = WireReader::new(bytes, all);
    let count = from_zigzag(reader.varint()?);
    let count = u64::try_from(count).ok().filter(|count| *count <= MAX_PATH);
    let count = count.ok_or_else(|| DecodeError::Malformed("the message index has no valid length".to_owned()))?;
    let mut path = Vec::new();
    for _ in 0..count {
        path.push(from_zigzag(reader.varint()?));
    }
    if path.is_empty() {
        path.push(0);
    }
    let declared = resolve(types, &path, |id| types.message(id).role == MessageRole::Declared);
    let counting_maps = resolve(types, &path, |_| true);
    let counting_maps = counting_maps.filter(|id| types.message(*id).role == MessageRole::Declared);
    let message = declared.or(counting_maps);
    let message =
        message.ok_or_else(|| DecodeError::Malformed(format!("the schema has no message with the index {path:?}")))?;
    let span = WireSpan { start: reader.position() as u32, end: all.end };
    Ok(IndexedMessage { message, counting_maps: counting_maps.filter(|id| *id != message), span })
}

/// Follows the indexes, counting the messages for which `counts` holds.
fn resolve(types: &MessageTypes, path: &[i64], counts: impl Fn(MessageId) -> bool) -> Option<MessageId> {
    let mut list = &types.top_level;
    let mut found = None;
    for index in path {
        let index = usize::try_from(*index).ok()?;
        let id = list.iter().copied().filter(|id| counts(*id)).nth(index)?;
        found = Some(id);
        list = &types.message(id).nested;
    }
    found
}

fn apicurio(types: &MessageTypes, bytes: &[u8], all: WireSpan) -> Option<IndexedMessage> {
    let mut reader = WireReader::new(bytes, all);
    let length = u32::try_from(reader.varint().ok()?).ok()?;
    let start = u32::try_from(reader.position()).ok()?;
    let end = start.checked_add(length).filter(|end| *end <= all.end)?;
    let mut reference = WireReader::new(bytes, WireSpan { start, end });
    let field = reference.next_field().ok()??;
    if field.number != 1 || field.wire_type != WireType::Delimited {
        return None;
    }
    let name = std::str::from_utf8(field.value.bytes(bytes)).ok()?;
    let is_named = |id: &MessageId| {
        let full_name = &*types.message(*id).full_name;
        full_name == name || full_name.rsplit('.').next() == Some(name)
    };
    let top_level = types.top_level.iter().copied().find(is_named);
    let message = top_level.or_else(|| types.by_full_name(name))?;
    Some(IndexedMessage { message, counting_maps: None, span: WireSpan { start: end, end: all.end } })
}
