//! The list of runs.

use axum::extract::State;
use maud::{Markup, html};
use remit_journal::{Mode, RunFacts, RunId, RunState, RunSummary, Span};
use remit_lifecycle::{RunFilter, UNFINISHED};
use remit_text::uri_part;
use serde::Deserialize;
use tokio::task::block_in_place;

use super::page::{Paged, Viewer, pages, shown, table, time, words};
use super::waiting::given;
use crate::app::App;
use crate::exchange::Params;

/// How many runs a page has.
const PAGE: usize = 50;

/// Which runs are listed.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Filter {
    state: String,
    action: String,
    principal: String,
    target: String,
    /// `live` leaves rehearsals out.
    mode: String,
    before: Option<RunId>,
}

const STATES: [&str; 8] =
    [UNFINISHED, "succeeded", "failed", "refused", "reverted", "held", "in-doubt", "rehearsed"];
/// The runs that are listed beside all: the value, and what is shown of it.
const MODES: [(&str, &str); 1] = [("live", "without rehearsals")];

pub(super) async fn page(State(app): State<App>, viewer: Viewer, Params(asked): Params<Filter>) -> Paged {
    let filter = RunFilter {
        states: given(&asked.state).into_iter().collect(),
        since: None,
        action: given(&asked.action),
        principal: given(&asked.principal),
        live: asked.mode == "live",
    };
    let target = given(&asked.target);
    let on = |run: &RunFacts| {
        target.as_ref().is_none_or(|target| run.target.iter().any(|one| one.contains(target.as_str())))
    };
    let (runs, next) = block_in_place(|| {
        let reader = app.host.journal.reader()?;
        let selects = |run: &RunFacts| viewer.caller.sees_run(run) && filter.selects_by(run) && on(run);
        reader.page(Span { before: asked.before, since: None, most: PAGE }, selects)
    })?;
    let fields: [(&str, &str); 5] = [
        ("state", &asked.state),
        ("action", &asked.action),
        ("principal", &asked.principal),
        ("target", &asked.target),
        ("mode", &asked.mode),
    ];
    let to = |before: Option<RunId>| query("/console/runs", &fields, before.map(|run| run.to_string()));
    let content = html! {
        h1 { "Runs" }
        form.filter method="get" action="/console/runs" {
            (choice("state", "State", &STATES.map(|state| (state, state)), &asked.state))
            (field("action", "Action", &asked.action))
            (field("principal", "Principal", &asked.principal))
            (field("target", "Resource", &asked.target))
            (choice("mode", "Which", &MODES, &asked.mode))
            button type="submit" { "Show" }
        }
        @if runs.is_empty() { p { "There is none like that." } } @else { (list("Runs", &runs)) }
        (pages(next.map(|next| to(Some(next))).as_deref(), asked.before.map(|_| to(None)).as_deref()))
    };
    shown(&app, &viewer, "/console/runs", "Runs", &content)
}

/// A state, with a sign beside its colour.
pub(super) fn state(state: Option<RunState>) -> Markup {
    let (name, sign) = match state {
        None => (UNFINISHED, "…"),
        Some(state @ RunState::Succeeded) => (state.name(), "✓"),
        Some(state @ (RunState::InDoubt | RunState::Held)) => (state.name(), "!"),
        Some(state @ RunState::Reverted) => (state.name(), "↶"),
        Some(state @ RunState::Rehearsed) => (state.name(), "○"),
        Some(state) => (state.name(), "×"),
    };
    html! { span class={ "state " (name) } { span aria-hidden="true" { (sign) " " } (name) } }
}

pub(super) fn list(caption: &str, runs: &[RunSummary]) -> Markup {
    let row = |run: &RunSummary| {
        vec![
            html! { a href={ "/console/runs/" (run.run) } { (words(&run.action.name)) " " (words(&run.action.version)) } @if run.mode == Mode::Rehearse { " (rehearsal)" } },
            html! { (words(&run.target.join(", "))) },
            state(run.state),
            html! { (words(&run.principal)) @if let Some(by) = run.started_by.as_ref().filter(|by| **by != run.principal) { ", started by " (words(by)) } },
            html! { (words(&run.reason)) },
            time(run.at),
        ]
    };
    table(
        caption,
        &["Action", "Target", "State", "Asked by", "Why", "Started"],
        &runs.iter().map(row).collect::<Vec<_>>(),
    )
}

pub(super) fn field(name: &str, label: &str, value: &str) -> Markup {
    html! { label { span { (label) } input name=(name) value=(value) maxlength="200" autocomplete="off"; } }
}

pub(super) fn choice(name: &str, label: &str, all: &[(&str, &str)], chosen: &str) -> Markup {
    html! {
        label {
            span { (label) }
            select name=(name) {
                option value="" { "any" }
                @for (value, shown) in all { option value=(value) selected[*value == chosen] { (shown) } }
            }
        }
    }
}

/// A path with a query of the fields that are not empty.
pub(super) fn query(path: &str, fields: &[(&str, &str)], before: Option<String>) -> String {
    let before = before.map(|before| ("before", before));
    let all = fields
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (*name, (*value).to_owned()));
    let pairs: Vec<String> =
        all.chain(before).map(|(name, value)| format!("{name}={}", uri_part(&value))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}
