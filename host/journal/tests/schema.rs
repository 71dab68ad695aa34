//! Journals that another version wrote: older ones are read as they are and brought up, newer ones are left alone.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::fs;

use remit_journal::{Journal, JournalError, Phase, Record, RunId, RunKey, RunState};
use remit_tlog::NoteSigner;
use support::{as_schema_6, ended, frozen, grant, home, key, open, signer, started, write};

#[tokio::test]
async fn a_newer_schema_is_left_untouched() {
    let (_folder, path) = home();
    let journal = open(&path);
    write(&journal, started(RunId::new(), None)).await.unwrap();
    drop(journal);
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 8).unwrap();
    let before = fs::read(&path).unwrap();
    let newer = |result: Result<(), JournalError>| {
        let error = result.unwrap_err();
        assert!(matches!(error, JournalError::Newer { found: 8, known: 7, .. }), "{error}");
    };
    newer(Journal::open(&path, signer()).map(drop));
    newer(Journal::open_read_only(&path).map(drop));
    assert_eq!(fs::read(&path).unwrap(), before);
}

/// A journal that schema 1 wrote, with its log key.
fn written_by_schema_1() -> (tempfile::TempDir, std::path::PathBuf, NoteSigner) {
    let fixture = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/home-v1");
    let (folder, path) = home();
    fs::copy(fixture.join("journal.db"), &path).unwrap();
    let seed: [u8; 32] = fs::read(fixture.join("log.key")).unwrap().try_into().unwrap();
    (folder, path, NoteSigner::from_seed("test.example/journal", &seed).unwrap())
}

#[test]
fn the_previous_schema_is_read_as_it_is_and_brought_up_by_the_first_writer() {
    let (_folder, path, signer) = written_by_schema_1();
    let key = signer.verifier();
    let reader = Journal::open_read_only(&path).unwrap();
    let before = reader.verify(&key, None).unwrap();
    let unfinished = reader.unfinished().unwrap();
    assert_eq!((before.records, before.runs, unfinished.len()), (27, 3, 1));
    assert_eq!(reader.run_key(&unfinished[0]).unwrap(), RunKey::Host);

    drop(Journal::open(&path, signer).unwrap());
    let reader = Journal::open_read_only(&path).unwrap();
    let after = reader.verify(&key, Some(&before.checkpoint)).unwrap();
    let same = |checkpoint: &str| checkpoint.lines().take(3).map(str::to_owned).collect::<Vec<_>>();
    let (was, is) = (same(&before.checkpoint), same(&after.checkpoint));
    assert_eq!((after.records, is), (27, was), "no record was touched");
    assert!(after.checkpoint.contains("\ntime 20"), "{}", after.checkpoint);
    assert_eq!(reader.unfinished().unwrap(), unfinished);
    assert_eq!(reader.run_key(&unfinished[0]).unwrap(), RunKey::Host);
}

