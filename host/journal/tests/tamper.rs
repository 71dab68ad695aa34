//! Whoever can write the file, but does not have the checkpoint key, is found out.
#![allow(
    clippy::disallowed_methods,
    clippy::unused_self,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests"
)]

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{
    acts, ended, failed, grant, home, intent, key, look, open, outcome, rechain, signed_grant, signer,
    simulated, started, story, write,
};
use remit_journal::{
    Act, Audit, AuditError, Journal, JournalError, Phase, Record, RunId, RunState, UndoIntent,
};
use remit_tlog::{Checkpoint, NoteSigner};
use rusqlite::{Connection, params};
use tempfile::TempDir;

/// Two runs with every kind of record, and a third under way; and the checkpoint after the first.
struct Bench {
    folder: TempDir,
    journal: PathBuf,
    early: String,
    records: u64,
}

impl Bench {
    async fn new() -> Self {
        Self::with(Vec::new()).await
    }

    /// The same with these acts among them.
    async fn with(acts: Vec<Act>) -> Self {
        let (folder, path) = home();
        let journal = open(&path);
        let mut early = String::new();
        for _ in 0..2 {
            let run = RunId::new();
            write(&journal, started(run, Some(grant(9)))).await.unwrap();
            for record in story(run) {
                journal.commit(record).await.unwrap();
            }
            if early.is_empty() {
                early = journal.reader().unwrap().checkpoint().unwrap();
            }
        }
        for act in &acts {
            journal.act(act).await.unwrap();
        }
        let run = RunId::new();
        write(&journal, started(run, Some(grant(9)))).await.unwrap();
        journal.commit(intent(run, 1)).await.unwrap();
        drop(journal);
        let bench = Self { folder, journal: path, early, records: 22 + acts.len() as u64 };
        assert_eq!(bench.verify(&bench.journal, None).unwrap().open_calls, 1);
        assert_eq!(bench.verify(&bench.journal, Some(&bench.early)).unwrap().records, bench.records);
        bench
    }

    fn verify(&self, path: &Path, since: Option<&str>) -> Result<Audit, AuditError> {
        Journal::open_read_only(path)?.verify(&key(), since)
    }

    /// A copy of the journal, after `tamper`.
    fn copy(&self, tamper: impl FnOnce(&Connection)) -> PathBuf {
        let path = self.folder.path().join("copy.db");
        for ending in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{ending}", path.display()));
        }
        fs::copy(&self.journal, &path).unwrap();
        let database = Connection::open(&path).unwrap();
        tamper(&database);
        database.close().unwrap();
        path
    }

    /// What is found after `tamper`.
    fn found(&self, tamper: impl FnOnce(&Connection)) -> AuditError {
        self.verify(&self.copy(tamper), None).expect_err("tampering went unnoticed")
    }
}

fn run(database: &Connection, sql: &str) {
    assert_ne!(database.execute(sql, []).unwrap(), 0, "{sql} changed nothing");
}

