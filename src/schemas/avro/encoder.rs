//! JSON to Avro's binary encoding, from the text of the JSON: numbers keep their digits, and no tree of values is held.

use super::json_kind::JsonKind;
use super::members::{for_each_item, for_each_member, only_member};
use super::scalars;
use super::types::{AvroType, AvroTypes, FieldDefault, RecordType, TypeId, UnionBranch, UnionType};
use super::union::usual_kind;
use super::writer::{push_count, push_sized};
use crate::schemas::encode_failure::EncodeFailure;
use crate::schemas::error_text::{invalid_value, member_path, shown};
use serde_json::value::RawValue;
use std::cell::Cell;

/// How deep a value may be nested, as in [`decoder`](super::decoder).
const MAX_DEPTH: u32 = 100;

/// The fields of all records from the outermost one to the current one. Their values are kept until the record is written.
const MAX_OPEN_FIELDS: usize = 1 << 16;
const TOO_MANY_FIELDS: &str = "the records inside each other have too many fields";

/// The work for a value of any size. A record of many fields with defaults is a lot of work, and many bytes, for `{}`.
const WORK: usize = 4 << 20;
/// The work for each byte of JSON.
const WORK_PER_BYTE: usize = 8;

type Encoded = Result<(), EncodeFailure>;

struct AvroEncoder<'a> {
    types: &'a AvroTypes,
    /// Fields, values and bytes that may still be processed.
    work: Cell<usize>,
    /// The number of fields that may still be open.
    open_fields: Cell<usize>,
    /// The length that the output may have.
    end: usize,
}

/// Appends the encoded form of a JSON text to `out`, at most `most` bytes.
pub fn encode(types: &AvroTypes, root: TypeId, json: &[u8], out: &mut Vec<u8>, most: usize) -> Encoded {
    let text: &RawValue =
        serde_json::from_slice(json).map_err(|error| invalid_value(format!("invalid JSON: {error}")))?;
    let work = text.get().len().saturating_mul(WORK_PER_BYTE).saturating_add(WORK);
    let (work, open_fields) = (Cell::new(work), Cell::new(MAX_OPEN_FIELDS));
    let encoder = AvroEncoder { types, work, open_fields, end: out.len().saturating_add(most) };
    encoder.value(root, text.get(), 0, out)?;
    encoder.check_size(out, 0)
}

