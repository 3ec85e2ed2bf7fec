//! Lists of fields, as in `select=value.temperature,key`. A path is the part of the expression language that names a
//! field.

use super::node::{VARIABLES, Variable};
use super::token::{CelToken, LocatedToken, tokenize};
use super::{CompileError, MAX_DEPTH};
use std::fmt;

/// The most paths of one list.
const MAX_PATHS: usize = 32;
/// The highest index of a list element. Elements that are not selected are written as null, so this bounds the output.
const MAX_INDEX: u64 = 99;

/// The path to a field of a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldPath {
    /// The variable that it begins with.
    pub root: Variable,
    /// The steps from the variable to the field.
    pub steps: Vec<PathStep>,
}

/// A step to a part of a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathStep {
    /// To a field of an object, or to a header.
    Field(String),
    /// To an element of a list, by its index from 0.
    Element(usize),
}

/// An error in a list of paths, and its column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "select, column {column}: {problem}; allowed are up to {} paths, separated by commas, such as key, value.temperature, \
     value[\"odd name\"], value.sensors[0].t, headers[\"source\"], topic, partition, offset, timestamp",
    MAX_PATHS
)]
pub struct InvalidPaths {
    column: usize,
    problem: String,
}

impl From<CompileError> for InvalidPaths {
    fn from(CompileError { column, problem }: CompileError) -> Self {
        Self { column, problem }
    }
}

/// The path as it is written: `value.sensors[0]["odd name"]`.
impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = VARIABLES.iter().find(|(_, variable)| *variable == self.root).map_or("", |(name, _)| name);
        f.write_str(name)?;
        self.steps.iter().try_for_each(|step| match step {
            PathStep::Field(name) if is_identifier(name) => write!(f, ".{name}"),
            // JSON's escapes are escapes of this language too.
            PathStep::Field(name) => write!(f, "[{}]", serde_json::Value::from(name.as_str())),
            PathStep::Element(index) => write!(f, "[{index}]"),
        })
    }
}

fn is_identifier(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(word) && name.starts_with(|c: char| !c.is_ascii_digit())
}

impl FieldPath {
    /// Parses paths that are separated by commas. `most` is the length of the text in characters.
    ///
    /// Fails if one path contains another, and if two cannot be in one object: `value.a` and `value[0]`.
    pub fn parse_list(text: &str, most: usize) -> Result<Vec<Self>, InvalidPaths> {
        let length = text.chars().count();
        if length > most {
            let problem = format!("the list has {length} characters; at most {most} are allowed");
            return Err(InvalidPaths { column: most + 1, problem });
        }
        let mut reader = PathReader { tokens: tokenize(text)?, at: 0 };
        let mut paths = Vec::new();
        loop {
            let column = reader.peek().column;
            let path = reader.path()?;
            let clash = paths.iter().find_map(|other| path.clash_with(other));
            let problem = match clash {
                Some(problem) => problem,
                None if paths.len() == MAX_PATHS => format!("this is path {}", MAX_PATHS + 1),
                None => {
                    paths.push(path);
                    if reader.eat(",") {
                        continue;
                    }
                    if reader.peek().token == CelToken::End {
                        return Ok(paths);
                    }
                    return Err(reader.expected("`.`, `[`, `,` or the end"));
                }
            };
            return Err(InvalidPaths { column, problem });
        }
    }

    /// Why the two cannot be in one list.
    fn clash_with(&self, other: &Self) -> Option<String> {
        if self.root != other.root {
            return None;
        }
        let mut rest = self.steps.iter().zip(&other.steps).skip_while(|(own, other)| own == other);
        match rest.next() {
            Some((PathStep::Field(_), PathStep::Field(_)) | (PathStep::Element(_), PathStep::Element(_))) => None,
            Some(_) => Some(format!("{self} and {other} cannot be in one object")),
            None if self == other => Some(format!("{self} is given twice")),
            None if self.steps.len() < other.steps.len() => {
                Some(format!("{self} contains {other}, which is given too"))
            }
            None => Some(format!("{self} is a part of {other}, which is given too")),
        }
    }
}

struct PathReader<'s> {
    tokens: Vec<LocatedToken<'s>>,
    at: usize,
}

