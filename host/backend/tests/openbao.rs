//! The OpenBao backend against the real server, with the server's own client as the witness.

#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says what went wrong by failing"
)]
#![allow(unreachable_pub, reason = "modules shared with other tests")]

#[path = "common/bao.rs"]
mod bao;
#[path = "common/gate.rs"]
mod gate;

use std::os::unix::fs::PermissionsExt as _;

use bao::{Bao, ROOT};
use gate::{Bench, Change, secret};
use remit_backend::{
    Metadata, OpenBao, OpenBaoConfig, SecretView, Secrets, SecretsConfig, Serving, Systems as _, VersionState,
};
use remit_gate::Failure;

struct Fixture {
    server: Bao,
    home: tempfile::TempDir,
    config: OpenBaoConfig,
}

impl Fixture {
    fn new() -> Self {
        Self::with(Bao::start(), ROOT)
    }

    fn with(server: Bao, token: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let config = OpenBaoConfig {
            address: server.address(),
            mount: "secret".to_owned(),
            namespace: None,
            token_file: Some("token".into()),
            token_env: None,
            ca_file: None,
            timeout: jiff::SignedDuration::from_secs(5),
        };
        let fixture = Self { server, home, config };
        fixture.set_token(token);
        fixture
    }

    fn set_token(&self, token: &str) {
        let file = self.home.path().join("token");
        std::fs::write(&file, token).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn store(&self) -> OpenBao {
        OpenBao::open(&self.config, self.home.path()).unwrap()
    }

    fn bench(&self) -> Bench {
        let entry =
            SecretsConfig { serving: Serving::Openbao(self.config.clone()), ..SecretsConfig::default() };
        Bench::new(Secrets::open(&[entry], self.home.path()).unwrap())
    }

    async fn metadata(&self, path: &str) -> Result<Metadata, Failure> {
        self.store().metadata(&secret(path)).await
    }

    async fn states(&self, path: &str) -> Vec<VersionState> {
        self.metadata(path).await.unwrap().versions.iter().map(|version| version.state).collect()
    }
}

#[tokio::test]
async fn versions_come_and_go() {
    use VersionState::{Destroyed, Disabled, Enabled};
    let fixture = Fixture::new();
    let (bench, store) = (fixture.bench(), fixture.store());
    // Every character that a path may have.
    let path = "prod/A-z_0.9@x+y=z~/stripe";
    assert!(matches!(fixture.metadata(path).await, Err(Failure::NotFound(_))));

    let awkward = "q\"\\ü€\u{1F511}\n";
    assert_eq!(bench.put(path, 0, &[("key", "one"), ("user", awkward)]).await, Ok(1));
    assert_eq!(bench.put(path, 1, &[("key", "two"), ("user", awkward)]).await, Ok(2));
    assert_eq!(fixture.server.value(path, 1, "key"), "one");
    assert_eq!(fixture.server.value(path, 2, "key"), "two");
    let read = store.read(&secret(path), 1).await.unwrap();
    assert_eq!((read.get("key"), read.get("user")), (Some("one"), Some(awkward)));

    let metadata = fixture.metadata(path).await.unwrap();
    assert_eq!((metadata.current, metadata.versions.len()), (2, 2));
    let age = jiff::Timestamp::now().as_millisecond() - i64::try_from(metadata.versions[0].created).unwrap();
    assert!((0..60_000).contains(&age), "{age}");

    bench.change(path, Change::Disable(1)).await.unwrap();
    assert_eq!(fixture.states(path).await, [Disabled, Enabled]);
    let unreadable = store.read(&secret(path), 1).await.unwrap_err();
    assert!(matches!(&unreadable, Failure::NotFound(why) if why.ends_with("is disabled")), "{unreadable}");
    assert!(matches!(bench.change(path, Change::Disable(1)).await, Err(Failure::Conflict(_))));
    bench.change(path, Change::Enable(1)).await.unwrap();
    assert_eq!(fixture.server.value(path, 1, "key"), "one");

    bench.change(path, Change::Destroy(1)).await.unwrap();
    assert_eq!(fixture.states(path).await, [Destroyed, Enabled]);
    let gone = store.read(&secret(path), 1).await.unwrap_err();
    assert!(matches!(&gone, Failure::NotFound(why) if why.ends_with("is destroyed")), "{gone}");
    assert!(matches!(bench.change(path, Change::Enable(1)).await, Err(Failure::Conflict(_))));
    assert!(matches!(bench.change(path, Change::Destroy(1)).await, Err(Failure::Conflict(_))));
    assert!(matches!(bench.change(path, Change::Destroy(7)).await, Err(Failure::NotFound(_))));
    assert!(matches!(store.read(&secret(path), 7).await, Err(Failure::NotFound(_))));
    assert_eq!(fixture.server.value(path, 2, "key"), "two");
}

#[tokio::test]
async fn somebody_else_was_first() {
    let fixture = Fixture::new();
    let bench = fixture.bench();
    bench.put("a", 0, &[("key", "one")]).await.unwrap();
    fixture.server.client(&["kv", "put", "-mount=secret", "a", "key=by-hand"]);
    for expected in [0, 1, 3] {
        let lost = bench.put("a", expected, &[("key", "mine")]).await;
        assert!(matches!(lost, Err(Failure::Conflict(_))), "{expected}: {lost:?}");
    }
    assert_eq!(fixture.metadata("a").await.unwrap().current, 2);
    assert_eq!(fixture.server.value("a", 2, "key"), "by-hand");
}

#[tokio::test]
async fn a_narrow_token_can_do_just_that() {
    let server = Bao::start();
    server.client(&["kv", "put", "-mount=secret", "prod/a", "key=one"]);
    server.client(&["kv", "put", "-mount=secret", "dev/a", "key=one"]);
    let token = server.token(
        r#"path "secret/metadata/prod/*" { capabilities = ["read"] }
           path "secret/data/prod/*" { capabilities = ["create", "read", "update"] }"#,
        "1h",
    );
    let fixture = Fixture::with(server, &token);
    let bench = fixture.bench();
    assert_eq!(bench.put("prod/a", 1, &[("key", "two")]).await, Ok(2));
    let refused = bench.change("prod/a", Change::Disable(1)).await.unwrap_err();
    assert!(
        matches!(&refused, Failure::Denied(why) if why.contains("\"secret/delete/prod/a\"")),
        "{refused}"
    );
    assert!(matches!(fixture.metadata("dev/a").await, Err(Failure::Denied(_))));
    assert!(matches!(bench.put("dev/a", 1, &[("key", "two")]).await, Err(Failure::Denied(_))));
    let told = fixture.store().check("prod").await.unwrap();
    assert!(told.contains("KV version 2 at `secret`") && told.contains("token valid for "), "{told}");

    fixture.server.client(&["token", "revoke", &token]);
    let expired = fixture.store().check("prod").await.unwrap_err();
    assert!(matches!(&expired, Failure::Denied(why) if !why.contains(&token)), "{expired}");
    // A renewed token in the file is picked up without a restart.
    fixture.set_token(ROOT);
    assert_eq!(bench.put("prod/a", 2, &[("key", "three")]).await, Ok(3));
}

#[tokio::test]
async fn the_check_names_what_is_wrong() {
    let mut fixture = Fixture::new();
    let told = fixture.store().check("prod").await.unwrap();
    assert!(told.contains(&fixture.server.address()) && told.contains("root token"), "{told}");

    fixture.server.client(&["secrets", "enable", "-path=old", "-version=1", "kv"]);
    fixture.config.mount = "old".to_owned();
    let old = fixture.store().check("prod").await.unwrap_err().to_string();
    assert!(old.contains("not KV version 2"), "{old}");
    for failed in
        [fixture.metadata("a").await.map(drop), fixture.store().read(&secret("a"), 1).await.map(drop)]
    {
        let failed = failed.unwrap_err().to_string();
        assert!(failed.contains("`old` is a kv engine version 1, not KV version 2"), "{failed}");
    }

    fixture.config.mount = "nowhere".to_owned();
    let nowhere = fixture.store().check("prod").await.unwrap_err().to_string();
    assert!(nowhere.contains("check `mount`"), "{nowhere}");
    assert!(matches!(fixture.metadata("a").await, Err(Failure::NotFound(why)) if why.contains("`mount`")));
    fixture.config.mount = "secret".to_owned();

    fixture.set_token("s.nonsense");
    assert!(matches!(fixture.store().check("prod").await, Err(Failure::Denied(_))));
    fixture.set_token(ROOT);

    fixture.server.client(&["operator", "seal"]);
    for sealed in [fixture.store().check("prod").await.map(drop), fixture.metadata("a").await.map(drop)] {
        assert!(matches!(&sealed, Err(Failure::Unavailable(why)) if why.contains("is sealed")), "{sealed:?}");
    }
    let bench = fixture.bench();
    assert!(matches!(bench.put("a", 0, &[("key", "one")]).await, Err(Failure::Unavailable(_))));

    fixture.server.stop();
    assert!(matches!(fixture.store().check("prod").await, Err(Failure::Unavailable(_))));
}

#[tokio::test]
async fn a_field_that_is_not_text_is_left_alone() {
    let fixture = Fixture::new();
    let json = fixture.home.path().join("secret.json");
    std::fs::write(&json, r#"{"key":"hunter2","port":5432,"tls":true}"#).unwrap();
    fixture.server.client(&["kv", "put", "-mount=secret", "a", &format!("@{}", json.display())]);
    let refused = fixture.store().read(&secret("a"), 1).await.unwrap_err();
    assert!(matches!(&refused, Failure::Invalid(why) if why.contains("`port`, `tls`")), "{refused}");
}

#[tokio::test]
async fn only_the_configured_ca_is_trusted() {
    let mut fixture = Fixture::with(Bao::start_tls(), ROOT);
    fixture.config.ca_file = Some(fixture.server.ca());
    assert_eq!(fixture.bench().put("a", 0, &[("key", "one")]).await, Ok(1));
    assert_eq!(fixture.server.value("a", 1, "key"), "one");

    fixture.config.ca_file = None;
    let untrusted = fixture.metadata("a").await.unwrap_err();
    assert!(matches!(&untrusted, Failure::Unavailable(why) if why.contains("certificate")), "{untrusted}");
}

#[tokio::test]
async fn a_namespace_is_its_own_world() {
    let mut fixture = Fixture::new();
    fixture.server.client(&["namespace", "create", "team"]);
    fixture.server.client(&["secrets", "enable", "-namespace=team", "-path=secret", "-version=2", "kv"]);
    fixture.config.namespace = Some("team".to_owned());
    assert!(fixture.store().check("prod").await.is_ok());
    assert_eq!(fixture.bench().put("a", 0, &[("key", "one")]).await, Ok(1));
    let seen = fixture.server.client(&["kv", "get", "-namespace=team", "-mount=secret", "-field=key", "a"]);
    assert_eq!(seen.trim_end(), "one");
    fixture.config.namespace = None;
    assert!(matches!(fixture.metadata("a").await, Err(Failure::NotFound(_))));
}

#[tokio::test]
async fn the_check_names_every_right_that_is_missing() {
    const READ: &str = r#"path "secret/metadata/prod/*" { capabilities = ["read"] }
        path "secret/data/prod/*" { capabilities = ["read", "update"] }"#;
    const DELETE: &str = r#"path "secret/delete/prod/*" { capabilities = ["update"] }"#;
    const UNDELETE: &str = r#"path "secret/undelete/prod/*" { capabilities = ["update"] }"#;
    const DESTROY: &str = r#"path "secret/destroy/prod/*" { capabilities = ["update"] }"#;
    let fixture = Fixture::new();
    let check = async |policy: String| {
        fixture.set_token(&fixture.server.token(&policy, "1h"));
        fixture.store().check("prod").await
    };

    let all = check([READ, DELETE, UNDELETE, DESTROY].concat()).await.unwrap();
    assert!(all.ends_with("it may rotate, disable and destroy"), "{all}");
    let some = check(READ.to_owned()).await.unwrap();
    assert!(some.contains(r#"lacks [update] on "secret/delete/prod/*""#), "{some}");
    // What it disables could not be enabled again.
    let one_way = check([READ, DELETE].concat()).await.unwrap_err();
    assert!(
        matches!(&one_way, Failure::Denied(why) if why.contains(r#"[update] on "secret/undelete/prod/*""#)),
        "{one_way}"
    );
    let blind = check(READ.replace(r#""read", "update""#, r#""update""#)).await.unwrap_err();
    assert!(
        matches!(&blind, Failure::Denied(why) if why.contains(r#"[read] on "secret/data/prod/*""#)),
        "{blind}"
    );
    // A policy that names secrets one by one is none of the check's business.
    let narrow = check(READ.replace("prod/*", "prod/a")).await.unwrap();
    assert!(narrow.contains("asked before each change"), "{narrow}");

    let mute =
        fixture.server.client(&["token", "create", "-no-default-policy", "-policy=test", "-field=token"]);
    fixture.set_token(mute.trim());
    let blind = fixture.store().check("prod").await.unwrap_err();
    assert!(
        matches!(&blind, Failure::Denied(why) if why.contains(r#"counts, and its policy lacks [read] on "secret/metadata/prod/remit-doctor""#)),
        "{blind}"
    );
    // That nothing can be looked up is no fault of a token that may do what it must.
    let tokens = |rules: &str| {
        fixture.server.token(rules, "1h");
        fixture.server.client(&["token", "create", "-no-default-policy", "-policy=test", "-field=token"])
    };
    fixture.set_token(tokens(READ).trim());
    let told = fixture.store().check("prod").await.unwrap();
    assert!(
        told.contains("cannot be looked up (its policy lacks [update] on \"sys/capabilities-self\")"),
        "{told}"
    );
    assert!(told.contains("lacks [read] on \"auth/token/lookup-self\""), "{told}");
}

#[tokio::test]
async fn slashes_at_the_ends_of_settings_mean_nothing() {
    let mut fixture = Fixture::new();
    fixture.server.client(&["namespace", "create", "team"]);
    fixture.server.client(&["secrets", "enable", "-namespace=team", "-path=kv/x", "-version=2", "kv"]);
    fixture.config.address += "/";
    (fixture.config.mount, fixture.config.namespace) = ("/kv/x/".to_owned(), Some("/team/".to_owned()));
    assert!(fixture.store().check("prod").await.is_ok());
    assert_eq!(fixture.bench().put("a", 0, &[("key", "one")]).await, Ok(1));
    let seen = fixture.server.client(&["kv", "get", "-namespace=team", "-mount=kv/x", "-field=key", "a"]);
    assert_eq!(seen.trim_end(), "one");
}

#[tokio::test]
async fn metadata_without_a_version_is_no_version_yet() {
    let fixture = Fixture::new();
    fixture.server.client(&["kv", "metadata", "put", "-mount=secret", "-custom-metadata=owner=t", "a"]);
    let found = fixture.metadata("a").await.unwrap();
    assert_eq!((found.current, found.versions.len()), (0, 0));
}

/// A server that is busy says so itself, and what it says reaches whoever asked.
#[tokio::test]
async fn a_quota_of_the_server_is_told_in_its_words() {
    let fixture = Fixture::new();
    fixture.bench().put("a", 0, &[("key", "one")]).await.unwrap();
    fixture.server.client(&["write", "sys/quotas/config", "enable_rate_limit_response_headers=true"]);
    fixture.server.client(&["write", "sys/quotas/rate-limit/all", "path=secret", "rate=0.01", "interval=1h"]);
    let mut told = String::new();
    for _ in 0..3 {
        if let Err(busy) = fixture.metadata("a").await {
            told = busy.to_string();
        }
    }
    assert!(told.contains("status 429 (it is busy): \"") && told.contains("rate limit quota"), "{told}");
    // Our own clock is not asked: how long is the server's to say.
    assert!(told.contains("it asks to be left alone for "), "{told}");
}

#[tokio::test]
async fn the_server_deletes_by_its_own_clock() {
    let fixture = Fixture::new();
    fixture.server.client(&["kv", "metadata", "put", "-mount=secret", "-delete-version-after=2s", "a"]);
    fixture.server.client(&["kv", "put", "-mount=secret", "a", "key=one"]);
    assert_eq!(fixture.states("a").await, [VersionState::Enabled]);
    assert!(fixture.metadata("a").await.unwrap().versions[0].expires.is_some());
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(fixture.states("a").await, [VersionState::Disabled]);
    let gone = fixture.store().read(&secret("a"), 1).await.unwrap_err();
    assert!(matches!(&gone, Failure::NotFound(why) if why.ends_with("is disabled")), "{gone}");
}
