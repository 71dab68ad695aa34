//! The description of all routes as a page for people. It needs nothing from elsewhere, and no script.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use axum::response::Response;
use maud::{DOCTYPE, Markup, html};
use serde_json::{Map, Value};

use crate::app::App;
use crate::exchange::text_as;
use crate::rate::Cost;
use crate::routes::{Access, ROUTES, Route};

/// The media type of the page.
pub(crate) const PAGE: &str = "text/html; charset=utf-8";
/// The media type of its style sheet.
pub(crate) const STYLE: &str = "text/css; charset=utf-8";
const SHEET: &str = include_str!("docs.css");
/// Nothing is loaded but the style sheet, nothing is sent, and nobody shows the page inside another.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

pub(crate) async fn page(State(app): State<App>) -> Response {
    let mut response = text_as(StatusCode::OK, PAGE, document(&app.description).into_string());
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

pub(crate) async fn style() -> Response {
    text_as(StatusCode::OK, STYLE, SHEET)
}

fn document(description: &Value) -> Markup {
    let schemas = description["components"]["schemas"].as_object();
    let schema = |name: &str| schemas.and_then(|schemas| schemas.get(name)).unwrap_or(&Value::Null);
    let named = reached(description, schema);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { "Remit: HTTP API" }
                link rel="stylesheet" href="/api/v1/docs/style.css";
            }
            body {
                h1 { "Remit: HTTP API" }
                p { "Version " (env!("CARGO_PKG_VERSION")) ". " (text(&description["info"]["description"])) }
                p { "For programs: " a href="/api/v1/openapi.json" { "OpenAPI 3.1" } "." }
                nav {
                    h2 { "Routes" }
                    ul {
                        @for route in ROUTES {
                            li { a href={ "#" (route.id) } { (route.id) } }
                        }
                    }
                    h2 { "Shapes" }
                    ul {
                        @for name in &named {
                            li { a href={ "#shape-" (name) } { (name) } }
                        }
                    }
                }
                main {
                    @for route in ROUTES {
                        (of_route(route, description))
                    }
                    @for name in &named {
                        article id={ "shape-" (name) } {
                            h3 { code { (name) } }
                            (shape(schema(name), true))
                        }
                    }
                }
            }
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn of_route(route: &Route, description: &Value) -> Markup {
    let path = route.path.replace("{*", "{");
    let operation = &description["paths"][&path][route.method.as_str().to_lowercase()];
    let content = |of: &Value| {
        let all = of["content"].as_object().into_iter().flatten();
        all.map(|(media_type, held)| (media_type.clone(), held["schema"].clone())).collect::<Vec<_>>()
    };
    let (status, _) = route.answers;
    html! {
        section id=(route.id) {
            h3 { span.method { (route.method.as_str()) } code { (path) } }
            p { (route.does) }
            dl {
                dt { "Who" }
                dd { (who(route.access)) }
                dt { "Takes" }
                dd { (points(route.cost)) }
                @for (media_type, held) in content(&operation["requestBody"]) {
                    dt { "Body" }
                    dd { code { (media_type) } " " (shape(&held, false)) }
                }
                @for (media_type, held) in content(&operation["responses"][status.to_string()]) {
                    dt { "Answer " (status) }
                    dd { code { (media_type) } " " (shape(&held, false)) }
                }
                dt { "Otherwise" }
                dd { a href="#shape-problem" { "problem" } }
            }
            @if let Some(parameters) = operation["parameters"].as_array().filter(|all| !all.is_empty()) {
                table {
                    tr { th { "Parameter" } th { "In" } th { "Is" } th { } }
                    @for parameter in parameters {
                        tr {
                            td { code { (text(&parameter["name"])) } }
                            td { (text(&parameter["in"])) }
                            td { (kind(&parameter["schema"])) }
                            td { (text(&parameter["schema"]["description"])) }
                        }
                    }
                }
            }
        }
    }
}

fn who(access: Access) -> &'static str {
    match access {
        Access::Open => "anybody",
        Access::Session => "who has a session (Authorization: DPoP …, and a proof in the header DPoP)",
        Access::Signed => "anybody: what counts is who signed the document",
    }
}

