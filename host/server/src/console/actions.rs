//! The actions and connectors that are kept here: what each could do, who signed it, and how two of them differ.

use axum::extract::{Path, Request, State};
use maud::{Markup, html};
use remit_lifecycle::{InspectView, PublisherState, PublisherView};
use remit_sandbox::Inspection;
use remit_trust::Digest;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::task::block_in_place;

use super::page::{Paged, Viewer, code, facts, pages, shown, table, words};
use super::runs::query;
use crate::api::actions::{ARRIVES, heavy, no_room};
use crate::app::App;
use crate::exchange::{Params, body, is_of_type};

/// How many components a page has: each is looked at.
const PAGE: usize = 20;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Filter {
    before: Option<Digest>,
}

struct Kept {
    digest: Digest,
    name: String,
    version: String,
    kind: &'static str,
    summary: String,
}

pub(super) async fn page(State(app): State<App>, viewer: Viewer, Params(asked): Params<Filter>) -> Paged {
    let _turn = heavy(&app).await?;
    let (mut kept, next) = block_in_place(|| {
        let mut kept = app.host.home.kept_components()?;
        if let Some(before) = asked.before.map(|digest| digest.to_string()) {
            kept.retain(|digest| digest.to_string() > before);
        }
        let more = kept.len() > PAGE;
        kept.truncate(PAGE);
        let next = kept.last().copied().filter(|_| more);
        let look = |digest: Digest| {
            let found = app.host.component(digest).and_then(|found| Ok(Inspection::of(&found)?)).ok()?;
            let kind = if found.is_action() { "action" } else { "connector" };
            let summary = found.manifest.map(|manifest| manifest.summary).unwrap_or_default();
            Some(Kept { digest, name: found.name, version: found.version, kind, summary })
        };
        Ok::<_, remit_lifecycle::Error>((kept.into_iter().filter_map(look).collect::<Vec<_>>(), next))
    })?;
    kept.sort_by(|one, other| (&one.name, &one.version).cmp(&(&other.name, &other.version)));
    let row = |(n, one): (usize, &Kept)| {
        // The version before, of the same name: what changed is one click away.
        let before = n
            .checked_sub(1)
            .map(|n| &kept[n])
            .filter(|before| before.name == one.name && before.kind == one.kind);
        vec![
            html! { a href={ "/console/actions/" (one.digest) } { (words(&one.name)) " " (words(&one.version)) } },
            html! { (one.kind) },
            html! { (words(&one.summary)) },
            html! { @if let Some(before) = before { a href={ "/console/actions/" (before.digest) "/diff/" (one.digest) } { "since " (words(&before.version)) } } },
            code(&one.digest.short()),
        ]
    };
    let rows: Vec<_> = kept.iter().enumerate().map(row).collect();
    let to = |before: Option<Digest>| query("/console/actions", &[], before.map(|digest| digest.to_string()));
    let content = html! {
        h1 { "Actions and connectors" }
        @if rows.is_empty() { p { "None is kept here yet." } } @else { (table("Actions and connectors", &["Name", "Kind", "What it is for, in its author's words", "What changed", "Digest"], &rows)) }
        (pages(next.map(|next| to(Some(next))).as_deref(), asked.before.map(|_| to(None)).as_deref()))
        h2 { "A component that is not kept here" }
        form.sign #inspect data-inspect=(super::INSPECTION) {
            label for="component" { "Whoever signed it, or nobody: nothing of it runs, and nothing of it is kept" }
            input #component name="component" type="file" accept=".wasm" required;
            button type="submit" disabled { "What could it do?" }
            output role="status" {}
            noscript { p.note { "That needs JavaScript. Without it: " code { "remit inspect FILE" } } }
        }
    };
    shown(&app, &viewer, "/console/actions", "Actions", &content)
}

fn value(found: &RawValue) -> Value {
    serde_json::from_str(found.get()).unwrap_or_default()
}

fn text<'v>(of: &'v Value, name: &str) -> &'v str {
    of[name].as_str().unwrap_or_default()
}

fn each<'v>(of: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    of[name].as_array().into_iter().flatten()
}

pub(super) async fn one(State(app): State<App>, Path(digest): Path<String>, viewer: Viewer) -> Paged {
    let digest: Digest = digest.parse()?;
    let turn = heavy(&app).await?;
    let found = value(&block_in_place(|| app.host.inspect(digest))?);
    drop(turn);
    component(&app, &viewer, &found)
}

