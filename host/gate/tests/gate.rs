//! The order of things, and every "no" with nothing done.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{
    Bench, Content, Describe, Destroy, Generate, Reason, Reveal, Rotate, SCOPE, Vault, reveal, rotate, told,
};
use jiff::{SignedDuration, Timestamp};
use remit_gate::{
    Countermeasure, Effect, Estate, Exceeded, Failure, Fault, Gate, Injected, Known, Limit, Mode, Noise,
    Phase, Plan, Replay, Resource, Scope, Setup, Step, Window,
};
use remit_journal::{Basis, Journal, JournalError};
use remit_trust::{Opening, SecretText, ValueHandle};
use serde_json::Value;
use tokio::sync::Notify;

/// Not one byte of the system was changed, nor even looked at.
fn untouched(bench: &Bench) {
    assert_eq!((bench.touched(), bench.changed()), (0, 0));
}

#[tokio::test]
async fn at_the_moment_of_a_change_its_undo_is_durable() {
    let bench = Bench::new().await;
    let gate = bench.gate(SCOPE);
    // Opened afresh at that very moment: what another process would see after a crash.
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (path, run, sink) = (bench.path(), bench.run, Arc::clone(&seen));
    *bench.vault.witness.lock().unwrap() = Some(Box::new(move || {
        *sink.lock().unwrap() = Journal::open_read_only(&path).unwrap().run(&run).unwrap();
    }));
    assert_eq!(gate.observe(Describe("prod/a".to_owned())).await.unwrap(), Ok(3));
    assert_eq!(gate.change(rotate("prod/a")).await.unwrap(), Ok(4));
    assert_eq!(bench.vault.get("prod/a").unwrap(), (4, "hunter2+".to_owned()));

    let seen = std::mem::take(&mut *seen.lock().unwrap());
    let Some(remit_journal::Event::Intent(intent)) = seen.last().map(|(_, record)| &record.event) else {
        panic!("no intent was on disk: {seen:?}");
    };
    assert_eq!(intent.call, 2);
    assert_eq!(intent.before.as_ref().unwrap().get(), r#"{"version":3}"#);
    assert!(intent.sealed.is_some());
    assert_eq!(intent.arguments.get(), r#"{"path":"prod/a","suffix":"+"}"#);
    // The observation before it was durable as well.
    assert_eq!(seen.len(), 4);
    assert_eq!(
        bench.told().await,
        [
            "intent 1 observe secret:prod/a",
            "outcome 1 ok 3",
            "intent 2 change secret:prod/a",
            "outcome 2 ok 4",
        ]
    );
    assert!(!bench.leaked("hunter2").await, "the sealed old value is readable");
    assert_eq!((gate.used().host_calls, gate.used().changes), (2, 1));
}

#[tokio::test]
async fn outside_the_scope_nothing_is_touched_and_the_attempt_is_on_record() {
    let bench = Bench::new().await;
    let gate = bench.gate("[[allow]]\ncapability = 'test:vault/rotate'\nresources = ['secret:prod/*']");
    let reason = |fault: Fault| match fault {
        Fault::OutOfScope { reason, .. } => reason,
        other => panic!("{other}"),
    };
    assert!(reason(gate.change(rotate("dev/a")).await.unwrap_err()).contains("matches secret:dev/a"));
    assert!(reason(gate.change(rotate("prod/a/b")).await.unwrap_err()).contains("matches secret:prod/a/b"));
    let other = gate.observe(Describe("prod/a".to_owned())).await.unwrap_err();
    assert!(reason(other).contains("no rule allows test:vault/read"));
    untouched(&bench);
    assert_eq!(
        bench.told().await,
        [
            "denied 1 test:vault/rotate.rotate secret:dev/a",
            "denied 2 test:vault/rotate.rotate secret:prod/a/b",
            "denied 3 test:vault/read.describe secret:prod/a",
        ]
    );
    assert_eq!(gate.observed(), Plan::default());
}

#[tokio::test]
async fn an_argument_without_canonical_form_is_on_record() {
    let bench = Bench::new().await;
    let gate = bench.gate(SCOPE);
    let answer = gate.refuse("test:vault/rotate.rotate", "../\u{1b}[2J", "no such path").unwrap();
    assert_eq!(answer, Failure::Invalid("no such path".to_owned()));
    assert_eq!(bench.told().await, [r"denied 1 test:vault/rotate.rotate ../\u{1b}[2J"]);
}

#[tokio::test]
async fn a_rehearsal_changes_nothing_and_yields_the_plan() {
    let bench = Bench::new().await;
    // No rule accepts what cannot be undone: the rehearsal shows it, so that a person can decide.
    let gate = bench.rehearsal(SCOPE);
    assert_eq!(gate.observe(Describe("prod/b".to_owned())).await.unwrap(), Ok(3));
    assert_eq!(gate.change(rotate("prod/a")).await.unwrap(), Ok(4));
    assert_eq!(gate.change(rotate("prod/pin")).await.unwrap(), Ok(4));
    assert_eq!(gate.change(Destroy("prod/b".to_owned())).await.unwrap(), Ok(()));
    assert!(matches!(gate.change(rotate("dev/a")).await, Err(Fault::OutOfScope { .. })));
    assert_eq!(bench.changed(), 0);

    let steps = gate.observed().steps;
    let line = |step: &Step| {
        format!(
            "{} {} {} {:?} {:?} {:?}",
            step.operation, step.effect, step.resource, step.undo, step.irrevocable_because, step.caution
        )
    };
    assert_eq!(
        steps.iter().map(line).collect::<Vec<_>>(),
        [
            "test:vault/read.describe observe secret:prod/b None None None",
            r#"test:vault/rotate.rotate change secret:prod/a Some("put version 3 back") None None"#,
            r#"test:vault/rotate.rotate irrevocable secret:prod/pin None Some("the value is pinned") None"#,
            r#"test:vault/destroy.destroy irrevocable secret:prod/b None Some("this operation has no undo") Some("there is no copy")"#,
        ]
    );
    let told = bench.told().await;
    assert_eq!(
        told,
        [
            "intent 1 observe secret:prod/b",
            "outcome 1 ok 3",
            "simulated 2 change secret:prod/a",
            "simulated 3 irrevocable secret:prod/pin",
            "simulated 4 irrevocable secret:prod/b",
            "denied 5 test:vault/rotate.rotate secret:dev/a",
        ],
        "what is played is never an intent"
    );
    assert!(!bench.leaked("hunter2").await);
}

#[tokio::test]
async fn only_the_approved_changes_in_their_order() {
    let planned = Bench::new().await;
    let rehearsal = planned.rehearsal(SCOPE);
    rehearsal.observe(Describe("prod/b".to_owned())).await.unwrap().unwrap();
    rehearsal.change(rotate("prod/a")).await.unwrap().unwrap();
    rehearsal.change(rotate("prod/b")).await.unwrap().unwrap();
    let plan = rehearsal.observed();
    // What a grant carries is the plan's JSON.
    let plan: Plan = serde_json::from_slice(&serde_json::to_vec(&plan).unwrap()).unwrap();

    let bench = Bench::new().await;
    let gate = bench.with_plan(plan.clone());
    // Reads are free within the scope, and only a rehearsal is asked for what it saw.
    gate.observe(Describe("prod/a".to_owned())).await.unwrap().unwrap();
    assert_eq!(gate.observed(), Plan::default());
    let left = || gate.left_of_plan().unwrap();
    assert!(left().contains("secret:prod/a"), "{}", left());
    gate.change(rotate("prod/a")).await.unwrap().unwrap();
    assert!(left().contains("secret:prod/b"), "{}", left());
    gate.change(rotate("prod/b")).await.unwrap().unwrap();
    assert_eq!(gate.left_of_plan(), None);
    assert_eq!(bench.changed(), 2);
    let fault = gate.change(rotate("prod/b")).await.unwrap_err();
    assert!(matches!(&fault, Fault::NotInPlan { expected, .. } if expected == "no further step"), "{fault}");
    assert_eq!(bench.changed(), 2);
    assert_eq!(bench.told().await.last().unwrap(), "denied 4 test:vault/rotate.rotate secret:prod/b");

    let other = Rotate { path: "prod/a".to_owned(), suffix: "!".to_owned() };
    for wrong in [other, rotate("prod/b")] {
        let bench = Bench::new().await;
        let gate = bench.with_plan(plan.clone());
        let fault = gate.change(wrong).await.unwrap_err();
        assert!(
            matches!(&fault, Fault::NotInPlan { expected, .. }
                if expected.contains(r#"secret:prod/a with {"path":"prod/a","suffix":"+"}"#)),
            "{fault}"
        );
        assert_eq!(bench.changed(), 0);
        // A refused attempt uses up no step.
        gate.change(rotate("prod/a")).await.unwrap().unwrap();
    }

    // The plan promised an undo; by now there would be none.
    let bench = Bench::new().await;
    bench.vault.values.lock().unwrap().insert("prod/a".to_owned(), (3, "pinned".to_owned()));
    let scope = SCOPE.replace("test:vault/rotate\"", "test:vault/rotate\"\nirrevocable = true");
    let gate = Gate::new(Setup { plan: Some(plan), ..bench.setup(&scope) });
    assert!(matches!(gate.change(rotate("prod/a")).await, Err(Fault::NotInPlan { .. })));
    assert_eq!(bench.changed(), 0);

    // An empty plan is not the same as none.
    let gate = bench.with_plan(Plan::default());
    assert!(matches!(gate.change(rotate("prod/b")).await, Err(Fault::NotInPlan { .. })));
}

#[tokio::test]
async fn what_was_to_follow_a_change_that_failed_may_not() {
    let planned = Bench::new().await;
    let live = planned.gate(SCOPE);
    for path in ["prod/a", "prod/a", "prod/b"] {
        live.change(rotate(path)).await.unwrap().unwrap();
    }
    let plan = live.observed();

    for (failure, expects) in [
        (Failure::Conflict("somebody else was first".to_owned()), "secret:prod/a with"),
        (
            Failure::Unavailable("no answer".to_owned()),
            "nothing more, as it is not known whether test:vault/rotate.rotate on secret:prod/a happened",
        ),
    ] {
        // What is there then is what the second rotation was approved for, but somebody else made it.
        let bench = Bench::new().await;
        let gate = bench.with_plan(plan.clone());
        *bench.vault.failure.lock().unwrap() = Some(failure.clone());
        assert_eq!(gate.change(rotate("prod/a")).await.unwrap(), Err(failure));
        *bench.vault.failure.lock().unwrap() = None;
        assert!(gate.left_of_plan().is_some());
        for path in ["prod/a", "prod/b"] {
            let fault = gate.change(rotate(path)).await.unwrap_err();
            assert!(
                matches!(&fault, Fault::NotInPlan { expected, .. } if expected.contains(expects)),
                "{path}: {fault}"
            );
        }
        assert_eq!(bench.changed(), 1);
    }

    // Where nothing became of it, it may be tried again.
    let bench = Bench::new().await;
    let gate = bench.with_plan(plan);
    *bench.vault.failure.lock().unwrap() = Some(Failure::Denied("not now".to_owned()));
    gate.change(rotate("prod/a")).await.unwrap().unwrap_err();
    *bench.vault.failure.lock().unwrap() = None;
    bench.vault.values.lock().unwrap().insert("prod/a".to_owned(), (3, "hunter2".to_owned()));
    for path in ["prod/a", "prod/a"] {
        gate.change(rotate(path)).await.unwrap().unwrap();
    }
    assert!(
        gate.left_of_plan().unwrap().contains("secret:prod/b"),
        "what failed was not taken, and then it was"
    );
    // Without a plan nothing is left of it.
    assert_eq!(live.left_of_plan(), None);
}

#[tokio::test]
async fn a_failed_preparation_is_an_answer_and_no_step_of_the_plan() {
    let bench = Bench::new().await;
    let gate = bench.gate(SCOPE);
    let answer = gate.change(rotate("prod/none")).await.unwrap();
    assert_eq!(answer, Err(Failure::NotFound("prod/none".to_owned())));
    assert_eq!((bench.changed(), gate.used().changes), (0, 0));
    assert_eq!(
        bench.told().await,
        [
            "intent 1 change secret:prod/none",
            r#"outcome 1 failed {"kind":"not-found","message":"prod/none"}"#,
        ]
    );
}

#[tokio::test]
async fn verify_may_only_observe() {
    let bench = Bench::new().await;
    let gate = bench.gate(SCOPE);
    for phase in [Phase::Verify, Phase::HostCheck, Phase::Revert] {
        gate.enter(phase).unwrap();
        gate.observe(Describe("prod/a".to_owned())).await.unwrap().unwrap();
        let before = bench.touched();
        assert!(matches!(gate.change(rotate("prod/a")).await, Err(Fault::ReadOnly { .. })));
        assert!(matches!(gate.change(Destroy("prod/a".to_owned())).await, Err(Fault::ReadOnly { .. })));
        assert_eq!((bench.touched(), bench.changed()), (before, 0));
    }
    let told = bench.told().await;
    assert_eq!(told[0], "phase verify");
    assert_eq!(told.iter().filter(|line| line.starts_with("denied")).count(), 6);
}

#[tokio::test]
async fn after_its_window_a_grant_allows_nothing() {
    let bench = Bench::new().await;
    let past = Timestamp::now() - SignedDuration::from_secs(1);
    let gate = Gate::new(Setup { window: Some(Window::new(Timestamp::MIN, past)), ..bench.setup(SCOPE) });
    assert!(matches!(gate.change(rotate("prod/a")).await, Err(Fault::Expired(at)) if at == past));
    assert!(matches!(gate.observe(Describe("prod/a".to_owned())).await, Err(Fault::Expired(_))));
    assert!(matches!(gate.still_in_force(), Err(Fault::Expired(at)) if at == past));
    untouched(&bench);
    assert_eq!(bench.told().await.len(), 2);

    // It may close during the run.
    let soon = Timestamp::now() + SignedDuration::from_secs(2);
    let gate = Gate::new(Setup { window: Some(Window::new(Timestamp::MIN, soon)), ..bench.setup(SCOPE) });
    gate.observe(Describe("prod/a".to_owned())).await.unwrap().unwrap();
    gate.still_in_force().unwrap();
    tokio::time::sleep(Duration::from_millis(2050)).await;
    assert!(matches!(gate.change(rotate("prod/a")).await, Err(Fault::Expired(_))));
    assert_eq!(bench.changed(), 0);
}

#[tokio::test]
async fn limits_hold_at_their_very_number() {
    let exceeded = |fault: Fault| match fault {
        Fault::Exceeded(Exceeded { limit, used, allowed }) => (limit, used, allowed),
        other => panic!("{other}"),
    };
    let bench = Bench::new().await;
    let gate = bench
        .gate(&format!("{SCOPE}\nhost_calls = 5\nlog_bytes = '10 B'").replace("changes = 3", "changes = 2"));
    gate.change(rotate("prod/a")).await.unwrap().unwrap();
    gate.change(rotate("prod/a")).await.unwrap().unwrap();
    assert_eq!(exceeded(gate.change(rotate("prod/a")).await.unwrap_err()), (Limit::Changes, 3, 2));
    assert_eq!(bench.changed(), 2);
    // Refused calls count as well: an action cannot search the scope for free.
    assert!(matches!(gate.change(rotate("dev/a")).await, Err(Fault::OutOfScope { .. })));
    gate.observe(Describe("prod/a".to_owned())).await.unwrap().unwrap();
    let touched = bench.touched();
    let fault = gate.observe(Describe("prod/a".to_owned())).await.unwrap_err();
    assert_eq!(exceeded(fault), (Limit::HostCalls, 6, 5));
    assert!(matches!(gate.refuse("x", "y", "z"), Err(Fault::Exceeded(_))));
    assert_eq!(bench.touched(), touched);

    gate.charge_log(4).unwrap();
    gate.charge_log(6).unwrap();
    assert_eq!(exceeded(gate.charge_log(1).unwrap_err()), (Limit::LogBytes, 11, 10));
    assert_eq!(exceeded(gate.charge_log(u64::MAX).unwrap_err()), (Limit::LogBytes, u64::MAX, 10));
}

#[tokio::test]
async fn what_cannot_be_undone_needs_acceptance_on_that_very_resource() {
    let bench = Bench::new().await;
    let gate = bench.gate(SCOPE);
    for fault in [
        gate.change(Destroy("prod/a".to_owned())).await.unwrap_err(),
        // Usually undoable, but not in this state.
        gate.change(rotate("prod/pin")).await.unwrap_err(),
    ] {
        assert!(
            matches!(&fault, Fault::OutOfScope { reason, .. } if reason.contains("irrevocable = true")),
            "{fault}"
        );
    }
    assert_eq!(bench.changed(), 0);
    let told = bench.told().await;
    assert!(told.iter().all(|line| line.starts_with("denied")), "{told:?}");

    let extra =
        "[[allow]]\ncapability = 'test:vault/destroy'\nresources = ['secret:prod/a']\nirrevocable = true\n";
    let gate = bench.gate(&format!("{extra}{SCOPE}"));
    assert!(matches!(gate.change(Destroy("prod/b".to_owned())).await, Err(Fault::OutOfScope { .. })));
    assert!(matches!(gate.change(rotate("prod/pin")).await, Err(Fault::OutOfScope { .. })));
    gate.change(Destroy("prod/a".to_owned())).await.unwrap().unwrap();
    assert_eq!(bench.changed(), 1);
    assert_eq!(bench.intent(3).await.effect, Effect::Irrevocable);
}

#[tokio::test]
async fn what_is_disclosed_needs_acceptance_and_is_nowhere_in_the_journal() {
    let bench = Bench::new().await;
    let gate = bench.gate(SCOPE);
    let fault = gate.observe(Reveal("prod/b".to_owned())).await.unwrap_err();
    assert!(
        matches!(&fault, Fault::OutOfScope { reason, .. } if reason.contains("disclose = true")),
        "{fault}"
    );
    untouched(&bench);

    let scope = SCOPE.replace("test:vault/reveal\"", "test:vault/reveal\"\ndisclose = true");
    let gate = bench.gate(&scope);
    assert_eq!(gate.observe(Reveal("prod/b".to_owned())).await.unwrap(), Ok("swordfish".to_owned()));
    assert_eq!(
        bench.told().await[1..],
        ["intent 1 disclose secret:prod/b".to_owned(), "outcome 1 sealed".to_owned()]
    );
    assert!(!bench.leaked("swordfish").await);
    assert!(!bench.leaked("c3dvcmRmaXNo").await, "base64 is no seal");
    assert!(bench.leaked("secret:prod/b").await, "the search itself does not work");
    assert!(!format!("{:?}", gate.observed()).contains("swordfish"));
}

/// A file's content, say: no rule has to accept a disclosure, and the journal does not show it all the same.
#[tokio::test]
async fn content_is_sealed_in_the_journal_of_a_run_and_of_a_rehearsal() {
    for rehearsed in [false, true] {
        let bench = Bench::new().await;
        let gate = if rehearsed { bench.rehearsal(SCOPE) } else { bench.gate(SCOPE) };
        assert!(!gate.was_told());
        assert_eq!(gate.observe(Content("prod/a".to_owned())).await.unwrap(), Ok("hunter2".to_owned()));
        assert!(gate.was_told());
        assert_eq!(bench.told().await, ["intent 1 observe secret:prod/a", "outcome 1 sealed"]);
        assert!(!bench.leaked("hunter2").await);
    }
}

#[tokio::test]
async fn without_a_journal_there_is_no_effect() {
    let bench = Bench::new().await;
    let gate = bench.gate(&SCOPE.replace("test:vault/reveal\"", "test:vault/reveal\"\ndisclose = true"));
    gate.change(rotate("prod/a")).await.unwrap().unwrap();
    bench.journal.flush().await.unwrap();
    // The journal's file is damaged behind its back: the next write must fail.
    rusqlite::Connection::open(bench.path()).unwrap().execute("DELETE FROM head", []).unwrap();
    let fault = gate.change(rotate("prod/a")).await.unwrap_err();
    assert!(matches!(fault, Fault::Journal(_)), "{fault}");
    assert_eq!(bench.changed(), 1);
    gate.settle().await;

    let touched = bench.touched();
    for fault in [
        gate.observe(Describe("prod/a".to_owned())).await.map(drop).unwrap_err(),
        gate.observe(Reveal("prod/a".to_owned())).await.map(drop).unwrap_err(),
        gate.enter(Phase::Verify).unwrap_err(),
    ] {
        assert!(matches!(fault, Fault::Journal(JournalError::Poisoned(_))), "{fault}");
    }
    assert_eq!(bench.touched(), touched);
    // Not even a refusal goes unrecorded: the failure of the journal comes first.
    assert!(matches!(gate.change(rotate("dev/a")).await, Err(Fault::Journal(_))));
}

/// Nobody watches the journal for this gate: that the run may not go on is found out at the intent itself.
#[tokio::test]
async fn what_the_journal_refuses_is_not_done() {
    let scope = SCOPE.replace("test:vault/reveal\"", "test:vault/reveal\"\ndisclose = true");
    for clock_set_back in [true, false] {
        let mut bench = Bench::new().await;
        bench.run = bench.start_resting_on(Basis::All, Timestamp::now()).await;
        let gate = bench.gate(&scope);
        gate.change(rotate("prod/a")).await.unwrap().unwrap();
        if clock_set_back {
            let ahead = Timestamp::now() + SignedDuration::from_hours(1);
            bench.start_resting_on(Basis::All, ahead).await;
        } else {
            bench.revoke(Basis::All).await;
        }
        let touched = bench.touched();
        for fault in [
            gate.change(rotate("prod/a")).await.unwrap_err(),
            gate.observe(reveal("prod/a")).await.unwrap_err(),
        ] {
            let said = if clock_set_back {
                matches!(fault, Fault::Clock(_))
            } else {
                matches!(fault, Fault::Withdrawn(_))
            };
            assert!(said, "{fault}");
        }
        assert_eq!((bench.changed(), bench.touched()), (1, touched + 1), "only a pre-image was read");
        assert_eq!(
            bench.told().await[2..],
            [
                "denied 2 test:vault/rotate.rotate secret:prod/a",
                "denied 3 test:vault/reveal.value secret:prod/a",
            ]
        );
    }
}

#[tokio::test]
async fn an_effect_whose_caller_is_gone_still_gets_its_outcome() {
    let bench = Bench::new().await;
    let gate = bench.gate(SCOPE);
    let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    *bench.vault.slow.lock().unwrap() = Some((Arc::clone(&entered), Arc::clone(&go_on)));
    tokio::select! {
        answer = gate.change(rotate("prod/a")) => panic!("{answer:?}"),
        () = entered.notified() => {}
    }
    // The call's future is dropped by now. To settle is to wait for the effect.
    let settled = Arc::new(AtomicBool::new(false));
    let waiting = tokio::spawn({
        let (gate, settled) = (gate.clone(), Arc::clone(&settled));
        async move {
            gate.settle().await;
            settled.store(true, Ordering::SeqCst);
        }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!settled.load(Ordering::SeqCst), "settled while an effect was under way");
    assert_eq!(bench.told().await, ["intent 1 change secret:prod/a"]);
    go_on.notify_one();
    waiting.await.unwrap();
    assert_eq!(bench.changed(), 1);
    assert_eq!(bench.told().await, ["intent 1 change secret:prod/a", "outcome 1 ok 4"]);
    // A gate with nothing under way settles at once.
    gate.settle().await;
}

#[tokio::test]
async fn a_backend_that_panics_leaves_the_call_in_doubt() {
    let bench = Bench::new().await;
    let gate = bench.gate(SCOPE);
    *bench.vault.panics.lock().unwrap() = true;
    assert!(matches!(gate.change(rotate("prod/a")).await, Err(Fault::Interrupted { .. })));
    gate.settle().await;
    assert_eq!(bench.told().await, ["intent 1 change secret:prod/a"]);
    let audit = bench.journal.reader().unwrap();
    let key = remit_tlog::NoteSigner::from_seed("remit.test/journal", &[9; 32]).unwrap().verifier();
    assert_eq!(audit.verify(&key, None).unwrap().open_calls, 1);
    assert_eq!(told(&audit, &bench.run).len(), 1);
}

#[tokio::test]
async fn a_backend_that_fails_is_an_answer_on_record() {
    let bench = Bench::new().await;
    let gate = bench.gate(SCOPE);
    *bench.vault.failure.lock().unwrap() = Some(Failure::Unavailable("no answer".to_owned()));
    let answer = gate.change(rotate("prod/a")).await.unwrap();
    assert!(!answer.unwrap_err().is_definite());
    // It may have happened, so it counts and it is in the plan.
    assert_eq!((gate.used().changes, gate.observed().steps.len()), (1, 1));
    assert_eq!(
        bench.told().await.last().unwrap(),
        r#"outcome 1 failed {"kind":"unavailable","message":"no answer"}"#
    );
}

#[tokio::test]
async fn without_a_backend_nothing_is_pretended() {
    let bench = Bench::new().await;
    let gate = Gate::new(Setup { estate: Estate::default(), ..bench.setup(SCOPE) });
    assert!(matches!(gate.change(rotate("prod/a")).await, Err(Fault::NoBackend { .. })));
    untouched(&bench);
}

/// Calls at the same time cannot share the last change a limit or plan allows.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_calls_do_not_pass_a_limit() {
    let bench = Bench::new().await;
    let gate = bench.gate(SCOPE);
    let calls: Vec<_> = (0..30)
        .map(|_| {
            let gate = gate.clone();
            tokio::spawn(async move { gate.change(rotate("prod/a")).await.is_ok() })
        })
        .collect();
    let mut admitted = 0;
    for call in calls {
        admitted += u64::from(call.await.unwrap());
    }
    gate.settle().await;
    assert_eq!((admitted, bench.changed(), gate.used().changes), (3, 3, 3));
    assert_eq!(gate.used().host_calls, 30);
}

const DISCLOSING: &str = r#"
[[allow]]
capability = "test:vault/reveal"
resources = ["secret:prod/**"]
disclose = true
[[allow]]
capability = "test:vault/rotate"
resources = ["secret:prod/**"]
"#;

/// The plan of a rehearsal that reveals `prod/b` in `run` and again in `verify`.
async fn disclosing_plan() -> Plan {
    let bench = Bench::new().await;
    // No rule accepts it: the rehearsal shows it, so that a person can decide.
    let gate = bench.rehearsal(SCOPE);
    let told = gate.observe(reveal("prod/b")).await.unwrap().unwrap();
    assert_ne!(told, "swordfish");
    assert_eq!(told.len(), "swordfish".len());
    assert_eq!(
        gate.observe(reveal("prod/b")).await.unwrap().unwrap(),
        told,
        "the same, however often it is asked"
    );
    assert_ne!(gate.observe(reveal("prod/pin")).await.unwrap().unwrap(), "pinned");
    assert!(matches!(gate.observe(reveal("prod/none")).await.unwrap(), Err(Failure::NotFound(_))));
    assert!(bench.told().await.iter().all(|line| line.starts_with("simulated")));
    assert!(!bench.leaked("swordfish").await && !bench.leaked(&told).await);

    let bench = Bench::new().await;
    let gate = bench.rehearsal(SCOPE);
    gate.observe(reveal("prod/b")).await.unwrap().unwrap();
    gate.enter(Phase::Verify).unwrap();
    gate.observe(reveal("prod/b")).await.unwrap().unwrap();
    let plan = gate.observed();
    assert_eq!(plan.steps.iter().map(|step| step.phase).collect::<Vec<_>>(), [Phase::Run, Phase::Verify]);
    serde_json::from_slice(&serde_json::to_vec(&plan).unwrap()).unwrap()
}

#[tokio::test]
async fn a_disclosure_is_a_step_of_the_plan_in_its_phase() {
    let plan = disclosing_plan().await;
    let bench = Bench::new().await;
    let live = |plan: Plan| Gate::new(Setup { plan: Some(plan), ..bench.setup(DISCLOSING) });
    let refused = async |gate: &Gate, path: &str| {
        let touched = bench.touched();
        let fault = gate.observe(reveal(path)).await.unwrap_err();
        assert!(matches!(fault, Fault::NotInPlan { .. }), "{fault}");
        assert_eq!(bench.touched(), touched, "not even read");
    };
    let gate = live(plan.clone());
    refused(&gate, "prod/a").await;
    assert_eq!(gate.observe(reveal("prod/b")).await.unwrap(), Ok("swordfish".to_owned()));
    // Once more in `run` is not the one in `verify`.
    refused(&gate, "prod/b").await;
    gate.enter(Phase::Verify).unwrap();
    assert_eq!(gate.observe(reveal("prod/b")).await.unwrap(), Ok("swordfish".to_owned()));
    refused(&gate, "prod/b").await;
    assert_eq!(gate.used().changes, 0, "to disclose is no change");

    // The first attack of the review: nothing in the plan, the secret in `verify`.
    let gate = live(Plan::default());
    gate.enter(Phase::Verify).unwrap();
    refused(&gate, "prod/b").await;
}

#[tokio::test]
async fn a_change_is_held_to_the_state_it_was_approved_for() {
    let planned = Bench::new().await;
    let rehearsal = planned.rehearsal(SCOPE);
    rehearsal.change(rotate("prod/a")).await.unwrap().unwrap();
    let plan = rehearsal.observed();

    // Somebody rotates between the last rehearsal and the change.
    let bench = Bench::new().await;
    bench.vault.values.lock().unwrap().insert("prod/a".to_owned(), (4, "theirs".to_owned()));
    let gate = bench.with_plan(plan.clone());
    let fault = gate.change(rotate("prod/a")).await.unwrap_err();
    assert!(
        fault.to_string().contains("[put version 4 back] is not what the approved plan has next"),
        "{fault}"
    );
    assert_eq!(bench.changed(), 0);

    // That is told before a limit is: a person must know of it.
    let gate =
        Gate::new(Setup { plan: Some(plan), ..bench.setup(&SCOPE.replace("changes = 3", "changes = 0")) });
    assert!(matches!(gate.change(rotate("prod/a")).await, Err(Fault::NotInPlan { .. })));
}

#[tokio::test]
async fn what_the_host_hands_out_is_metered() {
    let bench = Bench::new().await;
    let gate = bench.gate(&format!("{SCOPE}\nanswers = '1 KiB'"));
    let mut answers = 0;
    let fault = loop {
        match gate.observe(Describe("prod/a".to_owned())).await {
            Ok(answer) => answers += u64::from(answer.is_ok()),
            Err(fault) => break fault,
        }
    };
    assert!(
        matches!(&fault, Fault::Exceeded(Exceeded { limit: Limit::Answers, allowed: 1024, .. })),
        "{fault}"
    );
    assert!(answers > 2 && gate.used().answers > 1024, "{answers}");
    // The one that was too much is on record, and that it was refused: a replay comes to the same end.
    let told = bench.told().await;
    assert_eq!(told.len() as u64, 2 * answers + 3, "{told:#?}");
    let records = bench.journal.reader().unwrap().run(&bench.run).unwrap();
    let limits = Scope::parse(SCOPE, "").unwrap().limits;
    let replay = Gate::replay(Replay::new(bench.run, &records, limits, None));
    for _ in 0..answers {
        replay.observe(Describe("prod/a".to_owned())).await.unwrap().unwrap();
    }
    let fault = replay.observe(Describe("prod/a".to_owned())).await.unwrap_err();
    assert!(matches!(&fault, Fault::Recorded(why) if why.contains("answers")), "{fault}");
    assert_eq!(replay.unasked(), None);

    // And each by itself.
    let bench = Bench::new().await;
    let gate = bench.gate(&format!("{SCOPE}\none_answer = '200 B'"));
    for _ in 0..3 {
        assert_eq!(gate.observe(Content("prod/a".to_owned())).await.unwrap(), Ok("hunter2".to_owned()));
    }
    bench.vault.values.lock().unwrap().insert("prod/long".to_owned(), (3, "x".repeat(360)));
    let fault = gate.observe(Content("prod/long".to_owned())).await.unwrap_err();
    let Fault::Exceeded(Exceeded { limit: Limit::OneAnswer, used, allowed: 200 }) = fault else {
        panic!("{fault}");
    };
    // A record is a few bytes longer or shorter, as its time is.
    for (allowed, fits) in [(used + 16, true), (used - 16, false)] {
        let gate = bench.gate(&format!("{SCOPE}\none_answer = '{allowed} B'"));
        assert_eq!(gate.observe(Content("prod/long".to_owned())).await.is_ok(), fits, "{allowed}");
    }

    // A change that happened happened, whatever its answer comes to.
    let bench = Bench::new().await;
    let gate = bench.gate(&format!("{SCOPE}\nanswers = '1 B'"));
    assert!(matches!(gate.change(rotate("prod/a")).await, Err(Fault::Exceeded(_))));
    let made = gate.made();
    assert_eq!((made.len(), made[0].happened, bench.changed()), (1, Some(true), 1));
}

#[tokio::test]
async fn the_gate_knows_what_came_to_pass() {
    let bench = Bench::new().await;
    let gate = bench.gate(SCOPE);
    gate.change(rotate("prod/a")).await.unwrap().unwrap();
    // This backend fails after it acted: what it says is all that the host knows.
    let said = [Failure::Denied("no".to_owned()), Failure::Unavailable("gone".to_owned())];
    for failure in &said {
        *bench.vault.failure.lock().unwrap() = Some(failure.clone());
        gate.change(rotate("prod/b")).await.unwrap().unwrap_err();
    }
    let made: Vec<_> = gate.made().into_iter().map(|made| (made.intent.call, made.happened)).collect();
    assert_eq!(made, [(1, Some(true)), (2, Some(false)), (3, None)]);
    assert_eq!(gate.failures(), said);
}

#[tokio::test]
async fn each_run_has_its_own_backend_and_may_have_none() {
    let bench = Bench::new().await;
    let estate = |make: fn(&Arc<Vault>, &Scope, Mode) -> Option<Arc<Vault>>| {
        Estate::default().with_per_run(Arc::clone(&bench.vault), make)
    };
    let gate = Gate::new(Setup { estate: estate(|_, _, _| None), ..bench.setup(SCOPE) });
    assert!(!gate.offers::<Describe>());
    let fault = gate.observe(Describe("prod/a".to_owned())).await.unwrap_err();
    assert!(matches!(fault, Fault::NoBackend { .. }), "{fault}");
    let own = estate(|vault, _, mode| (mode == Mode::Live).then(|| Arc::clone(vault)));
    let gate = Gate::new(Setup { estate: own, ..bench.setup(SCOPE) });
    assert!(gate.offers::<Describe>());
    assert_eq!(gate.observe(Describe("prod/a".to_owned())).await.unwrap(), Ok(3));
}

#[tokio::test]
async fn a_failure_that_a_test_asks_for_is_of_a_live_run() {
    let bench = Bench::new().await;
    let failure = Failure::Unavailable("as asked".to_owned());
    let estate = || {
        let injected = Injected { at: 2, failure: failure.clone(), answer_lost: true };
        bench.estate().failing(injected)
    };
    let (rehearsed, lived) = (estate(), estate());
    let describe = || Describe("prod/a".to_owned());
    let rehearsal = Gate::new(Setup {
        estate: rehearsed.clone(),
        mode: Mode::Rehearse,
        window: None,
        ..bench.setup(SCOPE)
    });
    for _ in 0..3 {
        assert_eq!(rehearsal.observe(describe()).await.unwrap(), Ok(3));
    }
    let live = Gate::new(Setup { estate: lived.clone(), ..bench.setup(SCOPE) });
    assert_eq!(live.observe(describe()).await.unwrap(), Ok(3));
    assert_eq!(live.change(rotate("prod/a")).await.unwrap(), Err(failure.clone()));
    assert_eq!(bench.changed(), 1, "only its answer was lost");
    assert_eq!(live.observe(describe()).await.unwrap(), Ok(4));
    assert_eq!((rehearsed.counted(), lived.counted()), (0, 3));
}

/// What reaches nothing but the run itself needs no rule, is never asked to fail, and is no step of a plan.
#[tokio::test]
async fn what_is_ambient_needs_no_rule_and_is_no_step() {
    let bench = Bench::new().await;
    let injected = Injected { at: 1, failure: Failure::Denied("as asked".to_owned()), answer_lost: false };
    let live = Gate::new(Setup { estate: bench.estate().failing(injected), ..bench.setup("") });
    let rehearsal = bench.rehearsal("");
    for gate in [&live, &rehearsal] {
        assert_eq!(gate.observe(Reason).await.unwrap(), Ok("a test".to_owned()));
        assert_eq!(gate.observed(), Plan::default());
        let fault = gate.observe(Describe("prod/a".to_owned())).await.unwrap_err();
        assert!(matches!(fault, Fault::OutOfScope { .. }), "{fault}");
    }
    assert_eq!(live.used().host_calls, 2, "but it is a call, and on record");
    assert!(bench.told().await[0].starts_with("intent 1 observe"));
}

/// What is content is said to be so in the plan, from the first rehearsal to the words of an approver.
#[tokio::test]
async fn a_plan_says_what_is_content_and_in_which_phase() {
    let bench = Bench::new().await;
    let gate = bench.rehearsal(SCOPE);
    gate.observe(Content("prod/a".to_owned())).await.unwrap().unwrap();
    gate.observe(Describe("prod/a".to_owned())).await.unwrap().unwrap();
    assert!(gate.observed().is_idle());
    gate.observe(Reveal("prod/a".to_owned())).await.unwrap().unwrap();
    gate.enter(Phase::Verify).unwrap();
    gate.observe(Describe("prod/b".to_owned())).await.unwrap().unwrap();
    let plan = gate.observed();
    assert!(!plan.is_idle(), "a disclosure is more than a look");
    let told: Vec<_> = plan.steps.iter().map(|step| (step.content, step.words())).collect();
    let words = |content: bool, words: &str| (content, words.to_owned());
    assert_eq!(
        told,
        [
            words(true, r#"test:vault/read.content on secret:prod/a with "prod/a""#),
            words(false, r#"test:vault/read.describe on secret:prod/a with "prod/a""#),
            words(false, r#"test:vault/reveal.value on secret:prod/a with "prod/a""#),
            words(false, r#"test:vault/read.describe on secret:prod/b with "prod/b" in verify"#),
        ]
    );
    // In JSON `run` is what nothing is said of.
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!((&json["steps"][0]["phase"], &json["steps"][3]["phase"]), (&Value::Null, &"verify".into()));
    assert_eq!((&json["steps"][0]["content"], &json["steps"][1]["content"]), (&true.into(), &Value::Null));
}

/// What is printed of these for a developer holds no value.
#[tokio::test]
async fn what_is_printed_for_a_developer_tells_no_value() {
    let bench = Bench::new().await;
    assert_eq!(format!("{:?}", bench.estate()), "Estate(1 backends)");
    assert_eq!(format!("{:?}", Noise::new(&[7; 32])), "Noise(..)");
    let rotate = format!("{:?}", Known::change::<Rotate>());
    assert!(rotate.contains("test:vault/rotate.rotate") && rotate.contains("Reverse(..)"), "{rotate}");
    let resource = Resource::new("secret", "prod/a").unwrap();
    assert!(format!("{resource:?}").contains("secret:prod/a"));
}

/// As a person reads it: whether to try again, and whether anything may have happened.
#[test]
fn a_failure_says_what_may_be_done_about_it() {
    let of = |failure: fn(String) -> Failure| {
        let failure = failure(String::new());
        (failure.is_of_the_state(), failure.is_definite())
    };
    for failure in [Failure::NotFound, Failure::Conflict, Failure::Invalid] {
        assert_eq!(of(failure), (true, true));
    }
    assert_eq!(of(Failure::Denied), (false, true));
    assert_eq!(of(Failure::Unavailable), (false, false));
}

/// OCSF's class 7001 gives each its number and name.
#[test]
fn a_countermeasure_has_its_number_and_name() {
    use Countermeasure::{Detect, Evict, Harden, Isolate, Restore};
    let all = [Isolate, Evict, Restore, Harden, Detect];
    assert_eq!(
        all.map(|one| (one.id(), one.name())),
        [(1, "Isolate"), (2, "Evict"), (3, "Restore"), (4, "Harden"), (5, "Detect")]
    );
}

#[test]
fn a_limit_says_how_much_of_what() {
    let told = |limit| Exceeded { limit, used: 12, allowed: 11 }.to_string();
    for (limit, unit) in [
        (Limit::Fuel, "units"),
        (Limit::WallTime, "ms"),
        (Limit::Memory, "bytes"),
        (Limit::TableElements, "elements"),
        (Limit::HostCalls, "calls"),
        (Limit::Changes, "changes"),
    ] {
        assert!(told(limit).contains(&format!("12 {unit}")), "{}", told(limit));
    }
}

/// A run has the values that it was given, each under its whole handle.
#[tokio::test]
async fn a_run_has_its_own_sealed_inputs_only() {
    let bench = Bench::new().await;
    let opening = Opening::new("hunter2".to_owned().into()).unwrap();
    let [handle, other] = ["token", "key"].map(|name| ValueHandle::Input(opening.handle("log", name)));
    let value = || SecretText::new("hunter2".to_owned());
    let setup = bench.setup(SCOPE);
    let estate = setup.estate.with_sealed_values([(handle.clone(), value())].into());
    let gate = Gate::new(Setup { estate, ..bench.setup(SCOPE) });
    assert!(gate.sealed_value(&handle).is_some_and(|found| found == value()));
    assert!(gate.sealed_value(&other).is_none());
    assert!(bench.gate(SCOPE).sealed_value(&handle).is_none());
    assert_eq!(gate.sealed_values().into_keys().collect::<Vec<_>>(), [handle]);
}

#[tokio::test]
async fn a_generated_value_is_had_by_its_handle_in_its_own_run_only() {
    let bench = Bench::new().await;
    let (gate, other) = (bench.gate(SCOPE), bench.gate(SCOPE));
    for (number, value) in [(1, "swordfish"), (2, "hunter2")] {
        let handle = gate.observe(Generate(value.to_owned())).await.unwrap().unwrap();
        assert_eq!(handle, format!("generated:{number}"));
        let found = gate.sealed_value(&handle.parse().unwrap());
        assert!(found.is_some_and(|found| found == SecretText::new(value.to_owned())), "{handle}");
        assert!(other.sealed_value(&ValueHandle::Generated(number)).is_none());
    }
    for number in [0, 3, u64::MAX] {
        assert!(gate.sealed_value(&ValueHandle::Generated(number)).is_none(), "{number}");
    }
    let all: Vec<_> = gate.sealed_values().into_iter().collect();
    let of = |number, value: &str| (ValueHandle::Generated(number), SecretText::new(value.to_owned()));
    assert_eq!(all, [of(1, "swordfish"), of(2, "hunter2")]);
    assert!(other.sealed_values().is_empty());
}
