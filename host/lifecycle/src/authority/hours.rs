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
    /// The hours in words: `mon-fri 22:00-06:00 UTC (each until the next day)`.
    #[must_use]
    pub fn words(&self) -> String {
        let on = if self.from < self.until { "" } else { " (each until the next day)" };
        format!("{self} UTC{on}")
    }

    /// Whether a time is within these hours.
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
            // The hours of the day before may not have ended.
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
        read(&text.to_ascii_lowercase()).map_err(|why| {
            let shown: String = text.escape_debug().take(60).collect();
            format!("`{shown}` are no hours: {why}; write them like `mon-fri 22:00-06:00`")
        })
    }
}

fn read(text: &str) -> Result<Hours, String> {
    if let Some(dash) = text.chars().find(|c| matches!(c, '\u{2010}'..='\u{2015}' | '\u{2212}')) {
        return Err(format!("`{dash}` is another dash than `-`"));
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let (days, hours) = match words[..] {
        [] => return Err("there is nothing".to_owned()),
        [days] => (days, None),
        [days, hours] => (days, Some(hours)),
        [_, _, "utc" | "z" | "gmt"] => {
            return Err("hours are always in UTC: leave the zone out".to_owned());
        }
        _ => return Err("it is more than days and hours".to_owned()),
    };
    if days.contains(',') {
        return Err("it names several ranges of days: give the hours of each by themselves".to_owned());
    }
    if days.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("it does not begin with days, such as mon-sun".to_owned());
    }
    let day = |name: &str| {
        let known = DAYS.iter().position(|(day, _)| *day == name);
        known.ok_or_else(|| format!("`{name}` is no day: mon, tue, wed, thu, fri, sat, sun"))
    };
    let (first, last) = days.split_once('-').unwrap_or((days, days));
    let (first, last) = (day(first)?, day(last)?);
    let (from, until) = match hours {
        None => ("00:00", "24:00"),
        Some(hours) => hours.split_once('-').ok_or("it has no end: two times with a `-` between them")?,
    };
    let (begins, ends) = (time(from)?, time(until)?);
    if begins == 24 * 60 {
        return Err("24:00 can only be an end: 00:00 of the next day is the same moment".to_owned());
    }
    if begins == ends {
        return Err(format!("it begins and ends at {from}: the whole day is 00:00-24:00"));
    }
    Ok(Hours { first, last, from: begins, until: ends })
}

