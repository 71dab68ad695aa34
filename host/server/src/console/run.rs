//! One run: its story, as it happens; what a revert would do; a replay.

use axum::extract::{Path, State};
use jiff::{SignedDuration, Unit};
use maud::{Markup, html};
use remit_journal::{Mode, RunId, RunState, RunSummary};
use remit_lifecycle::{
    Line, Timeline, down_to, preview_revert, replay as play_again, review_of, second, undo_words,
};
use serde_json::{Value, json};
use tokio::task::block_in_place;

use super::page::{Failed, Paged, ToSign, Viewer, facts, shown, table, time, with_times, words};
use super::runs::state;
use crate::api::actions::heavy;
use crate::app::App;
use crate::exchange::to_end;

/// A run, what it was for, and who reviewed it with which words, if somebody did.
struct Told {
    story: Timeline,
    target: Vec<String>,
    review: Option<(String, String)>,
}

fn story(app: &App, viewer: &Viewer, name: &str) -> Result<Told, Failed> {
    block_in_place(|| {
        let reader = app.host.journal.reader()?;
        let RunSummary { run, target, .. } = viewer.caller.run(&reader, name)?;
        let story = Timeline::of(run, &reader.run(&run)?)?;
        let review = if went_without(&story) { review_of(&reader, run)? } else { None };
        Ok(Told { story, target, review })
    })
}

/// Whether it went without the usual policy, so that somebody has to look at it afterwards.
fn went_without(story: &Timeline) -> bool {
    story.authority.as_ref().is_some_and(|authority| authority.break_glass)
}

fn title(story: &Timeline) -> String {
    format!("{} {}: {}", story.action.name, story.action.version, story.state_word())
}

pub(super) async fn page(State(app): State<App>, Path(name): Path<String>, viewer: Viewer) -> Paged {
    let told = story(&app, &viewer, &name)?;
    shown(&app, &viewer, "/console/runs", &title(&told.story), &whole(&told, None))
}

fn whole(Told { story, target, review }: &Told, above: Option<&Markup>) -> Markup {
    let run = story.run;
    let live = story.mode == Mode::Live;
    html! {
        h1 {
            (words(&story.action.name)) " " (words(&story.action.version))
            @if !target.is_empty() { " on " (words(&target.join(", "))) }
            @if !live { " (rehearsal)" }
        }
        @if let Some(above) = above { (above) }
        // The script gets this part again while the run goes on.
        div #live data-events=[story.state.is_none().then(|| format!("/console/runs/{run}/events"))] {
            p.headline { (state(story.state)) @if story.state.is_none() { " " span.note { "going on" } } }
            (facts(story.facts().iter().map(|(name, text)| (*name, with_times(&text.to_string())))))
            @if !story.changed.is_empty() { h2 { "Changed" } (changed(story)) }
            @if !story.refused.is_empty() { h2 { "Refused" } (refused(story)) }
            h2 { "What happened" }
            (lines(&story.lines))
        }
        section.decide aria-label="What can be done" {
            h2 { "What can be done" }
            ul.links {
                @if live && story.state.is_some_and(|state| state != RunState::Reverted) { li { a href={ "/console/runs/" (run) "/revert" } { "Take its changes back: look first" } } }
                @if story.state.is_some() { li { a href={ "/console/runs/" (run) "/proof" } download={ (run) ".proof.json" } { "Download a proof of it" } } }
                @if let Some(request) = story.authority.as_ref().and_then(|authority| authority.request) { li { a href={ "/console/requests/" (request) } { "The request, and who approved it" } } }
            }
            (orders(story, review.as_ref()))
            @if story.state.is_some() {
                form method="post" action={ "/console/runs/" (run) "/replay" } { button type="submit" { "Replay it" } " " span.note { "runs the recorded component against the record; touches nothing" } }
            }
        }
    }
}

/// For how much longer the changes of a contained run stand, if a person says so here.
const LONGER: SignedDuration = SignedDuration::from_hours(8);

/// What a run needs a person for, each with what is signed for it.
fn orders(story: &Timeline, review: Option<&(String, String)>) -> Markup {
    let run = story.run;
    let form = |id: &str, does: &str, order: Value, command: String| {
        let (prepare, next) = ("/console/prepare/order".to_owned(), format!("/console/runs/{run}"));
        let (body, expect) = (json!({"order": &order}), json!({"order": &order}));
        ToSign { prepare, body, expect, next, does, reason: Some(true), command, grave: false }.form(id)
    };
    let longer = story.restore_at.and_then(|at| at.checked_add(LONGER).ok()).map(second);
    html! {
        @for call in &story.in_doubt {
            h3 { "Call " (call) " is in doubt: nobody knows whether it took effect. Look at the live system, then say so" }
            div.two {
                @for (happened, does) in [(true, "It took effect: sign"), (false, "It did not: sign")] {
                    @let order = json!({"resolve": {"run": run, "call": call, "happened": happened}});
                    (form(&format!("resolve-{call}-{happened}"), does, order, format!("remit resolve {run}")))
                }
            }
        }
        @if let Some(until) = longer {
            h3 { "The host undoes its changes by itself" }
            p { "They stand until " (time(story.restore_at.unwrap_or(until))) "; eight hours longer is " (time(until)) "." }
            (form("extend", "Eight hours longer, with passkey", json!({"extend": {"run": run, "until": until}}), format!("remit extend {run}")))
        }
        @if let Some((who, said)) = review {
            h3 { "It went without the usual policy" }
            p { "Reviewed by " (words(who)) ": " (words(said)) }
        } @else if went_without(story) {
            h3 { "It went without the usual policy" }
            (form("review", "Reviewed: sign with passkey", json!({"review": run}), format!("remit review {run}")))
        }
    }
}

