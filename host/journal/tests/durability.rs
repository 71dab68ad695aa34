//! What was committed is there, in order, whoever else writes; what cannot be written stops the handle.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};

use crate::support::{failed, grant, home, key, kind, look, open, outcome, signer, started, write};
use miette::Diagnostic as _;
use remit_journal::{Event, Journal, JournalError, RunId, RunState, StartError};
use remit_tlog::NoteSigner;

#[tokio::test]
async fn a_commit_makes_everything_before_it_durable_in_order() {
    let (_folder, path) = home();
    let journal = open(&path);
    let run = RunId::new();
    write(&journal, started(run, None)).await.unwrap();
    // A reader opened before the records sees them as soon as `commit` returns.
    let reader = Journal::open_read_only(&path).unwrap();
    for call in 1..=3000 {
        journal.note(look(run, call)).unwrap();
        if call % 1000 == 0 {
            journal.commit(outcome(run, call)).await.unwrap();
            let seen: Vec<_> = reader.run(&run).unwrap();
            assert_eq!(kind(&seen.last().unwrap().1), format!("outcome {call}"));
        }
    }
    journal.commit(failed(run)).await.unwrap();
    let kinds = |journal: &remit_journal::Reader| -> Vec<String> {
        let records = journal.run(&run).unwrap();
        assert!(records.iter().zip(1..).all(|((seq, _), expected)| *seq == expected));
        records.iter().map(|(_, record)| kind(record)).collect()
    };
    let seen = kinds(&reader);
    let mut expected = vec!["started".to_owned()];
    for call in 1..=3000 {
        expected.push(format!("intent {call}"));
        if call % 1000 == 0 {
            expected.push(format!("outcome {call}"));
        }
    }
    expected.push("ended".to_owned());
    assert_eq!(seen, expected);

    // Another process opens the file while this one still has it: nothing depends on a clean end.
    let (_copy, twin) = home();
    for ending in ["", "-wal"] {
        let from = format!("{}{ending}", path.display());
        fs::copy(from, format!("{}{ending}", twin.display())).unwrap();
    }
    let revived = open(&twin);
    let audit = revived.reader().unwrap().verify(&key(), None).unwrap();
    assert_eq!((audit.records, audit.runs, audit.open_calls), (3005, 1, 2997));
    assert_eq!(kinds(&revived.reader().unwrap()), expected);
    // The input is what was given, byte for byte.
    let Event::Started(header) = &revived.reader().unwrap().run(&run).unwrap()[0].1.event.clone() else {
        panic!()
    };
    assert_eq!(header.input.get(), "{ \"as\":  [\"written\"] }");
}

#[tokio::test]
async fn notes_are_flushed_when_the_last_handle_goes() {
    let (_folder, path) = home();
    let run = RunId::new();
    let journal = open(&path);
    write(&journal, started(run, None)).await.unwrap();
    let clone = journal.clone();
    journal.note(look(run, 1)).unwrap();
    drop(journal);
    clone.note(outcome(run, 1)).unwrap();
    drop(clone);
    assert_eq!(Journal::open_read_only(&path).unwrap().run(&run).unwrap().len(), 3);
}

#[test]
fn two_handles_interleave_and_the_journal_verifies() {
    let (_folder, path) = home();
    let start = Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                start.wait();
                let journal = open(&path);
                runtime.block_on(async {
                    for _ in 0..15 {
                        let run = RunId::new();
                        write(&journal, started(run, None)).await.unwrap();
                        journal.commit(look(run, 1)).await.unwrap();
                        journal.note(outcome(run, 1)).unwrap();
                        journal.commit(failed(run)).await.unwrap();
                    }
                });
            });
        }
    });
    let reader = Journal::open_read_only(&path).unwrap();
    let audit = reader.verify(&key(), None).unwrap();
    assert_eq!((audit.records, audit.runs, audit.open_calls), (240, 60, 0));
    let runs = reader.runs().unwrap();
    assert!(runs.iter().all(|run| run.state == Some(RunState::Failed)));
    for run in &runs {
        let kinds: Vec<_> = reader.run(&run.run).unwrap().iter().map(|(_, r)| kind(r)).collect();
        assert_eq!(kinds, ["started", "intent 1", "outcome 1", "ended"]);
    }
    // Only the journal itself is left beside SQLite's own files.
    let litter: Vec<_> = fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(".new"))
        .collect();
    assert!(litter.is_empty(), "{litter:?}");
}

