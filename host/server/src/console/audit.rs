//! The journal's own proof: checkpoints, witnesses, the whole check, and exports.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header::CONTENT_DISPOSITION;
use axum::response::Response;
use maud::{Markup, html};
use tokio::sync::mpsc;
use tokio::task::{block_in_place, spawn_blocking};

use super::page::{Paged, Viewer, code, facts, shown, table, words};
use crate::api::actions::heavy;
use crate::app::App;
use crate::exchange::{text_as, to_end};
use crate::problem::{Answer, Problem};

pub(super) async fn page(State(app): State<App>, viewer: Viewer) -> Paged {
    whole(&app, &viewer, None)
}

fn whole(app: &App, viewer: &Viewer, above: Option<&Markup>) -> Paged {
    let (checkpoint, cosigned, size) = block_in_place(|| {
        let reader = app.host.journal.reader()?;
        Ok::<_, remit_lifecycle::Error>((reader.checkpoint()?, reader.cosigned()?, reader.size()?))
    })?;
    let rows: Vec<Vec<Markup>> = cosigned
        .iter()
        .map(|one| vec![html! { (words(&one.witness)) }, html! { (one.size) " of " (size) " records" }])
        .collect();
    let content = html! {
        h1 { "Audit" }
        @if let Some(above) = above { (above) }
        (facts([
            ("journal", code(&app.host.rules()?.log)),
            ("public key", code(&app.host.home.verifier()?.to_string())),
            ("records", html! { (size) }),
        ]))
        form method="post" action="/console/audit/verification" { button type="submit" { "Verify now" } " " span.note { "reads every record; " code { "remit audit verify" } " does the same with the file and the public key alone" } }
        h2 { "Newest checkpoint" }
        p { "Keep it elsewhere: a later check with it finds a journal that was shortened." }
        pre tabindex="0" { (words(&checkpoint)) }
        h2 { "Witnesses" }
        @if rows.is_empty() { p { "None has cosigned this journal." } } @else { (table("Witnesses", &["Witness", "Cosigned"], &rows)) }
        h2 { "For other systems" }
        ul.links {
            li { a href="/console/audit/ocsf.jsonl" download="remit.ocsf.jsonl" { "OCSF events" } " (Remediation Activity, one JSON object a line)" }
            li { a href="/api/v1/log/checkpoint" { "The published log" } " (c2sp.org/tlog-tiles)" }
        }
    };
    shown(app, viewer, "/console/audit", "Audit", &content)
}

pub(super) async fn verify(State(app): State<App>, viewer: Viewer) -> Paged {
    let (turn, host) = (heavy(&app).await?, app.host.clone());
    let found = to_end(&app, async move {
        let _turn = turn;
        block_in_place(|| {
            let key = host.home.verifier()?;
            Ok::<_, remit_lifecycle::Error>(host.journal.reader()?.verify(&key, None))
        })
    });
    let above = match found.await?? {
        Ok(audit) => html! {
            div.found role="status" {
                p { strong { "Sound: " } (audit.records) " records of " (audit.runs) " runs, all as signed." @if audit.open_calls > 0 { " " (audit.open_calls) " call(s) without an outcome: under way, or interrupted." } }
                p { "Root " (code(&audit.root)) }
            }
        },
        Err(error) => html! {
            div.found.grave role="alert" { p { strong { "NOT SOUND: " } (words(&error.to_string())) } }
        },
    };
    whole(&app, &viewer, Some(&above))
}

/// How many events are in memory for one who reads them.
const AHEAD: usize = 64;

pub(super) async fn ocsf(State(app): State<App>, viewer: Viewer) -> Answer<Response> {
    viewer.caller.is_person()?;
    let turn = heavy(&app).await?;
    let (to, mut events) = mpsc::channel::<Bytes>(AHEAD);
    let home = app.host.home.clone();
    spawn_blocking(move || {
        let _turn = turn;
        let written = remit_lifecycle::export_ocsf(&home, None, |event| {
            // Whoever read them is gone.
            let _ = to.blocking_send(Bytes::from(format!("{}\n", remit_text::json_text(&event.to_string()))));
        });
        if let Err(error) = written {
            tracing::warn!(%error, "the export ended early");
        }
    });
    let stream = async_stream::stream! {
        while let Some(event) = events.recv().await {
            yield Ok::<_, std::convert::Infallible>(event);
        }
    };
    let mut response = text_as(StatusCode::OK, "application/x-ndjson", Body::from_stream(stream));
    let name = HeaderValue::from_static("attachment; filename=\"remit.ocsf.jsonl\"");
    response.headers_mut().insert(CONTENT_DISPOSITION, name);
    Ok::<_, Problem>(response)
}
