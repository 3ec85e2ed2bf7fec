//! Parses the tokens of an expression into a syntax tree, by precedence climbing. Finds all errors that do not depend on
//! records.

use super::functions::{CallStyle, Function};
use super::node::{CelNode, Operator, VARIABLES};
use super::pattern::{self, Pattern};
use super::token::{CelToken, LocatedToken, tokenize};
use super::value::JsonValue;
use super::{CompileError, MAX_DEPTH};
use std::borrow::Cow;

/// The binary operators by precedence, lowest first.
const OPERATORS: [&[(&str, Operator)]; 5] = [
    &[("||", Operator::Or)],
    &[("&&", Operator::And)],
    &[
        ("==", Operator::Equal),
        ("!=", Operator::NotEqual),
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
        ("in", Operator::In),
    ],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[("*", Operator::Multiply), ("/", Operator::Divide), ("%", Operator::Remainder)],
];

/// The reserved words, which cannot be variables.
const KEYWORDS: [&str; 4] = ["true", "false", "null", "in"];

/// Returns the syntax tree of an expression, and its text with normalized white space.
pub fn parse(source: &str, most: usize) -> Result<(CelNode, String), CompileError> {
    let length = source.chars().count();
    if length > most {
        let problem = format!("an expression has at most {most} characters; this one has {length}");
        return Err(CompileError::new(most + 1, problem));
    }
    let tokens = tokenize(source)?;
    let text = tokens.iter().map(|token| token.text).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ");
    let mut parser = Parser { tokens, at: 0, nesting: 0, pattern_bytes: pattern::MAX_BYTES };
    let root = parser.expression()?;
    if parser.peek().token != CelToken::End {
        return Err(parser.expected("an operator or the end"));
    }
    root.must_be_bool("where=")?;
    Ok((root.node, text))
}

struct Parser<'s> {
    tokens: Vec<LocatedToken<'s>>,
    at: usize,
    /// The number of open brackets and signs. Bounds the stack.
    nesting: usize,
    /// The memory left for patterns, in bytes.
    pattern_bytes: usize,
}

/// A part of the tree, with its column and depth.
struct ParsedPart {
    node: CelNode,
    column: usize,
    depth: usize,
}

impl ParsedPart {
    /// A node around parts of depth `inner` or less. Fails if it is nested too deeply.
    fn around(node: CelNode, column: usize, inner: usize) -> Result<Self, CompileError> {
        let depth = inner + 1;
        if depth > MAX_DEPTH { Err(too_deep(column)) } else { Ok(Self { node, column, depth }) }
    }

    fn leaf(node: CelNode, column: usize) -> Self {
        Self { node, column, depth: 1 }
    }

    fn must_be_bool(&self, operator: &str) -> Result<(), CompileError> {
        match self.node.kind() {
            None | Some("a bool") => Ok(()),
            Some(kind) => Err(CompileError::new(
                self.column,
                format!("{operator} needs true or false, and this is always {kind}"),
            )),
        }
    }
}

