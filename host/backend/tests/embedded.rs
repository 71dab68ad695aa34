//! The embedded store through a gate, as operations reach it.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test says what went wrong by failing")]
#![allow(unreachable_pub, reason = "a module shared with another test")]

#[path = "common/gate.rs"]
mod gate;

use gate::{Bench, Change, secret};
use remit_backend::{Secrets, SecretsConfig, Systems as _};
use remit_gate::Failure;

#[tokio::test]
async fn changes_go_through_the_gate() {
    let home = tempfile::tempdir().unwrap();
    let open = || Secrets::open(&[SecretsConfig::default()], home.path()).unwrap();
    let bench = Bench::new(open());
    assert_eq!(bench.put("prod/a", 0, &[("key", "one")]).await, Ok(1));
    assert_eq!(bench.put("prod/a", 1, &[("key", "two")]).await, Ok(2));
    assert!(matches!(bench.put("prod/a", 1, &[("key", "x")]).await, Err(Failure::Conflict(_))));
    bench.change("prod/a", Change::Disable(1)).await.unwrap();
    bench.change("prod/a", Change::Enable(1)).await.unwrap();
    bench.change("prod/a", Change::Destroy(1)).await.unwrap();

    let reopened = open();
    let (store, _) = reopened.at(&secret("prod/a")).unwrap();
    assert_eq!(store.read(&secret("prod/a"), 2).await.unwrap().get("key"), Some("two"));
    assert!(matches!(store.read(&secret("prod/a"), 1).await, Err(Failure::NotFound(_))));
    assert_eq!(store.metadata(&secret("prod/a")).await.unwrap().current, 2);
}
