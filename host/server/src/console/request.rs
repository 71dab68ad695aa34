//! One request: all that a person needs to decide about it, and where they decide.

use axum::extract::{Path, State};
use maud::{Markup, html};
use remit_gate::{Effect, Phase, Plan, Step};
use remit_lifecycle::{
    Explained, Input, RequestState, RequestView, RequestedAuthority, explain, operation_words,
    rehearse as play,
};
use serde_json::json;
use tokio::task::block_in_place;

use super::page::{Paged, ToSign, Viewer, code, facts, shown, table, with_times, words};
use super::waiting::{gravest, is_grave_power};
use crate::api::actions::heavy;
use crate::app::App;
use crate::exchange::to_end;
use crate::problem::Problem;

fn load(app: &App, viewer: &Viewer, id: &str) -> Result<(RequestView, Explained), super::page::Failed> {
    block_in_place(|| {
        let (rules, reader) = (app.host.rules()?, app.host.journal.reader()?);
        let case: RequestState = viewer.caller.request(&reader, &rules, id)?;
        Ok((RequestView::of(&reader, &rules, &case)?, explain(&reader, &rules, &case)?))
    })
}

pub(super) async fn page(State(app): State<App>, Path(id): Path<String>, viewer: Viewer) -> Paged {
    let (view, explained) = load(&app, &viewer, &id)?;
    let title = format!("{} on {}", view.request.action_words(), view.target.join(", "));
    shown(&app, &viewer, "/console/requests", &title, &whole(&view, &explained, &viewer, None))
}

/// The page. `again` is what a rehearsal just now found.
fn whole(view: &RequestView, explained: &Explained, viewer: &Viewer, again: Option<&Markup>) -> Markup {
    let request = &view.request;
    let name = viewer.caller.0.name();
    let may = |verb: &str| explained.could.iter().find(|could| could.who == name && could.verb == verb);
    html! {
        h1 { (words(&request.action_words())) " on " (words(&view.target.join(", "))) }
        p.headline { strong { (words(&view.headline())) } }
        (cannot_be_undone(view))
        @if request.break_glass { p.grave { strong { "BREAK-GLASS: goes without the usual policy" } } }
        (facts(view.facts().iter().map(|(name, text)| (*name, with_times(text)))))
        @if let Some(again) = again { (again) }
        @if let Some(plan) = request.plan() {
            h2 { "What would happen" }
            (self::plan(plan))
        }
        h2 { "Every power that it would give" }
        (powers(view))
        h2 { "Who must agree, and who may do what" }
        (policy(explained))
        section.decide aria-label="Your decision" {
            h2 { "Your decision" }
            @match may("approve") {
                Some(could) if could.allowed => (decide(view)),
                Some(could) => p { "You cannot approve it: " (words(&could.why)) },
                None => p { "You cannot decide about it." },
            }
            @if view.status == "waiting" {
                form method="post" action={ "/console/requests/" (request.id) "/rehearsal" } { button type="submit" { "Rehearse now" } }
            }
            @if view.status == "approved" && may("start").is_some_and(|could| could.allowed) && matches!(request.asks, RequestedAuthority::Run { .. }) {
                h3 { "Start it" }
                (ToSign {
                    prepare: "/console/prepare/run".to_owned(),
                    body: json!({"request": request.id}),
                    expect: json!({"id": request.id, "request": view.digest}),
                    next: "/console/runs".to_owned(),
                    does: "Start with passkey",
                    reason: None,
                    command: format!("remit run {}", request.id),
                    grave: false,
                }.form("start"))
            }
            @if matches!(&*view.status, "waiting" | "approved") && may("revoke").is_some_and(|could| could.allowed) {
                h3 { "Revoke it" }
                p { "Nobody can approve it or start it any more. A run of it that goes on stops at its next call." }
                (ToSign {
                    prepare: "/console/prepare/order".to_owned(),
                    body: json!({"order": {"revoke-request": request.id}}),
                    expect: json!({"order": {"revoke": [{"basis": format!("request:{}", request.id), "earlier_only": false}]}}),
                    next: format!("/console/requests/{}", request.id),
                    does: "Revoke with passkey",
                    reason: Some(true),
                    command: format!("remit revoke request {}", request.id),
                    grave: true,
                }.form("revoke"))
            }
        }
    }
}

/// What nobody can take back, before anything else: the steps of the plan, or else the powers.
fn cannot_be_undone(view: &RequestView) -> Markup {
    let Some(gravest) = gravest(view) else { return html! {} };
    let is_grave = |step: &&Step| matches!(step.effect, Effect::Irrevocable | Effect::Disclose);
    let steps = view.request.plan().into_iter().flat_map(|plan| &plan.steps).filter(is_grave);
    let step = |step: &Step| {
        let does = operation_words(&step.operation, &step.arguments);
        let why = step.irrevocable_because.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        format!("{does} on {}{why}", step.resource)
    };
    let mut lines: Vec<String> = steps.map(step).collect();
    if lines.is_empty() {
        let grave = view.powers.all.iter().filter(|power| is_grave_power(power));
        lines = grave.map(|power| format!("{} on {}", power.capability, power.resource)).collect();
    }
    html! {
        div.problem {
            p.grave { strong { (gravest) } }
            ul { @for line in lines { li { (words(&line)) } } }
        }
    }
}

