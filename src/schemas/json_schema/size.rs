//! The memory of JSON and of a JSON Schema, by the text alone: it is known before anything is parsed.

/// A value in an array that grows by doubling.
const VALUE: usize = 64;
/// A map of serde_json with up to eleven members. `{"a":1}` takes ninety times its text.
const OBJECT: usize = 640;
/// A further member.
const MEMBER: usize = 112;
/// The smallest array.
const ARRAY: usize = 128;
/// A short string.
const STRING: usize = 32;
/// The validator of a value in a schema.
const VALIDATOR: usize = 180;

/// The parts of a JSON text.
#[derive(Debug, Default)]
pub struct JsonSize {
    values: usize,
    tree: usize,
}

impl JsonSize {
    /// Counts the parts of a text.
    pub fn of(text: &[u8]) -> Self {
        let (mut values, mut tree) = (1_usize, text.len());
        let (mut in_string, mut escaped) = (false, false);
        let mut opened = None;
        for byte in text.iter().filter(|byte| !byte.is_ascii_whitespace()) {
            if in_string {
                match byte {
                    _ if std::mem::take(&mut escaped) => {}
                    b'\\' => escaped = true,
                    b'"' => in_string = false,
                    _ => {}
                }
                continue;
            }
            if let Some(memory) = opened.take().filter(|_| !matches!(byte, b']' | b'}')) {
                values += 1;
                tree += memory;
            }
            match byte {
                b'{' => opened = Some(OBJECT),
                b'[' => opened = Some(ARRAY),
                b',' => values += 1,
                b':' => tree += MEMBER,
                b'"' => {
                    in_string = true;
                    tree += STRING;
                }
                _ => {}
            }
        }
        Self { values, tree: tree.saturating_add(values.saturating_mul(VALUE)) }
    }

    /// The most memory of the parsed text, in bytes.
    pub fn parsed(&self) -> usize {
        self.tree
    }

    /// The most memory of the validator of a schema without its patterns, in bytes. It keeps the schema twice. Measured with
    /// schemas of 100 kB that consist of one part each: 1.0 to 3 times the growth of the process.
    pub fn compiled(&self) -> usize {
        self.tree.saturating_mul(2).saturating_add(self.values.saturating_mul(VALIDATOR))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_follows_from_the_parts_of_the_text() {
        let parsed = |text: &str| JsonSize::of(text.as_bytes()).parsed() - text.len();
        for (text, memory) in [
            ("1", VALUE),
            ("[]", VALUE),
            ("[1, 2]", ARRAY + 3 * VALUE),
            ("{ }", VALUE),
            (r#"{"a":1,"b":"[,:{\""}"#, OBJECT + 2 * MEMBER + 3 * STRING + 3 * VALUE),
        ] {
            assert_eq!(parsed(text), memory, "{text}");
        }
        // What the process grew by, per part (glibc, x86_64).
        for (part, grown) in [("0,", 104), ("[0],", 336), (r#"{"":0},"#, 2016), (r#"{"type":"null"},"#, 1360)] {
            let schema = format!("{{\"enum\":[{}0]}}", part.repeat(1000));
            let memory = JsonSize::of(schema.as_bytes()).compiled() / 1000;
            assert!((grown..4 * grown).contains(&memory), "{part} {memory}");
        }
    }
}
