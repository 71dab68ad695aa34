//! Timestamps as they are shown.

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};

/// The timestamp rounded down to the second, so that what is shown is never later than the event.
#[must_use]
pub fn second(at: Timestamp) -> Timestamp {
    down_to(at, Unit::Second)
}

/// The timestamp rounded down to a unit.
#[must_use]
pub fn down_to(at: Timestamp, unit: Unit) -> Timestamp {
    at.round(TimestampRound::new().smallest(unit).mode(RoundMode::Floor)).unwrap_or(at)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn no_time_is_shown_later_than_it_was() {
        let at: Timestamp = "2026-11-29T10:00:00.999999999Z".parse().unwrap();
        assert_eq!(second(at).to_string(), "2026-11-29T10:00:00Z");
        assert_eq!(down_to(at, Unit::Millisecond).to_string(), "2026-11-29T10:00:00.999Z");
        let before: Timestamp = "1969-12-31T23:59:59.5Z".parse().unwrap();
        assert!(second(before) <= before);
    }
}