impl AvroEncoder<'_> {
    fn value(&self, id: TypeId, json: &str, depth: u32, out: &mut Vec<u8>) -> Encoded {
        self.spend(1)?;
        self.check_size(out, 0)?;
        if depth > MAX_DEPTH {
            return Err(invalid_value(format!("the value is nested more than {MAX_DEPTH} levels deep")));
        }
        match self.types.at(id) {
            AvroType::Array(items) => {
                let start = out.len();
                let count = for_each_item(json, |index, item| {
                    self.value(*items, item, depth + 1, out).map_err(|error| inside(&format!("[{index}]"), error))
                })?;
                block(start, count.ok_or_else(|| expected("an array", json))?, out);
            }
            AvroType::Map(values) => {
                let start = out.len();
                let count = for_each_member(json, |name, value| {
                    push_sized(name.as_bytes(), out);
                    self.value(*values, value, depth + 1, out).map_err(|error| inside(&member_path(&name), error))
                })?;
                block(start, count.ok_or_else(|| expected("an object", json))?, out);
            }
            AvroType::Record(record) => self.record(record, json, depth, out)?,
            AvroType::Union(union) => self.union(union, json, depth, out)?,
            scalar => scalars::push(scalar, json, out).map_err(invalid_value)?,
        }
        Ok(())
    }

    fn record(&self, record: &RecordType, json: &str, depth: u32, out: &mut Vec<u8>) -> Encoded {
        let fields = record.fields();
        self.spend(fields.len())?;
        let open_fields = self.open_fields.get().checked_sub(fields.len());
        self.open_fields.set(open_fields.ok_or_else(|| invalid_value(TOO_MANY_FIELDS.to_owned()))?);
        let mut given: Vec<Option<&str>> = vec![None; fields.len()];
        // Members are usually in the order of the fields.
        let mut next = 0;
        let members = for_each_member(json, |name, value| {
            let place = match fields.get(next) {
                Some(field) if *field.name == *name => Some(next),
                _ => record.index(&name),
            };
            let Some((place, given)) = place.and_then(|place| Some((place, given.get_mut(place)?))) else {
                return Err(inside(
                    &member_path(&name),
                    invalid_value("the record has no field of this name".to_owned()),
                ));
            };
            if given.replace(value).is_some() {
                return Err(inside(&member_path(&name), invalid_value("the field is given twice".to_owned())));
            }
            next = place + 1;
            Ok(())
        })?;
        if members.is_none() {
            return Err(expected("an object", json));
        }
        for (field, given) in fields.iter().zip(given) {
            match (given, &field.default) {
                (Some(value), _) => self.value(field.of, value, depth + 1, out),
                (None, FieldDefault::Encoded(bytes)) => self
                    .spend(bytes.len())
                    .and_then(|()| self.check_size(out, bytes.len()))
                    .map(|()| out.extend_from_slice(bytes)),
                (None, FieldDefault::Absent) => {
                    Err(invalid_value("the field is missing and has no default".to_owned()))
                }
                (None, FieldDefault::Invalid) => {
                    Err(invalid_value("the field is missing, and its default does not fit its type".to_owned()))
                }
            }
            .map_err(|error| inside(&member_path(&field.name), error))?;
        }
        self.open_fields.set(self.open_fields.get() + fields.len());
        Ok(())
    }

    fn union(&self, union: &UnionType, json: &str, depth: u32, out: &mut Vec<u8>) -> Encoded {
        let kind = JsonKind::of(json.as_bytes());
        if kind == JsonKind::Object
            && let Some((name, value)) = only_member(json)
            && let Some((index, branch)) = union.named(&name)
        {
            push_count(index, out);
            return self.value(branch.of, value, depth + 1, out).map_err(|error| inside(&member_path(&name), error));
        }
        let (index, branch) = self.plain_branch(union, json, kind)?;
        push_count(index, out);
        self.value(branch.of, json, depth + 1, out)
    }

    /// Finds the branch of a value without a branch name.
    fn plain_branch<'u>(
        &self,
        union: &'u UnionType,
        json: &str,
        kind: JsonKind,
    ) -> Result<(usize, &'u UnionBranch), EncodeFailure> {
        let plain = union.plain_branch(kind).or_else(|| match kind {
            // `3` for a double, `3.0` for a long.
            JsonKind::Integer => union.plain_branch(JsonKind::Fraction),
            JsonKind::Fraction => union.plain_branch(JsonKind::Integer),
            _ => None,
        });
        if let Some(plain) = plain {
            return Ok(plain);
        }
        let mut fitting = Vec::new();
        for (index, branch) in union.branches.iter().enumerate() {
            self.spend(1)?;
            let of = self.types.at(branch.of);
            if usual_kind(of) == kind && self.fits(of, json)? {
                fitting.push((index, branch));
            }
        }
        match fitting.as_slice() {
            [only] => Ok(*only),
            [] => {
                let names = listed(union.branches.iter().map(|branch| &*branch.name));
                Err(invalid_value(format!("expected one of {names}, found {}", shown(json))))
            }
            [(_, first), ..] => {
                let names = listed(fitting.iter().map(|(_, branch)| &*branch.name));
                let name = shown(&first.name);
                Err(invalid_value(format!("fits several branches of the union ({names}); name one: {{\"{name}\": …}}")))
            }
        }
    }

    /// Returns whether a value fits a type, looking at a record's own members only: nested unions would take exponential time.
    fn fits(&self, of: &AvroType, json: &str) -> Result<bool, EncodeFailure> {
        self.spend(json.len())?;
        match of {
            AvroType::Record(record) => {
                self.spend(record.fields().len())?;
                let required = record.fields().iter().filter(|field| matches!(field.default, FieldDefault::Absent));
                let (mut known, mut needed) = (true, required.count());
                let members = for_each_member::<()>(json, |name, _| {
                    let field = record.index(&name).and_then(|place| record.fields().get(place));
                    known &= field.is_some();
                    let required = field.is_some_and(|field| matches!(field.default, FieldDefault::Absent));
                    needed = needed.saturating_sub(required.into());
                    Ok(())
                });
                Ok(known && needed == 0 && members.is_ok_and(|members| members.is_some()))
            }
            AvroType::Array(_) | AvroType::Map(_) => Ok(true),
            scalar => Ok(scalars::push(scalar, json, &mut Vec::new()).is_ok()),
        }
    }

    fn spend(&self, work: usize) -> Encoded {
        match self.work.get().checked_sub(work) {
            Some(rest) => self.work.set(rest),
            None => return Err(invalid_value("the encoded value is too large for its JSON".to_owned())),
        }
        Ok(())
    }

    /// Fails if the output with `more` bytes exceeds the limit.
    fn check_size(&self, out: &[u8], more: usize) -> Encoded {
        if out.len().saturating_add(more) > self.end { Err(EncodeFailure::TooLarge) } else { Ok(()) }
    }
}

/// Inserts the number of items before the items from `start` on, and ends the block.
fn block(start: usize, count: usize, out: &mut Vec<u8>) {
    if count > 0 {
        let mut encoded = Vec::new();
        push_count(count, &mut encoded);
        out.splice(start..start, encoded);
    }
    out.push(0);
}

fn expected(what: &str, json: &str) -> EncodeFailure {
    invalid_value(format!("expected {what}, found {}", shown(json)))
}

fn inside(segment: &str, failure: EncodeFailure) -> EncodeFailure {
    match failure {
        EncodeFailure::Mismatch(mut error) => {
            error.path.insert_str(0, segment);
            EncodeFailure::Mismatch(error)
        }
        EncodeFailure::TooLarge => EncodeFailure::TooLarge,
    }
}

fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    shown(&names.collect::<Vec<_>>().join(", "))
}