impl<'s> Parser<'s> {
    fn peek(&self) -> &LocatedToken<'s> {
        // The last token is the end, which is never consumed.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn column(&self) -> usize {
        self.peek().column
    }

    fn bump(&mut self) {
        self.at = (self.at + 1).min(self.tokens.len() - 1);
    }

    /// Consumes an operator, bracket or keyword if it is the next token.
    fn eat(&mut self, text: &str) -> bool {
        let is_next = match &self.peek().token {
            CelToken::Symbol(symbol) => *symbol == text,
            CelToken::Name(name) => name == text && KEYWORDS.contains(&text),
            _ => false,
        };
        if is_next {
            self.bump();
        }
        is_next
    }

    fn require(&mut self, symbol: &str, what: &str) -> Result<(), CompileError> {
        if self.eat(symbol) { Ok(()) } else { Err(self.expected(what)) }
    }

    fn expected(&self, what: &str) -> CompileError {
        let LocatedToken { token, column, text } = self.peek();
        let found = if *token == CelToken::End { "the end".to_owned() } else { format!("`{text}`") };
        CompileError::new(*column, format!("expected {what}, found {found}"))
    }

    /// Parses one level deeper.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, CompileError>) -> Result<T, CompileError> {
        if self.nesting >= MAX_DEPTH {
            return Err(too_deep(self.column()));
        }
        self.nesting += 1;
        let result = read(self);
        self.nesting -= 1;
        result
    }

    fn expression(&mut self) -> Result<ParsedPart, CompileError> {
        self.nested(|parser| {
            let condition = parser.binary(0)?;
            if !parser.eat("?") {
                return Ok(condition);
            }
            condition.must_be_bool("the condition of ?:")?;
            let then = parser.expression()?;
            parser.require(":", "`:` and what else it is")?;
            let other = parser.expression()?;
            let depth = condition.depth.max(then.depth).max(other.depth);
            let column = condition.column;
            ParsedPart::around(CelNode::If(Box::new([condition.node, then.node, other.node])), column, depth)
        })
    }

    /// Parses a chain of binary operators of level `least` or higher, and their operands.
    fn binary(&mut self, least: usize) -> Result<ParsedPart, CompileError> {
        let mut left = self.unary()?;
        while let Some((level, operator)) = self.operator(least) {
            let right = self.binary(level + 1)?;
            left = join(operator, left, right)?;
        }
        Ok(left)
    }

    fn operator(&mut self, least: usize) -> Option<(usize, Operator)> {
        let mut levels = OPERATORS.iter().enumerate().skip(least);
        levels.find_map(|(level, operators)| {
            let (_, operator) = operators.iter().find(|(text, _)| self.eat(text))?;
            Some((level, *operator))
        })
    }

    fn unary(&mut self) -> Result<ParsedPart, CompileError> {
        let column = self.column();
        if self.eat("!") {
            let inner = self.nested(Self::unary)?;
            inner.must_be_bool("!")?;
            return ParsedPart::around(CelNode::Not(Box::new(inner.node)), column, inner.depth);
        }
        if !self.eat("-") {
            return self.member();
        }
        // The magnitude of the smallest int is not an int.
        if let CelToken::Int(magnitude) = self.peek().token
            && let Some(int) = 0i64.checked_sub_unsigned(magnitude)
        {
            self.bump();
            return self.selectors(ParsedPart::leaf(CelNode::Literal(JsonValue::Int(int)), column));
        }
        let inner = self.nested(Self::unary)?;
        ParsedPart::around(CelNode::Negate(Box::new(inner.node)), column, inner.depth)
    }

    fn member(&mut self) -> Result<ParsedPart, CompileError> {
        let primary = self.primary()?;
        self.selectors(primary)
    }

    /// Parses the `.field`, `.function(…)` and `[…]` that follow a value.
    fn selectors(&mut self, mut part: ParsedPart) -> Result<ParsedPart, CompileError> {
        loop {
            let column = part.column;
            if self.eat(".") {
                let at = self.column();
                let name = self.name("the name of a field or function")?;
                part = if self.eat("(") {
                    self.call(&name, at, Some(part))?
                } else {
                    ParsedPart::around(CelNode::Field(Box::new(part.node), name), column, part.depth)?
                };
            } else if self.eat("[") {
                let index = self.expression()?;
                self.require("]", "`]`")?;
                let depth = part.depth.max(index.depth);
                part = ParsedPart::around(CelNode::Index(Box::new(part.node), Box::new(index.node)), column, depth)?;
            } else {
                return Ok(part);
            }
        }
    }

    fn name(&mut self, what: &str) -> Result<String, CompileError> {
        match &self.peek().token {
            CelToken::Name(name) => {
                let name = name.clone();
                self.bump();
                Ok(name)
            }
            _ => Err(self.expected(what)),
        }
    }

    fn primary(&mut self) -> Result<ParsedPart, CompileError> {
        let column = self.column();
        let literal = match self.peek().token.clone() {
            CelToken::Int(magnitude) => i64::try_from(magnitude)
                .map(JsonValue::Int)
                .map_err(|_| CompileError::new(column, "this number is too large"))?,
            CelToken::Uint(uint) => JsonValue::Uint(uint),
            CelToken::Double(double) => JsonValue::Double(double),
            CelToken::String(text) => JsonValue::String(Cow::Owned(text)),
            CelToken::Bytes(bytes) => JsonValue::Bytes(Cow::Owned(bytes)),
            CelToken::Name(name) => match name.as_str() {
                "true" => JsonValue::Bool(true),
                "false" => JsonValue::Bool(false),
                "null" => JsonValue::Null,
                "in" => return Err(self.expected("a value")),
                _ => {
                    self.bump();
                    return self.named(&name, column);
                }
            },
            CelToken::Symbol("(") => {
                self.bump();
                let inner = self.expression()?;
                self.require(")", "`)`")?;
                return Ok(inner);
            }
            CelToken::Symbol("[") => {
                self.bump();
                let (nodes, depth) = split_parts(self.list("]")?);
                return ParsedPart::around(CelNode::List(nodes), column, depth);
            }
            CelToken::Symbol("{") => return Err(CompileError::new(column, "maps cannot be written here")),
            CelToken::Symbol(_) | CelToken::End => return Err(self.expected("a value")),
        };
        self.bump();
        Ok(ParsedPart::leaf(CelNode::Literal(literal), column))
    }

    /// Parses a variable or function call whose name is consumed.
    fn named(&mut self, name: &str, column: usize) -> Result<ParsedPart, CompileError> {
        if self.eat("(") {
            return self.call(name, column, None);
        }
        match VARIABLES.iter().find(|(own, _)| *own == name) {
            Some((_, variable)) => Ok(ParsedPart::leaf(CelNode::Variable(*variable), column)),
            None => {
                let known = VARIABLES.map(|(name, _)| name).join(", ");
                Err(CompileError::new(column, format!("there is no variable `{name}`; there are {known}")))
            }
        }
    }

    /// Parses a list up to its closing bracket. As in CEL, it may end with a comma.
    fn list(&mut self, close: &str) -> Result<Vec<ParsedPart>, CompileError> {
        let mut parts = Vec::new();
        loop {
            if self.eat(close) {
                return Ok(parts);
            }
            parts.push(self.expression()?);
            if !self.eat(",") {
                self.require(close, &format!("`,` or `{close}`"))?;
                return Ok(parts);
            }
        }
    }

    /// Parses a call whose name and opening bracket are consumed.
    fn call(&mut self, name: &str, column: usize, receiver: Option<ParsedPart>) -> Result<ParsedPart, CompileError> {
        let style = if receiver.is_some() { CallStyle::Method } else { CallStyle::Global };
        if (name, style) == ("has", CallStyle::Global) {
            return has(column, self.list(")")?);
        }
        let function = Function::find(name, style, column)?;
        let arguments = self.list(")")?;
        let start = receiver.as_ref().map_or(column, |part| part.column);
        let parts: Vec<_> = receiver.into_iter().chain(arguments).collect();
        let (given, expected) = (parts.len(), function.arguments());
        if given != expected {
            let without_receiver = usize::from(style == CallStyle::Method);
            let (given, expected) = (given - without_receiver, expected - without_receiver);
            return Err(CompileError::new(column, format!("{name}() takes {expected} argument(s), not {given}")));
        }
        let columns: Vec<_> = parts.iter().map(|part| part.column).collect();
        let (nodes, depth) = split_parts(parts);
        let at = columns.last().copied().unwrap_or(column);
        let node = match function {
            Function::Matches => self.matches(nodes, at)?,
            Function::Timestamp | Function::Duration => parse_time_literal(function, nodes, at)?,
            _ => CelNode::Call(function, nodes),
        };
        ParsedPart::around(node, start, depth)
    }

    /// The pattern must be a literal, because it is compiled here and not for every record.
    fn matches(&mut self, nodes: Vec<CelNode>, column: usize) -> Result<CelNode, CompileError> {
        let mut nodes = nodes.into_iter();
        let (Some(text), Some(CelNode::Literal(JsonValue::String(pattern)))) = (nodes.next(), nodes.next()) else {
            return Err(CompileError::new(column, "the pattern of matches() must be written out, as a string"));
        };
        let pattern = Pattern::compile(&pattern, self.pattern_bytes)
            .map_err(|e| CompileError::new(column, format!("this pattern cannot be used: {e}")))?;
        self.pattern_bytes -= pattern.bytes;
        Ok(CelNode::Matches(Box::new(text), pattern))
    }
}

