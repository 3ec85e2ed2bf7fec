//! The scalars of JSON.

use std::borrow::Cow;

/// A scalar in a value. Null counts as missing.
pub enum Leaf<'v> {
    Signed(i64),
    Unsigned(u64),
    Double(f64),
    Bool(bool),
    Text(&'v str),
}

impl Leaf<'_> {
    /// Returns the name that the scalar gives a series or a state.
    pub fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Signed(number) => number.to_string().into(),
            Self::Unsigned(number) => number.to_string().into(),
            Self::Double(number) => serde_json::Value::from(*number).to_string().into(),
            Self::Bool(true) => "true".into(),
            Self::Bool(false) => "false".into(),
            Self::Text(text) => Cow::Borrowed(text),
        }
    }

    /// Whether the scalar can be a state. A number with a fraction is a measurement.
    pub fn is_state(&self) -> bool {
        !matches!(self, Self::Double(_))
    }
}
