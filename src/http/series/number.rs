//! Encodes numbers for JSON and CSV.

use std::fmt::Write;

/// Integers up to this limit are exact, and written without a fraction.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Writes a finite number.
pub fn write_number(out: &mut String, number: f64) {
    let written = match number {
        integer if integer.fract() == 0.0 && integer.abs() <= EXACT => write!(out, "{}", integer as i64),
        // Without the exponent, such a number has up to 300 digits.
        extreme if extreme.abs() >= 1e21 || extreme.abs() < 1e-7 => write!(out, "{extreme:e}"),
        number => write!(out, "{number}"),
    };
    // Writing to a string cannot fail.
    let _ = written;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(number: f64) -> String {
        let mut out = String::new();
        write_number(&mut out, number);
        out
    }

    #[test]
    fn a_number_is_written_as_people_write_it() {
        for (number, written) in [
            (12_571_953_755.0, "12571953755"),
            (-9_007_199_254_740_991.0, "-9007199254740991"),
            (21.5, "21.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (-0.0, "0"),
            (1e300, "1e300"),
            (-2.5e-9, "-2.5e-9"),
            (1e18, "1000000000000000000"),
        ] {
            assert_eq!(text(number), written);
        }
    }

    proptest! {
        #[test]
        fn a_number_is_read_back_as_json(number in any::<f64>().prop_filter("finite", |number| number.is_finite())) {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text(number)).is_ok());
            prop_assert_eq!(text(number).parse::<f64>(), Ok(number));
        }
    }
}
