//! The console: pages for people, who decide with their passkeys. They are made here as a whole, and read without scripts; only
//! signing needs one. What is signed goes the way of every other document: a page prepares and submits with the functions of
//! [`crate::api`].

mod actions;
mod audit;
mod browser;
mod enrol;
mod freeze;
mod gate;
mod login;
mod page;
mod request;
mod rules;
mod run;
mod runs;
mod sign;
mod upload;
mod waiting;

use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router};

use crate::api;
use crate::app::App;
use crate::exchange::text_as;
use crate::rate::Cost;
use crate::routes::JSON;

pub(crate) use browser::Browsers;
pub(crate) use gate::{bounce, is_own_form, wants_page};

/// Where it is.
pub(crate) const PATH: &str = "/console";

const STYLE: &str = include_str!("console.css");
const SCRIPT: &str = include_str!("console.js");

/// How large a body may be.
pub(crate) fn largest(path: &str) -> usize {
    if path == upload::PATH { upload::LARGEST } else { JSON }
}

/// The pages that are for whoever has signed in, and what they call.
fn inside() -> Router<App> {
    let at = |cost: Cost, route: MethodRouter<App>| route.layer(Extension(cost));
    let (light, middle, heavy) = (Cost::Light, Cost::Middle, Cost::Heavy);
    Router::new()
        .route("/console", at(light, get(waiting::page)))
        .route("/console/requests", at(light, get(waiting::all)))
        .route("/console/requests/{request}", at(middle, get(request::page)))
        .route("/console/requests/{request}/rehearsal", at(heavy, post(request::rehearse)))
        .route("/console/runs", at(light, get(runs::page)))
        .route("/console/runs/{run}", at(light, get(run::page)))
        .route("/console/runs/{run}/revert", at(middle, get(run::revert)))
        .route("/console/runs/{run}/replay", at(heavy, post(run::replay)))
        .route("/console/runs/{run}/proof", at(middle, get(api::runs::prove)))
        .route("/console/runs/{run}/events", at(light, get(api::runs::follow)))
        .route("/console/actions", at(heavy, get(actions::page)))
        .route(upload::PATH, at(heavy, post(upload::inspect)))
        .route(upload::PATH, at(light, get(upload::again)))
        .route("/console/actions/{digest}", at(heavy, get(actions::one)))
        .route("/console/actions/{old}/diff/{new}", at(heavy, get(actions::diff)))
        .route("/console/rules", at(light, get(rules::page)))
        .route("/console/freeze", at(light, get(freeze::page)))
        .route("/console/audit", at(light, get(audit::page)))
        .route("/console/audit/verification", at(heavy, post(audit::verify)))
        .route("/console/audit/ocsf.jsonl", at(heavy, get(audit::ocsf)))
        .route("/console/logout", at(light, post(login::logout)))
        .route("/console/prepare/decision/{request}", at(middle, post(api::requests::prepare_decision)))
        .route("/console/prepare/order", at(middle, post(api::orders::prepare)))
        .route("/console/prepare/run", at(middle, post(api::runs::prepare)))
        .route("/console/sign", at(heavy, post(sign::submit)))
}

/// The pages before that.
fn outside() -> Router<App> {
    let at = |cost: Cost, route: MethodRouter<App>| route.layer(Extension(cost));
    Router::new()
        .route("/console/login", at(Cost::Free, get(login::page)))
        .route("/console/login", at(Cost::Middle, post(login::finish)))
        .route("/console/login/prepare", at(Cost::Middle, post(login::prepare)))
        .route("/console/enrol", at(Cost::Free, get(enrol::page)))
        .route("/console/enrol", at(Cost::Middle, post(enrol::finish)))
        .route("/console/enrol/prepare", at(Cost::Middle, post(enrol::prepare)))
        .route("/console/console.css", get(async || kept("text/css; charset=utf-8", STYLE)))
        .route("/console/console.js", get(async || kept("text/javascript; charset=utf-8", SCRIPT)))
}

/// All of it.
pub(crate) fn router(app: &App) -> Router {
    let inside = inside().layer(from_fn_with_state(app.clone(), gate::enter));
    outside()
        .merge(inside)
        .layer(DefaultBodyLimit::max(JSON))
        .layer(from_fn(gate::protect))
        .with_state(app.clone())
}

/// A file that is part of the program.
fn kept(media_type: &'static str, text: &'static str) -> Response {
    text_as(StatusCode::OK, media_type, text)
}
