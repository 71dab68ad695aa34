//! Undo of cuts as a property: whatever a run did, in any order, with answers that are lost and with somebody else in between. The
//! place is the made-up one; `tests/network.rs` has the kernel's.

#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says what went wrong by failing"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{TestCaseResult, TestRunner};
use remit_backend::BoxFuture;
use remit_backend::network::{Connection, Cut, Draft, MadeUpTraffic, Networks, Target, Traffic, TrafficView};
use remit_capability::BUILT_IN;
use remit_capability::fixture::Offline as _;
use remit_capability::network::CutTraffic;
use remit_gate::{
    Authority, Effect, Estate, Facts, Failure, Gate, Mode, Operation, Resource, Scope, Setup, UndoGate,
};
use remit_journal::{CallResult, Event, Intent, Journal, RunId, UndoResult};
use remit_tlog::NoteSigner;
use remit_trust::Sealer;

const NAMES: [&str; 3] = ["netns/a", "uid/1", "address/10.0.0.1"];

/// What becomes of a change on its way to the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    None,
    /// It never arrives.
    Request,
    /// It is made, but nobody learns so.
    Answer,
}

/// What somebody else does to a workload.
#[derive(Clone, Copy, Debug)]
enum Theirs {
    Meddle,
    Flush,
    Anew,
}

type Call = (&'static str, Loss, Loss);

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let loss = || select(vec![Loss::None, Loss::Request, Loss::Answer]);
    vec((select(&NAMES[..]), loss(), loss()), 1..6)
}

#[test]
fn every_change_of_a_workload_is_drawn_here() {
    let interfaces = BUILT_IN.interfaces().filter(|interface| interface.kind.as_deref() == Some("workload"));
    let operations = interfaces.flat_map(|interface| &*interface.operations);
    let changes = operations.filter(|operation| operation.effect != Effect::Observe);
    assert_eq!(changes.map(|operation| &*operation.name).collect::<Vec<_>>(), [CutTraffic::NAME]);
}

/// The made-up place, which may lose a change or its answer.
struct Between {
    place: MadeUpTraffic,
    loss: Mutex<Loss>,
}

impl Between {
    fn change<'a>(&'a self, change: BoxFuture<'a, ()>) -> BoxFuture<'a, ()> {
        let loss = *self.loss.lock().unwrap();
        let lost = || Err(Failure::Unavailable("lost".to_owned()));
        Box::pin(async move {
            match loss {
                Loss::None => change.await,
                Loss::Request => lost(),
                Loss::Answer => change.await.and_then(|()| lost()),
            }
        })
    }
}

impl TrafficView for Between {
    fn look<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Option<Cut>> {
        self.place.look(target)
    }
    fn look_again<'a>(&'a self, draft: &'a Draft) -> BoxFuture<'a, Option<Cut>> {
        self.place.look_again(draft)
    }
    fn draft<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Draft> {
        self.place.draft(target)
    }
    fn connections<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Vec<Connection>> {
        self.place.connections(target)
    }
    fn check(&self) -> BoxFuture<'_, String> {
        self.place.check()
    }
}

impl Traffic for Between {
    fn cut<'a>(
        &'a self,
        target: &'a Target,
        draft: &'a Draft,
        run: RunId,
        by: Authority<'a>,
    ) -> BoxFuture<'a, ()> {
        self.change(self.place.cut(target, draft, run, by))
    }
    fn restore<'a>(&'a self, draft: &'a Draft, run: RunId, by: Authority<'a>) -> BoxFuture<'a, ()> {
        self.change(self.place.restore(draft, run, by))
    }
}

/// A run in a place of its own.
struct Run {
    between: Arc<Between>,
    gate: Gate,
    undo: UndoGate,
    _folder: tempfile::TempDir,
}

impl Run {
    fn new() -> Self {
        let workloads = NAMES.iter().map(|name| ((*name).to_owned(), Vec::new())).collect();
        let between =
            Arc::new(Between { place: MadeUpTraffic::new(workloads), loss: Mutex::new(Loss::None) });
        let served = Networks::new(vec![("main".to_owned(), Arc::clone(&between) as _)]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let signer = NoteSigner::from_seed("test", &[1; 32]).unwrap();
        let journal = Journal::open(&folder.path().join("journal"), signer).unwrap();
        let sealer = Arc::new(Sealer::load_or_create(&folder.path().join("seal.key")).unwrap());
        let facts = Facts {
            run: RunId::new(),
            started: jiff::Timestamp::UNIX_EPOCH,
            reason: "a test".to_owned(),
            seed: [0; 32],
        };
        let estate = served.serve(Estate::default());
        let undo = UndoGate {
            run: facts.run,
            estate: estate.clone(),
            journal: journal.clone(),
            sealer: Arc::clone(&sealer),
        };
        let scope = "[[allow]]\ncapability = \"remit:network/cut\"\nresources = [\"workload:**\"]\n[limits]\nchanges = 100\n";
        let gate = Gate::new(Setup {
            facts,
            mode: Mode::Live,
            scope: Scope::parse(scope, "scope.toml").unwrap(),
            plan: None,
            window: None,
            watch: None,
            estate,
            journal,
            sealer,
        });
        Self { between, gate, undo, _folder: folder }
    }

    fn everything(&self) -> BTreeMap<&'static str, Option<Cut>> {
        NAMES.iter().map(|name| (*name, self.between.place.made(name))).collect()
    }