fn join(operator: Operator, left: ParsedPart, right: ParsedPart) -> Result<ParsedPart, CompileError> {
    if let Operator::Or | Operator::And = operator {
        let symbol = if operator == Operator::Or { "||" } else { "&&" };
        left.must_be_bool(symbol)?;
        right.must_be_bool(symbol)?;
    }
    let (column, depth) = (left.column, left.depth.max(right.depth));
    match (operator, left.node) {
        // A chain of the same operator stays flat, so that its length does not count as depth.
        (Operator::Or, CelNode::Or(parts)) => extend_chain(CelNode::Or, parts, column, left.depth, right),
        (Operator::And, CelNode::And(parts)) => extend_chain(CelNode::And, parts, column, left.depth, right),
        (Operator::Or, left) => ParsedPart::around(CelNode::Or(vec![left, right.node]), column, depth),
        (Operator::And, left) => ParsedPart::around(CelNode::And(vec![left, right.node]), column, depth),
        (operator, left) => ParsedPart::around(CelNode::Binary(operator, Box::new([left, right.node])), column, depth),
    }
}

fn extend_chain(
    make: fn(Vec<CelNode>) -> CelNode,
    mut parts: Vec<CelNode>,
    column: usize,
    depth: usize,
    right: ParsedPart,
) -> Result<ParsedPart, CompileError> {
    parts.push(right.node);
    ParsedPart::around(make(parts), column, right.depth.max(depth - 1))
}

