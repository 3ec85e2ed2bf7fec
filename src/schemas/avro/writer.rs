//! Writes Avro's binary primitives.

pub fn push_long(number: i64, out: &mut Vec<u8>) {
    // Zigzag: small numbers of either sign are short.
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    out.push(rest.to_le_bytes()[0]);
}

/// Appends bytes after their length.
pub fn push_sized(bytes: &[u8], out: &mut Vec<u8>) {
    push_count(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Appends a length, or the number of a symbol or branch. No slice is longer than `i64::MAX`.
pub fn push_count(count: usize, out: &mut Vec<u8>) {
    push_long(i64::try_from(count).unwrap_or(i64::MAX), out);
}
