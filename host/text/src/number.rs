//! Numbers that mean the same for every reader.
//!
//! Canonical JSON (RFC 8785) writes the nearest double. A number that is not a double would change without notice, and two
//! numbers could have one text, so that a signature of the one would be valid for the other.

/// The largest integer that has a double of its own (RFC 7493, section 2.2).
const LARGEST: f64 = 9_007_199_254_740_991.0;
/// From this number on, canonical JSON writes an exponent, so that it does not look like an integer.
const EXPONENT: f64 = 1e21;

/// Why a decimal number cannot be kept exactly; none if it can.
pub(crate) fn refusal(text: &str) -> Option<String> {
    let shown: String = text.chars().take(40).collect();
    let double = text.parse::<f64>().ok().filter(|double| double.is_finite());
    let Some(double) = double else {
        return Some(format!("`{shown}` is too large for a number: write it as a string"));
    };
    if is_unsafe(double) {
        return Some(format!(
            "the integer `{shown}` cannot be signed exactly: beyond 9007199254740991, write it as a string"
        ));
    }
    // Of two texts that are equally near to a double, canonical JSON has the even one, and Rust the greater one.
    let kept = serde_json_canonicalizer::to_string(&double).unwrap_or_default();
    (decimal(text) != decimal(&kept)).then(|| {
        format!("the number `{shown}` has more digits than can be kept: it would become {kept}; round it, or write it as a string")
    })
}

/// Whether canonical JSON would write it as an integer whose double also stands for other integers.
pub(crate) fn is_unsafe(double: f64) -> bool {
    double.abs() > LARGEST && double.abs() < EXPONENT
}

/// A decimal number in canonical form: sign, digits without leading and trailing zeros, and the exponent of the last digit.
fn decimal(text: &str) -> Option<(bool, String, i64)> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let negative = mantissa.starts_with('-');
    let (whole, fraction) = mantissa.trim_start_matches(['-', '+']).split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{}{fraction}", whole.trim_start_matches(['-', '+']));
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some((false, String::new(), 0));
    }
    let behind = |text: &str| i64::try_from(text.len()).ok();
    let power = exponent.trim_start_matches('+').parse::<i64>().ok()?;
    let power = power.checked_sub(behind(fraction)?)?.checked_add(behind(&digits[significant.len()..])?)?;
    Some((negative, significant.to_owned(), power))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_is_kept_or_refused_never_changed() {
        for kept in [
            "0",
            "-0",
            "-0.0",
            "0e999",
            "1",
            "1.0",
            "1.10",
            "0.1",
            "-2.5e-3",
            "9007199254740991",
            "-9007199254740991",
            "1e21",
            "6.02214076e23",
            "1.7976931348623157e308",
            "5e-324",
            "100e-2",
            "1E2",
            "1e+2",
            "-1815871502678163.2",
        ] {
            assert_eq!(refusal(kept), None, "{kept}");
        }
        for (changed, why) in [
            ("9007199254740992", "beyond 9007199254740991"),
            ("9007199254740993", "beyond"),
            ("-9007199254740993", "beyond"),
            ("9223372036854775807", "beyond"),
            ("9007199254740993.0", "beyond"),
            ("1e16", "beyond"),
            ("1e400", "too large"),
            ("-1e400", "too large"),
            ("0.1000000000000000055", "it would become 0.1"),
            ("1e-400", "it would become 0"),
            ("0.30000000000000000001", "it would become 0.3"),
            ("1000000000000000000000000000001", "more digits"),
            ("1e-99999999999999999999", "more digits"),
            // Half-way between two texts: RFC 8785 takes the even one.
            ("-1815871502678163.3", "it would become -1815871502678163.2"),
        ] {
            assert!(
                refusal(changed).is_some_and(|told| told.contains(why)),
                "{changed}: {:?}",
                refusal(changed)
            );
        }
    }

    proptest! {
        #[test]
        fn every_double_is_kept_as_it_is_written(double in any::<f64>()) {
            prop_assume!(double.is_finite() && !is_unsafe(double));
            prop_assert_eq!(refusal(&serde_json_canonicalizer::to_string(&double).unwrap()), None);
        }

        /// Where a text of 17 digits lies half-way between two of 16: quarters above 2⁵⁰.
        #[test]
        fn ties_too(quarters in (1_u64 << 52)..(1 << 53)) {
            #[allow(clippy::cast_precision_loss, reason = "below 2⁵³")]
            let double = quarters as f64 / 4.0;
            prop_assert_eq!(refusal(&serde_json_canonicalizer::to_string(&double).unwrap()), None);
        }
    }
}