fn changed(story: &Timeline) -> Markup {
    let rows: Vec<Vec<Markup>> = story
        .changed
        .iter()
        .map(|one| {
            vec![
                html! { (words(&one.words().to_string())) },
                html! { (words(&one.resource)) },
                html! { (words(&one.transition())) },
                html! { strong { (words(&one.fate().to_string())) } },
            ]
        })
        .collect();
    table("Changed", &["Operation", "Resource", "Before and after", "Now"], &rows)
}

fn refused(story: &Timeline) -> Markup {
    let rows: Vec<Vec<Markup>> = story
        .refused
        .iter()
        .map(|one| {
            vec![
                html! { (words(&one.words().to_string())) },
                html! { (words(&one.resource)) },
                html! { strong { "REFUSED" } ": " (words(&one.reason)) },
            ]
        })
        .collect();
    table("Refused", &["Operation", "Resource", "Why"], &rows)
}

/// The most lines that a page has. The proof and the command line have all.
const LINES: usize = 300;

fn lines(all: &[Line]) -> Markup {
    let left_out = all.len().saturating_sub(LINES);
    let row = |line: &Line| {
        vec![
            html! { (line.seq) },
            time(down_to(line.at, Unit::Second)),
            // `#3 →` on the command line: what the call returned.
            html! { span.nowrap { (words(&line.what.replace('→', "answer"))) } },
            html! { (words(&line.detail.to_string())) },
        ]
    };
    html! {
        @if left_out > 0 { p.note { "The first " (left_out) " lines are left out here: the command line shows all." } }
        (table("What happened", &["Record", "When", "What", "Detail"], &all.iter().skip(left_out).map(row).collect::<Vec<_>>()))
    }
}

pub(super) async fn revert(State(app): State<App>, Path(name): Path<String>, viewer: Viewer) -> Paged {
    let run: RunId = viewer.caller.run(&*app.host.journal.reader()?, &name)?.run;
    let reverted = preview_revert(&app.host, run, false).await?;
    let rows: Vec<Vec<Markup>> = reverted
        .steps
        .iter()
        .map(|step| {
            let name = step.operation.rsplit_once('/').map_or(&*step.operation, |(_, short)| short);
            vec![
                html! { "#" (step.call) },
                html! { (words(name)) },
                html! { (words(&step.resource)) },
                html! { @if let Some(found) = &step.found { "back to: " (words(found)) } },
                html! { strong { (words(&undo_words(&step.result).to_string())) } },
            ]
        })
        .collect();
    let content = html! {
        h1 { "Take the changes of a run back" }
        p { a href={ "/console/runs/" (run) } { (run) } " would be " strong { (reverted.state()) } ". Nothing is touched yet: this is what would happen, the last change first." }
        @if rows.is_empty() { p { "There is nothing to take back." } } @else { (table("What would be undone", &["Call", "Operation", "Resource", "State", "Result"], &rows)) }
        @for left in &reverted.left { p { "Not tried, because a later one cannot be undone: " (words(left)) } }
        (ToSign {
            prepare: "/console/prepare/order".to_owned(),
            body: json!({"order": {"revert": {"run": run, "keep_going": false}}}),
            expect: json!({"order": {"revert": {"run": run, "keep_going": false}}}),
            next: format!("/console/runs/{run}"),
            does: "Revert with passkey",
            reason: Some(true),
            command: format!("remit revert {run} --reason TEXT"),
            grave: true,
        }.form("revert"))
    };
    shown(&app, &viewer, "/console/runs", "Take the changes of a run back", &content)
}

pub(super) async fn replay(State(app): State<App>, Path(name): Path<String>, viewer: Viewer) -> Paged {
    let told = story(&app, &viewer, &name)?;
    let (turn, home, run) = (heavy(&app).await?, app.host.home.clone(), told.story.run);
    let replayed = to_end(&app, async move {
        let _turn = turn;
        play_again(&home, run).await
    });
    let replayed = replayed.await??;
    let above = html! {
        div.found role="status" {
            @match &replayed.divergence {
                None => p { strong { "Replayed: the same." } " " (replayed.calls) " calls" @if !replayed.complete { ", up to where the record ends" } "." },
                Some(divergence) => p.grave { strong { "Replayed: NOT THE SAME. " } (words(&divergence.to_string())) },
            }
        }
    };
    shown(&app, &viewer, "/console/runs", &title(&told.story), &whole(&told, Some(&above)))
}
