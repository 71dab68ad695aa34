//! A proof is whole: whatever is cut out of it, repeated or moved is missed, for each kind of run.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use crate::support::{
    ended, failed, grant, home, intent, key, look, open, outcome, requested, signer, simulated, started,
    write,
};
use remit_journal::{
    Authority, CheckError, Cosigned, Event, GrantRef, GrowthProof, Journal, Phase, Proof, Proven,
    ProvenRecord, Record, RequestId, Resolved, RunId, RunProof, RunState, UndoExpired, UndoIntent,
    UndoOutcome, UndoResult,
};
use serde_json::value::RawValue;

fn end(run: RunId, state: RunState) -> Record {
    let mut record = ended(run);
    if let Event::Ended(body) = &mut record.event {
        body.state = state;
    }
    record
}

fn undone(run: RunId, call: u64) -> [Record; 2] {
    let result = UndoResult::Undone;
    [Record::now(run, UndoIntent { call }), Record::now(run, UndoOutcome { call, result })]
}

/// A grant under a request that may start many runs.
fn standing() -> GrantRef {
    let request: RequestId = "req-01jd2m4k9x8s7t6v5w4y3z2a1b".parse().unwrap();
    let authority = Authority {
        request,
        approvals: Vec::new(),
        trigger: RawValue::NULL.to_owned(),
        break_glass: false,
        rests_on: Vec::new(),
    };
    GrantRef { authority: Some(authority), ..grant(99) }
}

/// What each kind of run has on record, its start first.
fn kinds() -> Vec<(&'static str, Vec<Record>)> {
    let all = |run, grant, more: Vec<Record>| {
        let mut records = vec![started(run, grant), Record::now(run, Phase::Run)];
        records.extend(more);
        records
    };
    let changed = |run| vec![look(run, 1), outcome(run, 1), intent(run, 2), outcome(run, 2)];
    let ids = [(); 7].map(|()| RunId::new());
    let succeeded = |run| {
        let mut records = changed(run);
        records.extend([Record::now(run, Phase::Verify), end(run, RunState::Succeeded)]);
        records
    };
    let mut reverted = succeeded(ids[1]);
    reverted.push(Record::now(ids[1], Phase::Revert));
    reverted.extend(undone(ids[1], 2));
    reverted.push(end(ids[1], RunState::Reverted));
    let mut recovered = vec![look(ids[2], 1), outcome(ids[2], 1), intent(ids[2], 2)];
    recovered.push(Record::now(ids[2], Phase::Recover));
    recovered.extend(undone(ids[2], 2));
    recovered.push(end(ids[2], RunState::Reverted));
    let said =
        Resolved { call: 1, happened: false, principal: "ana".to_owned(), reason: "looked".to_owned() };
    let resolved = vec![
        intent(ids[3], 1),
        Record::now(ids[3], Phase::Recover),
        end(ids[3], RunState::InDoubt),
        Record::now(ids[3], Phase::Revert),
        Record::now(ids[3], said),
        end(ids[3], RunState::Failed),
    ];
    let rehearsed =
        vec![look(ids[5], 1), outcome(ids[5], 1), simulated(ids[5], 2), end(ids[5], RunState::Rehearsed)];
    let mut expired = succeeded(ids[6]);
    let rule = "older than 30d".to_owned();
    expired.push(Record::now(ids[6], UndoExpired { principal: "ana".to_owned(), rule, order: None }));
    vec![
        ("succeeded", all(ids[0], Some(grant(99)), succeeded(ids[0]))),
        ("reverted", all(ids[1], Some(grant(99)), reverted)),
        ("recovered", all(ids[2], Some(grant(99)), recovered)),
        ("resolved", all(ids[3], Some(grant(99)), resolved)),
        ("standing", all(ids[4], Some(standing()), succeeded(ids[4]))),
        ("rehearsed", all(ids[5], None, rehearsed)),
        ("expired", all(ids[6], Some(grant(99)), expired)),
    ]
}

/// Writes all of them, one record of each in turn, between `from` and `until`.
async fn write_turns(path: &Path, kinds: &[(&str, Vec<Record>)], turns: std::ops::Range<usize>) {
    let journal = open(path);
    for turn in turns {
        for (_, records) in kinds {
            if let Some(record) = records.get(turn) {
                write(&journal, record.clone()).await.unwrap();
            }
        }
    }
}

fn proof_of(path: &Path, run: RunId) -> RunProof {
    match Journal::open_read_only(path).unwrap().prove(&run, &signer()).unwrap() {
        Proof::Run(proof) => proof,
        Proof::Growth(_) => unreachable!(),
    }
}

