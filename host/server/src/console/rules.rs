//! The rules in force: principals with their keys, policies, and who signed them.

use axum::extract::State;
use maud::{Markup, html};
use remit_lifecycle::PrincipalView;
use tokio::task::block_in_place;

use super::page::{Paged, Viewer, code, facts, shown, table, time, words};
use crate::app::App;

pub(super) async fn page(State(app): State<App>, viewer: Viewer) -> Paged {
    let (rules, principals) = block_in_place(|| {
        let (rules, reader) = (app.host.rules()?, app.host.journal.reader()?);
        let mut all = PrincipalView::all(&rules.principals);
        all.extend(PrincipalView::certified(&reader, &rules)?);
        Ok::<_, remit_lifecycle::Error>((rules, all))
    })?;
    let row = |held: &PrincipalView| {
        vec![
            html! { (words(&held.name)) },
            html! { (held.kind) @if let Some(operator) = &held.operator { ", operated by " (words(operator)) } },
            html! { @if held.groups.is_empty() { "-" } @else { (words(&held.groups.join(", "))) } },
            code(&held.words()),
            html! {
                @if held.in_force { "counts" } @else { strong { "does not count now" } }
                @if let Some(from) = held.from { ", from " (time(from)) }
                @if let Some(until) = held.until { ", until " (time(until)) }
            },
        ]
    };
    let rows: Vec<Vec<Markup>> = principals.iter().map(row).collect();
    let content = html! {
        h1 { "Rules in force" }
        (facts([
            ("digest", code(&rules.digest.to_string())),
            ("signed by", html! { "the administrator's key " (code(&rules.signed_by.to_string())) }),
            ("environment", html! { (words(rules.environment.as_deref().unwrap_or("none"))) }),
            ("passkeys", html! {
                @match rules.principals.passkeys() {
                    None => "sign nowhere",
                    Some(passkeys) => { "for " (code(&passkeys.rp)) ", sign at " @for origin in &passkeys.origins { (code(origin)) " " } }
                }
            }),
        ]))
        p { a href="/console/enrol" { "A new passkey" } " · which rule decides about a request is on the request's page" }
        h2 { "Principals, a line for each key and identity" }
        (table("Principals", &["Name", "Is", "Groups", "Key or identity", "Now"], &rows))
        h2 { "Policies" }
        @for (name, text) in rules.policies.texts() {
            details { summary { (words(&name)) } pre tabindex="0" { (words(&text)) } }
        }
    };
    shown(&app, &viewer, "/console/rules", "Rules", &content)
}