#[test]
fn a_one_use_grant_starts_one_run_of_twenty() {
    let (_folder, path) = home();
    drop(open(&path));
    let start = Barrier::new(20);
    let answers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..20)
            .map(|_| {
                scope.spawn(|| {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    let journal = open(&path);
                    start.wait();
                    runtime.block_on(write(&journal, started(RunId::new(), Some(grant(1)))))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let won = answers.iter().filter(|answer| answer.is_ok()).count();
    let lost = answers
        .iter()
        .filter(|answer| matches!(answer, Err(StartError::Spent { uses: 1, started: 1, .. })))
        .count();
    assert_eq!((won, lost), (1, 19), "{answers:?}");
    let reader = Journal::open_read_only(&path).unwrap();
    assert_eq!(reader.grant_uses(&grant(1).digest).unwrap(), 1);
    // A refused start leaves no trace that could pass for a run.
    assert_eq!(reader.verify(&key(), None).unwrap().records, 1);
}

#[tokio::test]
async fn starts_are_refused_one_by_one_within_a_group() {
    let (_folder, path) = home();
    let journal = open(&path);
    let run = RunId::new();
    let (a, b, c, d) = tokio::join!(
        write(&journal, started(run, Some(grant(2)))),
        write(&journal, started(run, Some(grant(2)))),
        write(&journal, started(RunId::new(), Some(grant(2)))),
        write(&journal, started(RunId::new(), Some(grant(2)))),
    );
    a.unwrap();
    assert!(matches!(b, Err(StartError::Again(again)) if again == run));
    c.unwrap();
    assert!(matches!(d, Err(StartError::Spent { started: 2, .. })));
    let not_a_start = journal.start(failed(run), remit_trust::Sealed::from_bytes(Vec::new())).await;
    assert!(matches!(not_a_start, Err(StartError::NotAStart("ended"))));
    // A refusal is an answer, not a failure of the journal.
    journal.commit(failed(run)).await.unwrap();
    assert_eq!(journal.reader().unwrap().verify(&key(), None).unwrap().runs, 2);
}

#[tokio::test]
async fn runs_are_found_by_the_beginning_of_their_name() {
    let (_folder, path) = home();
    let journal = open(&path);
    let name = |last: char| format!("run-01jd2m4k9x8s7t6v5w4y3z2a1{last}").parse::<RunId>().unwrap();
    for run in [name('b'), name('c')] {
        write(&journal, started(run, None)).await.unwrap();
    }
    let reader = journal.reader().unwrap();
    assert_eq!(reader.find("01jd2m4k9x8s7t6v5w4y3z2a1b").unwrap(), name('b'));
    assert_eq!(reader.find(&name('c').to_string()).unwrap(), name('c'));
    assert!(matches!(reader.find("run-01jd"), Err(JournalError::AmbiguousRun(..))));
    for none in ["01jx", "run-", "%", "RUN-01JD2M4K9X8S7T6V5W4Y3Z2A1B"] {
        assert!(
            matches!(reader.find(none), Err(JournalError::NoSuchRun(_) | JournalError::AmbiguousRun(..))),
            "{none}"
        );
    }
    assert!(matches!(reader.run(&RunId::new()), Err(JournalError::NoSuchRun(_))));
}

#[tokio::test]
async fn the_file_is_private_and_bound_to_its_key() {
    let (_folder, path) = home();
    let journal = open(&path);
    write(&journal, started(RunId::new(), None)).await.unwrap();
    for ending in ["", "-wal", "-shm"] {
        let mode = fs::metadata(format!("{}{ending}", path.display())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{ending}");
    }
    let other = NoteSigner::from_seed("remit.test/journal", &[8; 32]).unwrap();
    assert!(matches!(Journal::open(&path, other), Err(JournalError::OtherKey { .. })));
    let other = NoteSigner::from_seed("remit.test/other", &[9; 32]).unwrap();
    assert!(matches!(Journal::open(&path, other), Err(JournalError::OtherKey { .. })));
}

#[tokio::test]
async fn what_nobody_waits_for_is_soon_on_the_disk_and_who_waits_waits_once() {
    let (_folder, path) = home();
    let journal = open(&path);
    let other = Journal::open_read_only(&path).unwrap();
    let soon = std::time::Duration::from_millis(500);
    let run = RunId::new();
    write(&journal, started(run, Some(grant(9)))).await.unwrap();
    // Admitted for everybody, and nobody has waited for the disk.
    assert_eq!(other.run(&run).unwrap().len(), 1);
    assert_eq!(journal.written().waited, 0);
    tokio::time::sleep(soon).await;
    let alone = journal.written();
    assert_eq!((alone.records, alone.waited), (1, 0));
    journal.note(outcome(run, 9)).unwrap();
    tokio::time::sleep(soon).await;
    assert_eq!((journal.written().records, journal.written().synced), (2, alone.synced + 1));
    // What is only to be seen waits for nothing; a change does, once, and takes that along.
    journal.note(outcome(run, 10)).unwrap();
    journal.catch_up().await.unwrap();
    assert_eq!((other.run(&run).unwrap().len(), journal.written().waited), (3, 0));
    journal.intend(look(run, 1)).await.unwrap();
    journal.flush().await.unwrap();
    assert_eq!(journal.written().waited, 1, "a flush of nothing is no wait");
}

/// Whoever waits commits what others wait for, or is served by those who do: nobody is forgotten between them. And
/// whoever audits meanwhile finds everything sound, up to where it is.
#[test]
fn many_who_wait_at_once_are_all_served_in_order() {
    const RUNS: u64 = 48;
    const CALLS: u64 = 20;
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build().unwrap();
    let (_folder, path) = home();
    let journal = open(&path);
    let (reader, done) = (Journal::open_read_only(&path).unwrap(), Arc::new(AtomicBool::new(false)));
    let auditor = std::thread::spawn({
        let done = Arc::clone(&done);
        move || {
            let mut sizes = Vec::new();
            while !done.load(Ordering::Relaxed) {
                sizes.push(reader.verify(&key(), None).unwrap().records);
            }
            sizes
        }
    });
    threads.block_on(async {
        let all: Vec<_> = (0..RUNS)
            .map(|_| {
                let journal = journal.clone();
                tokio::spawn(async move {
                    let run = RunId::new();
                    write(&journal, started(run, Some(grant(9_999)))).await.unwrap();
                    for call in 1..=CALLS {
                        journal.intend(look(run, call)).await.unwrap();
                        journal.note(outcome(run, call)).unwrap();
                    }
                    journal.commit(failed(run)).await.unwrap();
                })
            })
            .collect();
        for one in all {
            let limit = std::time::Duration::from_secs(60);
            tokio::time::timeout(limit, one).await.expect("nobody is forgotten").unwrap();
        }
    });
    done.store(true, Ordering::Relaxed);
    assert!(auditor.join().unwrap().is_sorted());
    let written = journal.written();
    assert_eq!((written.records, written.waited), (RUNS * (2 * CALLS + 2), RUNS * (CALLS + 1)));
    assert!(written.synced < written.waited, "together: {written:?}");
    drop(journal);
    let audit = Journal::open_read_only(&path).unwrap().verify(&key(), None).unwrap();
    assert_eq!((audit.records, audit.open_calls), (written.records, 0));
}

/// Neither a panic nor a fresh start: history that cannot be read must not be taken for none.
#[tokio::test]
async fn a_damaged_file_is_said_to_be_damaged() {
    let (folder, path) = home();
    let journal = open(&path);
    let run = RunId::new();
    write(&journal, started(run, None)).await.unwrap();
    for call in 1..=40 {
        journal.note(look(run, call)).unwrap();
    }
    drop(journal);
    let whole = fs::read(&path).unwrap();
    let check = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(format!("damaged {name}"));
        fs::write(&path, bytes).unwrap();
        let opened = Journal::open(&path, signer()).and_then(|journal| journal.reader());
        let found = match opened {
            Err(error) => error.code().unwrap().to_string(),
            Ok(reader) => match reader.verify(&key(), None) {
                Err(error) => error.code().unwrap().to_string(),
                Ok(_) => "nothing".to_owned(),
            },
        };
        assert!(found.starts_with("integrity::"), "{name}: {found}");
    };
    check("empty", b"");
    check("text", b"this is not a database, however long one looks at it. ".repeat(100).as_slice());
    // What is missing at the end is read as zero: a byte that is something else is to be missing.
    let last = whole.iter().rposition(|byte| *byte != 0).unwrap();
    for length in [1, 50, 99, 100, 2000, 4096, whole.len() / 2, whole.len() - 4096, last] {
        check(&format!("length {length}"), &whole[..length]);
    }
    // The magic, the page size, the payload fractions, the schema format, the text encoding.
    for at in [0, 15, 16, 17, 21, 22, 23, 47, 59] {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x42;
        check(&format!("header byte {at}"), &flipped);
    }
    assert!(matches!(
        Journal::open(&folder.path().join("no/such/folder"), signer()),
        Err(JournalError::Unavailable { .. })
    ));
    assert!(matches!(
        Journal::open_read_only(&folder.path().join("none")),
        Err(JournalError::Unavailable { .. })
    ));
}

/// The disk is full for a child process, by its limit on file size; see below.
#[test]
fn a_full_disk_stops_the_handle_for_good_and_loses_nothing_committed() {
    let (_folder, path) = home();
    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 256; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "durability::in_a_child_until_the_disk_is_full", "--ignored", "--nocapture"])
        .env("REMIT_TEST_JOURNAL", &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stderr));
    let committed = said.split("committed ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
    let committed: u64 = committed.parse().unwrap();

    // With room again: everything that was promised is there, and the journal goes on.
    let journal = open(&path);
    let reader = journal.reader().unwrap();
    let audit = reader.verify(&key(), None).unwrap();
    assert_eq!(audit.records, 1 + committed);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(write(&journal, started(RunId::new(), None))).unwrap();
    assert_eq!(reader.verify(&key(), None).unwrap().records, 2 + committed);
}

#[tokio::test]
#[ignore = "the child of a_full_disk_stops_the_handle_for_good_and_loses_nothing_committed"]
async fn in_a_child_until_the_disk_is_full() {
    let path = std::env::var_os("REMIT_TEST_JOURNAL").expect("run by its parent only");
    let journal = open(path.as_ref());
    let run = RunId::new();
    write(&journal, started(run, None)).await.unwrap();
    let mut committed = 0;
    let error = loop {
        match journal.commit(look(run, committed + 1)).await {
            Ok(()) => committed += 1,
            Err(error) => break error,
        }
        assert!(committed < 10_000, "the disk never filled up");
    };
    assert!(matches!(error, JournalError::Unavailable { .. }), "{error}");
    // From now on everything fails the same way, whether it would fit or not.
    for answer in [
        journal.commit(failed(run)).await,
        journal.note(failed(run)),
        journal.clone().flush().await,
        write(&journal, started(RunId::new(), None)).await.map_err(|error| match error {
            StartError::Journal(error) => error,
            other => panic!("{other}"),
        }),
    ] {
        let error = answer.unwrap_err();
        assert!(matches!(error, JournalError::Poisoned(_)), "{error}");
        assert_eq!(error.code().unwrap().to_string(), "failed::journal-stopped");
    }
    println!("committed {committed} ");
}
