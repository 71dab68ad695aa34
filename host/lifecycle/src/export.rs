//! Exports the journal for other systems: its records, and OCSF events.

use std::fmt;

use remit_capability::Registry;
use remit_gate::Countermeasure;
use remit_journal::{Mode, Reader, RunId, RunState};
use serde_json::{Value, json};

use crate::error::WITHHELD;
use crate::own_words::was_told;
use crate::timeline::{Changed, Reached, Timeline};
use crate::{Error, Home};

/// OCSF's Remediation Activity: <https://schema.ocsf.io/1.8.0/classes/remediation_activity>.
const CLASS: u64 = 7001;
const OTHER: u64 = 99;

/// Calls `visit` with each record from number `since` on, as one line of JSON: the record as it was written, with
/// its sequence number. Of one run only, if one is given.
pub fn export_records(
    home: &Home,
    since: u64,
    run: Option<RunId>,
    mut visit: impl FnMut(fmt::Arguments<'_>),
) -> Result<(), Error> {
    home.reader()?.each(since, |seq, of, body| {
        if run.is_none_or(|run| of == run.to_string()) {
            // A record is a JSON object with at least one field. A line break in JSON can only be white space.
            let rest = body.get(1..).unwrap_or_default().replace(['\n', '\r'], " ");
            visit(format_args!("{{\"seq\":{seq},{rest}"));
        }
    })?;
    Ok(())
}

/// Calls `visit` with one OCSF event for each state that a live run came to: its own end, and each later
/// revert, recovery or resolution.
pub fn export_ocsf(home: &Home, run: Option<RunId>, mut visit: impl FnMut(&Value)) -> Result<(), Error> {
    let reader = home.reader()?;
    let log = home.load()?.log;
    // What kind of countermeasure a change through a connector is, its description says.
    let registry = home.registry();
    for summary in reader.runs()? {
        if summary.mode == Mode::Live && run.is_none_or(|run| run == summary.run) {
            for event in events(&reader, &log, &registry, summary.run)? {
                visit(&event);
            }
        }
    }
    Ok(())
}

fn events(reader: &Reader, log: &str, registry: &Registry, run: RunId) -> Result<Vec<Value>, Error> {
    let records = reader.run(&run)?;
    let mut story = Timeline::of(run, &records)?;
    // The action chose these names. Once it was given a secret or content, they must not leave this machine.
    if was_told(&records) {
        for call in &mut story.refused {
            WITHHELD.clone_into(&mut call.resource);
            WITHHELD.clone_into(&mut call.reason);
        }
    }
    Ok(story
        .states
        .iter()
        .enumerate()
        .map(|(n, reached)| event(&story, (log, registry), reached, n == 0))
        .collect())
}

fn event(story: &Timeline, (log, registry): (&str, &Registry), reached: &Reached, own_end: bool) -> Value {
    let (activity, activity_name) = if own_end {
        activity(story, registry)
    } else {
        (Countermeasure::Restore.id(), Countermeasure::Restore.name().to_owned())
    };
    let (status, severity) = outcome(reached.state, own_end);
    let changes: Vec<Value> = story
        .changed
        .iter()
        .map(|change| {
            json!({
                "call": change.call, "operation": change.operation, "resource": change.resource,
                "effect": change.effect, "standing": change.standing,
            })
        })
        .collect();
    let refused: Vec<Value> = story
        .refused
        .iter()
        .map(|call| json!({"operation": call.operation, "resource": call.resource, "reason": call.reason}))
        .collect();
    let words: Vec<String> =
        story.changed.iter().map(|change| format!("{} on {}", change.words(), change.resource)).collect();
    let did = if words.is_empty() { "no change".to_owned() } else { words.join("; ") };
    let action = format!("{} {}", story.action.name, story.action.version);
    let mut event = json!({
        "category_uid": 7,
        "category_name": "Remediation",
        "class_uid": CLASS,
        "class_name": "Remediation Activity",
        "activity_id": activity,
        "activity_name": activity_name,
        "type_uid": CLASS * 100 + activity,
        "severity_id": severity,
        "status_id": status,
        "status": status_name(status),
        "status_code": reached.state.name(),
        "status_detail": reached.detail,
        "time": reached.at.as_millisecond(),
        "message": format!("{action} {}: {did}", reached.state),
        "command_uid": story.run.to_string(),
        "remediation": {"desc": did},
        "metadata": {
            "version": "1.8.0",
            "product": {"name": "Remit", "vendor_name": "Remit", "version": story.host_version},
            "profiles": ["host"],
            "log_name": log,
            "uid": format!("{}/{}", story.run, reached.seq),
        },
        "unmapped": {
            "run": {
                "mode": story.mode, "reason": story.reason, "principal": story.principal,
                "action": story.action, "input": story.input,
                "grant": story.authority.as_ref().map(|authority| authority.grant),
                "records": [reached.since, reached.seq],
            },
            "changes": changes,
            "refused": refused,
        },
    });
    // The requester is not the actor of a later state.
    if let Some(by) = reached.by.as_ref().or(own_end.then_some(&story.principal)) {
        event["actor"] = json!({"user": {"name": by}});
    }
    event
}

/// OCSF's activity id and name of a run's own end: the countermeasure of its changes, if they have one in common.
fn activity(story: &Timeline, registry: &Registry) -> (u64, String) {
    let known = |change: &Changed| registry.operation(&change.operation)?.countermeasure;
    let mut kinds: Vec<_> = story.changed.iter().filter_map(known).collect();
    kinds.sort_unstable();
    kinds.dedup();
    match kinds.as_slice() {
        [] if story.changed.is_empty() => (OTHER, "No change".to_owned()),
        // Through a connector that is not in remit.toml any more.
        [] => (OTHER, "Change".to_owned()),
        [one] => (one.id(), one.name().to_owned()),
        several => (OTHER, several.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" and ")),
    }
}

/// OCSF's status id and severity id of a run's result.
fn outcome(state: RunState, own_end: bool) -> (u64, u64) {
    match state {
        RunState::Succeeded | RunState::Rehearsed => (1, 1),
        // For a run, these states mean that it failed; for a revert, that it succeeded.
        RunState::Reverted => (if own_end { 2 } else { 1 }, if own_end { 3 } else { 1 }),
        RunState::Failed => (if own_end { 2 } else { 1 }, if own_end { 3 } else { 1 }),
        RunState::Refused => (2, 3),
        RunState::Held => (4, 4),
        RunState::InDoubt => (0, 4),
    }
}

fn status_name(status: u64) -> &'static str {
    match status {
        1 => "Success",
        2 => "Failure",
        4 => "Partial",
        _ => "Unknown",
    }
}
