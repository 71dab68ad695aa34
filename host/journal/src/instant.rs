//! Timestamps as text. The format is that of `jiff` (RFC 3339, with only the fractional digits that are needed), but reading
//! and writing are several times faster: every record has one.

use std::cell::Cell;

use jiff::Timestamp;
use serde::{Deserializer, Serializer, de};

pub(crate) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    match write(*at, &mut [0; LONGEST]).and_then(|text| std::str::from_utf8(text).ok()) {
        Some(text) => to.serialize_str(text),
        None => to.collect_str(at),
    }
}

/// Appends the timestamp without quotes.
pub(crate) fn append(at: Timestamp, text: &mut Vec<u8>) {
    use std::io::Write as _;
    match write(at, &mut [0; LONGEST]) {
        Some(written) => text.extend_from_slice(written),
        // Writing to a vector cannot fail.
        None => drop(write!(text, "{at}")),
    }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    struct Text;
    impl de::Visitor<'_> for Text {
        type Value = Timestamp;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a timestamp of RFC 3339")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
            parse(text).map_err(E::custom)
        }
    }
    from.deserialize_str(Text)
}

/// A timestamp of RFC 3339.
pub(crate) fn parse(text: &str) -> Result<Timestamp, jiff::Error> {
    read(text).map_or_else(|| text.parse(), Ok)
}

const LONGEST: usize = "0000-00-00T00:00:00.000000000Z".len();

thread_local! {
    /// The last second that this thread wrote: many timestamps are of the same second.
    static LAST: Cell<(u64, [u8; LONGEST])> = const { Cell::new((u64::MAX, [0; LONGEST])) };
}

/// None for a time before 1970 or a year after 9999; `jiff` writes those.
fn write(at: Timestamp, text: &mut [u8; LONGEST]) -> Option<&[u8]> {
    let seconds = u64::try_from(at.as_second()).ok()?;
    let nanos = u32::try_from(at.subsec_nanosecond()).ok()?;
    let (last, written) = LAST.get();
    *text = written;
    if last != seconds {
        write_seconds(seconds, text)?;
        LAST.set((seconds, *text));
    }
    let mut end = "0000-00-00T00:00:00Z".len();
    if nanos > 0 {
        text[end - 1] = b'.';
        put(nanos.into(), &mut text[end..LONGEST - 1]);
        end = LONGEST;
        while text[end - 2] == b'0' {
            end -= 1;
        }
    }
    text[end - 1] = b'Z';
    Some(&text[..end])
}

/// Writes everything but the fraction of the second.
fn write_seconds(seconds: u64, text: &mut [u8; LONGEST]) -> Option<()> {
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
    text[..LONGEST].copy_from_slice(b"0000-00-00T00:00:00.000000000Z");
    put(year, &mut text[..4]);
    put(month, &mut text[5..7]);
    put(day, &mut text[8..10]);
    put(second / 3_600, &mut text[11..13]);
    put(second / 60 % 60, &mut text[14..16]);
    put(second % 60, &mut text[17..19]);
    Some(())
}

/// Writes a number with leading zeros into all of `digits`.
fn put(mut value: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// None for anything that [`write`] does not write; `jiff` decides whether it is a timestamp all the same.
fn read(text: &str) -> Option<Timestamp> {
    let text = text.strip_suffix('Z')?.as_bytes();
    let number = |from: usize, until: usize| {
        text.get(from..until)?.iter().try_fold(0_i64, |number, digit| {
            digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0'))
        })
    };
    let (date, clock) = (text.get(..10)?, text.get(10..19)?);
    if [date[4], date[7], clock[0], clock[3], clock[6]] != *b"--T::" {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if year < 1970 || !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let nanos = match text.get(19..)? {
        [] => 0,
        [b'.', digits @ ..] if (1..=9).contains(&digits.len()) => {
            number(20, text.len())? * 10_i64.pow(9 - u32::try_from(digits.len()).ok()?)
        }
        _ => return None,
    };
    // The same calendar the other way: years begin on 1 March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    Timestamp::new(days * 86_400 + hour * 3_600 + minute * 60 + second, i32::try_from(nanos).ok()?).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// What is read is what `jiff` reads; and what it does not read is not read.
    #[test]
    fn it_is_what_jiff_reads() {
        let right = "2028-02-29T23:59:58.123456789Z";
        assert_eq!(read(right), Some(right.parse().unwrap()));
        for at in 0..right.len() {
            for byte in (0..=127_u8).map(char::from) {
                let mut text = right.to_owned();
                text.replace_range(at..=at, byte.encode_utf8(&mut [0; 4]));
                for text in [&text, &text[..at], &text[at..], &format!("{}Z", &text[..at])] {
                    if let Some(moment) = read(text) {
                        assert_eq!(text.parse::<Timestamp>().unwrap(), moment, "{text}");
                    }
                }
            }
        }
        for wrong in
            ["2027-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2027-04-31T00:00:00Z", "2027-01-01T00:00:60Z"]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn it_is_what_jiff_writes() {
        let mut seconds: Vec<i64> = vec![0, 951_782_399, 951_782_400, 4_107_542_400, 253_402_207_200];
        // Every day of four centuries and a bit, at another time of it.
        seconds.extend((0..150_000).map(|day| day * 86_400 + day * 7_919 % 86_400));
        for second in seconds {
            for nanos in [0, 1, 10, 120_000_000, 123_456_789, 999_999_999] {
                let at = Timestamp::new(second, nanos).unwrap();
                let text = at.to_string();
                assert_eq!(write(at, &mut [0; LONGEST]), Some(text.as_bytes()));
                assert_eq!(read(&text), Some(at));
            }
        }
        for far in
            [Timestamp::MIN, "-000001-01-01T00:00:00Z".parse().unwrap(), Timestamp::new(-1, 0).unwrap()]
        {
            assert_eq!(write(far, &mut [0; LONGEST]), None);
        }
    }
}