/// What a component could do, which nobody has to trust for that: nothing of it runs, and nothing of it is kept.
pub(super) async fn inspect(State(app): State<App>, viewer: Viewer, request: Request) -> Paged {
    is_of_type(request.headers(), "application/wasm")?;
    let Ok(_room) = app.uploads.acquire().await else { return Err(no_room().into()) };
    let bytes = body(request, &app, ARRIVES).await?;
    let turn = heavy(&app).await?;
    let found = block_in_place(|| {
        let candidate = app.host.home.received(&bytes, "")?;
        let (found, setup) = (Inspection::of(&candidate)?, app.host.setup()?);
        let view = InspectView::of(&app.host.home, &candidate, &found, &setup.registry)?;
        // No signature came with it.
        let publisher = PublisherView { state: PublisherState::Unsigned, key: None, unreadable: None };
        let view = InspectView { publisher, ..view };
        Ok::<_, remit_lifecycle::Error>(serde_json::to_value(&view)?)
    })?;
    drop(turn);
    component(&app, &viewer, &found)
}

/// The page of a component, of what `remit inspect --json` has of it.
fn component(app: &App, viewer: &Viewer, found: &Value) -> Paged {
    let publisher = &found["publisher"];
    let manifest = &found["manifest"];
    let signed = match (text(publisher, "state"), publisher["key"].as_str()) {
        ("trusted", Some(key)) => html! { "a publisher that is trusted here, with the key " (code(key)) },
        (state, _) => html! { strong.grave { (state.to_uppercase()) } ": nothing of it runs here" },
    };
    let content = html! {
        h1 { (words(text(found, "name"))) " " (words(text(found, "version"))) }
        @if let Some(summary) = manifest["summary"].as_str() { p { (words(summary)) " " span.note { "(its author's words)" } } }
        (facts([
            ("digest", code(text(found, "digest"))),
            ("signed by", signed),
            ("size", html! { (found["size"]) " bytes" }),
            ("verdict", html! { (words(text(found, "verdict"))) @for obstacle in each(found, "obstacles") { " " (words(obstacle.as_str().unwrap_or_default())) } }),
        ]))
        @if found["hidden_text"].as_array().is_some_and(|all| !all.is_empty()) {
            p.grave { strong { "IT HAS TEXT THAT A READER DOES NOT SEE" } }
        }
        @if found["imports"].is_array() {
            h2 { "What it could do" }
            (imports(found))
        }
        @if found["functions"].is_array() {
            h2 { "What it can send" }
            (functions(found))
        }
    };
    shown(app, viewer, "/console/actions", text(found, "name"), &content)
}

fn effect(name: &str) -> Markup {
    match name {
        "irrevocable" => html! { strong.grave { "CANNOT BE UNDONE" } },
        "disclose" => html! { strong.grave { "HANDS OUT SECRETS" } },
        "change" => html! { strong { "change" } },
        other => html! { (words(other)) },
    }
}

fn imports(found: &Value) -> Markup {
    let why = &found["manifest"]["capabilities"];
    let row = |import: &Value| {
        let name = text(import, "name");
        let reason = why
            .as_object()
            .into_iter()
            .flatten()
            .find(|(key, _)| name.split('@').next() == key.split('@').next());
        vec![
            code(name),
            html! { @if import["offered"] == true { (effect(text(import, "effect"))) } @else { strong { "not offered here" } } },
            html! { (words(text(import, "risk"))) },
            html! { @if import["granted_by_scope"] == true { "only if a scope grants it" } @else { "always there" } },
            html! { (words(reason.and_then(|(_, reason)| reason.as_str()).unwrap_or("-"))) },
        ]
    };
    table(
        "What it could do",
        &["Imports", "Effect", "What that allows", "When", "Why, in its author's words"],
        &each(found, "imports").map(row).collect::<Vec<_>>(),
    )
}

fn functions(found: &Value) -> Markup {
    let row = |function: &Value| {
        vec![
            code(text(function, "name")),
            effect(text(function, "effect")),
            html! { (words(text(function, "resource"))) },
        ]
    };
    table(
        "What it can send",
        &["Function", "Effect", "Resource"],
        &each(found, "functions").map(row).collect::<Vec<_>>(),
    )
}

pub(super) async fn diff(
    State(app): State<App>,
    Path((old, new)): Path<(String, String)>,
    viewer: Viewer,
) -> Paged {
    let (old, new): (Digest, Digest) = (old.parse()?, new.parse()?);
    let turn = heavy(&app).await?;
    let found = value(&block_in_place(|| app.host.inspect_diff(old, new))?);
    drop(turn);
    let list = |name: &str, title: &str| {
        html! {
            h2 { (title) }
            @if each(&found, name).next().is_none() { p { "Nothing." } }
            ul { @for one in each(&found, name) { li { (code(one.as_str().map_or_else(|| one.to_string(), ToOwned::to_owned).as_str())) } } }
        }
    };
    let content = html! {
        h1 { "What changed" }
        p { "From " a href={ "/console/actions/" (old) } { (old.short()) } " to " a href={ "/console/actions/" (new) } { (new.short()) } "." }
        (list("added", "It can do this now"))
        (list("removed", "It cannot do this any more"))
    };
    shown(&app, &viewer, "/console/actions", "What changed", &content)
}
