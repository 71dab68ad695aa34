//! Checks everything that a run needs before it is needed.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use miette::Diagnostic;
use remit_backend::Trouble;
use remit_capability::connected::Connector as _;
use remit_gate::Failure;
use remit_journal::{Reader, RunSummary};
use remit_trust::issuers::IssuerKind;
use serde::Serialize;

use crate::status::OpenRuns;
use crate::time::second;
use crate::{Config, Error, Home, Rules, frozen};

/// The result of one check.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What was checked: `configuration`, `publisher keys`, `journal`.
    pub what: String,
    /// Whether the check found no problem.
    pub ok: bool,
    /// The result in one sentence, good or bad.
    pub detail: String,
    /// How to fix the problem; none if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    fn of<E: Diagnostic>(what: &str, result: Result<String, E>) -> Self {
        match result {
            Ok(detail) => Self { what: what.to_owned(), ok: true, detail, fix: None },
            Err(error) => Self {
                what: what.to_owned(),
                ok: false,
                detail: error.to_string(),
                fix: error.help().map(|help| help.to_string()),
            },
        }
    }

    fn bad(what: &str, detail: &str, fix: &str) -> Self {
        Self { what: what.to_owned(), ok: false, detail: detail.to_owned(), fix: Some(fix.to_owned()) }
    }
}

/// Checks each configured system.
async fn systems(config: &Config, home: &Home) -> Vec<Finding> {
    let mut findings = Vec::new();
    for section in &config.systems {
        match section.check(home.path()).await {
            Err(error) => findings.push(Finding::of(section.name(), Err(error))),
            Ok(checks) => findings.extend(checks.into_iter().map(|check| match check.found {
                Ok(detail) => Finding { what: check.what, ok: true, detail, fix: None },
                Err(wrong) => Finding::bad(&check.what, &wrong.why, wrong.fix),
            })),
        }
    }
    findings
}

/// Admits and compiles each connector, and sends the one read by which its description has its credential checked.
async fn connectors(config: Config, home: &Home) -> Vec<Finding> {
    if config.connectors.is_empty() && config.accounts.is_empty() {
        return Vec::new();
    }
    let setup = remit_sandbox::Sandbox::new(home.open_cache())
        .map_err(Error::from)
        .and_then(|sandbox| home.setup(config, sandbox.engine(), &[]));
    let setup = match setup {
        Ok(setup) => setup,
        Err(error) => return vec![Finding::of("connectors", Err(error))],
    };
    let mut findings = Vec::new();
    for connector in &setup.connectors {
        let of = connector.reference();
        let what = format!("connector {}", of.instance);
        let served = of.interfaces.iter().map(|of| of.name.as_str()).collect::<Vec<_>>().join(", ");
        findings.push(match connector.compile().await {
            Ok(()) => Finding {
                what,
                ok: true,
                detail: format!("{}, serves {served}", crate::connectors::words(of)),
                fix: None,
            },
            Err(failure) => {
                Finding::bad(&what, &failure.to_string(), "build it anew, with the tools of this Remit")
            }
        });
        let asked = Arc::clone(connector);
        if let Ok(Some(answer)) = tokio::task::spawn_blocking(move || asked.check()).await {
            findings.push(answered(&of.instance, connector.origin().address(), answer));
        }
    }
    for accounts in &setup.accounts {
        let what = format!("accounts {}", accounts.reference().instance);
        findings.push(match accounts.check().await.map_err(Trouble::from) {
            Ok(detail) => Finding { what, ok: true, detail, fix: None },
            Err(wrong) => Finding::bad(&what, &wrong.why, wrong.fix),
        });
    }
    for (name, error) in setup.unusable {
        let of_accounts = setup.config.accounts.iter().any(|entry| entry.name == name);
        let what = if of_accounts { "accounts" } else { "connector" };
        findings.push(Finding::of(&format!("{what} {name}"), Err(error)));
    }
    findings
}

/// What came of asking a connector's origin with its credential.
fn answered(instance: &str, origin: &str, answer: Result<u16, Failure>) -> Finding {
    let what = format!("credential of {instance}");
    let detail = |status| format!("{origin} answered its check with status {status}");
    match answer {
        Ok(status @ 200..=299) => {
            Finding { what, ok: true, detail: format!("{}: it works", detail(status)), fix: None }
        }
        Ok(status @ (401 | 403)) => Finding::bad(
            &what,
            &detail(status),
            "the credential is wrong, expired, or may do too little: renew its file, which [connector.credential] in remit.toml names",
        ),
        Ok(status) => Finding::bad(
            &what,
            &detail(status),
            "correct `origin` and `config` of its [[connector]] in remit.toml, or look at the system",
        ),
        Err(failure) => Finding::bad(
            &what,
            &failure.to_string(),
            "correct its [[connector]] in remit.toml, or look at the system",
        ),
    }
}

