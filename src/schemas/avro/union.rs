//! Which branch of a union a JSON value without a branch name belongs to.
//!
//! Avro's JSON encoding has the name of the branch around every value: `{"string": "a"}`. Most unions are an optional value,
//! so here a value is plain where its JSON kind tells its branch. If several branches have values of a kind, the widest of them
//! is plain (`string`, `long`, `double`), and the others have their names. Thus JSON that was decoded is encoded as the same
//! branch.

use super::json_kind::JsonKind;
use super::types::{AvroType, AvroTypes, UnionBranch};

/// Returns for each kind the branch whose values are plain.
pub fn plain_branches(branches: &[UnionBranch], types: &AvroTypes) -> [Option<u32>; JsonKind::COUNT] {
    JsonKind::ALL.map(|kind| {
        let with = |kinds: fn(&AvroType) -> Option<JsonKind>| -> Vec<(u32, &AvroType)> {
            let branches = (0..).zip(branches).map(|(at, branch)| (at, types.at(branch.of)));
            branches.filter(|(_, of)| kinds(of) == Some(kind)).collect()
        };
        let mut having = with(|of| Some(usual_kind(of)));
        if having.is_empty() {
            having = with(rare_kind);
        }
        let widest = having.iter().find(|(_, of)| matches!(of, AvroType::String | AvroType::Long | AvroType::Double));
        match (having.as_slice(), widest) {
            ([(only, _)], _) | (_, Some((only, _))) => Some(*only),
            _ => None,
        }
    })
}

/// The kind of the JSON of a type.
pub fn usual_kind(of: &AvroType) -> JsonKind {
    match of {
        AvroType::Null | AvroType::Union(_) | AvroType::Reference(_) => JsonKind::Null,
        AvroType::Boolean => JsonKind::Boolean,
        AvroType::Int | AvroType::Long => JsonKind::Integer,
        AvroType::Float | AvroType::Double => JsonKind::Fraction,
        AvroType::Bytes | AvroType::String | AvroType::Fixed(_) | AvroType::Enum(_) | AvroType::Decimal(_) => {
            JsonKind::String
        }
        AvroType::Date | AvroType::TimeOfDay(_) | AvroType::Timestamp(_) | AvroType::LocalTimestamp(_) => {
            JsonKind::String
        }
        AvroType::Uuid | AvroType::Duration => JsonKind::String,
        AvroType::Array(_) => JsonKind::Array,
        AvroType::Map(_) | AvroType::Record(_) => JsonKind::Object,
    }
}

/// The kind of values outside the usual range: NaN, and dates and times that their text cannot express.
pub fn rare_kind(of: &AvroType) -> Option<JsonKind> {
    match of {
        AvroType::Float | AvroType::Double => Some(JsonKind::String),
        AvroType::Date | AvroType::TimeOfDay(_) | AvroType::Timestamp(_) | AvroType::LocalTimestamp(_) => {
            Some(JsonKind::Integer)
        }
        _ => None,
    }
}
