//! Moments as systems write them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch of `2026-11-30T03:47:11.5Z`; none if it is not of this form, or earlier.
#[must_use]
pub fn milliseconds(text: &str) -> Option<u64> {
    let time: SystemTime = humantime::parse_rfc3339_weak(text).ok()?;
    time.duration_since(UNIX_EPOCH).ok()?.as_millis().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_systems_are_read() {
        assert_eq!(milliseconds("1970-01-01T00:00:01.5Z"), Some(1500));
        assert_eq!(milliseconds("2026-11-30T03:47:11.111907339Z"), Some(1_796_010_431_111));
        assert_eq!(milliseconds("2026-11-30 03:47:11"), Some(1_796_010_431_000));
        assert_eq!(milliseconds("yesterday"), None);
    }
}