/// The record that the error names, and why.
fn record(error: AuditError) -> (u64, String) {
    match error {
        AuditError::Record { seq, why } => (seq, why),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn tamper_with_each_record_of_each_kind() {
    let bench = Bench::with(acts(20)).await;
    let kinds: Vec<String> = {
        let database = Connection::open(&bench.journal).unwrap();
        let mut rows = database.prepare("SELECT DISTINCT kind FROM record").unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(kinds.len(), 23, "a new kind of record belongs into `story` or `acts`: {kinds:?}");

    for seq in 1..=bench.records {
        let body: Vec<u8> = Connection::open(&bench.journal)
            .unwrap()
            .query_row("SELECT body FROM record WHERE seq = ?1", [seq.cast_signed()], |row| row.get(0))
            .unwrap();
        for at in [0, body.len() / 3, body.len() / 2, body.len() - 1] {
            let mut flipped = body.clone();
            flipped[at] ^= 1;
            let (named, why) = record(bench.found(|database| {
                let changed = params![flipped, seq.cast_signed()];
                database.execute("UPDATE record SET body = ?1 WHERE seq = ?2", changed).unwrap();
            }));
            assert_eq!(named, seq);
            assert!(why.contains("hash does not continue the chain"), "{why}");
        }
        let (named, why) = record(bench.found(|database| {
            run(database, &format!("UPDATE record SET chain = randomblob(32) WHERE seq = {seq}"));
        }));
        assert_eq!(named, seq, "{why}");
        for column in ["run = 'run-01jd2m4k9x8s7t6v5w4y3z2a1b'", "kind = 'other'"] {
            let (named, why) = record(bench.found(|database| {
                run(database, &format!("UPDATE record SET {column} WHERE seq = {seq}"));
            }));
            assert_eq!(named, seq);
            // Its place among those of another name is another; and filed under another family of names it does not even
            // read as what it would be.
            let found = ["another run or kind", "continue the chain", "cannot be read"];
            assert!(found.iter().any(|found| why.contains(found)), "{why}");
        }
        if seq < bench.records {
            // Deleted; deleted with the rest moved up; swapped with the next; written twice.
            let delete = format!("DELETE FROM record WHERE seq = {seq}");
            let (named, why) = record(bench.found(|database| run(database, &delete)));
            assert_eq!(named, seq);
            assert!(why.contains("is missing"), "{why}");
            let (named, _) = record(bench.found(|database| {
                run(database, &delete);
                run(database, &format!("UPDATE record SET seq = -(seq - 1) WHERE seq > {seq}"));
                run(database, "UPDATE record SET seq = -seq WHERE seq < 0");
            }));
            assert_eq!(named, seq);
            let (named, _) = record(bench.found(|database| {
                let (a, b) = (seq, seq + 1);
                run(database, &format!("UPDATE record SET seq = -{a} WHERE seq = {a}"));
                run(database, &format!("UPDATE record SET seq = {a} WHERE seq = {b}"));
                run(database, &format!("UPDATE record SET seq = {b} WHERE seq = -{a}"));
            }));
            assert_eq!(named, seq);
            let (named, _) = record(bench.found(|database| {
                run(database, &format!("UPDATE record SET seq = -(seq + 1) WHERE seq > {seq}"));
                run(database, "UPDATE record SET seq = -seq WHERE seq < 0");
                let twin = format!(
                    "INSERT INTO record SELECT {}, run, kind, body, chain, place FROM record WHERE seq = {seq}",
                    seq + 1
                );
                run(database, &twin);
            }));
            assert_eq!(named, seq + 1);
        }
    }
}

#[tokio::test]
async fn tamper_by_rewriting_history() {
    let bench = Bench::new().await;
    let rewrite = |database: &Connection| {
        let forged = "CAST(replace(CAST(body AS TEXT), 'ana', 'bob') AS BLOB)";
        run(database, &format!("UPDATE record SET body = {forged} WHERE seq = 11"));
        rechain(database)
    };
    // Everything recomputed, nothing signed anew: the last checkpoint differs.
    let error = bench.found(|database| drop(rewrite(database)));
    assert!(matches!(error, AuditError::Checkpoint { .. }), "{error}");
    // All signed anew with another key.
    let error = bench.found(|database| {
        let frontier = rewrite(database);
        let forger = NoteSigner::from_seed("remit.test/journal", &[1; 32]).unwrap();
        let extensions = vec![format!("time {}", jiff::Timestamp::now())];
        let (size, root) = (frontier.size(), frontier.root());
        let note =
            forger.sign(&Checkpoint { origin: "remit.test/journal".to_owned(), size, root, extensions });
        database.execute("UPDATE head SET note = ?1", [note]).unwrap();
    });
    assert!(matches!(error, AuditError::Checkpoint { .. }), "{error}");
}

#[tokio::test]
async fn tamper_by_shortening() {
    let bench = Bench::new().await;
    // The last records are gone; then also the frontier and the chain fit what is left.
    for cut in [1, 2, 5, 21] {
        let keep = bench.records - cut;
        let delete = format!("DELETE FROM record WHERE seq > {keep}");
        for fix in [false, true] {
            let error = bench.found(|database| {
                run(database, &delete);
                if fix {
                    rechain(database);
                }
            });
            assert!(matches!(error, AuditError::Older { .. } | AuditError::Checkpoint { .. }), "{error}");
        }
    }
}

/// The one attack that the file alone cannot show: put back as it was, signature and all.
#[tokio::test]
async fn tamper_by_putting_an_older_state_back() {
    let bench = Bench::new().await;
    let kept = Journal::open_read_only(&bench.journal).unwrap().checkpoint().unwrap();
    let restored = bench.copy(|database| {
        run(database, "DELETE FROM record WHERE seq > 10");
        run(database, "DELETE FROM grant_use WHERE run NOT IN (SELECT run FROM record)");
        run(database, "DELETE FROM run_key WHERE run NOT IN (SELECT run FROM record)");
        run(database, "DELETE FROM open_run");
        rechain(database);
        database.execute("UPDATE head SET note = ?1", [&bench.early]).unwrap();
    });
    assert_eq!(bench.verify(&restored, None).unwrap().records, 10);
    assert_eq!(bench.verify(&restored, Some(&bench.early)).unwrap().records, 10);
    let error = bench.verify(&restored, Some(&kept)).unwrap_err();
    assert!(matches!(&error, AuditError::Older { size: 22, why } if why.contains("shortened")), "{error}");

    // And grown again from there, past the kept size, by the host itself.
    let journal = open(&restored);
    for _ in 0..4 {
        let id = RunId::new();
        write(&journal, started(id, None)).await.unwrap();
        journal.commit(simulated(id, 1)).await.unwrap();
        journal.commit(Record::now(id, Phase::Verify)).await.unwrap();
        journal.commit(failed(id)).await.unwrap();
    }
    drop(journal);
    assert_eq!(bench.verify(&restored, Some(&bench.early)).unwrap().records, 26);
    let error = bench.verify(&restored, Some(&kept)).unwrap_err();
    assert!(matches!(&error, AuditError::Older { size: 22, why } if why.contains("rewritten")), "{error}");
    // A kept checkpoint that is not this log's is no proof of anything.
    bench.verify(&bench.journal, Some("not a note")).unwrap_err();
    bench.verify(&bench.journal, Some(&kept.replace("\n22\n", "\n21\n"))).unwrap_err();
}

#[tokio::test]
async fn tamper_with_the_head() {
    let bench = Bench::new().await;
    let old = bench.early.clone();
    let damage: [(&str, &[&str]); 4] = [
        ("the head is missing", &["DELETE FROM head"]),
        ("its frontier is not one", &["UPDATE head SET frontier = x'00'"]),
        ("its chain is not one", &["UPDATE head SET chain = x'00'"]),
        ("a table is missing", &["DROP TABLE grant_use"]),
    ];
    for (what, statements) in damage {
        let error = bench.found(|database| database.execute_batch(&statements.join(";")).unwrap());
        assert!(matches!(error, AuditError::Journal(JournalError::Damaged { .. })), "{what}: {error}");
    }
    let heads: [&str; 4] = [
        "chain = randomblob(32)",
        "frontier = zeroblob(8)",
        "note = replace(note, char(10) || '22' || char(10), char(10) || '23' || char(10))",
        "note = ''",
    ];
    let (seq, why) =
        record(bench.found(|database| run(database, "UPDATE record SET place = 9 WHERE seq = 7")));
    assert!(seq == 7 && why.contains("is stored as number 9"), "{seq} {why}");
    for head in heads {
        let error = bench.found(|database| run(database, &format!("UPDATE head SET {head}")));
        assert!(matches!(error, AuditError::Checkpoint { .. }), "{head}: {error}");
    }
    let error = bench.found(|database| {
        database.execute("UPDATE head SET note = ?1", [&old]).unwrap();
    });
    assert!(error.to_string().contains("covers 10 records, there are 22"), "{error}");
}

#[tokio::test]
async fn tamper_with_a_table_beside_the_records() {
    let bench = Bench::new().await;
    let one = "(SELECT min(run) FROM grant_use)";
    for sql in [
        format!("DELETE FROM grant_use WHERE run = {one}"),
        format!("UPDATE grant_use SET grant_digest = 'sha256:00' WHERE run = {one}"),
        format!("UPDATE grant_use SET run = 'run-01jd2m4k9x8s7t6v5w4y3z2a1b' WHERE run = {one}"),
        "INSERT INTO grant_use VALUES ('run-01jd2m4k9x8s7t6v5w4y3z2a1b', 'sha256:00')".to_owned(),
        "DELETE FROM open_run".to_owned(),
        format!("INSERT INTO open_run VALUES ({one}, 'thaw', 0)"),
        "INSERT INTO open_run VALUES ('run-01jd2m4k9x8s7t6v5w4y3z2a1b', 'thaw', 0)".to_owned(),
        "INSERT INTO open_run SELECT run, '', 0 FROM open_run".to_owned(),
        "UPDATE open_run SET basis = ''".to_owned(),
        // Of the third run: the other two have expired.
        "DELETE FROM run_key".to_owned(),
        format!("INSERT INTO run_key VALUES ({one}, x'00')"),
        "INSERT INTO run_key VALUES ('run-01jd2m4k9x8s7t6v5w4y3z2a1b', x'00')".to_owned(),
        "INSERT INTO block VALUES (0, zeroblob(32))".to_owned(),
    ] {
        let error = bench.found(|database| run(database, &sql));
        assert!(matches!(error, AuditError::Table { .. }), "{sql}: {error}");
    }
}

/// Entries of an index that are not of its records, in a file that SQLite takes for sound: what reads by it would find
/// other records than there are.
#[tokio::test]
async fn tamper_with_an_index() {
    let bench = Bench::new().await;
    let other = "run-01jd2m4k9x8s7t6v5w4y3z2a1b";
    for (index, column, other) in [
        ("record_of_run", "run", other),
        // There as something else, and left out.
        ("record_of_kind", "kind", "started"),
        ("record_of_kind", "kind", "phase"),
        // One that Remit does not make, and that SQLite would read by all the same.
        ("of_somebody", "kind", "phase"),
    ] {
        let damaged = bench.copy(|database| {
            if index == "of_somebody" {
                database.execute_batch("CREATE INDEX of_somebody ON record (run, kind)").unwrap();
            }
            let last = format!("SELECT max(seq), {column} FROM record WHERE kind = 'ended'");
            let (at, was): (i64, String) =
                database.query_row(&last, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            let kept: (i64, String) = database
                .query_row("SELECT rootpage, sql FROM sqlite_schema WHERE name = ?1", [index], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .unwrap();
            // The index is told, then hidden, then the table is put right behind its back.
            run(database, &format!("UPDATE record SET {column} = '{other}' WHERE seq = {at}"));
            let file = database.path().unwrap().to_owned();
            let schema = |sql: &str| {
                let database = Connection::open(&file).unwrap();
                database.execute_batch("PRAGMA writable_schema = ON").unwrap();
                database.execute(sql, params![index, kept.0, kept.1]).unwrap();
            };
            schema("DELETE FROM sqlite_schema WHERE name = ?1 AND rootpage = ?2 AND sql = ?3");
            let hidden = Connection::open(&file).unwrap();
            run(&hidden, &format!("UPDATE record SET {column} = '{was}' WHERE seq = {at}"));
            drop(hidden);
            schema("INSERT INTO sqlite_schema VALUES ('index', ?1, 'record', ?2, ?3)");
        });
        let error = bench.verify(&damaged, None).unwrap_err();
        let whose = if index == "of_somebody" { "from" } else { "its" };
        assert!(error.to_string().contains(&format!("{whose} index {index}")), "{error}");
    }
}

/// Correctly signed records that do not make sense: a defect of the host, not an outsider.
#[tokio::test]
async fn records_must_tell_a_story() {
    let live = RunId::new();
    let dry = RunId::new();
    let mut no_grant = started(live, Some(grant(1)));
    if let remit_journal::Event::Started(body) = &mut no_grant.event {
        body.grant = None;
    }
    let end = |run, state| {
        let mut record = ended(run);
        if let remit_journal::Event::Ended(body) = &mut record.event {
            body.state = state;
        }
        record
    };
    let granted = |from: i64, until: i64| {
        let mut record = started(live, Some(grant(1)));
        if let remit_journal::Event::Started(body) = &mut record.event {
            body.grant = Some(signed_grant(from, until));
        }
        record
    };
    let forged = |forge: fn(&mut remit_journal::Started)| {
        let mut record = granted(-60, 60);
        if let remit_journal::Event::Started(body) = &mut record.event {
            forge(body);
        }
        record
    };
    let begun = || started(live, Some(grant(1)));
    for (records, at, why) in [
        (vec![granted(60, 120), intent(live, 1)], 2, "outside the time its grant was in force"),
        (vec![granted(-60, -30), intent(live, 1)], 2, "outside the time its grant was in force"),
        (vec![forged(|body| body.input_digest = body.action.digest)], 1, "input"),
        (vec![forged(|body| body.scope_digest = body.action.digest)], 1, "scope"),
        (vec![forged(|body| body.grant.as_mut().unwrap().digest = body.action.digest)], 1, "a grant"),
        (vec![begun(), Record::now(live, Phase::Verify), intent(live, 1)], 3, "`run` had ended"),
        (vec![begun(), intent(live, 1), end(live, RunState::Succeeded)], 3, "a call has no outcome"),
        (vec![begun(), end(live, RunState::Failed), intent(live, 1)], 3, "had ended"),
        (vec![begun(), end(live, RunState::Failed), Record::now(live, Phase::Verify)], 3, "had ended"),
        (
            vec![
                begun(),
                end(live, RunState::Refused),
                Record::now(live, Phase::Revert),
                end(live, RunState::Held),
            ],
            4,
            "could not reach",
        ),
        (vec![begun(), end(live, RunState::Rehearsed)], 2, "could not reach"),
        (vec![begun(), Record::now(live, UndoIntent { call: 1 })], 2, "not on record"),
        (vec![begun(), intent(live, 1), outcome(live, 1), outcome(live, 1)], 4, "without its intent"),
        (vec![begun(), intent(live, 1), outcome(live, 1), intent(live, 1)], 4, "repeats the number"),
        (vec![intent(live, 1)], 1, "never started"),
        (vec![started(dry, None), outcome(dry, 1)], 2, "outcome without its intent"),
        (vec![started(dry, None), look(dry, 1), look(dry, 1)], 3, "repeats the number"),
        (vec![started(dry, None), look(dry, 1), simulated(dry, 1)], 3, "repeats the number"),
        (vec![no_grant, intent(live, 1)], 2, "live run without a grant"),
        (vec![started(dry, None), intent(dry, 1)], 2, "is a change, in a rehearsal"),
        (vec![started(dry, None), Record::now(dry, UndoIntent { call: 1 })], 2, "changes nothing"),
        (vec![started(dry, None), simulated(dry, 1), end(dry, RunState::Held)], 3, "could not reach"),
        (vec![begun(), simulated(live, 1)], 2, "simulated change, in a live run"),
    ] {
        let (_folder, path) = home();
        let journal = open(&path);
        for record in records {
            write(&journal, record).await.unwrap();
        }
        drop(journal);
        let (seq, found) = record(Journal::open_read_only(&path).unwrap().verify(&key(), None).unwrap_err());
        assert_eq!(seq, at, "{found}");
        assert!(found.contains(why), "{found}");
    }
}

/// A journal that was tampered with while closed is not signed any further.
#[tokio::test]
async fn nothing_is_appended_to_a_forged_tail() {
    let bench = Bench::new().await;
    for sql in
        ["DELETE FROM record WHERE seq = 22", "UPDATE head SET chain = zeroblob(32)", "DELETE FROM head"]
    {
        let path = bench.copy(|database| run(database, sql));
        let error = Journal::open(&path, signer()).unwrap_err();
        assert!(matches!(error, JournalError::Damaged { .. }), "{sql}: {error}");
    }
    // While open: found at the next append, and the handle stops; also by one that knows the state it left behind.
    for before in [0, 1] {
        let path = bench.copy(|_| ());
        let journal = open(&path);
        for _ in 0..before {
            write(&journal, started(RunId::new(), None)).await.unwrap();
        }
        run(&Connection::open(&path).unwrap(), &format!("DELETE FROM record WHERE seq = {}", 22 + before));
        write(&journal, started(RunId::new(), None)).await.unwrap_err();
        assert!(matches!(journal.note(ended(RunId::new())), Err(JournalError::Poisoned(_))));
    }
}
