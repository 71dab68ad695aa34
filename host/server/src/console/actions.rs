//! The actions and connectors that are kept here: what each could do, who signed it, and how two of them differ.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use axum::extract::{Path, State};
use maud::{Markup, html};
use remit_lifecycle::{Error, Looked};
use remit_sandbox::Inspection;
use remit_trust::Digest;
use semver::Version;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::task::block_in_place;

use super::page::{Paged, Viewer, code, facts, pages, shown, table, words};
use super::runs::query;
use crate::api::actions::heavy;
use crate::app::App;
use crate::exchange::Params;

/// How many components a page has: each is looked at.
const PAGE: usize = 20;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Filter {
    before: Option<Digest>,
}

/// A component that is kept here.
pub(super) struct Kept {
    pub(super) digest: Digest,
    pub(super) name: String,
    pub(super) version: String,
    kind: &'static str,
    summary: String,
}

fn kind(is_connector: bool) -> &'static str {
    if is_connector { "connector" } else { "action" }
}

impl Kept {
    /// A kept component; none if it cannot be looked at.
    fn of(app: &App, digest: Digest) -> Option<Self> {
        let found = app.host.component(digest).and_then(|found| Ok(Inspection::of(&found)?)).ok()?;
        let summary = found.manifest.as_ref().map(|manifest| manifest.summary.clone()).unwrap_or_default();
        let kind = kind(found.is_connector());
        Some(Self { digest, kind, name: found.name, version: found.version, summary })
    }

    /// Every other kept version of a component, the newest first.
    pub(super) fn others(app: &App, looked: &Looked) -> Result<Vec<Self>, Error> {
        let (own, is) = (looked.candidate.digest(), kind(looked.found.is_connector()));
        let all = app.host.home.kept_components()?.into_iter().filter(|digest| *digest != own);
        let same = |kept: &Self| kept.name == looked.found.name && kept.kind == is;
        let mut others: Vec<Self> = all.filter_map(|digest| Self::of(app, digest)).filter(same).collect();
        others.sort_by_key(|other| Reverse(order(&other.version, other.digest)));
        Ok(others)
    }
}

/// Versions are ordered as versions are, and before them those that are none.
fn order(version: &str, digest: Digest) -> (Option<Version>, String) {
    (Version::parse(version).ok(), digest.to_string())
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
        let kept: Vec<Kept> = kept.into_iter().filter_map(|digest| Kept::of(&app, digest)).collect();
        Ok::<_, Error>((kept, next))
    })?;
    kept.sort_by(|one, other| {
        let of = |kept: &Kept| (kept.name.clone(), order(&kept.version, kept.digest));
        of(one).cmp(&of(other))
    });
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
            html! { @if let Some(before) = before { a href={ "/console/actions/" (before.digest) "/diff/" (one.digest) } { "since " (words(&before.version)) } } @else { "-" } },
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
        (super::upload::form())
    };
    shown(&app, &viewer, "/console/actions", "Actions", &content)
}

pub(super) fn value(found: &RawValue) -> Value {
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
    let (found, others) = block_in_place(|| {
        let looked = app.host.look(digest)?;
        Ok::<_, Error>((app.host.inspect_looked(&looked)?, Kept::others(&app, &looked)?))
    })?;
    drop(turn);
    let compared = html! {
        h2 { "Other versions that are kept here" }
        @if others.is_empty() { p { "None." } }
        ul { @for other in &others { li {
            a href={ "/console/actions/" (other.digest) } { (words(&other.version)) } " "
            (code(&other.digest.short())) ": "
            a href={ "/console/actions/" (other.digest) "/diff/" (digest) } { "what this one can do that " (words(&other.version)) " could not" }
        } } }
    };
    component(&app, &viewer, &value(&found), None, &compared)
}