/// Checks that the rules are in force and that the principals they name exist, and lists approvals that could never be
/// given.
fn rules(home: &Home) -> Vec<Finding> {
    let rules = match home.rules() {
        Ok(rules) => rules,
        Err(error) => return vec![Finding::of("rules", Err(error))],
    };
    let signed = format!(
        "{} principals, {} policies, signed by {}",
        rules.principals.iter().count(),
        rules.policies.count(),
        rules.signed_by.short()
    );
    let unmet = match rules.together() {
        Ok(unmet) => unmet,
        Err(error) => return vec![Finding::of("rules", Err(error))],
    };
    let ok = |detail: String| Finding { what: "rules".to_owned(), ok: true, detail, fix: None };
    std::iter::once(signed).chain(unmet).chain(wide_identities(&rules)).map(ok).collect()
}

/// The claims that say which jobs of a repository an identity is for. Whoever may push a branch runs any job that is not bound so.
const BINDING: [&str; 4] = ["environment", "ref", "ref_protected", "job_workflow_ref"];

/// The identities that every job of a repository has, on whatever branch.
fn wide_identities(rules: &Rules) -> Vec<String> {
    let is_platform = |name: &str| {
        let issuer = rules.principals.issuers().iter().find(|issuer| issuer.name == name);
        issuer.is_some_and(|issuer| issuer.kind != IssuerKind::Oidc)
    };
    let all = rules.principals.iter().flat_map(|by| by.identities.iter().map(move |identity| (by, identity)));
    all.filter(|(_, identity)| {
        is_platform(&identity.issuer) && !BINDING.iter().any(|claim| identity.claims.contains_key(*claim))
    })
    .map(|(by, identity)| {
        format!(
            "warning: any job of the repository by {} is {}, on whatever branch: name its `environment` or `ref` in principals.toml",
            identity.issuer, by.name
        )
    })
    .collect()
}

/// Checks a home. Changes nothing but the journal's file locks.
pub async fn doctor(home: &Home) -> Vec<Finding> {
    let config = match home.load() {
        Ok(config) => config,
        Err(error) => return vec![Finding::of::<Error>("configuration", Err(error))],
    };
    let mut findings = vec![Finding::of::<Error>("configuration", Ok(home.config().display().to_string()))];
    findings.extend(exposed(home));
    for (what, keys, role) in [
        ("publisher keys", Config::publishers(home.path(), &config.trust.publishers), "publishers"),
        ("administrators", Config::keys(home.path(), &config.trust.admins), "admins"),
    ] {
        findings.push(match keys {
            Ok(keys) if keys.is_empty() => Finding::bad(
                what,
                "none is trusted",
                &format!("add a public key file to [trust] {role} in remit.toml"),
            ),
            keys => Finding::of(
                what,
                keys.map(|keys| {
                    keys.iter().map(|key| key.id().short().to_owned()).collect::<Vec<_>>().join(", ")
                }),
            ),
        });
    }
    findings.extend(rules(home));
    match remit_notify::Notifiers::open(
        &config.notify,
        home.path(),
        crate::notify::KINDS,
        std::time::Duration::ZERO,
    ) {
        Ok(notifiers) if config.notify.is_empty() => drop(notifiers),
        opened => findings.push(Finding::of(
            "notify",
            opened.map(|notifiers| notifiers.names().collect::<Vec<_>>().join(", ")),
        )),
    }
    let audit = home.reader().and_then(|reader| {
        let audit = reader.verify(&home.verifier()?, None);
        Ok(audit.map(|audit| format!("{} records, all as signed", audit.records)))
    });
    findings.push(match audit {
        Ok(audit) => Finding::of("journal", audit),
        Err(error) => Finding::of::<Error>("journal", Err(error)),
    });
    findings.extend(keys_and_runs(home, &config));
    findings.extend(systems(&config, home).await);
    findings.extend(connectors(config, home).await);
    findings
}

