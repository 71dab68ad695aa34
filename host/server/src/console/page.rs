//! What all pages have in common.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};
use miette::Diagnostic;
use remit_lifecycle::second;
use serde_json::Value;

use super::browser::Session;
use crate::app::App;
use crate::exchange::text_as;
use crate::problem::Problem;
use crate::who::Caller;

/// The menu: each page with its path.
const MENU: [(&str, &str); 6] = [
    ("Waiting", "/console"),
    ("Requests", "/console/requests"),
    ("Runs", "/console/runs"),
    ("Actions", "/console/actions"),
    ("Rules", "/console/rules"),
    ("Audit", "/console/audit"),
];

/// Why there is no page: a problem, shown as one.
#[derive(Debug)]
pub(crate) struct Failed(Problem);

/// Who looks at a page.
pub(crate) struct Viewer {
    pub(crate) caller: Caller,
    session: Session,
}

impl FromRequestParts<App> for Viewer {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failed> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let Some(session) = parts.extensions.get::<Session>().cloned() else {
            let why = "nobody has signed in";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "refused::session", why).into());
        };
        Ok(Self { caller, session })
    }
}

/// What a page's handler returns.
pub(crate) type Paged = Result<Response, Failed>;

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl<E: Diagnostic> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let problem = self.0;
        let content = html! {
            h1 { "That did not work" }
            (explained(&problem))
            p { a href="/console" { "What waits for you" } }
        };
        let status = problem.status();
        let mut response = text_as(status, HTML, bare("That did not work", &content).into_string());
        // With the headers and the line in the log that every problem has.
        let told = problem.into_response();
        if let Some(after) = told.headers().get(RETRY_AFTER) {
            response.headers_mut().insert(RETRY_AFTER, after.clone());
        }
        response
    }
}

const HTML: &str = "text/html; charset=utf-8";

/// A problem in words.
fn explained(problem: &Problem) -> Markup {
    html! {
        div.problem role="alert" {
            p { (words(&problem.to_string())) }
            @if let Some(help) = problem.help_text() { p.help { (words(help)) } }
            p.note { "Code: " code { (problem.code()) } }
        }
    }
}

/// A page without a menu, for whoever has not signed in.
pub(crate) fn bare(title: &str, content: &Markup) -> Markup {
    document(title, None, &html! { p.brand { "Remit" } }, content)
}

pub(crate) fn shown_bare(title: &str, content: &Markup) -> Response {
    text_as(StatusCode::OK, HTML, bare(title, content).into_string())
}

/// A page for whoever has signed in.
pub(crate) fn shown(app: &App, viewer: &Viewer, here: &str, title: &str, content: &Markup) -> Paged {
    let frozen = remit_lifecycle::frozen(&*app.host.journal.reader()?)?;
    let top = html! {
        p.brand { a href="/console" { "Remit" } " " span.log { (words(&app.host.rules().map(|rules| rules.log.clone()).unwrap_or_default())) } }
        nav aria-label="Main" {
            ul {
                @for (name, path) in MENU {
                    li { a href=(path) aria-current=[(path == here).then_some("page")] { (name) } }
                }
                li.stop { a href="/console/freeze" aria-current=[(here == "/console/freeze").then_some("page")] { @if frozen.is_some() { "Frozen" } @else { "Freeze" } } }
            }
        }
        form.who method="post" action="/console/logout" {
            span { (viewer.caller.0.name()) }
            button type="submit" { "Sign out" }
        }
    };
    let content = html! {
        @if let Some(frozen) = &frozen {
            div.frozen role="status" {
                strong { "Frozen: nothing runs." }
                " By " (words(&frozen.by)) ", " (time(frozen.at)) ": " (words(&frozen.reason)) " "
                a href="/console/freeze" { "Lift it" }
            }
        }
        (content)
    };
    let rules = app.host.rules();
    let rp = rules
        .as_ref()
        .ok()
        .and_then(|rules| rules.principals.passkeys())
        .map(|passkeys| passkeys.rp.as_str());
    let signs = rp.map(|rp| (rp, viewer.session.credential.as_str()));
    Ok(text_as(StatusCode::OK, HTML, document(title, signs, &top, &content).into_string()))
}

