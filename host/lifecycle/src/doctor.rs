//! A look at everything a run will need, before it is needed.

use std::os::unix::fs::PermissionsExt as _;

use miette::Diagnostic;
use remit_journal::{Reader, RunState};
use serde::Serialize;

use crate::claim::Claim;
use crate::timeline::second;
use crate::{Config, Home, frozen};

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

/// A look at each system that is configured.
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
    std::iter::once(signed).chain(unmet).map(ok).collect()
}

/// Checks a home. Changes nothing but the journal's file locks.
pub async fn doctor(home: &Home) -> Vec<Finding> {
    let config = match home.load() {
        Ok(config) => config,
        Err(error) => return vec![Finding::of::<crate::Error>("configuration", Err(error))],
    };
    let mut findings =
        vec![Finding::of::<crate::Error>("configuration", Ok(home.config().display().to_string()))];
    findings.extend(exposed(home));
    for (what, files, role) in [
        ("publisher keys", &config.trust.publishers, "publishers"),
        ("administrators", &config.trust.admins, "admins"),
    ] {
        findings.push(if files.is_empty() {
            Finding::bad(
                what,
                "none is trusted",
                &format!("add a public key file to [trust] {role} in remit.toml"),
            )
        } else {
            Finding::of(
                what,
                Config::keys(home.path(), files).map(|keys| {
                    keys.iter().map(|key| key.id().short().to_owned()).collect::<Vec<_>>().join(", ")
                }),
            )
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
        Err(error) => Finding::of::<crate::Error>("journal", Err(error)),
    });
    findings.extend(keys_and_runs(home));
    findings.extend(systems(&config, home).await);
    findings
}

/// Files that other users could read or change, and policy files that are not read.
fn exposed(home: &Home) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mode = std::fs::metadata(home.path()).map_or(0, |meta| meta.permissions().mode());
    if mode & 0o077 != 0 {
        let what = if mode & 0o022 == 0 { "look into it" } else { "look into it, and put files there" };
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
            &format!("others can write {}: whoever does says who may do what", written.join(", ")),
            &format!("look at what is in them, then: chmod -R go-w {}", home.path().display()),
        ));
    }
    if let Ok(unread) = home.unread_policies()
        && !unread.is_empty()
    {
        findings.push(Finding::bad(
            "policies",
            &format!("not read, by their names: {}", unread.join(", ")),
            "a policy is NAME.cedar: rename it if it should count, and otherwise take it out of policies/",
        ));
    }
    findings
}

/// The home's own keys, and what waits there.
fn keys_and_runs(home: &Home) -> Vec<Finding> {
    let Ok(reader) = home.reader() else { return Vec::new() };
    let missing = |path: &std::path::Path| crate::Error::SealKey { file: path.display().to_string() };
    let log = home.log_seed();
    let log = if log.exists() {
        remit_trust::private_seed(&log).map(|_| "signs checkpoints".to_owned()).map_err(crate::Error::from)
    } else {
        Err(missing(&log))
    };
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
            "nothing starts until somebody who may lifts it: `remit unfreeze`",
        )),
        Err(error) => findings.push(Finding::of("freeze", Err(error))),
    }
    match runs(home, &reader) {
        Ok(found) => findings.extend(found),
        Err(error) => findings.push(Finding::of("runs", Err(error))),
    }
    findings
}

/// Runs that wait for a person, with one command for each kind of them.
fn runs(home: &Home, reader: &Reader) -> Result<Vec<Finding>, crate::Error> {
    let (mut held, mut in_doubt, mut left, mut going_on) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for run in reader.runs()? {
        let name = run.run.to_string();
        match run.state {
            Some(RunState::Held) => held.push(name),
            Some(RunState::InDoubt) => in_doubt.push(name),
            None if Claim::is_held(home, run.run)? => going_on.push(name),
            None => left.push(name),
            Some(_) => {}
        }
    }
    let mut findings = Vec::new();
    for (names, what, fix) in [
        (
            &in_doubt,
            "in doubt",
            "look at the live system (`remit show RUN` says at what); then `remit resolve RUN`, or `remit revert RUN` once its system answers",
        ),
        (
            &held,
            "held: their changes stand",
            "look at them (`remit show RUN`); then keep them, or `remit revert RUN`",
        ),
        (
            &left,
            "without a state, and their host is gone",
            "`remit recover` brings them to a state; so does the next command that acts on the home",
        ),
    ] {
        if !names.is_empty() {
            findings.push(Finding::bad("runs", &format!("{}: {what}", few(names)), fix));
        }
    }
    if findings.is_empty() {
        let detail = match going_on.as_slice() {
            [] => "each has its state; none waits".to_owned(),
            names => format!("none waits; going on: {}", few(names)),
        };
        findings.push(Finding::of::<crate::Error>("runs", Ok(detail)));
    }
    Ok(findings)
}

/// The first few names of many.
fn few(names: &[String]) -> String {
    let shown = names.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(5) {
        Some(more @ 1..) => format!("{shown} and {more} more"),
        _ => shown,
    }
}