fn points(cost: Cost) -> String {
    match cost.points() {
        0 => "no point of anybody's bucket".to_owned(),
        1 => "1 point of the caller's bucket".to_owned(),
        many => format!("{many} points of the caller's bucket"),
    }
}

/// What something is, in a few words.
fn kind(schema: &Value) -> Markup {
    if let Some(name) = schema["$ref"].as_str().map(referred) {
        return html! { a href={ "#shape-" (name) } { (name) } };
    }
    if let Some(choices) = choices(schema) {
        return html! { @for (at, choice) in choices.iter().enumerate() { @if at > 0 { " or " } (kind(choice)) } };
    }
    if let Some(value) = schema.get("const") {
        return html! { code { (value.to_string()) } };
    }
    if let Some(values) = schema["enum"].as_array() {
        return html! {
            @for (at, value) in values.iter().enumerate() { @if at > 0 { ", " } code { (value.to_string()) } }
        };
    }
    if schema["items"].is_object() {
        return html! { "list of " (kind(&schema["items"])) };
    }
    match &schema["type"] {
        Value::String(one) => html! { (one) },
        Value::Array(several) => {
            html! { @for (at, one) in several.iter().enumerate() { @if at > 0 { " or " } (text(one)) } }
        }
        _ => html! { "any JSON" },
    }
}

fn choices(schema: &Value) -> Option<&Vec<Value>> {
    ["anyOf", "oneOf"].iter().find_map(|word| schema[*word].as_array())
}

fn referred(reference: &str) -> &str {
    reference.rsplit('/').next().unwrap_or_default()
}

/// All that is said of something: what it is for, what it is, and its fields with theirs.
fn shape(schema: &Value, whole: bool) -> Markup {
    let fields = schema["properties"].as_object();
    html! {
        @if whole {
            p { (text(&schema["description"])) }
        }
        @if fields.is_none() || !whole { (kind(schema)) }
        @if let Some(fields) = fields { (table(fields, &schema["required"])) }
        // The values of a map, the things of a list, the forms that it may have.
        @for inner in [&schema["additionalProperties"], &schema["items"]] {
            @if inner["properties"].is_object() { (shape(inner, true)) }
        }
        @for choice in choices(schema).into_iter().flatten() {
            @if choice["properties"].is_object() { (shape(choice, true)) }
            @else if choice["const"].is_string() { p { (kind(choice)) ": " (text(&choice["description"])) } }
        }
    }
}

fn table(fields: &Map<String, Value>, required: &Value) -> Markup {
    let must = |name: &str| required.as_array().is_some_and(|all| all.iter().any(|one| one == name));
    html! {
        table {
            tr { th { "Field" } th { "Is" } th { } }
            @for (name, field) in fields {
                tr {
                    td { code { (name) } @if !must(name) { " (optional)" } }
                    td { (kind(field)) }
                    td {
                        (text(&field["description"]))
                        @for inner in [field, &field["items"], &field["additionalProperties"]] {
                            @if inner["properties"].is_object() { (shape(inner, inner != field)) }
                        }
                    }
                }
            }
        }
    }
}

/// The shapes that the routes use, and those that they are made of.
fn reached<'d>(description: &'d Value, schema: impl Fn(&str) -> &'d Value) -> BTreeSet<&'d str> {
    let mut found = BTreeSet::new();
    let mut left = vec![&description["paths"]];
    while let Some(value) = left.pop() {
        match value {
            Value::Object(members) => {
                left.extend(members.values());
                if let Some(name) = members.get("$ref").and_then(Value::as_str).map(referred)
                    && found.insert(name)
                {
                    left.push(schema(name));
                }
            }
            Value::Array(items) => left.extend(items),
            _ => {}
        }
    }
    found
}
