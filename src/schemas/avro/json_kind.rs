//! The kinds of JSON values, by which a value without the name of its branch finds the branch of a union.

/// What the text of a JSON value is. Numbers with a fraction or an exponent differ from integers, as `double` does from `long`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonKind {
    Null,
    Boolean,
    Integer,
    Fraction,
    String,
    Array,
    Object,
}

impl JsonKind {
    /// The number of kinds.
    pub const COUNT: usize = 7;

    pub const ALL: [Self; Self::COUNT] =
        [Self::Null, Self::Boolean, Self::Integer, Self::Fraction, Self::String, Self::Array, Self::Object];

    /// Returns the kind of a valid JSON text without white space before it.
    pub fn of(text: &[u8]) -> Self {
        match text.first() {
            Some(b'n') | None => Self::Null,
            Some(b't' | b'f') => Self::Boolean,
            Some(b'"') => Self::String,
            Some(b'[') => Self::Array,
            Some(b'{') => Self::Object,
            Some(_) if text.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) => Self::Fraction,
            Some(_) => Self::Integer,
        }
    }
}
