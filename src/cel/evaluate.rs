//! Evaluates an expression for a record. Never panics, and the work is bounded for any record.

use super::Verdict;
use super::budget::{Evaluated, StepBudget, Unknown};
use super::document::Document;
use super::functions::Function;
use super::node::{CelNode, Operator};
use super::value::{CelValue, JsonValue, compare_numbers, field};
use std::borrow::{Borrow, Cow};
use std::cell::Cell;
use std::cmp::Ordering;

/// The evaluation of one expression for one record.
pub struct Evaluation<'t, 'r> {
    document: &'t Document<'r>,
    budget: StepBudget,
    /// Whether the evaluation has met a variable that could not be decoded.
    met_undecoded: Cell<bool>,
}

impl<'t, 'r> Evaluation<'t, 'r> {
    /// Allows `steps` steps.
    pub fn of(document: &'t Document<'r>, steps: u32) -> Self {
        Self { document, budget: StepBudget::new(steps), met_undecoded: Cell::new(false) }
    }

    /// Evaluates `root`. If the result is unknown and a variable could not be decoded, that may be the reason.
    pub fn verdict(&self, root: &'t CelNode) -> Verdict {
        match self.bool(root) {
            Ok(true) => Verdict::Matches,
            Err(Unknown) if self.met_undecoded.get() => Verdict::Undecoded,
            _ => Verdict::Differs,
        }
    }

    /// Evaluates `node`. Any result except a bool is unknown.
    pub fn bool(&self, node: &'t CelNode) -> Evaluated<bool> {
        match self.value(node)? {
            CelValue::Bool(bool) => Ok(bool),
            _ => Err(Unknown),
        }
    }

    fn value(&self, node: &'t CelNode) -> Evaluated<CelValue<'t>> {
        self.budget.charge(1)?;
        Ok(match node {
            CelNode::Literal(json) => json.view(),
            CelNode::Timestamp(ms) => CelValue::Timestamp(*ms),
            CelNode::Duration(ms) => CelValue::Duration(*ms),
            CelNode::Variable(variable) if self.document.is_undecoded(*variable) => {
                self.met_undecoded.set(true);
                return Err(Unknown);
            }
            CelNode::Variable(variable) => self.document.variable(*variable),
            CelNode::List(items) => {
                CelValue::Items(items.iter().map(|item| self.value(item)).collect::<Evaluated<_>>()?)
            }
            CelNode::Field(of, name) => self.field(of, name)?.ok_or(Unknown)?.view(),
            CelNode::Has(of, name) => CelValue::Bool(self.field(of, name)?.is_some()),
            CelNode::Index(of, index) => self.index(of, index)?,
            CelNode::Not(inner) => CelValue::Bool(!self.bool(inner)?),
            CelNode::Negate(inner) => match self.value(inner)? {
                CelValue::Int(int) => CelValue::Int(int.checked_neg().ok_or(Unknown)?),
                CelValue::Double(double) => CelValue::Double(-double),
                CelValue::Duration(ms) => CelValue::Duration(ms.checked_neg().ok_or(Unknown)?),
                _ => return Err(Unknown),
            },
            CelNode::And(parts) => CelValue::Bool(self.any(parts, false).map(|found| !found)?),
            CelNode::Or(parts) => CelValue::Bool(self.any(parts, true)?),
            CelNode::If(parts) => {
                let [condition, then, other] = &**parts;
                self.value(if self.bool(condition)? { then } else { other })?
            }
            CelNode::Binary(operator, sides) => {
                let [left, right] = &**sides;
                self.binary(*operator, self.value(left)?, self.value(right)?)?
            }
            CelNode::Call(function, arguments) => self.call(*function, arguments)?,
            CelNode::Matches(text, pattern) => match self.value(text)? {
                CelValue::String(text) => {
                    self.budget.charge(pattern.steps(&text))?;
                    CelValue::Bool(pattern.is_match(&text))
                }
                _ => return Err(Unknown),
            },
        })
    }

    /// Whether a part has the value `expected`. Unknown if no part has it and the value of one is unknown.
    fn any(&self, parts: &'t [CelNode], expected: bool) -> Evaluated<bool> {
        let mut result = Ok(false);
        for part in parts {
            match self.bool(part) {
                Ok(found) if found == expected => return Ok(true),
                Ok(_) => {}
                Err(unknown) => result = Err(unknown),
            }
        }
        result
    }

    fn field(&self, of: &'t CelNode, name: &str) -> Evaluated<Option<&'t JsonValue<'t>>> {
        match self.value(of)? {
            CelValue::Map(fields) => Ok(field(fields, name)),
            _ => Err(Unknown),
        }
    }

    fn index(&self, of: &'t CelNode, index: &'t CelNode) -> Evaluated<CelValue<'t>> {
        let to_index = |int: i64| usize::try_from(int).map_err(|_| Unknown);
        match (self.value(of)?, self.value(index)?) {
            (CelValue::Map(fields), CelValue::String(name)) => Ok(field(fields, &name).ok_or(Unknown)?.view()),
            (CelValue::List(items), CelValue::Int(at)) => Ok(items.get(to_index(at)?).ok_or(Unknown)?.view()),
            (CelValue::Items(mut items), CelValue::Int(at)) => {
                let at = to_index(at)?;
                if at < items.len() { Ok(items.swap_remove(at)) } else { Err(Unknown) }
            }
            _ => Err(Unknown),
        }
    }

