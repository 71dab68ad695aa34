//! Timestamps as they are shown.

use std::time::Instant;

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};

/// A clock that goes on while this process lives, even if the machine's clock is set back meanwhile.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Timestamp,
    since: Instant,
}

impl Clock {
    pub(crate) fn start(at: Timestamp) -> Self {
        Self { start: at, since: Instant::now() }
    }

    /// The time, given what the machine's clock says.
    pub(crate) fn now(&self, machine: Timestamp) -> Timestamp {
        machine.max(self.start.saturating_add(self.since.elapsed()).unwrap_or(machine))
    }
}

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
    fn a_clock_that_is_set_back_does_not_stop_the_time() {
        let start: Timestamp = "2026-11-29T10:00:00Z".parse().unwrap();
        let clock = Clock::start(start);
        let back = start - jiff::SignedDuration::from_hours(5);
        let first = clock.now(back);
        assert!(first >= start);
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!(clock.now(back) > first);
        let ahead = start + jiff::SignedDuration::from_hours(5);
        assert_eq!(clock.now(ahead), ahead);
    }

    #[test]
    fn no_time_is_shown_later_than_it_was() {
        let at: Timestamp = "2026-11-29T10:00:00.999999999Z".parse().unwrap();
        assert_eq!(second(at).to_string(), "2026-11-29T10:00:00Z");
        assert_eq!(down_to(at, Unit::Millisecond).to_string(), "2026-11-29T10:00:00.999Z");
        let before: Timestamp = "1969-12-31T23:59:59.5Z".parse().unwrap();
        assert!(second(before) <= before);
    }
}