    /// Through the gate. It may well fail: what is cut is not cut again.
    async fn cut(&self, name: &str, loss: Loss) {
        *self.between.loss.lock().unwrap() = loss;
        let resource = Resource::new("workload", &format!("main/{name}")).unwrap();
        let _ = self.gate.change(CutTraffic { resource }).await.unwrap();
        *self.between.loss.lock().unwrap() = Loss::None;
    }

    /// The changes that the run made or may have made, the last one first: as a revert reads them.
    async fn changes(&self) -> Vec<Intent> {
        self.undo.journal.flush().await.unwrap();
        let mut changes: Vec<Intent> = Vec::new();
        for (_, record) in self.undo.journal.reader().unwrap().run(&self.undo.run).unwrap() {
            match record.event {
                Event::Intent(intent) if intent.before.is_some() => changes.push(intent),
                Event::Outcome(outcome) => {
                    if let CallResult::Failed { failure } = &outcome.result
                        && serde_json::from_str::<Failure>(failure.get()).unwrap().is_definite()
                    {
                        changes.retain(|change| change.call != outcome.call);
                    }
                }
                _ => {}
            }
        }
        changes.reverse();
        changes
    }

    async fn undo(&self, change: &Intent, loss: Loss) -> UndoResult {
        *self.between.loss.lock().unwrap() = loss;
        let result = BUILT_IN.operation(&change.operation).unwrap().undo(&self.undo, change).await.unwrap();
        *self.between.loss.lock().unwrap() = Loss::None;
        result
    }
}

fn holds<S: Strategy>(strategy: S, property: impl AsyncFn(S::Value) -> TestCaseResult) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let config = ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() };
    let checked = TestRunner::new(config).run(&strategy, |drawn| runtime.block_on(property(drawn)));
    if let Err(error) = checked {
        panic!("{error}");
    }
}

/// Undo after a cut is the identity, and undo after undo is nothing. A revert may be cut short anywhere; whoever starts it over starts
/// at the top. That holds for cuts and undos too of which nobody knows whether they happened.
#[test]
fn undone_in_reverse_nothing_is_left() {
    holds((calls(), any::<Index>()), async |(calls, short)| {
        let run = Run::new();
        let before = run.everything();
        for (name, loss, _) in &calls {
            run.cut(name, *loss).await;
        }
        let changes = run.changes().await;
        let short = short.index(changes.len() + 1);
        for (change, (_, _, loss)) in changes[..short].iter().zip(&calls) {
            let result = run.undo(change, *loss).await;
            let lost = matches!(&result, UndoResult::Failed { message } if message == "unavailable: lost");
            prop_assert!(
                lost || matches!(result, UndoResult::Undone | UndoResult::AlreadyUndone),
                "{:?}",
                result
            );
        }
        for change in &changes {
            let result = run.undo(change, Loss::None).await;
            prop_assert!(matches!(result, UndoResult::Undone | UndoResult::AlreadyUndone), "{:?}", result);
        }
        prop_assert_eq!(run.everything(), before);
        for change in &changes {
            prop_assert_eq!(run.undo(change, Loss::None).await, UndoResult::AlreadyUndone);
        }
        Ok(())
    });
}

/// What somebody else did to the rules of a workload stays done, and the other workloads are let out all the same.
#[test]
fn what_others_did_stays() {
    let theirs = select(vec![Theirs::Meddle, Theirs::Flush, Theirs::Anew]);
    holds((calls(), theirs, select(&NAMES[..])), async |(calls, theirs, touched)| {
        let run = Run::new();
        for (name, ..) in &calls {
            run.cut(name, Loss::None).await;
        }
        let changes = run.changes().await;
        let place = &run.between.place;
        match theirs {
            Theirs::Meddle => place.meddle(touched),
            Theirs::Flush => place.flush(touched),
            Theirs::Anew => place.make_anew(touched),
        }
        let left = run.everything();
        for change in &changes {
            let result = run.undo(change, Loss::None).await;
            match theirs {
                _ if !change.resource.ends_with(touched) => prop_assert_eq!(result, UndoResult::Undone),
                Theirs::Meddle => prop_assert!(matches!(result, UndoResult::Conflict { .. }), "{:?}", result),
                Theirs::Flush | Theirs::Anew => prop_assert_eq!(result, UndoResult::AlreadyUndone),
            }
        }
        for (name, cut) in run.everything() {
            prop_assert_eq!(cut, if name == touched { left[name].clone() } else { None });
        }
        Ok(())
    });
}
