//! `remit show`.

use clap::Args;
use remit_journal::{CallResult, Event, Record, UndoResult};
use remit_lifecycle::Home;
use serde_json::{Value, json};

use super::Done;
use crate::print::{self, say};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  remit show run-01jd2m4k9x8s7t6v5w4y3z2a1b\n  remit show 01jd2m                          the beginning is enough"
)]
pub(crate) struct Show {
    /// The run, or the beginning of its name.
    run: String,
    /// Every record, as JSON.
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(crate) fn run(self, home: &Home) -> Done {
        let reader = home.reader()?;
        let run = reader.find(&self.run)?;
        let records = reader.run(&run)?;
        if self.json {
            let records = records.iter().map(|(seq, record)| {
                let mut value = serde_json::to_value(record)?;
                value["seq"] = json!(seq);
                Ok(value)
            });
            let records = records
                .collect::<Result<Vec<Value>, serde_json::Error>>()
                .map_err(remit_lifecycle::Error::from)?;
            print::json(&json!({"run": run, "records": records}))?;
            return Ok(0);
        }
        say!("{run}");
        let rows: Vec<_> = records.iter().filter_map(|(seq, record)| line(*seq, record)).collect();
        print::table(2, &rows);
        for (_, record) in &records {
            let Event::Ended(ended) = &record.event else { continue };
            if let Some(output) = &ended.output {
                say!("output    {}", print::word(&output.to_string()));
            }
        }
        Ok(0)
    }
}

/// One record as a line of the story; none for what only a machine needs.
pub(crate) fn line(seq: u64, record: &Record) -> Option<Vec<String>> {
    let (what, detail) = match &record.event {
        Event::Started(started) => {
            let grant = started
                .grant
                .as_ref()
                .map_or("no grant".to_owned(), |grant| format!("grant {}", grant.digest.short()));
            let action = format!(
                "{} {} ({})",
                started.action.name,
                started.action.version,
                started.action.digest.short()
            );
            (
                "started".to_owned(),
                format!("{} {action} by {}, {grant}: {}", started.mode, started.principal, started.reason),
            )
        }
        Event::Phase(phase) => ("phase".to_owned(), phase.phase.to_string()),
        Event::Intent(intent) if intent.operation == "remit:host/log.write" => {
            let line: Value = serde_json::from_str(intent.arguments.get()).unwrap_or_default();
            ("log".to_owned(), line["message"].as_str().unwrap_or_default().to_owned())
        }
        Event::Intent(intent) => (
            format!("#{} {}", intent.call, intent.effect),
            format!("{} on {}", intent.operation, intent.resource),
        ),
        Event::Outcome(outcome) => match &outcome.result {
            CallResult::Ok { value } if value.get() == "null" => return None,
            CallResult::Ok { value } => (format!("#{} →", outcome.call), value.get().to_owned()),
            CallResult::Sealed { .. } => {
                (format!("#{} →", outcome.call), "a secret value, sealed".to_owned())
            }
            CallResult::Failed { failure } => (format!("#{} failed", outcome.call), failure.get().to_owned()),
        },
        Event::Denied(denied) => (
            format!("#{} REFUSED", denied.call),
            format!("{} on {}: {}", denied.operation, denied.resource, denied.reason),
        ),
        Event::UndoIntent(undo) => ("undo".to_owned(), format!("of #{}", undo.call)),
        Event::UndoOutcome(undo) => (format!("undo #{} →", undo.call), undo_words(&undo.result)),
        Event::Resolved(resolved) => (
            format!("#{} resolved", resolved.call),
            format!(
                "it {} (says {}: {})",
                if resolved.happened { "happened" } else { "did not happen" },
                resolved.principal,
                resolved.reason
            ),
        ),
        Event::UndoExpired(expired) => {
            ("undo expired".to_owned(), format!("by {}: {}", expired.principal, expired.rule))
        }
        Event::Ended(ended) => ("ended".to_owned(), format!("{}: {}", ended.state, ended.detail)),
    };
    let at = record.at.round(jiff::Unit::Millisecond).unwrap_or(record.at);
    Some(vec![seq.to_string(), at.to_string(), what, detail])
}

/// An undo's result in words.
pub(crate) fn undo_words(result: &UndoResult) -> String {
    match result {
        UndoResult::Undone => "undone".to_owned(),
        UndoResult::AlreadyUndone => "already as it was before; nothing touched".to_owned(),
        UndoResult::Conflict { live } => format!("NOT undone, nothing touched: {live}"),
        UndoResult::Failed { message } => format!("FAILED: {message}"),
        UndoResult::InDoubt { live } => format!("in doubt, nothing touched: {live}"),
        UndoResult::NotReversible { why } => format!("cannot be undone: {why}"),
    }
}
