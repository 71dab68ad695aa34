//! When a standing scope may be used: days of the week and hours of the day, in UTC.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// `mon-fri 22:00-06:00`: the hours of each of these days, in UTC. Hours that end before they begin end on the
/// next day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Hours {
    first: usize,
    last: usize,
    from: u16,
    until: u16,
}

impl Hours {
    /// Whether a moment is inside.
    #[must_use]
    pub fn contain(&self, at: Timestamp) -> bool {
        let at = at.to_zoned(TimeZone::UTC);
        let minute = u16::from(at.hour().unsigned_abs()) * 60 + u16::from(at.minute().unsigned_abs());
        let today = DAYS.iter().position(|(_, day)| *day == at.weekday()).unwrap_or(0);
        let on = |day: usize| {
            if self.first <= self.last {
                (self.first..=self.last).contains(&day)
            } else {
                day >= self.first || day <= self.last
            }
        };
        if self.from < self.until {
            on(today) && (self.from..self.until).contains(&minute)
        } else {
            // What began yesterday may still go on.
            (on(today) && minute >= self.from) || (on((today + 6) % 7) && minute < self.until)
        }
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        let (first, last) = (DAYS[self.first].0, DAYS[self.last].0);
        write!(f, "{first}-{last} {}-{}", time(self.from), time(self.until))
    }
}

impl FromStr for Hours {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || {
            format!(
                "`{}` is not like `mon-fri 22:00-06:00` (days and hours, UTC)",
                text.escape_debug().to_string().chars().take(60).collect::<String>()
            )
        };
        let (days, hours) = text.trim().split_once(' ').unwrap_or((text.trim(), "00:00-24:00"));
        let day = |name: &str| DAYS.iter().position(|(day, _)| *day == name).ok_or_else(refuse);
        let (first, last) = days.split_once('-').unwrap_or((days, days));
        let (from, until) = hours.trim().split_once('-').ok_or_else(refuse)?;
        let time = |text: &str| -> Option<u16> {
            let (hour, minute) = text.split_once(':')?;
            let two = |text: &str| (text.len() == 2).then(|| text.parse::<u16>().ok()).flatten();
            let (hour, minute) = (two(hour)?, two(minute)?);
            (minute < 60 && hour * 60 + minute <= 24 * 60).then_some(hour * 60 + minute)
        };
        let (from, until) = (time(from).ok_or_else(refuse)?, time(until).ok_or_else(refuse)?);
        if from == until {
            return Err(refuse());
        }
        Ok(Self { first: day(first)?, last: day(last)?, from, until })
    }
}

impl From<Hours> for String {
    fn from(hours: Hours) -> Self {
        hours.to_string()
    }
}

impl TryFrom<String> for Hours {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn hours_are_what_they_say_over_midnight_and_over_the_weekend() {
        let inside = |hours: &str, at: &str| hours.parse::<Hours>().unwrap().contain(at.parse().unwrap());
        // 2026-11-23 is a Monday.
        assert!(inside("mon-fri 08:00-18:00", "2026-11-23T08:00:00Z"));
        assert!(!inside("mon-fri 08:00-18:00", "2026-11-23T18:00:00Z"));
        assert!(!inside("mon-fri 08:00-18:00", "2026-11-22T09:00:00Z"));
        assert!(inside("mon-mon 22:00-06:00", "2026-11-24T05:59:59Z"));
        assert!(!inside("mon-mon 22:00-06:00", "2026-11-23T05:59:59Z"));
        assert!(inside("sat-mon 00:00-24:00", "2026-11-22T23:59:59Z"));
        assert!(inside("sun", "2026-11-22T12:00:00Z"));
        for wrong in ["", "mon", "someday 08:00-09:00", "mon 8-9", "mon 08:00-08:00", "mon 25:00-26:00"] {
            assert_eq!(wrong.parse::<Hours>().is_ok(), wrong == "mon", "{wrong}");
        }
        let hours: Hours = "mon-fri 22:00-06:00".parse().unwrap();
        assert_eq!(hours.to_string().parse::<Hours>().unwrap(), hours);
    }
}