/// Files that other users could read or change, and policy files that are not read.
fn exposed(home: &Home) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mode = std::fs::metadata(home.path()).map_or(0, |meta| meta.permissions().mode());
    if mode & 0o077 != 0 {
        let what = if mode & 0o022 == 0 { "read it" } else { "read it and put files there" };
        let fix = format!("chmod 700 {}", home.path().display());
        findings.push(Finding::bad("home", &format!("others can {what}"), &fix));
    }
    let mut files =
        vec![home.config(), home.principals(), home.rules_file(), home.policies(), home.log_key()];
    let mut folders = vec![home.policies(), home.path().join("keys")];
    while let Some(folder) = folders.pop() {
        for entry in remit_file::list(&folder, remit_file::Kind::Kept).unwrap_or_default() {
            files.push(entry.path.clone());
            folders.extend(entry.is_folder.then_some(entry.path));
        }
    }
    let written: Vec<String> = files
        .iter()
        .filter_map(|file| {
            let name = file.strip_prefix(home.path()).unwrap_or(file).display();
            remit_file::others_can_write(file).map(|mode| format!("{name} ({mode:04o})"))
        })
        .collect();
    if !written.is_empty() {
        findings.push(Finding::bad(
            "files of trust",
            &format!("others can write {}, and so decide who may do what", written.join(", ")),
            &format!("check their content, then: chmod -R go-w {}", home.path().display()),
        ));
    }
    if let Ok(unread) = home.unread_policies()
        && !unread.is_empty()
    {
        findings.push(Finding::bad(
            "policies",
            &format!("not read, because of their names: {}", unread.join(", ")),
            "a policy is NAME.cedar: rename the file if it should count, and otherwise remove it from policies/",
        ));
    }
    findings
}

/// The host's own keys, whether it is frozen, and its runs.
fn keys_and_runs(home: &Home, config: &Config) -> Vec<Finding> {
    let Ok(reader) = home.reader() else { return Vec::new() };
    let log = home.signer(config).and_then(|signer| {
        if signer.verifier().to_string() == home.verifier()?.to_string() {
            return Ok("signs checkpoints".to_owned());
        }
        Err(Error::HostKey { file: home.log_seed().display().to_string(), why: "does not belong to log.pub" })
    });
    let seal = crate::keyring::Keyring::open_read_only(home, &reader);
    let mut findings = vec![
        Finding::of("log key", log),
        Finding::of("seal key", seal.map(|_| "opens this journal's undo data".to_owned())),
    ];
    match frozen(&reader) {
        Ok(None) => {}
        Ok(Some(by)) => findings.push(Finding::bad(
            "freeze",
            &format!("frozen since {} by {}: {}", second(by.at), by.by, by.reason),
            "nothing starts until the host is unfrozen: `remit unfreeze`",
        )),
        Err(error) => findings.push(Finding::of("freeze", Err(error))),
    }
    match runs(home, &reader) {
        Ok(found) => findings.extend(found),
        Err(error) => findings.push(Finding::of("runs", Err(error))),
    }
    findings
}

/// The runs that need a person, with one command for each kind of them.
fn runs(home: &Home, reader: &Reader) -> Result<Vec<Finding>, Error> {
    let open = OpenRuns::read(home, reader)?;
    let mut findings = Vec::new();
    for (runs, what, fix) in [
        (
            &open.in_doubt,
            "in doubt",
            "look at the live system (`remit show RUN` says where); then `remit resolve RUN`, or `remit revert RUN` once the system answers",
        ),
        (
            &open.held,
            "held: their changes stand",
            "look at the changes (`remit show RUN`); then keep them, or `remit revert RUN`",
        ),
        (
            &open.left_behind,
            "without a state, and their host is gone",
            "`remit recover` brings them to a state; so does the next command that acts on the home",
        ),
    ] {
        if !runs.is_empty() {
            findings.push(Finding::bad("runs", &format!("{}: {what}", few(runs)), fix));
        }
    }
    if findings.is_empty() {
        let detail = match open.going_on.as_slice() {
            [] => "each has its state; none waits".to_owned(),
            runs => format!("none waits; going on: {}", few(runs)),
        };
        findings.push(Finding::of::<Error>("runs", Ok(detail)));
    }
    Ok(findings)
}

/// The identifiers of the first few runs, and how many more there are.
fn few(runs: &[RunSummary]) -> String {
    let shown = runs.iter().take(5).map(|run| run.run.to_string()).collect::<Vec<_>>().join(", ");
    match runs.len().checked_sub(5) {
        Some(more @ 1..) => format!("{shown} and {more} more"),
        _ => shown,
    }
}
