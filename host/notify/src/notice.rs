//! What a notifier is told.

use jiff::Timestamp;
use serde::Serialize;

/// Something that people want to know about.
#[derive(Clone, Debug, Serialize)]
pub struct Notice {
    /// The id, the same at each delivery of the event: a receiver recognises an event that it got twice.
    pub id: String,
    /// The kind: `run-reverted`, `requested`, …
    pub kind: String,
    /// When the event happened.
    pub at: Timestamp,
    /// What it is about: a run, a request, or `host`.
    pub subject: String,
    /// The digest of a request that somebody is to decide about, as whoever signs for it sees it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// One sentence for a person.
    pub summary: String,
}
