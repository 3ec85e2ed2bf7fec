//! The syntax tree of an expression.

use super::functions::Function;
use super::pattern::Pattern;
use super::value::JsonValue;

/// A node of the syntax tree.
#[derive(Debug)]
pub enum CelNode {
    Literal(JsonValue<'static>),
    /// In milliseconds since the Unix epoch.
    Timestamp(i64),
    /// In milliseconds.
    Duration(i64),
    Variable(Variable),
    List(Vec<CelNode>),
    Field(Box<CelNode>, String),
    Has(Box<CelNode>, String),
    Index(Box<CelNode>, Box<CelNode>),
    Not(Box<CelNode>),
    Negate(Box<CelNode>),
    /// Any number of operands, so that a long chain does not nest.
    And(Vec<CelNode>),
    Or(Vec<CelNode>),
    If(Box<[CelNode; 3]>),
    Binary(Operator, Box<[CelNode; 2]>),
    Call(Function, Vec<CelNode>),
    Matches(Box<CelNode>, Pattern),
}

/// A part of the record that an expression can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variable {
    /// The value.
    Value,
    /// The key.
    Key,
    /// The headers by name.
    Headers,
    /// The name of the topic.
    Topic,
    /// The number of the partition.
    Partition,
    /// The offset in the partition.
    Offset,
    /// The timestamp.
    Timestamp,
}

/// A binary operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// The names of the variables.
pub const VARIABLES: [(&str, Variable); 7] = [
    ("value", Variable::Value),
    ("key", Variable::Key),
    ("headers", Variable::Headers),
    ("topic", Variable::Topic),
    ("partition", Variable::Partition),
    ("offset", Variable::Offset),
    ("timestamp", Variable::Timestamp),
];

impl CelNode {
    /// The type of the result, with its article, or `None` if it depends on the record.
    pub fn kind(&self) -> Option<&'static str> {
        Some(match self {
            Self::Literal(JsonValue::Null) => "null",
            Self::Literal(JsonValue::Int(_) | JsonValue::Uint(_))
            | Self::Variable(Variable::Partition | Variable::Offset) => "an int",
            Self::Literal(JsonValue::Double(_)) => "a double",
            Self::Literal(JsonValue::String(_)) | Self::Variable(Variable::Topic) => "a string",
            Self::Literal(JsonValue::Bytes(_)) => "bytes",
            Self::Literal(JsonValue::List(_)) | Self::List(_) => "a list",
            Self::Literal(JsonValue::Map(_)) | Self::Variable(Variable::Headers) => "a map",
            Self::Timestamp(_) | Self::Variable(Variable::Timestamp) => "a timestamp",
            Self::Duration(_) => "a duration",
            Self::Negate(_) => "a number",
            Self::Binary(
                Operator::Add | Operator::Subtract | Operator::Multiply | Operator::Divide | Operator::Remainder,
                _,
            ) => "the result of a calculation",
            Self::Binary(..) | Self::Not(_) | Self::And(_) | Self::Or(_) | Self::Has(..) | Self::Matches(..) => {
                "a bool"
            }
            Self::Literal(JsonValue::Bool(_)) => "a bool",
            Self::Call(function, _) => return Some(function.kind()),
            Self::Variable(Variable::Value | Variable::Key) | Self::Field(..) | Self::Index(..) => return None,
            Self::If(parts) => {
                let [_, then, other] = &**parts;
                return then.kind().filter(|kind| other.kind() == Some(*kind));
            }
        })
    }
}