impl<'s> PathReader<'s> {
    fn peek(&self) -> &LocatedToken<'s> {
        // The last token is the end, which is never consumed.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn eat(&mut self, symbol: &str) -> bool {
        let is_next = matches!(self.peek().token, CelToken::Symbol(next) if next == symbol);
        self.at += usize::from(is_next);
        is_next
    }

    fn expected(&self, what: &str) -> InvalidPaths {
        let LocatedToken { token, column, text } = self.peek();
        let found = if *token == CelToken::End { "the end".to_owned() } else { format!("`{text}`") };
        InvalidPaths { column: *column, problem: format!("expected {what}, found {found}") }
    }

    fn path(&mut self) -> Result<FieldPath, InvalidPaths> {
        let known = || VARIABLES.map(|(name, _)| name).join(", ");
        let variable = match &self.peek().token {
            CelToken::Name(name) => VARIABLES.iter().find(|(own, _)| own == name),
            _ => None,
        };
        let Some((name, root)) = variable else { return Err(self.expected(&format!("one of {}", known()))) };
        self.at += 1;
        let mut steps = Vec::new();
        loop {
            let column = self.peek().column;
            let step = if self.eat(".") {
                self.field()?
            } else if self.eat("[") {
                self.element()?
            } else {
                return Ok(FieldPath { root: *root, steps });
            };
            let problem = match (root, &step) {
                (Variable::Value | Variable::Key, _) if steps.len() < MAX_DEPTH => None,
                (Variable::Value | Variable::Key, _) => Some(format!("a path has at most {MAX_DEPTH} steps")),
                (Variable::Headers, PathStep::Field(_)) if steps.is_empty() => None,
                (Variable::Headers, _) => Some("a header is selected by its name, and has no fields".to_owned()),
                _ => Some(format!("{name} has no fields")),
            };
            if let Some(problem) = problem {
                return Err(InvalidPaths { column, problem });
            }
            steps.push(step);
        }
    }

    fn field(&mut self) -> Result<PathStep, InvalidPaths> {
        match self.peek().token.clone() {
            CelToken::Name(name) => {
                self.at += 1;
                Ok(PathStep::Field(name))
            }
            _ => Err(self.expected("the name of a field")),
        }
    }

    fn element(&mut self) -> Result<PathStep, InvalidPaths> {
        let step = match self.peek().token.clone() {
            CelToken::String(name) => PathStep::Field(name),
            CelToken::Int(index) if index <= MAX_INDEX => PathStep::Element(index as usize),
            _ => {
                return Err(self.expected(&format!("the name of a field in quotes, or an index from 0 to {MAX_INDEX}")));
            }
        };
        self.at += 1;
        if self.eat("]") { Ok(step) } else { Err(self.expected("`]`")) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Result<Vec<String>, InvalidPaths> {
        FieldPath::parse_list(text, 1024).map(|paths| paths.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn paths_name_fields_of_the_envelope_and_of_values() {
        for (text, paths) in [
            ("key", vec!["key"]),
            (" value . temperature , key ", vec!["value.temperature", "key"]),
            ("value['odd name'][0].t,headers['x-y']", vec!["value[\"odd name\"][0].t", "headers[\"x-y\"]"]),
            ("value[\"a\"]", vec!["value.a"]),
            ("value.in,value.a,value.ab", vec!["value.in", "value.a", "value.ab"]),
            ("topic,partition,offset,timestamp,headers", vec!["topic", "partition", "offset", "timestamp", "headers"]),
        ] {
            assert_eq!(parsed(text).unwrap(), paths, "{text}");
        }
    }

    #[test]
    fn an_error_names_the_column_and_what_is_allowed() {
        for (text, column, problem) in [
            ("", 1, "expected one of value, key, headers, topic"),
            ("temperature", 1, "expected one of value"),
            ("key,", 5, "found the end"),
            ("key value", 5, "expected `.`, `[`, `,` or the end, found `value`"),
            ("value.", 7, "expected the name of a field"),
            ("value[100]", 7, "an index from 0 to 99"),
            ("value[-1]", 7, "found `-`"),
            ("value[0", 8, "expected `]`"),
            ("topic.name", 6, "topic has no fields"),
            ("headers.a.b", 10, "a header is selected by its name"),
            ("headers[0]", 8, "a header is selected by its name"),
            ("key,offset,key", 12, "key is given twice"),
            ("value['a'],value.a", 12, "value.a is given twice"),
            ("value.a.b,value.a[0]", 11, "value.a[0] and value.a.b cannot be in one object"),
            ("headers,headers.a", 9, "headers.a is a part of headers, which is given too"),
            ("value.a.b,value.a", 11, "value.a contains value.a.b, which is given too"),
            ("value.size()", 11, "found `(`"),
            ("value.'a", 7, "does not end"),
        ] {
            let error = FieldPath::parse_list(text, 1024).unwrap_err();
            assert!(error.column == column && error.problem.contains(problem), "{text}: {error}");
            assert!(error.to_string().contains("allowed are up to 32 paths"));
        }
        let many: Vec<_> = (0..33).map(|n| format!("value.a{n}")).collect();
        assert!(parsed(&many.join(",")).unwrap_err().problem.contains("path 33"));
        assert!(parsed(&many[..32].join(",")).is_ok());
        assert!(parsed(&format!("value{}", ".a".repeat(33))).unwrap_err().problem.contains("at most 32 steps"));
        assert!(parsed(&" ".repeat(1025)).unwrap_err().problem.contains("1025 characters"));
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_its_text_means_the_same(text in "(value|key|headers|[a-z.,\\[\\]'\"0-9 ]|.){0,12}") {
            if let Ok(paths) = FieldPath::parse_list(&text, 1024) {
                let again: Vec<_> = paths.iter().map(ToString::to_string).collect();
                prop_assert_eq!(FieldPath::parse_list(&again.join(","), usize::MAX).ok(), Some(paths));
            }
        }
    }
}