fn refused(proof: &RunProof, records: Vec<ProvenRecord>, what: &str) {
    let changed = Proof::Run(RunProof { records, ..proof.clone() });
    // As a file, too.
    let read = Proof::parse(&serde_json::to_string(&changed).unwrap()).unwrap();
    let checked = read.check(&key());
    assert!(
        matches!(checked, Err(CheckError::Record { .. } | CheckError::End { .. })),
        "{what}: {checked:?}"
    );
}

/// All that can be done to the order of a proof's records.
fn attack(what: &str, proof: &RunProof) {
    let Ok(Proven::Run { count, .. }) = Proof::Run(proof.clone()).check(&key()) else {
        panic!("{what} is not whole")
    };
    let whole = &proof.records;
    assert_eq!(count, whole.len() as u64);
    for from in 0..whole.len() {
        for until in from + 1..=whole.len() {
            let cut = [&whole[..from], &whole[until..]].concat();
            refused(proof, cut, &format!("{what} without {from}..{until}"));
            let twice = [&whole[..until], &whole[from..]].concat();
            refused(proof, twice, &format!("{what} with {from}..{until} twice"));
        }
        for with in from + 1..whole.len() {
            let mut swapped = whole.clone();
            swapped.swap(from, with);
            refused(proof, swapped, &format!("{what} with {from} and {with} swapped"));
        }
    }
    // Shuffled by a generator that gives the same at each run of the test.
    let mut state = 7_u64;
    for round in 0..50 {
        let mut shuffled = whole.clone();
        for at in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.swap(at, usize::try_from(state >> 33).unwrap() % (at + 1));
        }
        if shuffled.iter().zip(whole).any(|(a, b)| a.seq != b.seq) {
            refused(proof, shuffled, &format!("{what}, shuffle {round}"));
        }
    }
    // Places that are told otherwise, or not told.
    for at in 0..whole.len() {
        for place in [0, 1, at as u64 + 2] {
            if place == whole[at].place {
                continue;
            }
            let mut moved = whole.clone();
            moved[at].place = place;
            refused(proof, moved, &format!("{what} with {at} at {place}"));
        }
    }
}

#[tokio::test]
async fn nothing_can_be_cut_out_repeated_or_moved() {
    let (_folder, path) = home();
    let kinds = kinds();
    let request: RequestId = "req-01jd2m4k9x8s7t6v5w4y3z2a1b".parse().unwrap();
    open(&path).act(&requested(request)).await.unwrap();
    write_turns(&path, &kinds, 0..99).await;
    for (what, records) in &kinds {
        let proof = proof_of(&path, records[0].run);
        assert_eq!(proof.records.len(), records.len(), "{what}");
        attack(what, &proof);
        let genuine = Journal::open_read_only(&path).unwrap().genuine(&records[0].run, &key()).unwrap();
        assert_eq!(genuine.len(), records.len());
    }
    // The host's word about one run is not about another, nor the one at another size.
    let proofs: Vec<RunProof> = kinds.iter().map(|(_, records)| proof_of(&path, records[0].run)).collect();
    for (one, proof) in proofs.iter().enumerate() {
        for (other, stranger) in proofs.iter().enumerate() {
            let mixed = Proof::Run(RunProof { end: stranger.end.clone(), ..proof.clone() });
            assert_eq!(mixed.check(&key()).is_ok(), one == other);
        }
    }
    write(&open(&path), started(RunId::new(), None)).await.unwrap();
    for (old, (_, records)) in proofs.iter().zip(&kinds) {
        let new = proof_of(&path, records[0].run);
        for mixed in
            [RunProof { end: old.end.clone(), ..new.clone() }, RunProof { end: new.end, ..old.clone() }]
        {
            assert!(matches!(Proof::Run(mixed).check(&key()), Err(CheckError::End { .. })));
        }
        // One that was whole stays whole, for the size it was made at.
        Proof::Run(old.clone()).check(&key()).unwrap();
        // Without the word it is none.
        let mut text = serde_json::to_value(Proof::Run(old.clone())).unwrap();
        text.as_object_mut().unwrap().remove("end");
        assert!(matches!(Proof::parse(&text.to_string()), Err(CheckError::Malformed(_))));
    }
}

