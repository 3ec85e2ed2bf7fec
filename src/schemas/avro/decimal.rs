//! Decimals: a two's-complement integer and the number of digits behind the point, as text of any length.

use super::types::DecimalType;

/// The longest integer in bytes: more than a thousand digits. Conversion takes quadratic time.
pub const MAX_BYTES: usize = 420;

/// The digits of one step of a conversion, and the power of ten with as many zeros. A byte more still fits in a `u64`.
const STEP_DIGITS: usize = 16;
const STEP: u64 = 10_000_000_000_000_000;

/// Returns a length that the JSON string of a decimal does not exceed: three digits for each byte, or the zeros behind the
/// point, with the sign, the point and the quotes.
pub fn longest_text(unscaled: &[u8], scale: u32) -> usize {
    let scale = usize::try_from(scale).unwrap_or(usize::MAX);
    unscaled.len().saturating_mul(3).max(scale).saturating_add("\"-0.\"".len())
}

/// Appends the JSON string of a decimal. Returns false, without writing, if it is too long.
pub fn push(unscaled: &[u8], scale: u32, out: &mut Vec<u8>) -> bool {
    if unscaled.len() > MAX_BYTES {
        return false;
    }
    let negative = unscaled.first().is_some_and(|byte| *byte >= 0x80);
    let mut magnitude = unscaled.to_vec();
    if negative {
        negate(&mut magnitude);
    }
    let mut digits = decimal_digits(&mut magnitude);
    let scale = usize::try_from(scale).unwrap_or(usize::MAX);
    while digits.len() <= scale {
        digits.push(b'0');
    }
    out.push(b'"');
    if negative {
        out.push(b'-');
    }
    for (place, digit) in digits.iter().enumerate().rev() {
        out.push(*digit);
        if place == scale && scale > 0 {
            out.push(b'.');
        }
    }
    out.push(b'"');
    true
}

/// Returns the digits of a big-endian integer, the last one first. Leaves zero.
fn decimal_digits(magnitude: &mut [u8]) -> Vec<u8> {
    let mut digits = Vec::new();
    let mut start = 0;
    loop {
        start += magnitude.iter().skip(start).take_while(|byte| **byte == 0).count();
        let Some(rest) = magnitude.get_mut(start..).filter(|rest| !rest.is_empty()) else { break };
        let mut remainder = 0;
        for byte in rest {
            let part = remainder << 8 | u64::from(*byte);
            *byte = (part / STEP).to_le_bytes()[0];
            remainder = part % STEP;
        }
        for _ in 0..STEP_DIGITS {
            digits.push(b'0' + (remainder % 10).to_le_bytes()[0]);
            remainder /= 10;
        }
    }
    while digits.last() == Some(&b'0') {
        digits.pop();
    }
    digits
}

/// Negates a big-endian two's-complement integer. The smallest one becomes its magnitude without a sign.
fn negate(bytes: &mut [u8]) {
    let mut carry = true;
    for byte in bytes.iter_mut().rev() {
        let (negated, overflow) = (!*byte).overflowing_add(u8::from(carry));
        (*byte, carry) = (negated, overflow);
    }
}

/// Parses a number with an optional fraction and exponent, exactly. Returns the unscaled integer, or why the text is not a number.
pub fn parse(text: &str, of: DecimalType) -> Result<Vec<u8>, String> {
    let invalid = || "is not a decimal number".to_owned();
    let (negative, number) = match text.strip_prefix('-') {
        Some(number) => (true, number),
        None => (false, text),
    };
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| invalid())?),
        None => (number, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return Err(invalid());
    }
    let digits = [whole, fraction].concat();
    let significant = digits.trim_start_matches('0');
    let without_zeros = significant.trim_end_matches('0');
    if without_zeros.is_empty() {
        return fitted(vec![0], of);
    }
    // The power of ten of the last digit that is not 0, after scaling.
    let zeros = i64::try_from(significant.len() - without_zeros.len()).map_err(|_| invalid())?;
    let behind_point = i64::try_from(fraction.len()).map_err(|_| invalid())?;
    let power = i64::from(exponent) - behind_point + zeros + i64::from(of.scale);
    let power = usize::try_from(power).map_err(|_| format!("has more than {} digits behind the point", of.scale))?;
    let precision = usize::try_from(of.precision).unwrap_or(usize::MAX);
    if without_zeros.len().saturating_add(power) > precision {
        return Err(format!("has more than {} digits with {} of them behind the point", of.precision, of.scale));
    }
    // From the last byte to the first.
    let mut bytes: Vec<u8> = Vec::new();
    let digits: Vec<u8> = without_zeros.bytes().chain(std::iter::repeat_n(b'0', power)).collect();
    for step in digits.chunks(STEP_DIGITS) {
        let (mut factor, mut carry) = (1_u64, 0_u64);
        for digit in step {
            factor *= 10;
            carry = carry * 10 + u64::from(digit - b'0');
        }
        for byte in &mut bytes {
            let part = u64::from(*byte) * factor + carry;
            *byte = part.to_le_bytes()[0];
            carry = part >> 8;
        }
        while carry > 0 {
            bytes.push(carry.to_le_bytes()[0]);
            carry >>= 8;
        }
    }
    // The sign bit is one of the magnitude's if that is not a power of two, so a byte is added and dropped where it can be.
    bytes.push(0);
    bytes.reverse();
    if negative {
        negate(&mut bytes);
    }
    if let [first, second, ..] = bytes.as_slice()
        && (*second >= 0x80) == (*first >= 0x80)
    {
        bytes.remove(0);
    }
    fitted(bytes, of)
}

/// Extends the sign of an integer to the size of a fixed.
fn fitted(bytes: Vec<u8>, of: DecimalType) -> Result<Vec<u8>, String> {
    let Some(size) = of.size else { return Ok(bytes) };
    let Some(missing) = size.checked_sub(bytes.len()) else {
        return Err(format!("does not fit in {size} bytes"));
    };
    let sign = if bytes.first().is_some_and(|byte| *byte >= 0x80) { 0xff } else { 0 };
    let mut fixed = vec![sign; missing];
    fixed.extend_from_slice(&bytes);
    Ok(fixed)
}
