//! How much work the validation of a value is, before it is done.
//!
//! A short schema can describe work without end: `allOf` with the same reference twice, forty levels deep, or a recursive schema
//! that reads each member twice. The validator has no limit, so the number of its steps is counted first: for each pair of a
//! schema and a part of the value once, from the number of the pairs that it leads to.

use super::pattern::backtracking_parts;
use super::reference::{Documents, Place};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// The steps of a validation, each well below a microsecond.
const MAX_STEPS: u64 = 2_000_000;
/// The pairs for which a number is kept.
const MAX_PAIRS: usize = 500_000;
/// The depth of the validator's recursion.
const MAX_DEPTH: u32 = 400;
/// The references that need a search through the documents.
const MAX_SEARCHES: usize = 200;
/// The steps that a pattern stands for.
const PATTERN: u64 = 20;
/// The steps of a pattern with look-around or back-references, which may try [`MAX_BACKTRACKING`](super::MAX_BACKTRACKING) ways.
const BACKTRACKING_PATTERN: u64 = 1_000;
/// The bytes of a pattern or of the text that it is matched with, which are one step.
const MATCHED_PER_STEP: usize = 4;
/// The bytes of a text that is compared or measured, which are one step.
const READ_PER_STEP: usize = 1_024;

/// Returns whether the validation of `value` takes bounded time.
pub fn is_bounded(documents: &Documents, value: &Value) -> bool {
    let mut counter = StepCounter { documents, known: HashMap::new(), found: HashMap::new() };
    counter.steps(documents.root(), value, MAX_DEPTH).is_some_and(|steps| steps <= MAX_STEPS)
}

struct StepCounter<'a> {
    documents: &'a Documents,
    /// By the addresses of a schema and a value, which do not move meanwhile. 0 while they are being counted.
    known: HashMap<(usize, usize), u64>,
    /// The targets of references that needed a search, by the addresses of their texts.
    found: HashMap<usize, Vec<Place<'a>>>,
}

impl<'a> StepCounter<'a> {
    /// Returns the number of steps. `None` if there are too many, or the recursion is too deep.
    fn steps(&mut self, schema: Place<'a>, value: &Value, depth: u32) -> Option<u64> {
        let Value::Object(keywords) = schema.value else { return Some(1) };
        let pair = (std::ptr::from_ref(schema.value).addr(), std::ptr::from_ref(value).addr());
        match self.known.get(&pair) {
            // The schema refers to itself for the same value.
            Some(0) => return None,
            Some(steps) => return Some(*steps),
            None if self.known.len() >= MAX_PAIRS => return None,
            None => self.known.insert(pair, 0),
        };
        let depth = depth.checked_sub(1)?;
        let mut steps = 1_u64;
        for (keyword, operand) in keywords {
            let more = self.keyword(schema, keywords, keyword, operand, value, depth)?;
            steps = steps.checked_add(more).filter(|steps| *steps <= MAX_STEPS)?;
        }
        self.known.insert(pair, steps);
        Some(steps)
    }

