//! A moment in text, as `jiff` writes it (RFC 3339, as many digits of a second as it has) and several times faster:
//! every record has one.

use jiff::Timestamp;
use serde::Serializer;

pub(crate) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    match write(*at, &mut [0; LONGEST]) {
        Some(text) => to.serialize_str(text),
        None => to.collect_str(at),
    }
}

const LONGEST: usize = "0000-00-00T00:00:00.000000000Z".len();

/// None for what is rarer than now: years without four digits.
fn write(at: Timestamp, text: &mut [u8; LONGEST]) -> Option<&str> {
    let seconds = u64::try_from(at.as_second()).ok()?;
    let nanos = u32::try_from(at.subsec_nanosecond()).ok()?;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // From days since 1970 to a date, in eras of 400 years that begin on 1 March (H. Hinnant, "chrono-Compatible
    // Low-Level Date Algorithms").
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    if year > 9_999 {
        return None;
    }
    let mut at = 0;
    let mut put = |value: u64, width: usize, after: u8| {
        let mut value = value;
        for digit in text[at..at + width].iter_mut().rev() {
            *digit = b'0' + (value % 10) as u8;
            value /= 10;
        }
        text[at + width] = after;
        at += width + 1;
    };
    put(year, 4, b'-');
    put(month, 2, b'-');
    put(day, 2, b'T');
    put(second / 3_600, 2, b':');
    put(second / 60 % 60, 2, b':');
    let mut end = "0000-00-00T00:00:00Z".len();
    if nanos == 0 {
        put(second % 60, 2, b'Z');
    } else {
        put(second % 60, 2, b'.');
        put(u64::from(nanos), 9, b'Z');
        end = LONGEST;
        while text[end - 2] == b'0' {
            end -= 1;
        }
        text[end - 1] = b'Z';
    }
    std::str::from_utf8(&text[..end]).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_jiff_writes() {
        let mut seconds: Vec<i64> = vec![0, 951_782_399, 951_782_400, 4_107_542_400, 253_402_207_200];
        // Every day of four centuries and a bit, at another time of it.
        seconds.extend((0..150_000).map(|day| day * 86_400 + day * 7_919 % 86_400));
        for second in seconds {
            for nanos in [0, 1, 10, 120_000_000, 123_456_789, 999_999_999] {
                let at = Timestamp::new(second, nanos).unwrap();
                assert_eq!(write(at, &mut [0; LONGEST]), Some(at.to_string().as_str()));
            }
        }
        for far in
            [Timestamp::MIN, "-000001-01-01T00:00:00Z".parse().unwrap(), Timestamp::new(-1, 0).unwrap()]
        {
            assert_eq!(write(far, &mut [0; LONGEST]), None);
        }
    }
}
