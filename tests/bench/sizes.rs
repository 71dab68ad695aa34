//! Journals of all sizes, and the proof of the largest.

use std::path::{Path, PathBuf};
use std::time::Instant;

use remit_journal::{
    ActionRef, CallResult, Effect, Ended, Intent, Journal, Mode, Outcome, Phase, Record, RunId, RunState,
    Started,
};
use remit_lifecycle::Timeline;
use remit_tlog::{Frontier, NoteSigner, leaf_hash};
use remit_trust::{Digest, Sealed};
use rusqlite::Connection;
use serde_json::value::RawValue;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::Place;
use crate::measure::{Figure, Section, in_turns, median};

/// Records of one run but for its first and last.
const CALLS: u64 = 9;

pub fn sizes(place: &Place) -> Section {
    let runtime = Runtime::new().expect("threads");
    let dir = TempDir::with_prefix_in("remit-bench-", &place.disk).expect("a folder");
    let small = Filled::new(&runtime, dir.path(), 1);
    let medium = Filled::new(&runtime, dir.path(), 10_000);
    let large = Filled::new(&runtime, dir.path(), 1_000_000);
    let all = [&small, &medium, &large];
    let mut figures = Vec::new();

    let journals = all.map(|filled| Journal::open(&filled.file, signer()).expect("a journal"));
    let append = |n: usize, times: u32| {
        runtime.block_on(async {
            for _ in 0..times {
                journals[n].commit(Record::now(all[n].run, Phase::Revert)).await.expect("written");
            }
        });
    };
    // Until each one's log is as long as it gets: to make it longer takes the disk twice as long as to write it anew.
    (0..all.len()).for_each(|n| append(n, 500));
    let appended = in_turns(20, 20, [&mut |n| append(0, n), &mut |n| append(1, n), &mut |n| append(2, n)]);
    drop(journals);
    flat(&mut figures, "appending a record", appended);

    let show = |n: usize, times: u32| {
        for _ in 0..times {
            let reader = Journal::open_read_only(&all[n].file).expect("a reader");
            let run = reader.find(&all[n].run.to_string()).expect("found");
            let records = reader.run(&run).expect("read");
            let first = usize::try_from(2 * CALLS + 2).expect("few").min(records.len());
            Timeline::of(run, &records[..first]).expect("told");
        }
    };
    let shown = in_turns(20, 20, [&mut |n| show(0, n), &mut |n| show(1, n), &mut |n| show(2, n)]);
    flat(&mut figures, "`show` of a run", shown);

    let open = |n: usize, times: u32| {
        for _ in 0..times {
            drop(Journal::open(&all[n].file, signer()).expect("opened"));
        }
    };
    let opened = in_turns(20, 5, [&mut |n| open(0, n), &mut |n| open(1, n), &mut |n| open(2, n)]);
    flat(&mut figures, "opening it to write", opened);

    figures.push(verify(&large));
    Section { title: "Journals of 1, 10⁴ and 10⁶ records", figures, notes: Vec::new() }
}

fn flat(figures: &mut Vec<Figure>, what: &str, [small, medium, large]: [f64; 3]) {
    figures.push(
        Figure::new(format!("{what}, 10⁴ records"), medium, "µs").over("1 record", small).at_most_times(1.3),
    );
    figures.push(
        Figure::new(format!("{what}, 10⁶ records"), large, "µs").over("1 record", small).at_most_times(1.3),
    );
}

