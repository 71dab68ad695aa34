//! Undo of changes of roles as a property: whatever a run did, in any order, with answers that are lost and with somebody else in
//! between. The server is the made-up one; `tests/databases.rs` has a real one.

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
use remit_backend::databases::{
    Act, Databases, Kept, MadeUp, MadeUpRole, Role, RoleServer, RoleView, Session, Target, Verifier,
};
use remit_backend::{BoxFuture, Right, SecretText};
use remit_capability::BUILT_IN;
use remit_capability::databases::{DisableLogin, EndSessions, SetPassword};
use remit_capability::fixture::Offline as _;
use remit_capability::secrets::Given;
use remit_gate::{
    Authority, Effect, Estate, Facts, Failure, Gate, Mode, Operation, Resource, Scope, Setup, UndoGate,
};
use remit_journal::{CallResult, Event, Intent, Journal, RunId, UndoResult};
use remit_tlog::NoteSigner;
use remit_trust::Sealer;

const NAMES: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Copy, Debug)]
enum Deed {
    Set,
    Disable,
}

/// What becomes of a change on its way to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    None,
    /// It never arrives.
    Request,
    /// It is made, but nobody learns so.
    Answer,
}

/// What somebody else does to a role.
#[derive(Clone, Copy, Debug)]
enum Theirs {
    Set,
    Login,
    Anew,
    Gone,
}

type Call = (Deed, &'static str, Loss, Loss);

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let loss = || select(vec![Loss::None, Loss::Request, Loss::Answer]);
    vec((select(vec![Deed::Set, Deed::Disable]), select(&NAMES[..]), loss(), loss()), 1..6)
}

/// Of each role: whether it may sign in, and whether it has a password.
fn roles() -> impl Strategy<Value = Vec<(bool, bool)>> {
    vec((proptest::bool::weighted(0.8), proptest::bool::weighted(0.8)), NAMES.len())
}

#[test]
fn every_change_of_a_role_is_drawn_here() {
    let mut all: Vec<_> = BUILT_IN
        .interfaces()
        .filter(|interface| interface.kind.as_deref() == Some("database-role"))
        .flat_map(|interface| &*interface.operations)
        .filter(|operation| operation.effect != Effect::Observe)
        .map(|operation| &*operation.name)
        .collect();
    all.sort_unstable();
    // The last one cannot be undone.
    assert_eq!(all, [DisableLogin::NAME, EndSessions::NAME, SetPassword::NAME]);
}

/// The made-up server, which may lose a change or its answer.
struct Between {
    server: MadeUp,
    loss: Mutex<Loss>,
}

impl Between {
    fn change<'a, T: Send + 'a>(&'a self, change: BoxFuture<'a, T>) -> BoxFuture<'a, T> {
        let loss = *self.loss.lock().unwrap();
        let lost = || Err(Failure::Unavailable("lost".to_owned()));
        Box::pin(async move {
            match loss {
                Loss::None => change.await,
                Loss::Request => lost(),
                Loss::Answer => change.await.and_then(|_| lost()),
            }
        })
    }
}

impl RoleView for Between {
    fn list(&self) -> BoxFuture<'_, Vec<Role>> {
        self.server.list()
    }
    fn role<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Role> {
        self.server.role(name)
    }
    fn kept<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Kept> {
        self.server.kept(name)
    }
    fn right<'a>(&'a self, name: &'a str, act: Act) -> BoxFuture<'a, Right> {
        self.server.right(name, act)
    }
    fn sessions<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Vec<Session>> {
        self.server.sessions(name)
    }
    fn opens<'a>(&'a self, name: &'a str, at: &'a str, password: &'a SecretText) -> BoxFuture<'a, bool> {
        self.server.opens(name, at, password)
    }
    fn lets_in<'a>(&'a self, name: &'a str, at: &'a str) -> BoxFuture<'a, bool> {
        self.server.lets_in(name, at)
    }
    fn check(&self) -> BoxFuture<'_, String> {
        self.server.check()
    }
}

impl RoleServer for Between {
    fn set_password<'a>(
        &'a self,
        target: Target<'a>,
        was: Option<&'a Verifier>,
        to: Option<&'a Verifier>,
        by: Authority<'a>,
    ) -> BoxFuture<'a, ()> {
        self.change(self.server.set_password(target, was, to, by))
    }
    fn set_login<'a>(&'a self, target: Target<'a>, to: bool, by: Authority<'a>) -> BoxFuture<'a, ()> {
        self.change(self.server.set_login(target, to, by))
    }
    fn end_sessions<'a>(&'a self, target: Target<'a>, by: Authority<'a>) -> BoxFuture<'a, u32> {
        self.change(self.server.end_sessions(target, by))
    }
}

fn made(name: &str, login: bool, verifier: Option<Verifier>) -> MadeUpRole {
    let role = Role {
        oid: 0,
        name: name.to_owned(),
        can_login: login,
        superuser: false,
        groups: Vec::new(),
        valid_until: None,
        sessions: 0,
        last_used: None,
    };
    MadeUpRole { role, verifier }
}

/// Some verifier: whether it is one makes no difference here.
fn verifier(text: &str) -> Verifier {
    Verifier::new(text.to_owned())
}

/// A run on a server of its own.
struct Run {
    between: Arc<Between>,
    gate: Gate,
    undo: UndoGate,
    _folder: tempfile::TempDir,
}

type Everything = BTreeMap<&'static str, Option<(u32, bool, Option<Verifier>)>>;

