//! From JSON to the wire format, without a copy of the message in between.
//!
//! Fields are written in the order of their numbers, whatever their order in the JSON: equal keys have equal bytes. An error
//! leaves its path in [`MessageEncoder::path`], from the inside to the outside.

use super::types::{MessageId, MessageTypes};
use super::wire::{MAX_DEPTH, put_varint, too_deep};
use crate::schemas::encode_failure::EncodeFailure;
use crate::schemas::error_text::{invalid_value, member_path};
use crate::schemas::mismatch::EncodeError;
use serde::de::Error;

/// The members of all messages from the outermost one to the current one, which are kept until their message is written.
const MAX_OPEN_MEMBERS: usize = 1 << 16;

/// Writes one message.
pub struct MessageEncoder<'a> {
    pub types: &'a MessageTypes,
    pub out: &'a mut Vec<u8>,
    /// The length that the output may have. 0 once it was exceeded.
    end: usize,
    /// The members that are kept.
    open_members: usize,
    /// The steps to the place of an error, the last one first.
    path: Vec<String>,
    depth: u32,
}

impl<'a> MessageEncoder<'a> {
    pub fn new(types: &'a MessageTypes, out: &'a mut Vec<u8>, end: usize) -> Self {
        Self { types, out, end, open_members: 0, path: Vec::new(), depth: 0 }
    }

    /// Writes the message of a JSON document.
    pub fn document(mut self, id: MessageId, json: &[u8]) -> Result<(), EncodeFailure> {
        let text = std::str::from_utf8(json).map_err(|_| invalid_value("not UTF-8".to_owned()))?;
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let encoded = self.message(id, &mut deserializer).and_then(|()| deserializer.end());
        if self.out.len() > self.end {
            return Err(EncodeFailure::TooLarge);
        }
        encoded.map_err(|error| {
            let path = self.path.iter().rev().map(String::as_str).collect();
            let reason = error.to_string();
            // The position in the JSON says less than the path, except in what is not JSON.
            let reason = match reason.rfind(" at line ") {
                Some(at) if error.is_data() => reason.get(..at).unwrap_or(&reason).to_owned(),
                _ => reason,
            };
            EncodeFailure::Mismatch(EncodeError { path, reason })
        })
    }

    /// Fails if the output with `more` bytes exceeds the limit.
    pub fn check_size<E: Error>(&mut self, more: usize) -> Result<(), E> {
        if self.out.len().saturating_add(more) <= self.end {
            return Ok(());
        }
        self.end = 0;
        Err(E::custom("too large"))
    }

    /// Counts a member that is kept until its message is written.
    pub fn open_member<E: Error>(&mut self) -> Result<(), E> {
        self.open_members += 1;
        match self.open_members {
            ..=MAX_OPEN_MEMBERS => Ok(()),
            _ => Err(E::custom(format!("more than {MAX_OPEN_MEMBERS} members in messages inside each other"))),
        }
    }

    /// Ends members of a message that is written.
    pub fn close_members(&mut self, count: usize) {
        self.open_members -= count;
    }

    /// Writes what `write` writes with its length before it.
    pub fn delimited<T, E>(&mut self, write: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        let length_at = self.out.len();
        self.out.push(0);
        let written = write(self)?;
        let length = self.out.len() - length_at - 1;
        let mut varint = Vec::new();
        put_varint(&mut varint, length as u64);
        self.out.splice(length_at..=length_at, varint);
        Ok(written)
    }

    /// Entries of maps count too: Google's libraries count them when they read.
    pub fn enter<E: Error>(&mut self) -> Result<(), E> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(E::custom(too_deep())) } else { Ok(()) }
    }

    pub fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Notes that an error is in the member of a name.
    pub fn in_member(&mut self, name: &str) {
        self.path.push(member_path(name));
    }

    /// Notes that an error is in the element of an index.
    pub fn in_element(&mut self, index: usize) {
        self.path.push(format!("[{index}]"));
    }
}