fn decide(view: &RequestView) -> Markup {
    let (id, digest) = (view.request.id, view.digest);
    let form = |approve: bool| ToSign {
        prepare: format!("/console/prepare/decision/{id}"),
        body: json!({"approve": approve, "digest": digest}),
        expect: json!({"approve": approve, "id": id, "request": digest}),
        next: format!("/console/requests/{id}"),
        does: if approve { "Approve with passkey" } else { "Deny with passkey" },
        reason: Some(!approve),
        command: format!("remit {} {id}", if approve { "approve" } else { "deny" }),
        grave: !approve,
    };
    html! {
        p { "You sign for this digest, and for nothing else: " (code(&digest.to_string())) }
        div.two { (form(true).form("approve")) (form(false).form("deny")) }
    }
}

/// The steps of a plan, each with its effect and its undo.
pub(super) fn plan(plan: &Plan) -> Markup {
    if plan.steps.is_empty() {
        return html! { p { "It touches nothing." } };
    }
    let row = |(n, step): (usize, &Step)| {
        let effect = if step.content { "reads content".to_owned() } else { step.effect.to_string() };
        let undo = match (&step.undo, &step.irrevocable_because) {
            (Some(undo), _) => html! { (words(undo)) },
            (None, Some(why)) => html! { strong.grave { "NONE" } ": " (words(why)) },
            (None, None) => html! { "-" },
        };
        vec![
            html! { (n + 1) },
            html! { @if step.is_bound() { strong { (effect) } } @else { (effect) } },
            html! { (words(&operation_words(&step.operation, &step.arguments).to_string())) @if step.phase != Phase::Run { " (" (step.phase) ")" } },
            html! { (words(step.resource.as_str())) },
            html! { (undo) @if let Some(caution) = &step.caution { p.note { (words(caution)) } } },
        ]
    };
    table(
        "What would happen, step by step",
        &["#", "Effect", "Operation", "Resource", "Undo"],
        &plan.steps.iter().enumerate().map(row).collect::<Vec<_>>(),
    )
}

fn powers(view: &RequestView) -> Markup {
    let rows: Vec<Vec<Markup>> = view
        .powers
        .all
        .iter()
        .rev()
        .map(|power| {
            vec![
                html! { strong { (power.does) } },
                html! { (words(power.resource.as_str())) },
                code(&power.capability),
                html! { (view.powers.use_of(power)) },
            ]
        })
        .collect();
    let terms = view.request.scope.terms();
    let limits = [("limits", html! { (view.powers.limits_in_words()) })];
    html! {
        @if rows.is_empty() { p { "None." } } @else { (table("Powers", &["Power", "On", "By", "Use"], &rows)) }
        (facts(limits.into_iter().chain(terms.iter().map(|(when, what)| (&**when, html! { (what) })))))
    }
}

fn policy(explained: &Explained) -> Markup {
    let rows: Vec<Vec<Markup>> = explained
        .could
        .iter()
        .map(|could| {
            vec![
                html! { (words(&could.who)) },
                html! { (could.verb) },
                html! { @if could.allowed { "yes" } @else { "no" } },
                html! { (words(&could.why)) },
            ]
        })
        .collect();
    html! {
        ul.needs {
            @for need in &explained.needs {
                li { (need.needs) ": " strong { @if need.missing == 0 { "met" } @else { (need.missing) " missing" } } " (policy " code { (need.policy) } ")" }
            }
            @if let Some(why) = &explained.cannot_be_met { li { strong { "Cannot be met: " } (words(why)) } }
            @if explained.break_glass { li { "The quorum of [break-glass] decides, not the policies." } }
        }
        details { summary { "Who could do what now, and why" } (table("Who could do what", &["Who", "What", "May", "Why"], &rows)) }
    }
}

pub(super) async fn rehearse(State(app): State<App>, Path(id): Path<String>, viewer: Viewer) -> Paged {
    let (view, explained) = load(&app, &viewer, &id)?;
    let RequestedAuthority::Run { action, input, plan: Some(planned) } = &view.request.asks else {
        return Err(Problem::usage("a standing scope, or a request without a plan, is not rehearsed").into());
    };
    let turn = heavy(&app).await?;
    let (candidate, input) = (app.host.component(action.digest)?, Input::of(input)?);
    let (host, by, scope) = (app.host.clone(), viewer.caller.0.key.clone(), view.request.scope.clone());
    let reason = format!("before a decision about {}", view.request.id);
    let found = to_end(&app, async move {
        let _turn = turn;
        play(&host, &by, (&candidate, &input), Some(scope), &reason).await
    });
    let again = match found.await? {
        Ok(found) if found.plan == *planned => html! {
            div.found role="status" { p { strong { "Rehearsed just now: it would do exactly what is written here." } } }
        },
        Ok(found) => html! {
            div.found.grave role="status" {
                p { strong { "Rehearsed just now: it would do something else." } " A run would be refused. This is what it would do now:" }
                (plan(&found.plan))
            }
        },
        Err(error) => html! {
            div.found.grave role="status" { p { strong { "Rehearsed just now, it fails: " } (words(&error.to_string())) } }
        },
    };
    let title = format!("{} on {}", view.request.action_words(), view.target.join(", "));
    shown(&app, &viewer, "/console/requests", &title, &whole(&view, &explained, &viewer, Some(&again)))
}
