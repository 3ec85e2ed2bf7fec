//! Paths to a part of a record's value, such as `value.temperature` or `value["air temperature"].celsius`.

use std::fmt;

/// Maximum number of names in a path. Deeper parts of a value are not read.
pub const MAX_DEPTH: usize = 8;
/// Maximum length of the text of a path, in bytes.
const MAX_LENGTH: usize = 512;

/// The names of the members that lead to a part of the value. Empty for the value itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ValuePath(Vec<Box<str>>);

impl ValuePath {
    /// Parses a path. Returns `None` if the text is not a path, or if the path is too deep or too long.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text.strip_prefix("value").filter(|_| text.len() <= MAX_LENGTH)?;
        let mut names = Vec::new();
        while !rest.is_empty() {
            let name: Box<str>;
            (name, rest) = match rest.strip_prefix('[') {
                Some(quoted) => {
                    let mut strings = serde_json::Deserializer::from_str(quoted).into_iter::<Box<str>>();
                    let name = strings.next()?.ok()?;
                    (name, quoted.get(strings.byte_offset()..)?.strip_prefix(']')?)
                }
                None => {
                    let plain = rest.strip_prefix('.')?;
                    let (name, rest) = plain.split_at(plain.find(['.', '[']).unwrap_or(plain.len()));
                    (name.into(), rest)
                }
            };
            if names.len() == MAX_DEPTH || name.is_empty() {
                return None;
            }
            names.push(name);
        }
        Some(Self(names))
    }

    /// Returns the path of the member `name` of the part at this path.
    pub fn join(&self, name: &str) -> Self {
        Self(self.0.iter().cloned().chain([name.into()]).collect())
    }

    /// Returns the names, from the outermost member to the innermost one.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|name| &**name)
    }

    /// Returns the number of names in the path.
    pub fn depth(&self) -> usize {
        self.0.len()
    }

    /// Whether this path is equal to `other`, or leads to a part of the value at `other`.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }
}

/// Formats the path so that [`parse`](ValuePath::parse) accepts it.
impl fmt::Display for ValuePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("value")?;
        for name in self.names() {
            match name.contains(|c: char| matches!(c, '.' | '[' | '"') || c.is_whitespace() || c.is_control()) {
                true => write!(f, "[{}]", serde_json::Value::from(name))?,
                false => write!(f, ".{name}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_names_fields_with_dots_or_quotes() {
        for (text, names, shown) in [
            ("value", vec![], "value"),
            ("value.temperature", vec!["temperature"], "value.temperature"),
            ("value.a.b", vec!["a", "b"], "value.a.b"),
            (r#"value["a"].b"#, vec!["a", "b"], "value.a.b"),
            (r#"value["a b"]["c\"d"]"#, vec!["a b", "c\"d"], r#"value["a b"]["c\"d"]"#),
            ("value.Lüfter-1", vec!["Lüfter-1"], "value.Lüfter-1"),
        ] {
            let path = ValuePath::parse(text).unwrap();
            assert_eq!(path.names().collect::<Vec<_>>(), names, "{text}");
            assert_eq!(path.to_string(), shown);
        }
        for bad in [
            "",
            "key",
            "values",
            "value.",
            "value..a",
            "value[0]",
            "value[a]",
            r#"value["a""#,
            "value.a.b.c.d.e.f.g.h.i",
        ] {
            assert_eq!(ValuePath::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_path_is_read_back_from_its_text(names in proptest::collection::vec("\\PC{1,6}|[.\\[\"\\\\ \n]{1,3}", 0..MAX_DEPTH)) {
            let path = names.iter().fold(ValuePath::default(), |path, name| path.join(name));
            prop_assert_eq!(ValuePath::parse(&path.to_string()), Some(path));
        }

        #[test]
        fn parsing_any_text_never_panics(text in ".*") {
            let _ = ValuePath::parse(&text);
            let _ = ValuePath::parse(&format!("value[{text}"));
        }
    }
}