/// The minutes of a time such as `22:00`. Only digits are accepted, because `+1` would also parse as a number.
fn time(text: &str) -> Result<u16, String> {
    let two = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten()
    };
    let read = text.split_once(':').and_then(|(hour, minute)| Some((two(hour)?, two(minute)?)));
    match read {
        Some((hour, minute)) if minute < 60 && hour * 60 + minute <= 24 * 60 => Ok(hour * 60 + minute),
        Some(_) => Err(format!("there is no {text} in a day")),
        None if text.contains(['+', 'z', 'u']) => {
            Err(format!("`{text}` is no time: hours are always in UTC, without zone or offset"))
        }
        None => Err(format!("`{text}` is no time of two digits each, such as 06:00")),
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
    use jiff::SignedDuration;

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
        let hours: Hours = "mon-fri 22:00-06:00".parse().unwrap();
        assert_eq!(hours.to_string().parse::<Hours>().unwrap(), hours);
    }

    /// Every minute of a week is asked, so that a bound that is off by one is seen on both sides of it.
    #[test]
    fn hours_begin_and_end_at_their_minute() {
        // 2026-11-23 is a Monday.
        let monday: Timestamp = "2026-11-23T00:00:00Z".parse().unwrap();
        let at = |minute: i64| monday + SignedDuration::from_mins(minute);
        let shown = |minute: i64| {
            let (day, minute) = (DAYS[usize::try_from(minute / 1440 % 7).unwrap()].0, minute % 1440);
            format!("{day} {:02}:{:02}", minute / 60, minute % 60)
        };
        let bounds = |hours: &str| {
            let hours: Hours = hours.parse().unwrap();
            let inside = |minute: i64| hours.contain(at(minute));
            let changes = (0..7 * 1440).filter(|minute| inside(*minute) != inside(minute - 1));
            changes
                .map(|minute| format!("{} {}", if inside(minute) { "from" } else { "until" }, shown(minute)))
                .collect::<Vec<_>>()
                .join(", ")
        };
        for (hours, expected) in [
            ("tue-wed 08:00-18:30", "from tue 08:00, until tue 18:30, from wed 08:00, until wed 18:30"),
            ("sat-sun 00:01-23:59", "from sat 00:01, until sat 23:59, from sun 00:01, until sun 23:59"),
            ("sun-mon 09:00-10:00", "from mon 09:00, until mon 10:00, from sun 09:00, until sun 10:00"),
            ("thu 22:00-06:00", "from thu 22:00, until fri 06:00"),
            ("sun 22:00-06:00", "until mon 06:00, from sun 22:00"),
            ("sat-sun 22:00-06:00", "until mon 06:00, from sat 22:00, until sun 06:00, from sun 22:00"),
            ("wed-fri", "from wed 00:00, until sat 00:00"),
            ("fri-mon", "until tue 00:00, from fri 00:00"),
        ] {
            assert_eq!(bounds(hours), expected, "{hours}");
        }
        assert!((0..7 * 1440).all(|minute| "mon-sun".parse::<Hours>().unwrap().contain(at(minute))));
    }

    #[test]
    fn hours_are_taken_as_they_are_meant_or_not_at_all() {
        let read = |text: &str| text.parse::<Hours>();
        for (text, words) in [
            ("mon-sun 22:00-06:00", "mon-sun 22:00-06:00 UTC (each until the next day)"),
            ("fri-mon 22:00-24:00", "fri-mon 22:00-24:00 UTC"),
            ("sun-sun 00:00-24:00", "sun-sun 00:00-24:00 UTC"),
            ("MON-Fri 22:00-06:00", "mon-fri 22:00-06:00 UTC (each until the next day)"),
            ("mon 22:00-22:01", "mon-mon 22:00-22:01 UTC"),
            ("  mon  06:00-07:00 ", "mon-mon 06:00-07:00 UTC"),
            ("mon", "mon-mon 00:00-24:00 UTC"),
        ] {
            assert_eq!(read(text).unwrap().words(), words, "{text}");
        }
        for (text, why) in [
            ("mon +1:00-06:00", "without zone or offset"),
            ("mon 22:00+00:00-23:00", "without zone or offset"),
            ("mon 22:00Z-23:00Z", "without zone or offset"),
            ("mon 22:00-06:00UTC", "without zone or offset"),
            ("mon 22:00-06:00 UTC", "leave the zone out"),
            ("mon 24:00-06:00", "24:00 can only be an end"),
            ("mon\u{2013}fri 22:00-06:00", "another dash"),
            ("mon 22:00\u{2013}06:00", "another dash"),
            ("mon,wed 22:00-06:00", "by themselves"),
            ("mon 22:00-22:00", "begins and ends at 22:00"),
            ("mon-fri 00:00-00:00", "the whole day is 00:00-24:00"),
            ("mon 22-06", "two digits each"),
            ("mon 6:00-7:00", "two digits each"),
            ("mon 022:00-23:00", "two digits each"),
            ("mon 22:0-23:00", "two digits each"),
            ("mon -1:00-23:00", "two digits each"),
            ("mon 22:60-23:00", "there is no 22:60"),
            ("mon 22:00-24:01", "there is no 24:01"),
            ("mon 22:00-30:00", "there is no 30:00"),
            ("mon 22:00", "it has no end"),
            ("monday 22:00-06:00", "`monday` is no day"),
            ("mon- 22:00-06:00", "`` is no day"),
            ("00:00-24:00", "does not begin with days"),
            ("mon 22:00-23:00 tue", "more than days and hours"),
            ("", "there is nothing"),
        ] {
            let told = read(text).unwrap_err();
            assert!(told.contains(why) && told.ends_with("like `mon-fri 22:00-06:00`"), "{text}: {told}");
        }
    }
}
