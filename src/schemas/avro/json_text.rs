//! Writes JSON texts.

/// The most bytes that a byte of a string becomes.
pub const MAX_ESCAPE: usize = 6;

/// Returns the length of what [`push_string`] appends.
pub fn string_length(text: &[u8]) -> usize {
    text.iter().fold(2, |length, byte| length + escaped_length(*byte))
}

/// Returns the length of what [`push_bytes`] appends.
pub fn bytes_length(bytes: &[u8]) -> usize {
    bytes.iter().fold(2, |length, byte| length + if *byte < 0x80 { escaped_length(*byte) } else { 2 })
}

fn escaped_length(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => MAX_ESCAPE,
        _ => 1,
    }
}

/// Appends a JSON string.
pub fn push_string(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| matches!(byte, 0..0x20 | b'"' | b'\\')) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, after)) = special.split_first() else { break };
        push_escaped(*byte, out);
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Appends bytes as Avro's JSON encoding does: a string in which each character has the code of a byte.
pub fn push_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    for byte in bytes {
        match byte {
            0..0x20 | b'"' | b'\\' => push_escaped(*byte, out),
            0x20..0x80 => out.push(*byte),
            0x80.. => out.extend_from_slice(char::from(*byte).encode_utf8(&mut [0; 2]).as_bytes()),
        }
    }
    out.push(b'"');
}

fn push_escaped(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Appends an integer.
pub fn push_integer(number: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends the shortest number that is read as the same `f32`. JSON has no NaN and no infinities: they are strings.
pub fn push_float(number: f32, out: &mut Vec<u8>) {
    match special(f64::from(number)) {
        Some(name) => out.extend_from_slice(name),
        // Writing to a Vec does not fail, and neither does a finite number.
        None => drop(serde_json::to_writer(out, &number)),
    }
}

/// Appends the shortest number that is read as the same `f64`, or a string.
pub fn push_double(number: f64, out: &mut Vec<u8>) {
    match special(number) {
        Some(name) => out.extend_from_slice(name),
        None => drop(serde_json::to_writer(out, &number)),
    }
}

fn special(number: f64) -> Option<&'static [u8]> {
    match number {
        f64::INFINITY => Some(b"\"Infinity\""),
        f64::NEG_INFINITY => Some(b"\"-Infinity\""),
        _ if number.is_nan() => Some(b"\"NaN\""),
        _ => None,
    }
}
