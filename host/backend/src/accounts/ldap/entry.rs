//! Entries as a directory answers them, and its ways to write down a time.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use ldap3::asn1::{PL, StructureTag};
use remit_gate::Failure;

/// The first moment of a FILETIME, which is 1601, before the Unix epoch; in milliseconds.
const FILETIME_BEGINS: u64 = 11_644_473_600_000;

/// One entry, with the attributes that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) dn: String,
    attributes: Vec<(String, Vec<Vec<u8>>)>,
}

impl Entry {
    /// `SearchResultEntry` of RFC 4511, 4.5.2. None if it is not one.
    pub(super) fn read(tag: StructureTag) -> Option<Self> {
        let mut all = parts(tag)?.into_iter();
        let dn = text(all.next()?)?;
        let read = |attribute| {
            let mut all = parts(attribute)?.into_iter();
            let name = text(all.next()?)?;
            let values = parts(all.next()?)?.into_iter().map(bytes).collect::<Option<_>>()?;
            Some((name, values))
        };
        let attributes = parts(all.next()?)?.into_iter().map(read).collect::<Option<_>>()?;
        Some(Self { dn, attributes })
    }

    /// The values of an attribute.
    pub(super) fn values(&self, name: &str) -> &[Vec<u8>] {
        let found = self.attributes.iter().find(|(of, _)| of.eq_ignore_ascii_case(name));
        found.map_or(&[], |(_, values)| values)
    }

    /// An attribute of which there are more values than these: Active Directory gives 1,500 of one, under another name.
    pub(super) fn cut_short(&self) -> Option<&str> {
        let names = self.attributes.iter().filter_map(|(name, _)| name.split_once(';'));
        names.filter(|(_, option)| option.starts_with("range=")).map(|(name, _)| name).next()
    }

    /// The values of an attribute that are text.
    pub(super) fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.values(name).iter().filter_map(|value| std::str::from_utf8(value).ok())
    }

    /// The one value of an attribute.
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        self.texts(name).next()
    }

    /// The newest of some times; a failure if one of them cannot be read, as its account would seem not to have been used.
    pub(super) fn newest(&self, names: &[&str]) -> Result<Option<u64>, Failure> {
        let mut newest = None;
        for name in names {
            for value in self.texts(name) {
                newest = newest.max(time(value).ok_or_else(|| {
                    Failure::Unavailable(format!("`{name}` of {} is no time that the host can read", self.dn))
                })?);
            }
        }
        Ok(newest)
    }
}

fn parts(tag: StructureTag) -> Option<Vec<StructureTag>> {
    match tag.payload {
        PL::C(parts) => Some(parts),
        PL::P(_) => None,
    }
}

fn bytes(tag: StructureTag) -> Option<Vec<u8>> {
    match tag.payload {
        PL::P(bytes) => Some(bytes),
        PL::C(_) => None,
    }
}

fn text(tag: StructureTag) -> Option<String> {
    String::from_utf8(bytes(tag)?).ok()
}

/// A `GeneralizedTime` (RFC 4517, 3.3.13) in UTC, or a FILETIME: milliseconds since the Unix epoch. A FILETIME of nothing and one of
/// never are no time. None if it is neither.
fn time(text: &str) -> Option<Option<u64>> {
    if let Some(text) = text.strip_suffix('Z') {
        let digits = text.split('.').next()?;
        if digits.len() != 14 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let number = |from: usize, to: usize| digits[from..to].parse::<i8>().ok();
        let (year, rest) = (digits[..4].parse().ok()?, (number(4, 6)?, number(6, 8)?));
        // A leap second is the end of its minute.
        let second = number(12, 14)?.min(59);
        let at = DateTime::new(year, rest.0, rest.1, number(8, 10)?, number(10, 12)?, second, 0).ok()?;
        let at = at.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond();
        return Some(Some(u64::try_from(at).unwrap_or(0)));
    }
    match text.parse::<i64>().ok()? {
        0 | i64::MAX => Some(None),
        ticks => Some(Some((u64::try_from(ticks).ok()? / 10_000).saturating_sub(FILETIME_BEGINS))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_forms_and_nothing_else_is_one() {
        for (text, read) in [
            ("20231114221320Z", Some(Some(1_700_000_000_000))),
            ("20231114221320.123456Z", Some(Some(1_700_000_000_000))),
            ("20161231235960Z", Some(Some(1_483_228_799_000))),
            ("19600101000000Z", Some(Some(0))),
            ("133444736000000000", Some(Some(1_700_000_000_000))),
            ("0", Some(None)),
            ("9223372036854775807", Some(None)),
            ("1", Some(Some(0))),
            ("-1", None),
            ("20231314221320Z", None),
            ("2023111422Z", None),
            ("20231114221320+0100", None),
            ("2023111422132\u{e9}Z", None),
            ("", None),
            ("Z", None),
            ("yesterday", None),
        ] {
            assert_eq!(time(text), read, "{text}");
        }
    }

    #[test]
    fn what_is_no_entry_is_none() {
        use ldap3::asn1::TagClass;
        let tag = |id, payload| StructureTag { class: TagClass::Universal, id, payload };
        let text = |text: &str| tag(4, PL::P(text.as_bytes().to_vec()));
        let attribute = tag(16, PL::C(vec![text("UID"), tag(17, PL::C(vec![text("alice")]))]));
        let entry =
            Entry::read(tag(4, PL::C(vec![text("uid=alice"), tag(16, PL::C(vec![attribute]))]))).unwrap();
        assert_eq!((entry.dn.as_str(), entry.one("uid")), ("uid=alice", Some("alice")));
        assert_eq!(entry.cut_short(), None);
        let attribute = tag(16, PL::C(vec![text("member;range=0-1499"), tag(17, PL::C(vec![text("x")]))]));
        let group = tag(4, PL::C(vec![text("cn=all"), tag(16, PL::C(vec![attribute]))]));
        assert_eq!(Entry::read(group).unwrap().cut_short(), Some("member"));
        for broken in [
            tag(4, PL::P(vec![1])),
            tag(4, PL::C(vec![])),
            tag(4, PL::C(vec![tag(4, PL::P(vec![0xff])), tag(16, PL::C(vec![]))])),
            tag(4, PL::C(vec![text("x"), tag(16, PL::C(vec![text("x")]))])),
            tag(4, PL::C(vec![text("x"), tag(16, PL::C(vec![tag(16, PL::C(vec![text("uid")]))]))])),
        ] {
            assert_eq!(Entry::read(broken), None);
        }
    }
}
