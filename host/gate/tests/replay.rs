//! The same action again, from its record: the same answers, or where it differs.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::sync::Arc;

use crate::support::{Bench, Describe, Reveal, Rotate, SCOPE, reveal, rotate};
use remit_gate::{Exceeded, Failure, Fault, Gate, Limit, Phase, Replay, Scope};
use remit_journal::{Event, Record};

/// All of the run's records, and a replay of them.
async fn replay(bench: &Bench) -> (Vec<(u64, Record)>, Gate) {
    bench.journal.flush().await.unwrap();
    let records = bench.journal.reader().unwrap().run(&bench.run).unwrap();
    let limits = Scope::parse(SCOPE, "").unwrap().limits;
    let gate = Gate::replay(Replay::new(bench.run, &records, limits, Some(Arc::clone(&bench.sealer))));
    (records, gate)
}

/// Where it differs.
fn differs(fault: Fault) -> String {
    match fault {
        Fault::Diverged(divergence) => divergence.at,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_rehearsal_is_replayed_from_what_it_played() {
    let bench = Bench::new().await;
    let gate = bench.rehearsal(SCOPE);
    let told = gate.observe(reveal("prod/b")).await.unwrap();
    assert_eq!(gate.change(rotate("prod/a")).await.unwrap(), Ok(4));
    assert_eq!(
        gate.change(rotate("prod/none")).await.unwrap(),
        Err(Failure::NotFound("prod/none".to_owned()))
    );
    let (_, replay) = replay(&bench).await;
    assert!(replay.offers::<Reveal>() && !replay.offers::<Rotate>(), "only what is next");
    assert!(replay.unasked().unwrap().contains("reveal.value on secret:prod/b"));
    assert_eq!(replay.observe(reveal("prod/b")).await.unwrap(), told);
    assert_eq!(replay.change(rotate("prod/a")).await.unwrap(), Ok(4));
    assert_eq!((replay.used().host_calls, replay.used().changes), (2, 1));
    assert_eq!(differs(replay.change(rotate("prod/b")).await.unwrap_err()), "call 3");
}

#[tokio::test]
async fn a_replay_is_limited_as_its_run_was() {
    let bench = Bench::new().await;
    let limits = Scope::parse("[limits]\nlog_bytes = '10 B'", "").unwrap().limits;
    let replay = Gate::replay(Replay::new(bench.run, &[], limits, None));
    replay.charge_log(10).unwrap();
    assert!(matches!(replay.charge_log(1), Err(Fault::Exceeded(Exceeded { limit: Limit::LogBytes, .. }))));
    assert_eq!((replay.used().log_bytes, replay.unasked()), (11, None));
    assert!(matches!(replay.change(rotate("prod/a")).await, Err(Fault::EndOfRecord)));
}

/// What a replay is asked for is what is on record, in its place and phase, or it says where it differs.
#[tokio::test]
async fn a_replay_finds_each_difference() {
    let bench = Bench::new().await;
    let scope = SCOPE.replace("test:vault/reveal\"", "test:vault/reveal\"\ndisclose = true");
    let gate = bench.gate(&scope);
    gate.refuse("test:vault/rotate.rotate", "../x", "no such path").unwrap();
    assert!(!gate.was_told());
    let told = gate.observe(reveal("prod/b")).await.unwrap();
    assert!(gate.was_told(), "whatever the action says from here on may hold it");
    gate.observe(reveal("prod/a")).await.unwrap().unwrap();
    gate.enter(Phase::Verify).unwrap();
    let (records, _) = replay(&bench).await;
    let limits = Scope::parse(SCOPE, "").unwrap().limits;
    let replay = |records: &[_]| {
        Gate::replay(Replay::new(bench.run, records, limits.clone(), Some(Arc::clone(&bench.sealer))))
    };
    for (operation, argument, why) in [
        ("test:vault/rotate.other", "../x", "no such path"),
        ("test:vault/rotate.rotate", "../y", "no such path"),
        ("test:vault/rotate.rotate", "../x", "another reason"),
    ] {
        differs(replay(&records).refuse(operation, argument, why).unwrap_err());
    }
    let same = replay(&records);
    assert!(same.offers::<Rotate>() && !same.offers::<Reveal>(), "the refusal is next");
    same.refuse("test:vault/rotate.rotate", "../x", "no such path").unwrap();
    assert!(same.offers::<Reveal>() && !same.offers::<Rotate>());
    assert_eq!(same.observe(reveal("prod/b")).await.unwrap(), told);
    same.observe(reveal("prod/a")).await.unwrap().unwrap();
    differs(same.enter(Phase::HostCheck).unwrap_err());

    // What was told at one call does not open at another.
    let mut swapped = records.clone();
    let mut outcomes: Vec<_> = swapped
        .iter_mut()
        .filter_map(|(_, record)| match &mut record.event {
            Event::Outcome(outcome) => Some(outcome),
            _ => None,
        })
        .collect();
    let (first, second) = outcomes.split_at_mut(1);
    std::mem::swap(&mut first[0].result, &mut second[0].result);
    let other = replay(&swapped);
    other.refuse("test:vault/rotate.rotate", "../x", "no such path").unwrap();
    let fault = other.observe(reveal("prod/b")).await.unwrap_err();
    assert!(matches!(fault, Fault::Record { verb: "read", .. }), "{fault}");
}

#[tokio::test]
async fn a_run_is_replayed_with_its_refusals_and_counts() {
    let bench = Bench::new().await;
    let gate = bench.gate(SCOPE);
    let describe = || Describe("prod/b".to_owned());
    assert_eq!(gate.observe(describe()).await.unwrap(), Ok(3));
    assert!(matches!(gate.change(rotate("dev/a")).await, Err(Fault::OutOfScope { .. })));
    assert_eq!(gate.change(rotate("prod/a")).await.unwrap(), Ok(4));
    gate.enter(Phase::Verify).unwrap();
    assert_eq!(gate.observe(describe()).await.unwrap(), Ok(3));
    // What came to pass when the action had run is nothing that it asked for.
    gate.enter(Phase::Revert).unwrap();
    assert!(matches!(gate.change(rotate("prod/a")).await, Err(Fault::ReadOnly { .. })));
    let (_, same) = replay(&bench).await;
    // Its refusal is of the next call, not of this one.
    assert_eq!(same.observe(describe()).await.unwrap(), Ok(3));
    let fault = same.change(rotate("dev/a")).await.unwrap_err();
    assert!(matches!(&fault, Fault::Recorded(why) if why.contains("dev/a")), "{fault}");
    assert_eq!(same.change(rotate("prod/a")).await.unwrap(), Ok(4));
    same.enter(Phase::Verify).unwrap();
    assert_eq!(same.observe(describe()).await.unwrap(), Ok(3));
    assert_eq!(same.unasked(), None);
    assert_eq!((same.used().host_calls, same.used().changes), (4, 1));

    // The same name, place and arguments each: nothing less is the call on record.
    let other = || Rotate { suffix: "!".to_owned(), ..rotate("dev/a") };
    let (_, one) = replay(&bench).await;
    assert_eq!(differs(one.observe(reveal("prod/b")).await.unwrap_err()), "call 1");
    assert_eq!(differs(one.change(other()).await.unwrap_err()), "call 2");
    assert_eq!(differs(one.change(rotate("prod/b")).await.unwrap_err()), "call 3");
    assert_eq!(differs(one.observe(describe()).await.unwrap_err()), "a change of phase");
    let (_, one) = replay(&bench).await;
    one.observe(describe()).await.unwrap().unwrap();
    assert_eq!(differs(one.change(rotate("dev/b")).await.unwrap_err()), "call 2");
    assert_eq!(differs(one.enter(Phase::Verify).unwrap_err()), "call 3");
}
