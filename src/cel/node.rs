//! An expression as a tree.

use super::functions::Function;
use super::pattern::Pattern;
use super::value::Json;

#[derive(Debug)]
pub enum Node {
    Literal(Json<'static>),
    /// ms since the epoch.
    Timestamp(i64),
    /// ms.
    Duration(i64),
    Variable(Variable),
    List(Vec<Node>),
    Field(Box<Node>, String),
    Has(Box<Node>, String),
    Index(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    /// All of many, so that long chains are flat.
    And(Vec<Node>),
    Or(Vec<Node>),
    If(Box<[Node; 3]>),
    Binary(Operator, Box<[Node; 2]>),
    Call(Function, Vec<Node>),
    Matches(Box<Node>, Pattern),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable {
    Value,
    Key,
    Headers,
    Topic,
    Partition,
    Offset,
    Timestamp,
}

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

pub const VARIABLES: [(&str, Variable); 7] = [
    ("value", Variable::Value),
    ("key", Variable::Key),
    ("headers", Variable::Headers),
    ("topic", Variable::Topic),
    ("partition", Variable::Partition),
    ("offset", Variable::Offset),
    ("timestamp", Variable::Timestamp),
];

impl Node {
    /// What it surely comes to, where that does not depend on the record.
    pub fn kind(&self) -> Option<&'static str> {
        Some(match self {
            Self::Literal(Json::Null) => "null",
            Self::Literal(Json::Int(_) | Json::Uint(_)) | Self::Variable(Variable::Partition | Variable::Offset) => {
                "an int"
            }
            Self::Literal(Json::Double(_)) => "a double",
            Self::Literal(Json::String(_)) | Self::Variable(Variable::Topic) => "a string",
            Self::Literal(Json::Bytes(_)) => "bytes",
            Self::Literal(Json::List(_)) | Self::List(_) => "a list",
            Self::Literal(Json::Map(_)) | Self::Variable(Variable::Headers) => "a map",
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
            Self::Literal(Json::Bool(_)) => "a bool",
            Self::Call(function, _) => return Some(function.kind()),
            Self::Variable(Variable::Value | Variable::Key) | Self::Field(..) | Self::Index(..) => return None,
            Self::If(parts) => {
                let [_, then, other] = &**parts;
                return then.kind().filter(|kind| other.kind() == Some(*kind));
            }
        })
    }
}