/// The page of a component, of what `remit inspect --json` has of it. `above` is what was done with it just now, `compared` how it
/// differs from others.
pub(super) fn component(
    app: &App,
    viewer: &Viewer,
    found: &Value,
    above: Option<&Markup>,
    compared: &Markup,
) -> Paged {
    let publisher = &found["publisher"];
    let manifest = &found["manifest"];
    let signed = match (text(publisher, "state"), publisher["key"].as_str()) {
        ("trusted", Some(key)) => html! { "a publisher that is trusted here, with the key " (code(key)) },
        (state, _) => html! { strong.grave { (state.to_uppercase()) } ": nothing of it runs here" },
    };
    let serves = each(found, "interfaces").filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
    let obstacles: Vec<&str> = each(found, "obstacles").filter_map(Value::as_str).collect();
    let is_trusted = text(publisher, "state") == "trusted";
    let verdict = match (found["verdict"].as_str(), obstacles.as_slice()) {
        // Not "runs here": nothing of it does.
        (_, []) if !is_trusted => "fits this host, once a trusted publisher signs it".to_owned(),
        // That of an action names the obstacles.
        (Some(verdict), _) => verdict.to_owned(),
        (None, []) => "can serve here".to_owned(),
        (None, obstacles) => format!("cannot serve here: {}", obstacles.join("; ")),
    };
    let serves = (!serves.is_empty()).then(|| ("serves", html! { (words(&serves)) }));
    let about = [
        ("digest", code(text(found, "digest"))),
        ("signed by", signed),
        ("size", html! { (found["size"]) " bytes" }),
        ("verdict", html! { (words(&verdict)) }),
    ];
    let content = html! {
        h1 { (words(text(found, "name"))) " " (words(text(found, "version"))) }
        @if let Some(above) = above { (above) }
        @if let Some(summary) = manifest["summary"].as_str() { p { (words(summary)) " " span.note { "(its author's words)" } } }
        (facts(about.into_iter().chain(serves)))
        @if found["hidden_text"].as_array().is_some_and(|all| !all.is_empty()) {
            p.grave { strong { "IT HAS TEXT THAT A READER DOES NOT SEE" } }
        }
        @if found["imports"].is_array() {
            h2 { "What it could do" }
            (imports(found, None))
        }
        @if found["functions"].is_array() {
            h2 { "What it can send" }
            (functions(found))
        }
        (compared)
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

fn imports(found: &Value, only: Option<&BTreeSet<&str>>) -> Markup {
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
    let all =
        each(found, "imports").filter(|import| only.is_none_or(|only| only.contains(text(import, "name"))));
    table(
        "What it could do",
        &["Imports", "Effect", "What that allows", "When", "Why, in its author's words"],
        &all.map(row).collect::<Vec<_>>(),
    )
}

fn functions(found: &Value) -> Markup {
    let row = |function: &Value| {
        let requests = each(function, "requests").filter_map(|request| {
            let [what, request] = request.as_array()?.as_slice() else { return None };
            Some(format!("{} {}", what.as_str()?, request.as_str()?))
        });
        vec![
            code(text(function, "name")),
            html! {
                (effect(text(function, "effect")))
                @if let Some(why) = function["irrevocable_because"].as_str() { ": " (words(why)) }
            },
            html! { (words(text(function, "resource"))) },
            html! { @for request in requests { div.anywhere { (words(&request)) } } },
        ]
    };
    table(
        "What it can send",
        &["Function", "Effect", "Resource", "Requests"],
        &each(found, "functions").map(row).collect::<Vec<_>>(),
    )
}

/// What one component can do that another cannot, of what `remit inspect --diff --json` has of them. `new` is the view of the new
/// one, which has the words for what it imports.
pub(super) fn difference(diff: &Value, new: &Value) -> Markup {
    // Of connectors: a list of what only one of them has.
    if let Some(rows) = diff.as_array() {
        let of = |sign: &str| {
            let rows = rows.iter().filter(|row| row[0] == sign);
            let row = |row: &Value| -> Vec<Markup> {
                (1..4).map(|n| html! { (words(row[n].as_str().unwrap_or_default())) }).collect()
            };
            rows.map(row).collect::<Vec<_>>()
        };
        return html! {
            @for (sign, title) in [("+", GAINED), ("-", LOST)] {
                @let rows = of(sign);
                h3 { (title) }
                @if rows.is_empty() { p { "Nothing." } } @else { (table(title, &["Function", "What", "Which"], &rows)) }
            }
        };
    }
    let added: BTreeSet<&str> = each(diff, "added").filter_map(Value::as_str).collect();
    html! {
        h3 { (GAINED) }
        @if added.is_empty() { p { "Nothing." } } @else { (imports(new, Some(&added))) }
        h3 { (LOST) }
        @if each(diff, "removed").next().is_none() { p { "Nothing." } }
        ul { @for one in each(diff, "removed") { li { (code(one.as_str().unwrap_or_default())) } } }
    }
}

const GAINED: &str = "It can do this now";
const LOST: &str = "It cannot do this any more";

pub(super) async fn diff(
    State(app): State<App>,
    Path((old, new)): Path<(String, String)>,
    viewer: Viewer,
) -> Paged {
    let (old, new): (Digest, Digest) = (old.parse()?, new.parse()?);
    let turn = heavy(&app).await?;
    let (before, after, diff, view) = block_in_place(|| {
        let (before, after) = (app.host.look(old)?, app.host.look(new)?);
        let (diff, view) = (after.since(&before)?, app.host.inspect_looked(&after)?);
        Ok::<_, Error>((before, after, diff, view))
    })?;
    drop(turn);
    let link = |of: &Looked| {
        let digest = of.candidate.digest();
        html! {
            a href={ "/console/actions/" (digest) } { (words(&of.found.name)) " " (words(&of.found.version)) }
            " (" (code(&digest.short())) ")"
        }
    };
    let content = html! {
        h1 { "What changed" }
        p { "From " (link(&before)) " to " (link(&after)) "." }
        (difference(&value(&diff), &value(&view)))
    };
    shown(&app, &viewer, "/console/actions", "What changed", &content)
}
