//! What waits for the one who looks, and all requests.

use axum::extract::State;
use maud::{Markup, html};
use remit_journal::{Reader, RequestId};
use remit_lifecycle::{
    AccessKind, Power, RequestFilter, RequestState, RequestView, Rules, Status, may_approve, waiting_for_room,
};
use serde::Deserialize;
use tokio::task::block_in_place;

use super::page::{Paged, Viewer, pages, shown, table, time, words};
use crate::app::App;
use crate::exchange::Params;

/// How many requests are looked at for the page of what waits, the newest ones: each costs a millisecond or more.
const LOOKED_AT: usize = 200;
/// How many of a kind that page has.
const SHOWN: usize = 25;
/// How many requests a page has.
const PAGE: usize = 50;

/// The open requests, by what the person who looks can do about them.
#[derive(Default)]
struct Waiting {
    /// For the one who looks.
    mine: Vec<RequestView>,
    /// For others only.
    others: Vec<RequestView>,
    /// For somebody to start it.
    ready: Vec<RequestView>,
    /// How many open requests were not looked at.
    left_out: usize,
}

/// Whether a power is to do what nobody can take back, or to hand out a secret.
pub(super) fn is_grave_power(power: &Power) -> bool {
    matches!(power.does, AccessKind::Irrevocable | AccessKind::Disclose)
}

/// What it does that nobody can take back, or hands out, in words.
pub(super) fn gravest(view: &RequestView) -> Option<String> {
    let grave = view.powers.all.iter().filter(|power| is_grave_power(power));
    grave.map(|power| power.does).max().map(|does| does.to_string())
}

fn waiting(
    app: &App,
    reader: &Reader,
    rules: &Rules,
    viewer: &Viewer,
) -> Result<Waiting, remit_lifecycle::Error> {
    let open = app.host.open_requests(reader, rules)?;
    let mut found = Waiting { left_out: open.len().saturating_sub(LOOKED_AT), ..Waiting::default() };
    for id in open.into_iter().take(LOOKED_AT) {
        // One that cannot be read gives no authority. `remit requests --all` reports it.
        let Ok(state) = RequestState::load(reader, rules, id) else { continue };
        if !viewer.caller.sees(&state.request) {
            continue;
        }
        match state.status(rules) {
            status @ Status::Approved => {
                let waits = waiting_for_room(reader, rules, &state)?;
                found.ready.push(RequestView::listed(reader, rules, &state, status, waits)?);
            }
            Status::Waiting(_) if may_approve(reader, rules, &state, viewer.caller.0.name()) => {
                found.mine.push(RequestView::of(reader, rules, &state)?);
            }
            status @ Status::Waiting(_) => {
                found.others.push(RequestView::listed(reader, rules, &state, status, Vec::new())?);
            }
            _ => {}
        }
    }
    // What cannot be taken back first, then what ends first.
    found.mine.sort_by_key(|view| (gravest(view).is_none(), view.request.not_after));
    Ok(found)
}

/// As many as a page has, with a link to where the others are.
fn first<'v>(all: &'v [RequestView], state: &str) -> (&'v [RequestView], Markup) {
    let shown = &all[..all.len().min(SHOWN)];
    let more = all.len() - shown.len();
    let rest = html! {
        @if more > 0 { p { a href={ "/console/requests?state=" (state) } { (more) " more" } } }
    };
    (shown, rest)
}

pub(super) async fn page(State(app): State<App>, viewer: Viewer) -> Paged {
    let (found, runs) = block_in_place(|| {
        let (rules, reader) = (app.host.rules()?, app.host.journal.reader()?);
        let found = waiting(&app, &reader, &rules, &viewer)?;
        let runs = reader.unfinished()?.into_iter().map(|run| Ok(reader.summary(run)?));
        Ok::<_, remit_lifecycle::Error>((found, runs.collect::<Result<Vec<_>, remit_lifecycle::Error>>()?))
    })?;
    let (mine, more_of_mine) = first(&found.mine, "waiting");
    let (ready, more_ready) = first(&found.ready, "approved");
    let (others, more_of_others) = first(&found.others, "waiting");
    let content = html! {
        h1 { "Waiting for you" }
        @if found.left_out > 0 {
            div.problem role="status" {
                p { strong { "There are more open requests than this page looks at. " } "It has the newest " (LOOKED_AT) ", and not the " (found.left_out) " before them: "
                    a href="/console/requests?state=waiting" { "all that wait" } }
            }
        }
        @if mine.is_empty() { p { "Nothing waits for your decision." } }
        @for one in mine { (card(one)) }
        (more_of_mine)
        @if !ready.is_empty() {
            h2 { "Approved, and not started or not used up" }
            (list(ready))
            (more_ready)
        }
        @if !runs.is_empty() {
            h2 { "Runs without an end" }
            (super::runs::list("Runs without an end", &runs))
        }
        @if !others.is_empty() {
            h2 { "Waiting for others" }
            (list(others))
            (more_of_others)
        }
    };
    shown(&app, &viewer, "/console", "Waiting for you", &content)
}