/// `audit verify`, against hashing what it hashes.
fn verify(filled: &Filled) -> Figure {
    let bodies: Vec<Vec<u8>> = {
        let database = Connection::open(&filled.file).expect("a database");
        let mut rows = database.prepare("SELECT body FROM record ORDER BY seq").expect("a query");
        rows.query_map([], |row| row.get(0)).and_then(Iterator::collect).expect("rows")
    };
    let (mut hashed, mut verified) = (Vec::new(), Vec::new());
    for round in 0..=11 {
        let since = Instant::now();
        let (mut chain, mut frontier) = ([0; 32], Frontier::default());
        for body in &bodies {
            let text = [b"remit-journal-v1\n".as_slice(), &chain, Digest::of(body).as_bytes()].concat();
            chain = *Digest::of(&text).as_bytes();
            frontier.push(leaf_hash(&chain));
        }
        let hashing = since.elapsed().as_secs_f64();
        let reader = Journal::open_read_only(&filled.file).expect("a reader");
        let since = Instant::now();
        let audit = reader.verify(&signer().verifier(), None).expect("sound");
        assert_eq!(audit.root, hex(&frontier.root()));
        if round > 0 {
            hashed.push(hashing);
            verified.push(since.elapsed().as_secs_f64());
        }
    }
    let what = format!("`audit verify` of {} records", bodies.len());
    Figure::new(what, median(verified), "s")
        .over("hashing them: record, link, leaf, tree", median(hashed))
        .at_most_times(2.0)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn signer() -> NoteSigner {
    NoteSigner::from_seed("bench.invalid/journal", &[9; 32]).expect("a name")
}

/// A journal with rehearsals in it.
struct Filled {
    file: PathBuf,
    /// The last one.
    run: RunId,
}

impl Filled {
    fn new(runtime: &Runtime, folder: &Path, records: u64) -> Self {
        let file = folder.join(format!("{records}.db"));
        let journal = Journal::open(&file, signer()).expect("a journal");
        let mut run = RunId::new();
        let since = Instant::now();
        runtime.block_on(async {
            let mut written = 0;
            while written < records {
                run = RunId::new();
                let key = Sealed::from_bytes(vec![7; 60]);
                journal.start(Record::now(run, started()), key).await.expect("started");
                for call in 1..=CALLS {
                    journal.note(Record::now(run, intent(call))).expect("noted");
                    let result = CallResult::Ok { value: raw(r#"{"current":2,"versions":[{"number":2,"created":1700000000000,"state":"enabled"}]}"#) };
                    journal.note(Record::now(run, Outcome { call, result, sent: None })).expect("noted");
                }
                journal.note(Record::now(run, ended())).expect("noted");
                written += 2 * CALLS + 2;
            }
            journal.flush().await.expect("durable");
        });
        eprintln!("filled with {records} records in {:.1} s", since.elapsed().as_secs_f64());
        Self { file, run }
    }
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).expect("JSON")
}

fn started() -> Started {
    Started {
        mode: Mode::Rehearse,
        action: ActionRef {
            digest: Digest::of(b"component"),
            name: "rotate".to_owned(),
            version: "1.0.0".to_owned(),
        },
        publisher: None,
        connectors: Vec::new(),
        input: raw(r#"{"path":"app/db"}"#),
        input_digest: Digest::of(br#"{"path":"app/db"}"#),
        scope_digest: Digest::of(b"{}"),
        scope: Some(raw("{}")),
        grant: None,
        principal: "ana".to_owned(),
        started_by: None,
        reason: "quarterly rotation".to_owned(),
        seed: [3; 32],
        host_version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn intent(call: u64) -> Intent {
    Intent {
        call,
        operation: "remit:secrets/inspect.metadata".to_owned(),
        effect: Effect::Observe,
        resource: "secret:app/db".to_owned(),
        arguments: raw(r#"{"resource":"secret:app/db"}"#),
        before: None,
        sealed: None,
        irrevocable_because: None,
    }
}

fn ended() -> Ended {
    Ended {
        state: RunState::Rehearsed,
        detail: "the rehearsal came to its end".to_owned(),
        consumed: RawValue::from_string(format!(r#"{{"host_calls":{CALLS}}}"#)).expect("JSON"),
        output: None,
        own_words: None,
        code: None,
        due: remit_journal::Due::default(),
    }
}
