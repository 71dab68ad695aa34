//! What sealed data of the journal is bound to, so that it opens nowhere else.

use remit_journal::{Intent, RunId};
use remit_trust::Digest;

/// The context that a sealed outcome is bound to.
pub(crate) fn outcome_context(run: &RunId, call: u64, operation: &str) -> String {
    format!("remit-undo-v1 {run} {call} {operation}")
}

/// What sealed undo data is bound to: every part of its intent, so that it never restores anything else than it was
/// kept for.
pub(crate) fn undo_context(run: &RunId, intent: &Intent) -> String {
    let Intent { call, operation, effect, resource, arguments, before, irrevocable_because, .. } = intent;
    let before = before.as_ref().map_or("", |before| before.get());
    let because = irrevocable_because.as_deref().unwrap_or("");
    // Lengths keep two different rows of texts from being one.
    let parts = [effect.name(), resource, arguments.get(), before, because];
    let text = parts.map(|part| format!("{} {part}", part.len())).join(" ");
    format!("remit-undo-v2 {run} {call} {operation} {}", Digest::of(text.as_bytes()))
}