impl Run {
    fn new(roles: &[(bool, bool)]) -> Self {
        let roles = NAMES.iter().zip(roles);
        let roles = roles.map(|(name, (login, has))| made(name, *login, has.then(|| verifier("before"))));
        let between =
            Arc::new(Between { server: MadeUp::new(roles.collect()), loss: Mutex::new(Loss::None) });
        let served = Databases::new(vec![("main".to_owned(), Arc::clone(&between) as _)]).unwrap();
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
        let allow = ["password", "disable-login"].map(|name| {
            format!(
                "[[allow]]\ncapability = \"remit:databases/{name}\"\nresources = [\"database-role:**\"]\n"
            )
        });
        let scope = format!("{}[limits]\nchanges = 100\n", allow.concat());
        let gate = Gate::new(Setup {
            facts,
            mode: Mode::Live,
            scope: Scope::parse(&scope, "scope.toml").unwrap(),
            plan: None,
            window: None,
            watch: None,
            estate,
            journal,
            sealer,
        });
        Self { between, gate, undo, _folder: folder }
    }

    fn everything(&self) -> Everything {
        let look = |name: &&'static str| {
            let made = self.between.server.made(name);
            (*name, made.map(|made| (made.role.oid, made.role.can_login, made.verifier)))
        };
        NAMES.iter().map(look).collect()
    }

    /// Through the gate. It may well fail: of roles and calls that know nothing of each other, some make no sense.
    async fn perform(&self, (deed, name, ..): Call, loss: Loss) {
        *self.between.loss.lock().unwrap() = loss;
        let resource = Resource::new("database-role", &format!("main/{name}")).unwrap();
        let _ = match deed {
            Deed::Set => {
                let secret = Given::new("generated:1", Some(SecretText::new("after".to_owned())));
                self.gate.change(SetPassword { resource, secret }).await.unwrap()
            }
            Deed::Disable => self.gate.change(DisableLogin { resource }).await.unwrap(),
        };
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

    fn theirs(&self, name: &str, theirs: Theirs) {
        let server = &self.between.server;
        let Some(mut role) = server.made(name) else { return };
        match theirs {
            Theirs::Gone | Theirs::Anew => server.drop_role(name),
            Theirs::Set | Theirs::Login => {}
        }
        match theirs {
            Theirs::Gone => {}
            Theirs::Anew => server.make_role(role),
            Theirs::Set => {
                role.verifier = Some(verifier("theirs"));
                server.change_role(role);
            }
            Theirs::Login => {
                role.role.can_login = !role.role.can_login;
                server.change_role(role);
            }
        }
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

/// Undo after perform is the identity, and undo after undo is nothing. A revert may be cut short anywhere; whoever starts it over
/// starts at the top. That holds for changes and undos too of which nobody knows whether they happened.
#[test]
fn undone_in_reverse_nothing_is_left() {
    holds((roles(), calls(), any::<Index>(), any::<bool>()), async |(roles, calls, cut, lossy)| {
        let run = Run::new(&roles);
        let before = run.everything();
        let mut lost = BTreeMap::new();
        for (number, call) in (1_u64..).zip(&calls) {
            run.perform(*call, if lossy { call.2 } else { Loss::None }).await;
            lost.insert(number, call.3);
        }
        let changes = run.changes().await;
        let cut = cut.index(changes.len() + 1);
        for change in &changes[..cut] {
            let result = run.undo(change, if lossy { lost[&change.call] } else { Loss::None }).await;
            match result {
                UndoResult::Undone => {}
                UndoResult::AlreadyUndone => prop_assert!(lossy),
                UndoResult::Failed { message } => prop_assert!(lossy && message == "unavailable: lost"),
                other => prop_assert!(false, "{:?}", other),
            }
        }
        for change in &changes {
            let result = run.undo(change, Loss::None).await;
            prop_assert!(matches!(result, UndoResult::Undone | UndoResult::AlreadyUndone), "{:?}", result);
        }
        prop_assert_eq!(run.everything(), before.clone());
        for change in &changes {
            prop_assert_eq!(run.undo(change, Loss::None).await, UndoResult::AlreadyUndone);
        }
        prop_assert_eq!(run.everything(), before);
        Ok(())
    });
}

/// What somebody else did to a role after the run stays done, and the other roles come back all the same.
#[test]
fn what_others_did_stays() {
    let theirs = select(vec![Theirs::Set, Theirs::Login, Theirs::Anew, Theirs::Gone]);
    holds((roles(), calls(), theirs, select(&NAMES[..])), async |(roles, calls, theirs, touched)| {
        let run = Run::new(&roles);
        let before = run.everything();
        for call in &calls {
            run.perform(*call, Loss::None).await;
        }
        let changes = run.changes().await;
        run.theirs(touched, theirs);
        let left = run.everything();
        for change in &changes {
            let ours = !change.resource.ends_with(touched);
            let result = run.undo(change, Loss::None).await;
            match (theirs, change.operation == SetPassword::NAME) {
                _ if ours => prop_assert_eq!(result, UndoResult::Undone),
                // What they did not touch of the role is still this run's to take back.
                (Theirs::Set, false) | (Theirs::Login, true) => prop_assert_eq!(result, UndoResult::Undone),
                // They have taken it back themselves.
                (Theirs::Login, false) => prop_assert_eq!(result, UndoResult::AlreadyUndone),
                _ => prop_assert!(matches!(result, UndoResult::Conflict { .. }), "{:?}", result),
            }
        }
        let after = run.everything();
        for name in NAMES.iter().filter(|name| **name != touched) {
            prop_assert_eq!(&after[name], &before[name]);
        }
        match (theirs, &after[touched], &left[touched]) {
            (Theirs::Set, Some(after), Some(left)) => prop_assert_eq!(&after.2, &left.2),
            (Theirs::Login, Some(after), Some(left)) => prop_assert_eq!(after.1, left.1),
            (_, after, left) => prop_assert_eq!(after, left),
        }
        Ok(())
    });
}
