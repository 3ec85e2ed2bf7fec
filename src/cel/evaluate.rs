//! A tree and a record to a value. Nothing here panics, and the work is bounded whatever the record holds.

use super::document::Document;
use super::functions::Function;
use super::node::{Node, Operator};
use super::value::{Json, Value, compare_numbers, field};
use std::borrow::{Borrow, Cow};
use std::cell::Cell;
use std::cmp::Ordering;

/// Bytes looked at that count for one step, as `Limits` says.
const BYTES_A_STEP: usize = 16;

/// The record does not tell: no such field, another type, a number too large, or too much work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unknown;

type Known<T> = Result<T, Unknown>;

/// One expression on one record.
pub struct Evaluation<'t, 'r> {
    document: &'t Document<'r>,
    left: Cell<u32>,
}

impl<'t, 'r> Evaluation<'t, 'r> {
    /// May take so many steps.
    pub fn of(document: &'t Document<'r>, steps: u32) -> Self {
        Self { document, left: Cell::new(steps) }
    }

    pub fn bool(&self, node: &'t Node) -> Known<bool> {
        match self.value(node)? {
            Value::Bool(bool) => Ok(bool),
            _ => Err(Unknown),
        }
    }

    fn value(&self, node: &'t Node) -> Known<Value<'t>> {
        self.charge(1)?;
        Ok(match node {
            Node::Literal(json) => json.view(),
            Node::Timestamp(ms) => Value::Timestamp(*ms),
            Node::Duration(ms) => Value::Duration(*ms),
            Node::Variable(variable) => self.document.variable(*variable),
            Node::List(items) => Value::Items(items.iter().map(|item| self.value(item)).collect::<Known<_>>()?),
            Node::Field(of, name) => self.field(of, name)?.ok_or(Unknown)?.view(),
            Node::Has(of, name) => Value::Bool(self.field(of, name)?.is_some()),
            Node::Index(of, index) => self.index(of, index)?,
            Node::Not(inner) => Value::Bool(!self.bool(inner)?),
            Node::Negate(inner) => match self.value(inner)? {
                Value::Int(int) => Value::Int(int.checked_neg().ok_or(Unknown)?),
                Value::Double(double) => Value::Double(-double),
                Value::Duration(ms) => Value::Duration(ms.checked_neg().ok_or(Unknown)?),
                _ => return Err(Unknown),
            },
            Node::And(parts) => Value::Bool(self.any(parts, false).map(|found| !found)?),
            Node::Or(parts) => Value::Bool(self.any(parts, true)?),
            Node::If(parts) => {
                let [condition, then, other] = &**parts;
                self.value(if self.bool(condition)? { then } else { other })?
            }
            Node::Binary(operator, sides) => {
                let [left, right] = &**sides;
                self.binary(*operator, self.value(left)?, self.value(right)?)?
            }
            Node::Call(function, arguments) => self.call(*function, arguments)?,
            Node::Matches(text, pattern) => match self.value(text)? {
                Value::String(text) => {
                    self.charge(pattern.steps(&text))?;
                    Value::Bool(pattern.is_in(&text))
                }
                _ => return Err(Unknown),
            },
        })
    }

    /// Whether a part is `wanted`. One that is settles it, whatever the others are; else what is unknown stays so.
    fn any(&self, parts: &'t [Node], wanted: bool) -> Known<bool> {
        let mut result = Ok(false);
        for part in parts {
            match self.bool(part) {
                Ok(found) if found == wanted => return Ok(true),
                Ok(_) => {}
                Err(unknown) => result = Err(unknown),
            }
        }
        result
    }

    fn field(&self, of: &'t Node, name: &str) -> Known<Option<&'t Json<'t>>> {
        match self.value(of)? {
            Value::Map(fields) => Ok(field(fields, name)),
            _ => Err(Unknown),
        }
    }

    fn index(&self, of: &'t Node, index: &'t Node) -> Known<Value<'t>> {
        let place = |int: i64| usize::try_from(int).map_err(|_| Unknown);
        match (self.value(of)?, self.value(index)?) {
            (Value::Map(fields), Value::String(name)) => Ok(field(fields, &name).ok_or(Unknown)?.view()),
            (Value::List(items), Value::Int(at)) => Ok(items.get(place(at)?).ok_or(Unknown)?.view()),
            (Value::Items(mut items), Value::Int(at)) => {
                let at = place(at)?;
                if at < items.len() { Ok(items.swap_remove(at)) } else { Err(Unknown) }
            }
            _ => Err(Unknown),
        }
    }