/// What makes this version's tables schema 5's, and those schema 4's.
const DOWN: [(i64, &str); 2] = [
    (
        5,
        "DROP INDEX record_of_kind;
         CREATE INDEX record_of_kind ON record (kind, seq) WHERE kind IN ('started', 'ended');
         CREATE INDEX record_to_tell ON record (seq) WHERE (kind = 'ended' OR kind = 'requested');
         CREATE TABLE authority (
             run TEXT NOT NULL, ground TEXT NOT NULL, since INTEGER NOT NULL, PRIMARY KEY (run, ground, since)
         ) STRICT, WITHOUT ROWID;
         INSERT INTO authority SELECT * FROM open_run WHERE ground <> '';
         ALTER TABLE open_run RENAME TO new;
         CREATE TABLE open_run (run TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
         INSERT INTO open_run SELECT DISTINCT run FROM new; DROP TABLE new;
         PRAGMA user_version = 5;",
    ),
    (
        4,
        "DROP INDEX record_of_run; CREATE INDEX record_of_run ON record (run, seq);
         ALTER TABLE open_run RENAME TO new; CREATE TABLE open_run (run TEXT PRIMARY KEY) STRICT;
         INSERT INTO open_run SELECT * FROM new; DROP TABLE new;
         ALTER TABLE run_key RENAME TO new; CREATE TABLE run_key (run TEXT PRIMARY KEY, sealed BLOB) STRICT;
         INSERT INTO run_key SELECT * FROM new; DROP TABLE new;
         ALTER TABLE grant_use RENAME TO new;
         CREATE TABLE grant_use (run TEXT PRIMARY KEY, grant_digest TEXT NOT NULL) STRICT;
         INSERT INTO grant_use SELECT * FROM new; DROP TABLE new;
         CREATE INDEX use_of_grant ON grant_use (grant_digest);
         PRAGMA user_version = 4;",
    ),
];

#[tokio::test]
async fn an_older_journal_is_read_as_it_is_and_brought_up_by_the_first_writer() {
    for oldest in [6, 5, 4] {
        let (_folder, path) = home();
        let journal = open(&path);
        let [ended_one, open_one, reverted] = [(); 3].map(|()| RunId::new());
        for run in [ended_one, open_one, reverted] {
            write(&journal, started(run, Some(grant(9)))).await.unwrap();
        }
        journal.commit(ended(ended_one)).await.unwrap();
        journal.commit(ended(reverted)).await.unwrap();
        journal.commit(Record::now(reverted, Phase::Revert)).await.unwrap();
        drop(journal);
        as_schema_6(&path);
        let database = rusqlite::Connection::open(&path).unwrap();
        for (_, down) in DOWN.iter().filter(|(version, _)| *version >= oldest) {
            database.execute_batch(down).unwrap();
        }
        drop(database);
        let look = || {
            let reader = Journal::open_read_only(&path).unwrap();
            let audit = reader.verify(&key(), None).unwrap();
            let told: Vec<u64> = reader.to_tell(0, 1000).unwrap().into_iter().map(|(seq, ..)| seq).collect();
            let states: Vec<_> = reader.runs().unwrap().into_iter().map(|run| run.state).collect();
            (audit.root, reader.unfinished().unwrap(), told, states, reader.run_key(&open_one).unwrap())
        };
        let before = look();
        let mut open_ones = vec![open_one, reverted];
        open_ones.sort_unstable();
        assert_eq!((&before.1, &before.2), (&open_ones, &vec![4, 5]));
        assert_eq!(before.3, [Some(RunState::Held), None, None]);
        drop(Journal::open(&path, signer()).unwrap());
        assert_eq!(look(), before);

        // What the run that went on rests on stops it, and nothing stops the taking back.
        let journal = open(&path);
        journal.act(&frozen(true)).await.unwrap();
        assert_eq!(journal.reader().unwrap().stopped().unwrap(), [open_one]);
        let version: i64 = rusqlite::Connection::open(&path)
            .unwrap()
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .unwrap();
        assert_eq!(version, 7);
    }
}

#[test]
fn a_tampered_journal_of_the_previous_schema_is_not_brought_up() {
    let (_folder, path, signer) = written_by_schema_1();
    let forge = "UPDATE record SET chain = zeroblob(32) WHERE seq = 5";
    rusqlite::Connection::open(&path).unwrap().execute(forge, []).unwrap();
    let error = Journal::open(&path, signer).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
    let version: i64 = rusqlite::Connection::open(&path)
        .unwrap()
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    assert_eq!(version, 1);
}

/// A rehearsal that schema 6 recovered as a real run: told of by the audit with what was undone, and brought to a state.
#[tokio::test]
async fn a_rehearsal_that_was_taken_for_a_real_run_is_told_apart() {
    use remit_journal::{Event, UndoIntent, UndoOutcome, UndoResult};
    for state in [RunState::Reverted, RunState::Held, RunState::InDoubt] {
        let (_folder, path) = home();
        let journal = open(&path);
        let [run, sound] = [(); 2].map(|()| RunId::new());
        for run in [run, sound] {
            write(&journal, started(run, None)).await.unwrap();
            journal.commit(support::intent(run, 1)).await.unwrap();
        }
        journal.commit(Record::now(sound, Phase::Recover)).await.unwrap();
        journal.commit(support::failed(sound)).await.unwrap();
        journal.commit(Record::now(run, Phase::Recover)).await.unwrap();
        journal.commit(Record::now(run, UndoIntent { call: 1 })).await.unwrap();
        let result = UndoResult::Undone;
        journal.commit(Record::now(run, UndoOutcome { call: 1, result })).await.unwrap();
        let mut end = ended(run);
        let Event::Ended(body) = &mut end.event else { unreachable!() };
        body.state = state;
        journal.commit(end).await.unwrap();
        drop(journal);
        // As it was written, it is none of schema 7.
        Journal::open_read_only(&path).unwrap().verify(&key(), None).unwrap_err();
        support::as_schema_6(&path);
        let told = || {
            let audit = Journal::open_read_only(&path).unwrap().verify(&key(), None).unwrap();
            let [one] = <[_; 1]>::try_from(audit.misjudged).unwrap();
            assert_eq!((one.run, one.undone.len()), (run, 1));
            let undone = &one.undone[0];
            assert_eq!((undone.call, undone.resource.as_str()), (1, "secret:prod/db"));
            assert_eq!(undone.result, Some(UndoResult::Undone));
            one.state
        };
        assert_eq!(told(), Some(state));
        let journal = open(&path);
        assert_eq!(told(), Some(state));
        journal.commit(Record::now(run, Phase::Recover)).await.unwrap();
        assert_eq!(told(), None);
        journal.commit(support::failed(run)).await.unwrap();
        assert_eq!(told(), Some(RunState::Failed));
        // It changed nothing, so that there is nothing to take back from now on.
        journal.commit(Record::now(run, Phase::Recover)).await.unwrap();
        journal.commit(Record::now(run, UndoIntent { call: 1 })).await.unwrap();
        drop(journal);
        Journal::open_read_only(&path).unwrap().verify(&key(), None).unwrap_err();
    }
}