    fn call(&self, function: Function, arguments: &'t [CelNode]) -> Evaluated<CelValue<'t>> {
        match arguments {
            [argument] => function.of_one(self.value(argument)?, &self.budget),
            [text, part] => {
                Ok(CelValue::Bool(function.of_texts(&self.value(text)?, &self.value(part)?, &self.budget)?))
            }
            _ => Err(Unknown),
        }
    }

    fn binary(&self, operator: Operator, left: CelValue<'t>, right: CelValue<'t>) -> Evaluated<CelValue<'t>> {
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
        Ok(CelValue::Bool(bool))
    }

    /// Values of different types are different, except for numbers, which are compared by value.
    fn equal(&self, left: &CelValue<'t>, right: &CelValue<'t>) -> Evaluated<bool> {
        self.budget.charge(1)?;
        Ok(match (left, right) {
            (CelValue::Null, CelValue::Null) => true,
            (CelValue::Bool(a), CelValue::Bool(b)) => a == b,
            (CelValue::Int(a), CelValue::Int(b)) => a == b,
            (CelValue::Uint(a), CelValue::Uint(b)) => a == b,
            (CelValue::Double(a), CelValue::Double(b)) => a == b,
            (CelValue::Int(int), CelValue::Double(double)) | (CelValue::Double(double), CelValue::Int(int)) => {
                compare_numbers(*int, *double) == Some(Ordering::Equal)
            }
            (CelValue::Uint(uint), CelValue::Double(double)) | (CelValue::Double(double), CelValue::Uint(uint)) => {
                compare_numbers(*uint, *double) == Some(Ordering::Equal)
            }
            (CelValue::String(a), CelValue::String(b)) => {
                self.budget.charge_bytes(a.len().min(b.len()))?;
                a == b
            }
            (CelValue::Bytes(a), CelValue::Bytes(b)) => {
                self.budget.charge_bytes(a.len().min(b.len()))?;
                a == b
            }
            (CelValue::Timestamp(a), CelValue::Timestamp(b)) | (CelValue::Duration(a), CelValue::Duration(b)) => a == b,
            (CelValue::List(a), CelValue::List(b)) => {
                a.len() == b.len() && self.all_equal(a.iter().map(JsonValue::view), b.iter().map(JsonValue::view))?
            }
            (CelValue::List(list), CelValue::Items(items)) | (CelValue::Items(items), CelValue::List(list)) => {
                list.len() == items.len() && self.all_equal(list.iter().map(JsonValue::view), items)?
            }
            (CelValue::Items(a), CelValue::Items(b)) => a.len() == b.len() && self.all_equal(a, b)?,
            (CelValue::Map(a), CelValue::Map(b)) => {
                a.len() == b.len()
                    && a.iter().zip(*b).all(|((a, _), (b, _))| a == b)
                    && self.all_equal(a.iter().map(|(_, v)| v.view()), b.iter().map(|(_, v)| v.view()))?
            }
            _ => false,
        })
    }