fn card(view: &RequestView) -> Markup {
    let request = &view.request;
    html! {
        article.card {
            h2 { a href={ "/console/requests/" (request.id) } { (words(&request.action_words())) } " on " (words(&view.target.join(", "))) }
            @if let Some(gravest) = gravest(view) { p.grave { strong { (gravest) } } }
            @if request.break_glass { p.grave { strong { "WITHOUT THE USUAL POLICY" } } }
            p { (words(&view.requester_in_words())) ": " (words(&request.reason)) }
            p { @for (name, text) in view.reach() { span.fact { b { (name) } " " (words(&text)) } " " } }
            @if !view.differs.is_empty() {
                ul.differs aria-label="Compared with last time" { @for line in &view.differs { li { (super::page::with_times(line)) } } }
            }
            p.note { (words(&view.headline())) " · until " (time(request.not_after)) " · " code { (view.digest.short()) } }
        }
    }
}

pub(super) fn list(all: &[RequestView]) -> Markup {
    let row = |view: &RequestView| {
        let request = &view.request;
        vec![
            html! { a href={ "/console/requests/" (request.id) } { (words(&request.action_words())) } },
            html! { (words(&view.target.join(", "))) @if let Some(gravest) = gravest(view) { " " strong.grave { (gravest) } } },
            html! { (words(&view.headline())) },
            html! { (words(&request.requester)) },
            html! { (words(&request.reason)) },
            html! { span.date { (time(request.not_before)) } },
            html! { span.date { (time(request.not_after)) } },
        ]
    };
    table(
        "Requests",
        &["Action", "Target", "State", "Asked by", "Why", "Asked", "Until"],
        &all.iter().map(row).collect::<Vec<_>>(),
    )
}

/// Which requests are listed.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Filter {
    state: String,
    action: String,
    principal: String,
    before: Option<RequestId>,
}

/// A text of a form: none if nothing was written.
pub(super) fn given(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

const STATES: [&str; 6] = ["waiting", "approved", "used", "closed", "expired", "forbidden"];

pub(super) async fn all(State(app): State<App>, viewer: Viewer, Params(asked): Params<Filter>) -> Paged {
    let filter = RequestFilter {
        all: true,
        states: given(&asked.state).into_iter().collect(),
        action: given(&asked.action),
        principal: given(&asked.principal),
        before: asked.before,
        most: Some(PAGE),
        ..RequestFilter::default()
    };
    let (found, _) = block_in_place(|| {
        let (rules, reader) = (app.host.rules()?, app.host.journal.reader()?);
        app.host.among(&reader, &rules, filter)?.list(&reader, &rules, |request| viewer.caller.sees(request))
    })?;
    let query = |before: Option<RequestId>| {
        super::runs::query(
            "/console/requests",
            &[("state", &asked.state), ("action", &asked.action), ("principal", &asked.principal)],
            before.map(|id| id.to_string()),
        )
    };
    let content = html! {
        h1 { "Requests" }
        form.filter method="get" action="/console/requests" {
            (super::runs::choice("state", "State", &STATES.map(|state| (state, state)), &asked.state))
            (super::runs::field("action", "Action", &asked.action))
            (super::runs::field("principal", "Principal", &asked.principal))
            button type="submit" { "Show" }
        }
        @if found.requests.is_empty() { p { "There is none like that." } } @else { (list(&found.requests)) }
        (pages(found.next.map(|next| query(Some(next))).as_deref(), asked.before.map(|_| query(None)).as_deref()))
    };
    shown(&app, &viewer, "/console/requests", "Requests", &content)
}
