//! `[[require]]` of a scope: the one only after the other, on the same path, in the same run, and successfully.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::support::{Bench, Describe, Destroy, rotate};
use remit_gate::{Failure, Fault, Gate};

const SCOPE: &str = r#"
[[require]]
capability = "test:vault/rotate"
before = "test:vault/destroy"

[[allow]]
capability = "test:vault/rotate"
resources = ["secret:prod/**"]

[[allow]]
capability = "test:vault/destroy"
resources = ["secret:prod/**"]
irrevocable = true

[[allow]]
capability = "test:vault/read"
resources = ["secret:prod/**"]

[limits]
changes = 9
"#;

async fn destroys(gate: &Gate, path: &str) -> Result<(), Fault> {
    gate.change(Destroy(path.to_owned())).await.map(|answer| answer.unwrap())
}

/// Refused, with its reason; nothing was touched by it.
async fn is_refused(bench: &Bench, gate: &Gate, path: &str) {
    let changed = bench.changed();
    match destroys(gate, path).await {
        Err(Fault::OutOfScope { reason, .. }) => {
            assert!(reason.contains(&format!("demands test:vault/rotate of {path} before it")), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.changed(), changed);
}

#[tokio::test]
async fn the_one_comes_only_after_the_other_of_the_same_path() {
    let bench = Bench::new().await;
    let gate = bench.gate(SCOPE);
    is_refused(&bench, &gate, "prod/a").await;
    // To look is not what is demanded, nor is the same of another path, of one above or of one below.
    gate.observe(Describe("prod/a".to_owned())).await.unwrap().unwrap();
    gate.change(rotate("prod/b")).await.unwrap().unwrap();
    is_refused(&bench, &gate, "prod/a").await;
    gate.change(rotate("prod/a")).await.unwrap().unwrap();
    destroys(&gate, "prod/a").await.unwrap();
    destroys(&gate, "prod/b").await.unwrap();
    assert!(bench.told().await.iter().any(|line| line.starts_with("denied 1 test:vault/destroy")));
    // Another run has to do it again, and so has one after a rehearsal.
    let bench = Bench::new().await;
    let rehearsal = bench.rehearsal(SCOPE);
    is_refused(&bench, &rehearsal, "prod/a").await;
    rehearsal.change(rotate("prod/a")).await.unwrap().unwrap();
    destroys(&rehearsal, "prod/a").await.unwrap();
    assert_eq!(bench.changed(), 0);
    let gate = bench.gate(SCOPE);
    is_refused(&bench, &gate, "prod/a").await;
    gate.change(rotate("prod/a")).await.unwrap().unwrap();
    is_refused(&bench, &bench.gate(SCOPE), "prod/a").await;
}

#[tokio::test]
async fn what_failed_is_not_done() {
    for failure in [Failure::Conflict("x".to_owned()), Failure::Unavailable("x".to_owned())] {
        let bench = Bench::new().await;
        let gate = bench.gate(SCOPE);
        *bench.vault.failure.lock().unwrap() = Some(failure.clone());
        assert_eq!(gate.change(rotate("prod/a")).await.unwrap(), Err(failure));
        *bench.vault.failure.lock().unwrap() = None;
        is_refused(&bench, &gate, "prod/a").await;
        gate.change(rotate("prod/a")).await.unwrap().unwrap();
        destroys(&gate, "prod/a").await.unwrap();
    }
}