fn split_parts(parts: Vec<ParsedPart>) -> (Vec<CelNode>, usize) {
    let depth = parts.iter().map(|part| part.depth).max().unwrap_or_default();
    (parts.into_iter().map(|part| part.node).collect(), depth)
}

fn has(column: usize, mut arguments: Vec<ParsedPart>) -> Result<ParsedPart, CompileError> {
    match (arguments.pop(), arguments.is_empty()) {
        (Some(ParsedPart { node: CelNode::Field(of, name), depth, .. }), true) => {
            Ok(ParsedPart { node: CelNode::Has(of, name), column, depth })
        }
        _ => Err(CompileError::new(column, "has() takes one field: has(value.temperature)")),
    }
}

/// Parses a literal timestamp or duration here, so that an invalid one is a compile error.
fn parse_time_literal(function: Function, nodes: Vec<CelNode>, column: usize) -> Result<CelNode, CompileError> {
    let [CelNode::Literal(JsonValue::String(text))] = nodes.as_slice() else {
        return Ok(CelNode::Call(function, nodes));
    };
    let read = match function {
        Function::Timestamp => super::time::timestamp(text).map(CelNode::Timestamp),
        _ => super::time::duration(text).map(CelNode::Duration),
    };
    read.ok_or_else(|| {
        let example = if function == Function::Timestamp { "2026-01-31T08:00:00Z" } else { "1h30m or 2.5s" };
        CompileError::new(column, format!("{text:?} cannot be read; write it like {example}"))
    })
}

fn too_deep(column: usize) -> CompileError {
    CompileError::new(column, format!("this is nested too deeply; at most {MAX_DEPTH} levels are allowed"))
}