/// `signs` is the domain and the name of the passkey that signs here.
fn document(title: &str, signs: Option<(&str, &str)>, top: &Markup, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (words(title)) " · Remit" }
                link rel="stylesheet" href="/console/console.css";
                script src="/console/console.js" defer {}
            }
            body data-rp=[signs.map(|(rp, _)| rp)] data-credential=[signs.map(|(_, credential)| credential)] {
                a.skip href="#main" { "To the content" }
                header { (top) }
                main #main { (content) }
            }
        }
    }
}

/// Text of others: characters that hide something or steer are shown as escapes.
pub(crate) fn words(text: &str) -> Markup {
    html! { (remit_text::lines(text)) }
}

/// The same on one line.
pub(crate) fn code(text: &str) -> Markup {
    html! { code { (remit_text::line(text)) } }
}

/// A moment: in UTC, which the script puts into the reader's zone.
pub(crate) fn time(at: Timestamp) -> Markup {
    let at = second(at);
    let text = at.to_string();
    let shown = text.trim_end_matches('Z').replace('T', " ");
    html! { time datetime=(text) { (shown) " UTC" } }
}

/// A text that may have moments in it, as the command line writes them: each as [`time`] has it.
pub(crate) fn with_times(text: &str) -> Markup {
    let is_moment = |word: &str| word.ends_with('Z') && word.len() >= 20 && word.as_bytes()[4] == b'-';
    html! {
        @for (n, word) in text.split(' ').enumerate() {
            @if n > 0 { " " }
            @let (bare, after) = word.split_at(word.trim_end_matches([',', '.', ';', ':']).len());
            @if let Some(at) = bare.parse::<Timestamp>().ok().filter(|_| is_moment(bare)) { (time(at)) (after) }
            @else { (words(word)) }
        }
    }
}

/// Names and texts in two columns.
pub(crate) fn facts<'f>(rows: impl IntoIterator<Item = (&'f str, Markup)>) -> Markup {
    html! { dl.facts { @for (name, text) in rows { @if !name.is_empty() { dt { (name) } } dd { (text) } } } }
}

/// A table that scrolls by itself where the screen is too narrow.
pub(crate) fn table(caption: &str, head: &[&str], rows: &[Vec<Markup>]) -> Markup {
    html! {
        div.table tabindex="0" role="region" aria-label=(caption) {
            table {
                thead { tr { @for name in head { th scope="col" { (name) } } } }
                tbody {
                    @for row in rows {
                        tr { @for (cell, name) in row.iter().zip(head) { td data-name=(name) { div { (cell) } } } }
                    }
                }
            }
        }
    }
}

/// What somebody signs with a passkey. The script prepares the document at `prepare` with `body`, looks whether it says `expect`,
/// has it signed, submits it, and goes on to `next`.
pub(crate) struct ToSign<'a> {
    pub(crate) prepare: String,
    pub(crate) body: Value,
    /// What the document must say, so that nothing else is signed.
    pub(crate) expect: Value,
    pub(crate) next: String,
    /// The text on the button.
    pub(crate) does: &'a str,
    /// Whether it must be said why; none if nothing is said.
    pub(crate) reason: Option<bool>,
    /// The same on the command line.
    pub(crate) command: String,
    /// Whether the button is that of a warning.
    pub(crate) grave: bool,
}

impl ToSign<'_> {
    pub(crate) fn form(&self, id: &str) -> Markup {
        let label = match self.reason {
            Some(true) => "Why (needed)",
            _ => "Why (if there is something to say)",
        };
        html! {
            form.sign id=(id) data-prepare=(self.prepare) data-body=(self.body.to_string())
                data-expect=(self.expect.to_string()) data-next=(self.next) {
                @if self.reason.is_some() {
                    label for={ (id) "-reason" } { (label) }
                    textarea id={ (id) "-reason" } name="reason" rows="2" maxlength="4000" required[self.reason == Some(true)] {}
                }
                button.grave[self.grave] type="submit" disabled { (self.does) }
                output role="status" {}
                noscript { p.note { "Signing with a passkey needs JavaScript. Without it: " code { (self.command) } } }
            }
        }
    }
}

/// Links to the next page of a list, and back to its beginning.
pub(crate) fn pages(next: Option<&str>, first: Option<&str>) -> Markup {
    html! {
        @if next.is_some() || first.is_some() {
            nav.pages aria-label="Pages" {
                @if let Some(first) = first { a href=(first) { "Newest" } }
                @if let Some(next) = next { a href=(next) { "Older" } }
            }
        }
    }
}
