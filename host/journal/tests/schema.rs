//! Journals of another schema are refused, and left as they are.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;

use crate::support::{home, open, signer, started, write};
use miette::Diagnostic as _;
use remit_journal::{Journal, JournalError, RunId};

#[tokio::test]
async fn another_schema_is_refused_and_left_untouched() {
    let (_folder, path) = home();
    let journal = open(&path);
    write(&journal, started(RunId::new(), None)).await.unwrap();
    drop(journal);
    for other in [1, 10, 12] {
        rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", other).unwrap();
        let before = fs::read(&path).unwrap();
        let refused = |result: Result<(), JournalError>| {
            let error = result.unwrap_err();
            assert!(
                matches!(error, JournalError::OtherSchema { found, known: 11, .. } if found == other),
                "{error}"
            );
            let (said, help) = (error.to_string(), error.help().unwrap().to_string());
            assert!(said.contains(&path.display().to_string()) && said.contains(&format!("schema {other}")));
            assert!(help.contains("nothing was changed") && help.contains("remit init"), "{help}");
        };
        refused(Journal::open(&path, signer()).map(drop));
        refused(Journal::open_read_only(&path).map(drop));
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}

#[test]
fn a_database_that_is_no_journal_is_not_taken_for_one() {
    let (_folder, path) = home();
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE record (seq)").unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    for result in [Journal::open(&path, signer()).map(drop), Journal::open_read_only(&path).map(drop)] {
        assert!(matches!(result, Err(JournalError::Damaged { .. })));
    }
}