    fn all_equal(
        &self,
        left: impl IntoIterator<Item: Borrow<CelValue<'t>>>,
        right: impl IntoIterator<Item: Borrow<CelValue<'t>>>,
    ) -> Evaluated<bool> {
        for (left, right) in left.into_iter().zip(right) {
            if !self.equal(left.borrow(), right.borrow())? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The order of two values, or `None` if one is NaN.
    fn compare(&self, left: &CelValue<'t>, right: &CelValue<'t>) -> Evaluated<Option<Ordering>> {
        Ok(match (left, right) {
            (CelValue::Bool(a), CelValue::Bool(b)) => Some(a.cmp(b)),
            (CelValue::Int(a), CelValue::Int(b)) => Some(a.cmp(b)),
            (CelValue::Uint(a), CelValue::Uint(b)) => Some(a.cmp(b)),
            (CelValue::Uint(_), CelValue::Int(_)) => Some(Ordering::Greater),
            (CelValue::Int(_), CelValue::Uint(_)) => Some(Ordering::Less),
            (CelValue::Uint(uint), CelValue::Double(double)) => compare_numbers(*uint, *double),
            (CelValue::Double(double), CelValue::Uint(uint)) => compare_numbers(*uint, *double).map(Ordering::reverse),
            (CelValue::Double(a), CelValue::Double(b)) => a.partial_cmp(b),
            (CelValue::Int(int), CelValue::Double(double)) => compare_numbers(*int, *double),
            (CelValue::Double(double), CelValue::Int(int)) => compare_numbers(*int, *double).map(Ordering::reverse),
            (CelValue::String(a), CelValue::String(b)) => {
                self.budget.charge_bytes(a.len().min(b.len()))?;
                Some(a.cmp(b))
            }
            (CelValue::Bytes(a), CelValue::Bytes(b)) => {
                self.budget.charge_bytes(a.len().min(b.len()))?;
                Some(a.cmp(b))
            }
            (CelValue::Timestamp(a), CelValue::Timestamp(b)) | (CelValue::Duration(a), CelValue::Duration(b)) => {
                Some(a.cmp(b))
            }
            _ => return Err(Unknown),
        })
    }

    fn is_in(&self, item: &CelValue<'t>, of: &CelValue<'t>) -> Evaluated<bool> {
        match of {
            CelValue::List(list) => self.has_equal(item, list.iter().map(JsonValue::view)),
            CelValue::Items(items) => self.has_equal(item, items),
            CelValue::Map(fields) => match item {
                CelValue::String(name) => Ok(field(fields, name).is_some()),
                _ => Ok(false),
            },
            _ => Err(Unknown),
        }
    }

    fn has_equal(&self, item: &CelValue<'t>, list: impl IntoIterator<Item: Borrow<CelValue<'t>>>) -> Evaluated<bool> {
        for own in list {
            if self.equal(item, own.borrow())? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Unlike in CEL, ints and doubles can be mixed, which gives a double: JSON has 21 and 21.5 in values of the same field.
    fn arithmetic(&self, operator: Operator, left: CelValue<'t>, right: CelValue<'t>) -> Evaluated<CelValue<'t>> {
        match (left, right) {
            (CelValue::Int(a), CelValue::Int(b)) => ints(operator, a, b).map(CelValue::Int).ok_or(Unknown),
            (CelValue::Uint(a), CelValue::Uint(b)) => wide(operator, a, b),
            (CelValue::Uint(a), CelValue::Int(b)) => wide(operator, a, b),
            (CelValue::Int(a), CelValue::Uint(b)) => wide(operator, a, b),
            (CelValue::Uint(a), CelValue::Double(b)) => doubles(operator, a as f64, b),
            (CelValue::Double(a), CelValue::Uint(b)) => doubles(operator, a, b as f64),
            (CelValue::Double(a), CelValue::Double(b)) => doubles(operator, a, b),
            (CelValue::Int(a), CelValue::Double(b)) => doubles(operator, a as f64, b),
            (CelValue::Double(a), CelValue::Int(b)) => doubles(operator, a, b as f64),
            (CelValue::String(a), CelValue::String(b)) if operator == Operator::Add => {
                self.budget.charge_bytes(a.len() + b.len())?;
                let mut text = a.into_owned();
                text.push_str(&b);
                Ok(CelValue::String(Cow::Owned(text)))
            }
            (CelValue::Timestamp(a), CelValue::Timestamp(b)) if operator == Operator::Subtract => {
                a.checked_sub(b).map(CelValue::Duration).ok_or(Unknown)
            }
            (CelValue::Timestamp(at), CelValue::Duration(by)) => {
                sum(operator, at, by).map(CelValue::Timestamp).ok_or(Unknown)
            }
            (CelValue::Duration(by), CelValue::Timestamp(at)) if operator == Operator::Add => {
                sum(operator, at, by).map(CelValue::Timestamp).ok_or(Unknown)
            }
            (CelValue::Duration(a), CelValue::Duration(b)) => {
                sum(operator, a, b).map(CelValue::Duration).ok_or(Unknown)
            }
            _ => Err(Unknown),
        }
    }
}

/// Arithmetic with a number larger than an int. The result may fit an int again.
fn wide<'t>(operator: Operator, a: impl Into<i128>, b: impl Into<i128>) -> Evaluated<CelValue<'t>> {
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
    let narrow = i64::try_from(result).map(CelValue::Int);
    narrow.or_else(|_| u64::try_from(result).map(CelValue::Uint)).map_err(|_| Unknown)
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

fn doubles<'t>(operator: Operator, a: f64, b: f64) -> Evaluated<CelValue<'t>> {
    Ok(CelValue::Double(match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        // As in CEL, only ints have a remainder.
        _ => return Err(Unknown),
    }))
}
