//! Taking back: only what was done, only if it is still there, any number of times.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::sync::{Arc, Mutex};

use crate::support::{Bench, Content, Describe, Destroy, Reason, Reveal, Rotate, SCOPE, rotate, told};
use remit_gate::{Countermeasure, Effect, Failure, Fault, Known, State, UndoGate};
use remit_journal::{Journal, RunId, UndoResult};

const ROTATE: Known = Known::change::<Rotate>();

async fn rotated() -> (Bench, remit_journal::Intent) {
    let bench = Bench::new().await;
    bench.gate(SCOPE).change(rotate("prod/a")).await.unwrap().unwrap();
    let intent = bench.intent(1).await;
    (bench, intent)
}

#[tokio::test]
async fn a_change_is_undone_once_and_stays_undone() {
    let (bench, intent) = rotated().await;
    let undo = bench.undo_gate();
    assert_eq!((&*ROTATE.name, ROTATE.effect), (intent.operation.as_str(), Effect::Change));
    assert_eq!(ROTATE.state(&undo, &intent).await.unwrap(), State::After);
    assert_eq!(bench.changed(), 1, "to compare is to read");

    // The attempt is durable before the system is touched.
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (path, run, sink) = (bench.path(), bench.run, Arc::clone(&seen));
    *bench.vault.witness.lock().unwrap() = Some(Box::new(move || {
        *sink.lock().unwrap() = told(&Journal::open_read_only(&path).unwrap(), &run);
    }));
    assert_eq!(ROTATE.undo(&undo, &intent).await.unwrap(), UndoResult::Undone);
    assert_eq!(seen.lock().unwrap().last().unwrap(), "undo-intent 1");
    assert_eq!(bench.vault.get("prod/a").unwrap(), (3, "hunter2".to_owned()));

    assert_eq!(ROTATE.undo(&undo, &intent).await.unwrap(), UndoResult::AlreadyUndone);
    assert_eq!(ROTATE.state(&undo, &intent).await.unwrap(), State::Before);
    assert_eq!(bench.changed(), 2);
    assert_eq!(
        bench.told().await[2..],
        ["undo-intent 1", "undo-outcome 1 Undone", "undo-intent 1", "undo-outcome 1 AlreadyUndone"]
    );
    assert!(!bench.leaked("hunter2").await);
}

#[tokio::test]
async fn a_change_made_by_others_meanwhile_stands() {
    let (bench, intent) = rotated().await;
    bench.vault.values.lock().unwrap().insert("prod/a".to_owned(), (9, "theirs".to_owned()));
    let result = ROTATE.undo(&bench.undo_gate(), &intent).await.unwrap();
    assert_eq!(result, UndoResult::Conflict { live: "version 9".to_owned() });
    assert_eq!(bench.vault.get("prod/a").unwrap(), (9, "theirs".to_owned()));
    assert_eq!(bench.changed(), 1);
}

#[tokio::test]
async fn an_undo_that_fails_can_be_tried_again() {
    let (bench, intent) = rotated().await;
    *bench.vault.failure.lock().unwrap() = Some(Failure::Denied("sealed".to_owned()));
    let undo = bench.undo_gate();
    let failed = ROTATE.undo(&undo, &intent).await.unwrap();
    assert_eq!(failed, UndoResult::Failed { message: "denied: sealed".to_owned() });
    *bench.vault.failure.lock().unwrap() = None;
    // This backend fails after it acted: the next attempt finds that out instead of acting twice.
    assert_eq!(ROTATE.undo(&undo, &intent).await.unwrap(), UndoResult::AlreadyUndone);
    // The thing is gone: not a licence to make it anew.
    bench.vault.values.lock().unwrap().remove("prod/a");
    let gone = ROTATE.undo(&undo, &intent).await.unwrap();
    assert!(matches!(gone, UndoResult::Failed { message } if message.contains("not found")));
}

#[tokio::test]
async fn what_cannot_be_undone_is_said_to_be_so() {
    let bench = Bench::new().await;
    let scope = SCOPE
        .replace("test:vault/destroy\"", "test:vault/destroy\"\nirrevocable = true")
        .replace("test:vault/rotate\"", "test:vault/rotate\"\nirrevocable = true");
    let gate = bench.gate(&scope);
    gate.change(Destroy("prod/b".to_owned())).await.unwrap().unwrap();
    gate.change(rotate("prod/pin")).await.unwrap().unwrap();
    let undo = bench.undo_gate();
    let destroyed = Known::change::<Destroy>().undo(&undo, &bench.intent(1).await).await.unwrap();
    assert_eq!(destroyed, UndoResult::NotReversible { why: "this operation has no undo".to_owned() });
    let pinned = ROTATE.undo(&undo, &bench.intent(2).await).await.unwrap();
    assert_eq!(pinned, UndoResult::NotReversible { why: "the value is pinned".to_owned() });
    assert_eq!(bench.changed(), 2);
}