    fn call(&self, function: Function, arguments: &'t [Node]) -> Known<Value<'t>> {
        match arguments {
            [argument] => function.of_one(self.value(argument)?, self),
            [text, part] => Ok(Value::Bool(function.of_texts(&self.value(text)?, &self.value(part)?, self)?)),
            _ => Err(Unknown),
        }
    }

    fn binary(&self, operator: Operator, left: Value<'t>, right: Value<'t>) -> Known<Value<'t>> {
        let bool = match operator {
            Operator::Equal => self.equal(&left, &right)?,
            Operator::NotEqual => !self.equal(&left, &right)?,
            Operator::Less => self.compare(&left, &right)?.is_some_and(Ordering::is_lt),
            Operator::LessOrEqual => self.compare(&left, &right)?.is_some_and(Ordering::is_le),
            Operator::Greater => self.compare(&left, &right)?.is_some_and(Ordering::is_gt),
            Operator::GreaterOrEqual => self.compare(&left, &right)?.is_some_and(Ordering::is_ge),
            Operator::In => self.is_in(&left, &right)?,
            _ => return self.arithmetic(operator, left, right),
        };
        Ok(Value::Bool(bool))
    }

    /// Values of different types are different; numbers are equal by what they mean.
    fn equal(&self, left: &Value<'t>, right: &Value<'t>) -> Known<bool> {
        self.charge(1)?;
        Ok(match (left, right) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Uint(a), Value::Uint(b)) => a == b,
            (Value::Double(a), Value::Double(b)) => a == b,
            (Value::Int(int), Value::Double(double)) | (Value::Double(double), Value::Int(int)) => {
                compare_numbers(*int, *double) == Some(Ordering::Equal)
            }
            (Value::Uint(uint), Value::Double(double)) | (Value::Double(double), Value::Uint(uint)) => {
                compare_numbers(*uint, *double) == Some(Ordering::Equal)
            }
            (Value::String(a), Value::String(b)) => {
                self.charge_bytes(a.len().min(b.len()))?;
                a == b
            }
            (Value::Bytes(a), Value::Bytes(b)) => {
                self.charge_bytes(a.len().min(b.len()))?;
                a == b
            }
            (Value::Timestamp(a), Value::Timestamp(b)) | (Value::Duration(a), Value::Duration(b)) => a == b,
            (Value::List(a), Value::List(b)) => {
                a.len() == b.len() && self.all_equal(a.iter().map(Json::view), b.iter().map(Json::view))?
            }
            (Value::List(list), Value::Items(items)) | (Value::Items(items), Value::List(list)) => {
                list.len() == items.len() && self.all_equal(list.iter().map(Json::view), items)?
            }
            (Value::Items(a), Value::Items(b)) => a.len() == b.len() && self.all_equal(a, b)?,
            (Value::Map(a), Value::Map(b)) => {
                a.len() == b.len()
                    && a.iter().zip(*b).all(|((a, _), (b, _))| a == b)
                    && self.all_equal(a.iter().map(|(_, v)| v.view()), b.iter().map(|(_, v)| v.view()))?
            }
            _ => false,
        })
    }

    fn all_equal(
        &self,
        left: impl IntoIterator<Item: Borrow<Value<'t>>>,
        right: impl IntoIterator<Item: Borrow<Value<'t>>>,
    ) -> Known<bool> {
        for (left, right) in left.into_iter().zip(right) {
            if !self.equal(left.borrow(), right.borrow())? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// `None`: NaN is neither more nor less.
    fn compare(&self, left: &Value<'t>, right: &Value<'t>) -> Known<Option<Ordering>> {
        Ok(match (left, right) {
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
            (Value::Uint(a), Value::Uint(b)) => Some(a.cmp(b)),
            (Value::Uint(_), Value::Int(_)) => Some(Ordering::Greater),
            (Value::Int(_), Value::Uint(_)) => Some(Ordering::Less),
            (Value::Uint(uint), Value::Double(double)) => compare_numbers(*uint, *double),
            (Value::Double(double), Value::Uint(uint)) => compare_numbers(*uint, *double).map(Ordering::reverse),
            (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
            (Value::Int(int), Value::Double(double)) => compare_numbers(*int, *double),
            (Value::Double(double), Value::Int(int)) => compare_numbers(*int, *double).map(Ordering::reverse),
            (Value::String(a), Value::String(b)) => {
                self.charge_bytes(a.len().min(b.len()))?;
                Some(a.cmp(b))
            }
            (Value::Bytes(a), Value::Bytes(b)) => {
                self.charge_bytes(a.len().min(b.len()))?;
                Some(a.cmp(b))
            }
            (Value::Timestamp(a), Value::Timestamp(b)) | (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
            _ => return Err(Unknown),
        })
    }

    fn is_in(&self, item: &Value<'t>, of: &Value<'t>) -> Known<bool> {
        match of {
            Value::List(list) => self.has_equal(item, list.iter().map(Json::view)),
            Value::Items(items) => self.has_equal(item, items),
            Value::Map(fields) => match item {
                Value::String(name) => Ok(field(fields, name).is_some()),
                _ => Ok(false),
            },
            _ => Err(Unknown),
        }
    }

    fn has_equal(&self, item: &Value<'t>, list: impl IntoIterator<Item: Borrow<Value<'t>>>) -> Known<bool> {
        for own in list {
            if self.equal(item, own.borrow())? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Beyond CEL, an int and a double make a double: JSON writes 21 and 21.5 for readings of one kind.
    fn arithmetic(&self, operator: Operator, left: Value<'t>, right: Value<'t>) -> Known<Value<'t>> {
        match (left, right) {
            (Value::Int(a), Value::Int(b)) => ints(operator, a, b).map(Value::Int).ok_or(Unknown),
            (Value::Uint(a), Value::Uint(b)) => wide(operator, a, b),
            (Value::Uint(a), Value::Int(b)) => wide(operator, a, b),
            (Value::Int(a), Value::Uint(b)) => wide(operator, a, b),
            (Value::Uint(a), Value::Double(b)) => doubles(operator, a as f64, b),
            (Value::Double(a), Value::Uint(b)) => doubles(operator, a, b as f64),
            (Value::Double(a), Value::Double(b)) => doubles(operator, a, b),
            (Value::Int(a), Value::Double(b)) => doubles(operator, a as f64, b),
            (Value::Double(a), Value::Int(b)) => doubles(operator, a, b as f64),
            (Value::String(a), Value::String(b)) if operator == Operator::Add => {
                self.charge_bytes(a.len() + b.len())?;
                let mut text = a.into_owned();
                text.push_str(&b);
                Ok(Value::String(Cow::Owned(text)))
            }
            (Value::Timestamp(a), Value::Timestamp(b)) if operator == Operator::Subtract => {
                a.checked_sub(b).map(Value::Duration).ok_or(Unknown)
            }
            (Value::Timestamp(at), Value::Duration(by)) => sum(operator, at, by).map(Value::Timestamp).ok_or(Unknown),
            (Value::Duration(by), Value::Timestamp(at)) if operator == Operator::Add => {
                sum(operator, at, by).map(Value::Timestamp).ok_or(Unknown)
            }
            (Value::Duration(a), Value::Duration(b)) => sum(operator, a, b).map(Value::Duration).ok_or(Unknown),
            _ => Err(Unknown),
        }
    }

    pub fn charge_bytes(&self, bytes: usize) -> Known<()> {
        self.charge(bytes / BYTES_A_STEP)
    }

    fn charge(&self, steps: usize) -> Known<()> {
        let steps = u32::try_from(steps).map_err(|_| Unknown)?;
        self.left.set(self.left.get().checked_sub(steps).ok_or(Unknown)?);
        Ok(())
    }
}

/// With a number that is larger than an int; the result may fit one.
fn wide<'t>(operator: Operator, a: impl Into<i128>, b: impl Into<i128>) -> Known<Value<'t>> {
    let (a, b): (i128, i128) = (a.into(), b.into());
    let result = match operator {
        Operator::Add => a.checked_add(b),
        Operator::Subtract => a.checked_sub(b),
        Operator::Multiply => a.checked_mul(b),
        Operator::Divide => a.checked_div(b),
        Operator::Remainder => a.checked_rem(b),
        _ => None,
    };
    let result = result.ok_or(Unknown)?;
    let narrow = i64::try_from(result).map(Value::Int);
    narrow.or_else(|_| u64::try_from(result).map(Value::Uint)).map_err(|_| Unknown)
}

fn ints(operator: Operator, a: i64, b: i64) -> Option<i64> {
    match operator {
        Operator::Multiply => a.checked_mul(b),
        Operator::Divide => a.checked_div(b),
        Operator::Remainder => a.checked_rem(b),
        _ => sum(operator, a, b),
    }
}

fn sum(operator: Operator, a: i64, b: i64) -> Option<i64> {
    match operator {
        Operator::Add => a.checked_add(b),
        Operator::Subtract => a.checked_sub(b),
        _ => None,
    }
}

fn doubles<'t>(operator: Operator, a: f64, b: f64) -> Known<Value<'t>> {
    Ok(Value::Double(match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        // As in CEL, only ints have a remainder.
        _ => return Err(Unknown),
    }))
}
