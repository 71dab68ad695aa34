//! Everything stops, or may start again.

use axum::extract::State;
use maud::html;
use serde_json::json;
use tokio::task::block_in_place;

use super::page::{Paged, ToSign, Viewer, shown, with_times};
use crate::app::App;

/// How many orders are shown.
const ORDERS: usize = 50;

pub(super) async fn page(State(app): State<App>, viewer: Viewer) -> Paged {
    let (frozen, orders) = block_in_place(|| {
        let reader = app.host.journal.reader()?;
        Ok::<_, remit_lifecycle::Error>((
            remit_lifecycle::frozen(&reader)?,
            remit_lifecycle::orders(&reader)?,
        ))
    })?;
    let lift = frozen.is_some();
    let form = ToSign {
        prepare: "/console/prepare/order".to_owned(),
        body: json!({"order": if lift { "unfreeze" } else { "freeze" }}),
        expect: if lift { json!({}) } else { json!({"order": "freeze"}) },
        next: "/console/freeze".to_owned(),
        does: if lift { "Lift the freeze with passkey" } else { "Freeze with passkey" },
        reason: Some(true),
        command: format!("remit {} --reason TEXT", if lift { "unfreeze" } else { "freeze" }),
        grave: !lift,
    };
    let content = html! {
        h1 { @if lift { "Lift the freeze" } @else { "Freeze" } }
        @if lift { p { "Runs may start again. Those that were stopped stay stopped." } }
        @else { p { "Every run stops at its next call, and nothing starts until somebody lifts it. A revert stays possible." } }
        (form.form("freeze"))
        h2 { "Orders about this host, newest first" }
        @if orders.is_empty() { p { "None." } }
        ol.orders { @for order in orders.iter().rev().take(ORDERS) { li { (with_times(order)) } } }
    };
    shown(&app, &viewer, "/console/freeze", if lift { "Lift the freeze" } else { "Freeze" }, &content)
}
