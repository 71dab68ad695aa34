//! What waits for the one who looks, and all requests.

use axum::extract::State;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use remit_journal::{Reader, RequestId};
use remit_lifecycle::{AccessKind, Power, RequestFilter, RequestState, RequestView, Rules, who_may_approve};
use serde::Deserialize;
use tokio::task::block_in_place;

use super::page::{Paged, Viewer, pages, shown, table, time, words};
use crate::app::App;
use crate::exchange::Params;

/// How long a request can be open at most, and a day.
const OPEN: SignedDuration = SignedDuration::from_hours(31 * 24);
/// How many requests a page has.
const PAGE: usize = 50;

/// A request that waits, for one who may decide about it.
struct Mine {
    view: RequestView,
    lost: bool,
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
    reader: &Reader,
    rules: &Rules,
    viewer: &Viewer,
) -> Result<(Vec<Mine>, Vec<RequestView>, Vec<RequestView>), remit_lifecycle::Error> {
    let since = Timestamp::now().checked_sub(OPEN).ok();
    let filter = RequestFilter { live: true, since, ..RequestFilter::default() };
    let (found, _) = filter.list(reader, rules, |request| viewer.caller.sees(request))?;
    let name = viewer.caller.0.name();
    let (mut mine, mut others, mut ready) = (Vec::new(), Vec::new(), Vec::new());
    for view in found.requests {
        if view.status == "approved" {
            ready.push(view);
            continue;
        }
        let state = RequestState::load(reader, rules, view.request.id)?;
        if who_may_approve(reader, rules, &state)?.iter().any(|one| one == name) {
            let view = RequestView::of(reader, rules, &state)?;
            mine.push(Mine { lost: gravest(&view).is_some(), view });
        } else {
            others.push(view);
        }
    }
    // What cannot be taken back first, then what ends first.
    mine.sort_by_key(|one| (!one.lost, one.view.request.not_after));
    Ok((mine, others, ready))
}

pub(super) async fn page(State(app): State<App>, viewer: Viewer) -> Paged {
    let (mine, others, ready, runs) = block_in_place(|| {
        let (rules, reader) = (app.host.rules()?, app.host.journal.reader()?);
        let (mine, others, ready) = waiting(&reader, &rules, &viewer)?;
        let runs = reader.unfinished()?.into_iter().map(|run| Ok(reader.summary(run)?));
        Ok::<_, remit_lifecycle::Error>((
            mine,
            others,
            ready,
            runs.collect::<Result<Vec<_>, remit_lifecycle::Error>>()?,
        ))
    })?;
    let content = html! {
        h1 { "Waiting for you" }
        @if mine.is_empty() { p { "Nothing waits for your decision." } }
        @for one in &mine { (card(one)) }
        @if !ready.is_empty() {
            h2 { "Approved, and not started or not used up" }
            (list(&ready))
        }
        @if !runs.is_empty() {
            h2 { "Runs without an end" }
            (super::runs::list("Runs without an end", &runs))
        }
        @if !others.is_empty() {
            h2 { "Waiting for others" }
            (list(&others))
        }
    };
    shown(&app, &viewer, "/console", "Waiting for you", &content)
}

fn card(Mine { view, .. }: &Mine) -> Markup {
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
            html! { (time(request.not_before)) },
            html! { (time(request.not_after)) },
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
        filter.list(&reader, &rules, |request| viewer.caller.sees(request))
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
            (super::runs::choice("state", "State", &STATES, &asked.state))
            (super::runs::field("action", "Action", &asked.action))
            (super::runs::field("principal", "Principal", &asked.principal))
            button type="submit" { "Show" }
        }
        @if found.requests.is_empty() { p { "There is none like that." } } @else { (list(&found.requests)) }
        (pages(found.next.map(|next| query(Some(next))).as_deref(), asked.before.map(|_| query(None)).as_deref()))
    };
    shown(&app, &viewer, "/console/requests", "Requests", &content)
}