    fn keyword(
        &mut self,
        schema: Place<'a>,
        keywords: &'a Map<String, Value>,
        keyword: &str,
        operand: &'a Value,
        value: &Value,
        depth: u32,
    ) -> Option<u64> {
        let at = |value| schema.with(value);
        let mut steps = 1_u64;
        match (keyword, operand, value) {
            ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(reference), _) => {
                for target in self.targets(schema, keyword, reference)? {
                    steps = steps.checked_add(self.steps(target, value, depth)?)?;
                }
            }
            ("allOf" | "anyOf" | "oneOf", Value::Array(schemas), _) => {
                for inner in schemas {
                    steps = steps.checked_add(self.steps(at(inner), value, depth)?)?;
                }
            }
            ("not" | "if" | "then" | "else", inner, _) => steps += self.steps(at(inner), value, depth)?,
            ("dependentSchemas" | "dependencies", Value::Object(schemas), _) => {
                for inner in schemas.values() {
                    steps = steps.checked_add(self.steps(at(inner), value, depth)?)?;
                }
            }
            ("properties", Value::Object(schemas), Value::Object(members)) => {
                for (name, member) in members {
                    if let Some(inner) = schemas.get(name) {
                        steps = steps.checked_add(self.steps(at(inner), member, depth)?)?;
                    }
                }
            }
            ("patternProperties", Value::Object(schemas), Value::Object(members)) => {
                for (name, member) in members {
                    for (pattern, inner) in schemas {
                        steps = steps.checked_add(matching(pattern, name)?)?;
                        steps = steps.checked_add(self.steps(at(inner), member, depth)?)?;
                    }
                }
            }
            ("additionalProperties" | "unevaluatedProperties", inner, Value::Object(members)) => {
                let listed = keywords.get("properties").and_then(Value::as_object);
                for (name, member) in members {
                    if !listed.is_some_and(|listed| listed.contains_key(name)) {
                        steps = steps.checked_add(self.steps(at(inner), member, depth)?)?;
                    }
                }
                if keyword == "unevaluatedProperties" {
                    steps = steps.checked_add(self.evaluated(schema, keywords, value, depth)?)?;
                }
            }
            ("items" | "prefixItems", Value::Array(schemas), Value::Array(items)) => {
                for (inner, item) in schemas.iter().zip(items) {
                    steps = steps.checked_add(self.steps(at(inner), item, depth)?)?;
                }
            }
            ("items" | "additionalItems" | "contains" | "unevaluatedItems", inner, Value::Array(items)) => {
                let before = match keyword {
                    "items" => keywords.get("prefixItems"),
                    "additionalItems" => keywords.get("items"),
                    _ => None,
                };
                let before = before.and_then(Value::as_array).map_or(0, Vec::len);
                for item in items.iter().skip(before) {
                    steps = steps.checked_add(self.steps(at(inner), item, depth)?)?;
                }
                if keyword == "unevaluatedItems" {
                    steps = steps.checked_add(self.evaluated(schema, keywords, value, depth)?)?;
                }
            }
            ("propertyNames", inner, Value::Object(members)) => {
                // Of a name, what depends on its length is counted as often as the name is longer than a step.
                let each = self.steps(at(inner), &Value::Null, depth)?;
                let names = members.keys().map(|name| 1 + name.len() / MATCHED_PER_STEP).sum::<usize>();
                steps = steps.checked_add(each.checked_mul(names.try_into().ok()?)?)?;
            }
            ("pattern", Value::String(pattern), Value::String(text)) => {
                steps = steps.checked_add(matching(pattern, text)?)?;
            }
            ("pattern", Value::String(pattern), Value::Null) => steps = steps.checked_add(matching(pattern, "")?)?,
            ("minLength" | "maxLength", _, Value::String(text)) => {
                steps += u64::try_from(text.len() / READ_PER_STEP).ok()?;
            }
            ("const", operand, _) => steps = steps.checked_add(comparing(operand)?)?,
            ("enum", Value::Array(_), _) => steps = steps.checked_add(comparing(operand)?)?,
            ("dependentRequired", Value::Object(names), Value::Object(_)) => {
                steps += u64::try_from(names.len()).ok()?;
            }
            ("uniqueItems", _, Value::Array(_)) => steps = steps.checked_add(comparing(value)?)?,
            _ => {}
        }
        Some(steps)
    }

    /// Returns what a reference may mean. `None` if that is not found, or after too many searches.
    fn targets(&mut self, schema: Place<'a>, keyword: &str, reference: &'a str) -> Option<Vec<Place<'a>>> {
        if let Some(target) = self.documents.direct_target(schema, keyword, reference) {
            return Some(vec![target]);
        }
        if let Some(found) = self.found.get(&reference.as_ptr().addr()) {
            return Some(found.clone());
        }
        let found = self.documents.targets(schema, keyword, reference);
        if found.is_empty() || self.found.len() >= MAX_SEARCHES {
            return None;
        }
        self.found.insert(reference.as_ptr().addr(), found.clone());
        Some(found)
    }

    /// Returns the steps to find out which members or items other keywords have evaluated: those keywords again.
    fn evaluated(
        &mut self,
        schema: Place<'a>,
        keywords: &'a Map<String, Value>,
        value: &Value,
        depth: u32,
    ) -> Option<u64> {
        let mut steps = 1_u64;
        for (keyword, operand) in keywords.iter().filter(|(keyword, _)| !keyword.starts_with("unevaluated")) {
            steps = steps.checked_add(self.keyword(schema, keywords, keyword, operand, value, depth)?)?;
        }
        Some(steps)
    }
}

/// Returns the steps to match a pattern with a text.
fn matching(pattern: &str, text: &str) -> Option<u64> {
    let each = if backtracking_parts(pattern) > 0 { BACKTRACKING_PATTERN } else { PATTERN };
    Some(each + u64::try_from((pattern.len() + text.len()) / MATCHED_PER_STEP).ok()?)
}

/// Returns the steps to compare a value with another: the number of its parts. Long texts are more than one.
fn comparing(value: &Value) -> Option<u64> {
    match value {
        Value::Array(items) => items.iter().try_fold(1, |steps: u64, item| steps.checked_add(comparing(item)?)),
        Value::Object(members) => {
            members.values().try_fold(1, |steps: u64, member| steps.checked_add(comparing(member)?))
        }
        Value::String(text) => Some(1 + u64::try_from(text.len() / READ_PER_STEP).ok()?),
        _ => Some(1),
    }
}
