//! The report in which IAM says of all users at once when their passwords and keys were used.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use remit::connector::time;

/// The columns that say when something was used.
const USED: [&str; 3] = ["password_last_used", "access_key_1_last_used_date", "access_key_2_last_used_date"];
/// What stands there in place of a time.
const NEVER: [&str; 4] = ["N/A", "no_information", "not_supported", ""];

/// When each user was used last, by name.
#[derive(Debug, PartialEq)]
pub(crate) struct Report(BTreeMap<String, Option<u64>>);

impl Report {
    /// Reads the content of an answer. None if it is not what is known of IAM.
    pub(crate) fn read(content: &str) -> Option<Self> {
        let text = String::from_utf8(STANDARD.decode(content).ok()?).ok()?;
        let mut lines = text.lines();
        let columns: Vec<&str> = lines.next()?.split(',').collect();
        if columns.get(..2)? != ["user", "arn"] {
            return None;
        }
        let places: Option<Vec<usize>> =
            USED.iter().map(|used| columns.iter().position(|column| column == used)).collect();
        let (places, mut users) = (places?, BTreeMap::new());
        for line in lines.filter(|line| !line.is_empty()) {
            // A name can have commas in it, and so can the name at the end of the second column: all others cannot.
            let mut row: Vec<&str> = line.rsplitn(columns.len() - 1, ',').collect();
            row.reverse();
            if row.len() != columns.len() - 1 {
                return None;
            }
            let (name, _) = row[0].split_once(",arn:")?;
            let mut last = None;
            for place in &places {
                let text = row[place - 1];
                if !NEVER.contains(&text) {
                    last = last.max(Some(moment(text)?));
                }
            }
            users.insert(name.to_owned(), last);
        }
        Some(Self(users))
    }

    /// When this user was used last; none if it never was, or is newer than the report.
    pub(crate) fn last_used(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied().flatten()
    }
}

/// A time such as `2014-11-12T23:36:49+00:00`, in milliseconds since 1970; none of a text that is no time.
fn moment(text: &str) -> Option<u64> {
    time::milliseconds(&text.replace("+00:00", "Z"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const HEAD: &str = "user,arn,password_enabled,password_last_used,access_key_1_last_used_date,access_key_2_last_used_date,cert_1_active";

    fn read(rows: &str) -> Option<Report> {
        Report::read(&STANDARD.encode(format!("{HEAD}\n{rows}")))
    }

    #[test]
    fn the_latest_use_counts() {
        let report = read(
            "<root_account>,arn:aws:iam::1:root,not_supported,2026-01-01T00:00:00+00:00,N/A,N/A,false\n\
             ci,arn:aws:iam::1:user/ci,false,N/A,1970-01-01T00:00:02+00:00,1970-01-01T00:00:01Z,false\n\
             ann,arn:aws:iam::1:user/p/ann,true,1970-01-01T00:00:03+00:00,1970-01-01T00:00:02+00:00,N/A,false\n\
             a,b,arn:aws:iam::1:user/a,b,true,no_information,N/A,N/A,false\n",
        );
        let report = report.unwrap();
        assert_eq!((report.last_used("ci"), report.last_used("ann")), (Some(2000), Some(3000)));
        assert_eq!((report.last_used("a,b"), report.last_used("newer")), (None, None));
        assert_eq!(report.0.len(), 4);
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        assert_eq!(Report::read("!"), None);
        assert_eq!(Report::read(&STANDARD.encode("name,arn,password_last_used")), None);
        assert_eq!(read("ci,arn:aws:iam::1:user/ci,false,N/A"), None);
        assert_eq!(read("ci,arn:aws:iam::1:user/ci,false,yesterday,N/A,N/A,false"), None);
        assert_eq!(read("ci,nothing,false,N/A,N/A,N/A,false"), None);
    }
}