#[tokio::test]
async fn sealed_values_open_for_exactly_what_they_were_kept_for() {
    let (bench, intent) = rotated().await;
    let json = |text: &str| serde_json::value::RawValue::from_string(text.to_owned()).unwrap();
    let with = |change: fn(&mut remit_journal::Intent)| {
        let mut changed = intent.clone();
        change(&mut changed);
        changed
    };
    let mut elsewhere = intent.clone();
    elsewhere.arguments = json(r#"{"path":"prod/b","suffix":"+"}"#);
    let mut earlier = intent.clone();
    earlier.before = Some(json(r#"{"version":2}"#));
    let other_run = UndoGate { run: RunId::new(), ..bench.undo_gate() };
    let mut other_call = intent.clone();
    other_call.call = 2;
    let mut damaged = intent.clone();
    damaged.before = None;
    let own = bench.undo_gate();
    for (gate, intent) in [
        (&other_run, &intent),
        (&own, &other_call),
        (&own, &damaged),
        (&own, &elsewhere),
        (&own, &earlier),
        (&own, &with(|intent| intent.resource = "secret:prod/b".to_owned())),
        (&own, &with(|intent| intent.effect = Effect::Irrevocable)),
        (&own, &with(|intent| intent.irrevocable_because = Some("so".to_owned()))),
    ] {
        let fault = ROTATE.state(gate, intent).await.unwrap_err();
        assert!(matches!(fault, Fault::Record { verb: "read", .. }), "{fault}");
        let result = ROTATE.undo(gate, intent).await.unwrap();
        assert!(matches!(result, UndoResult::Failed { .. }), "{result:?}");
    }
    assert_eq!(bench.changed(), 1);
}

/// A connector brings the names of its operations with it. What the journal has of one is classified, compared and taken back
/// as a change of this host is.
#[tokio::test]
async fn a_change_that_has_its_name_from_a_connector_is_undone_as_any_other() {
    let (bench, intent) = rotated().await;
    let change = |irrevocable, countermeasure| {
        Known::named_change(intent.operation.clone(), irrevocable, countermeasure, |past| {
            serde_json::from_str::<Rotate>(past.intent.arguments.get()).map_err(|error| error.to_string())
        })
    };
    let known = change(false, Some(Countermeasure::Isolate));
    assert_eq!((&*known.name, known.effect), (intent.operation.as_str(), Effect::Change));
    assert_eq!((known.countermeasure, known.content), (Some(Countermeasure::Isolate), false));
    let final_one = change(true, None);
    assert_eq!((final_one.effect, final_one.countermeasure), (Effect::Irrevocable, None));

    let undo = bench.undo_gate();
    assert_eq!(known.state(&undo, &intent).await.unwrap(), State::After);
    assert_eq!(known.undo(&undo, &intent).await.unwrap(), UndoResult::Undone);
    assert_eq!(bench.vault.get("prod/a").unwrap(), (3, "hunter2".to_owned()));
    assert_eq!(known.state(&undo, &intent).await.unwrap(), State::Before);
    assert_eq!(bench.told().await[2..], ["undo-intent 1", "undo-outcome 1 Undone"]);

    let look = Known::named_observe("test:vault/read.content".to_owned(), true);
    assert_eq!((look.effect, look.content, look.countermeasure), (Effect::Observe, true, None));
    let fault = look.undo(&undo, &intent).await.unwrap_err();
    assert!(fault.to_string().contains("nothing to undo"), "{fault}");
    assert_eq!(bench.changed(), 2);
}

/// What others ask of an operation that they know by its name only.
#[test]
fn an_operation_known_by_name_says_what_it_is() {
    assert_eq!((ROTATE.run_time, ROTATE.countermeasure), (&[][..], Some(Countermeasure::Harden)));
    let (describe, reveal) = (Known::observe::<Describe>(), Known::observe::<Reveal>());
    assert!(Known::observe::<Content>().content);
    assert!(!describe.content && !reveal.content && !ROTATE.content);
    assert!(Known::observe::<Reason>().ambient && !describe.ambient && !ROTATE.ambient);
    let effects = [describe.effect, reveal.effect, Known::change::<Destroy>().effect];
    assert_eq!(effects, [Effect::Observe, Effect::Disclose, Effect::Irrevocable]);
}