/// A log that grew is proved to be the one that was signed before, with what a witness said of that very size.
#[tokio::test]
async fn a_log_is_proved_to_go_on_from_any_size() {
    let (_folder, path) = home();
    let journal = open(&path);
    let mut notes: Vec<String> = Vec::new();
    for turn in 0..6 {
        write(&journal, started(RunId::new(), None)).await.unwrap();
        let reader = journal.reader().unwrap();
        notes.push(reader.checkpoint().unwrap());
        let size = notes.len() as u64;
        let newest = if turn % 2 == 0 {
            notes[turn].clone()
        } else {
            let note = format!("{}\u{2014} witness.test/w AAAAAAAAAAAA\n", notes[turn]);
            let cosigned = Cosigned { witness: "w".to_owned(), size, note: note.clone() };
            journal.keep_cosigned(&cosigned).unwrap();
            note
        };
        for (old, from) in notes.iter().zip(1..) {
            let proof = reader.prove_growth(old, &key()).unwrap();
            let checked = proof.check(&key()).unwrap();
            assert!(
                matches!(checked, Proven::Growth { old, new, .. } if (old, new) == (from, size)),
                "{checked:?}"
            );
            let Proof::Growth(proof) = proof else { unreachable!() };
            assert_eq!(proof.new, newest);
            let path = [proof.path.clone(), vec![format!("{}=", "A".repeat(43))]].concat();
            let longer = Proof::Growth(GrowthProof { path, ..proof });
            assert!(longer.check(&key()).is_err(), "{from} to {size}");
        }
    }
}

/// What a reader acts on is all there is of a run, as far as the file can tell without every record being read.
#[tokio::test]
async fn nothing_is_hidden_from_one_who_acts() {
    let (_folder, path) = home();
    let journal = open(&path);
    let run = RunId::new();
    write(&journal, started(run, Some(grant(9)))).await.unwrap();
    for record in [intent(run, 1), outcome(run, 1), end(run, RunState::Held)] {
        journal.commit(record).await.unwrap();
    }
    // More than a block of others, before and after. They never started, so there is no run to act on.
    let stray = RunId::new();
    journal.note(look(stray, 1)).unwrap();
    for turn in 0..600 {
        journal.note(look(RunId::new(), 1)).unwrap();
        if turn == 300 {
            journal.commit(Record::now(run, Phase::Revert)).await.unwrap();
            // That it was held is not its state while it is taken back.
            let proven = Proof::Run(proof_of(&path, run)).check(&key());
            assert!(matches!(proven, Ok(Proven::Run { count: 5, state: None, .. })), "{proven:?}");
            for record in undone(run, 1) {
                journal.commit(record).await.unwrap();
            }
            journal.commit(failed(run)).await.unwrap();
        }
    }
    let later = RunId::new();
    write(&journal, started(later, Some(grant(9)))).await.unwrap();
    journal.commit(failed(later)).await.unwrap();
    drop(journal);
    let unstarted = Journal::open_read_only(&path).unwrap().genuine(&stray, &key());
    assert!(matches!(unstarted, Err(CheckError::Record { .. })), "{unstarted:?}");
    let look = || Journal::open_read_only(&path).unwrap().genuine(&run, &key());
    assert_eq!(look().unwrap().len(), 8);
    let whole = std::fs::read(&path).unwrap();
    let other = "run-01jd2m4k9x8s7t6v5w4y3z2a1b";
    for tamper in [
        format!("UPDATE record SET run = '{other}' WHERE kind = 'ended' AND seq > 4"),
        format!("UPDATE record SET run = '{other}' WHERE kind = 'undo-intent'"),
        // All of its revert: it held before, and the tables say no more than that it has a state.
        format!("UPDATE record SET run = '{other}' WHERE run = '{run}' AND seq > 4"),
        // Another run, whole, in its place.
        format!(
            "UPDATE record SET run = iif(run = '{run}', '{later}', '{run}') WHERE run IN ('{run}', '{later}')"
        ),
        "DELETE FROM record WHERE kind = 'undo-outcome'".to_owned(),
        "UPDATE record SET place = 0 WHERE seq = 4".to_owned(),
        "UPDATE record SET chain = zeroblob(32) WHERE seq = 4".to_owned(),
        "UPDATE block SET hash = zeroblob(32) WHERE number = 1".to_owned(),
        "UPDATE record SET body = CAST(replace(CAST(body AS TEXT), 'ana', 'bob') AS BLOB) WHERE seq = 1"
            .to_owned(),
        format!("INSERT INTO open_run VALUES ('{run}', '', 0)"),
        format!("DELETE FROM run_key WHERE run = '{run}'"),
    ] {
        std::fs::write(&path, &whole).unwrap();
        let changed = rusqlite::Connection::open(&path).unwrap().execute(&tamper, []).unwrap();
        assert_ne!(changed, 0, "{tamper}");
        let found = look();
        assert!(found.is_err(), "{tamper}");
    }
}
