//! Tickets of a Roundup tracker.
//!
//! What the real server does, and its documentation does not say or not there:
//! - A change needs the headers `Origin`, with the address in the tracker's `config.ini`, and `X-Requested-With`.
//! - Who opens a ticket with a text by REST sends two requests, and can be interrupted between them. The form of the web interface
//!   does both at once; it answers with a redirect, and with a page where it could not.
//! - A comment changes the status: from `unread`, `resolved` and `done-cbb` to `chatting`. So a comment on what is resolved opens
//!   it again: comment first.
//! - `DELETE` without a body fails with 500 after a time; retiring by `PATCH` does not. A retired ticket is still answered by
//!   its number, with the same `ETag`, and only lists leave it out.

mod tracker;

use remit::connector::tickets::{Call as Asked, Commented, Opened, Ticket, TicketState};
use remit::connector::{Call, Connector, Failure, Live, Prepared, Request, Result, json, segments};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use tracker::{Issue, newest, presence, same_text, text_of};

struct Roundup;

/// The operator's entry.
#[derive(Deserialize)]
struct Config {
    web: String,
    resolved: String,
}

/// What the plan shows, and what is put back. Numbers that others change by the way are in the sealed part instead: a comment of
/// somebody else does not void an approval.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Undo {
    /// The status before, and the one that a comment leaves behind.
    Comment {
        status: String,
        then: String,
    },
    Resolve {
        status: String,
    },
    Open {},
}

impl Connector for Roundup {
    type Asked = Asked;
    type Config = Config;
    type Undo = Undo;

    fn observe(call: &Call<Self>) -> Result<Value> {
        let Asked::Inspect { path } = &call.asked else { return Err(other()) };
        let (_, [id]) = segments(path)?;
        let mut ticket = match opened(call, path)? {
            Some(ticket) => ticket,
            None => tracker::ticket(path, id, &call.config.resolved)?,
        };
        for simulated in &call.simulated {
            match &simulated.asked {
                Asked::Comment { path: of, .. } if of == path => ticket.comments += 1,
                Asked::Resolve { path: of } if of == path => {
                    ticket.state = TicketState::Resolved;
                    ticket.status.clone_from(&call.config.resolved);
                }
                _ => {}
            }
        }
        Ok(json(&ticket))
    }

    fn prepare(call: &Call<Self>) -> Result<Prepared<Undo>> {
        match &call.asked {
            Asked::Open { place, title, .. } => {
                segments::<0>(place)?;
                if title.trim().is_empty() {
                    return Err(Failure::Invalid("a ticket needs a title".to_owned()));
                }
                let last = newest()?;
                let before =
                    call.simulated.iter().filter(|one| matches!(one.asked, Asked::Open { .. })).count();
                let id = (tracker::next(last)? + before as u64).to_string();
                let would = Opened { path: format!("{place}/{id}"), id };
                let mut prepared = Prepared::new(Undo::Open {}, "retire the ticket").returning(&would);
                prepared.secret = Some(last.to_string());
                Ok(prepared)
            }
            Asked::Comment { path, .. } => {
                let issue = now(call, path)?;
                let last = issue.as_ref().map_or(0, Issue::last_message);
                let status = status(call, path, issue.as_ref())?;
                let then = tracker::status_after_comment(&status)?;
                let would = Commented { id: (last + 1).to_string() };
                let undo = Undo::Comment { status, then };
                let mut prepared =
                    Prepared::new(undo, "take the comment out of the ticket").returning(&would);
                prepared.secret = Some(last.to_string());
                Ok(prepared)
            }
            Asked::Resolve { path } => {
                let issue = now(call, path)?;
                let status = status(call, path, issue.as_ref())?;
                if issue.is_some_and(|issue| {
                    issue.status() == status && issue.status_name() == call.config.resolved
                }) {
                    return Err(Failure::Conflict(format!("{path} is {} already", call.config.resolved)));
                }
                let describe = format!("put status {status} back");
                Ok(Prepared::new(Undo::Resolve { status }, describe))
            }
            Asked::Inspect { .. } => Err(other()),
        }
    }

    fn perform(call: &Call<Self>, prepared: &Prepared<Undo>) -> Result<Value> {
        match (&call.asked, &prepared.undo) {
            (Asked::Open { place, title, text }, _) => {
                let fields = [("@action", "new"), ("title", title.as_str()), ("@note", text.as_str())];
                let answer =
                    Request::post(&["issue"]).header("origin", &call.config.web).form(&fields).send()?;
                let id = tracker::redirected(&answer, "open the ticket")?;
                Ok(json(&Opened { path: format!("{place}/{id}"), id }))
            }
            (Asked::Comment { path, text }, _) => {
                let (_, [id]) = segments(path)?;
                let request = Request::post(&[&format!("issue{id}")]).header("origin", &call.config.web);
                let fields = [("@action", "edit"), ("@note", text.as_str())];
                tracker::redirected(&request.form(&fields).send()?, &format!("comment on {path}"))?;
                let ours = Issue::read(id)?.message_after(last(prepared), text)?.ok_or_else(|| {
                    Failure::Unavailable(format!("{path} does not have the comment that was added"))
                })?;
                Ok(json(&Commented { id: ours.to_string() }))
            }
            (Asked::Resolve { path }, Undo::Resolve { status }) => {
                let (_, [id]) = segments(path)?;
                let issue = Issue::read(id)?;
                if issue.status() != *status {
                    return Err(Failure::Conflict(format!(
                        "the status of {path} is {} now",
                        issue.status_name()
                    )));
                }
                write(
                    call,
                    id,
                    &issue,
                    &json!({ "status": call.config.resolved }),
                    &format!("resolve {path}"),
                )
            }
            _ => Err(other()),
        }
    }

    /// What came after in the same run, or of a person, does not make a change undone: only `undo` minds it.
    fn state(call: &Call<Self>, prepared: &Prepared<Undo>, got: Option<&Value>) -> Result<Live> {
        match (&call.asked, &prepared.undo) {
            (Asked::Open { title, text, .. }, _) => match got.and_then(|got| got["id"].as_str()) {
                Some(id) if presence(id)? => Ok(Live::After),
                Some(_) => Ok(Live::Before),
                None => found(last(prepared), title, text),
            },
            (Asked::Comment { path, text }, _) => {
                let (_, [id]) = segments(path)?;
                let ours = Issue::read(id)?.message_after(last(prepared), text)?;
                Ok(if ours.is_some() { Live::After } else { Live::Before })
            }
            (Asked::Resolve { path }, Undo::Resolve { status }) => {
                let (_, [id]) = segments(path)?;
                let issue = Issue::read(id)?;
                Ok(if issue.status_name() == call.config.resolved {
                    Live::After
                } else if issue.status() == *status {
                    Live::Before
                } else {
                    Live::Other(format!("its status is {} now", issue.status_name()))
                })
            }
            _ => Err(other()),
        }
    }

    /// What is read here is compared, and sent with its `ETag`: nobody changes it in between.
    fn undo(call: &Call<Self>, prepared: &Prepared<Undo>, got: Option<&Value>) -> Result<()> {
        let touched = |what: String| Err(Failure::Conflict(what));
        match (&call.asked, &prepared.undo) {
            (Asked::Open { title, text, .. }, _) => {
                let id = got.and_then(|got| got["id"].as_str()).ok_or_else(|| {
                    Failure::Conflict("nobody knows which ticket it is: retire it by hand".to_owned())
                })?;
                let issue = Issue::read_brief(id)?;
                if !as_opened(&issue, title, text)? {
                    return touched(format!("somebody has worked on ticket {id}"));
                }
                let body = json!({ "@op": "action", "@action_name": "retire" });
                let request =
                    signed(call, Request::new("PATCH", &["rest", "data", "issue", id]), &issue.etag);
                request.json(&body).send()?.ok(&format!("retire ticket {id}"))?;
                Ok(())
            }
            (Asked::Comment { path, text }, Undo::Comment { status, then }) => {
                let (_, [id]) = segments(path)?;
                let issue = Issue::read(id)?;
                let ours = issue.message_after(last(prepared), text)?;
                if ours != Some(issue.last_message()) {
                    return touched(format!("others answered to the comment on {path}"));
                }
                if issue.status() != *then && issue.status() != *status {
                    return touched(format!("the status of {path} is {} now", issue.status_name()));
                }
                let rest =
                    issue.messages().into_iter().filter(|id| Some(*id) != ours).map(|id| id.to_string());
                let body = json!({ "messages": rest.collect::<Vec<_>>(), "status": status });
                write(call, id, &issue, &body, &format!("take the comment out of {path}")).map(drop)
            }
            (Asked::Resolve { path }, Undo::Resolve { status }) => {
                let (_, [id]) = segments(path)?;
                let issue = Issue::read(id)?;
                if issue.status_name() != call.config.resolved {
                    return touched(format!("the status of {path} is {} now", issue.status_name()));
                }
                let doing = format!("put the status of {path} back");
                write(call, id, &issue, &json!({ "status": status }), &doing).map(drop)
            }
            _ => Err(other()),
        }
    }
}

/// Changes an issue, if it is still as it was read.
fn write(call: &Call<Roundup>, id: &str, issue: &Issue, body: &Value, doing: &str) -> Result<Value> {
    let request = signed(call, Request::new("PUT", &["rest", "data", "issue", id]), &issue.etag);
    request.json(body).send()?.ok(doing)?;
    Ok(Value::Null)
}

fn signed(call: &Call<Roundup>, request: Request, etag: &str) -> Request {
    request.header("origin", &call.config.web).header("x-requested-with", "remit").header("if-match", etag)
}

/// The newest number at the preparation.
fn last(prepared: &Prepared<Undo>) -> u64 {
    prepared.secret.as_deref().and_then(|last| last.parse().ok()).unwrap_or(u64::MAX)
}

/// The issue as it is; none if this rehearsal opened it.
fn now(call: &Call<Roundup>, path: &str) -> Result<Option<Issue>> {
    let (_, [id]) = segments(path)?;
    if presence(id)? {
        return Issue::read(id).map(Some);
    }
    let opens = call.simulated.iter().any(|one| matches!(one.asked, Asked::Open { .. }));
    if opens { Ok(None) } else { Err(Failure::NotFound(format!("there is no ticket {path}"))) }
}

/// The number of the status that a ticket has, or that this rehearsal left it in.
fn status(call: &Call<Roundup>, path: &str, issue: Option<&Issue>) -> Result<String> {
    let of = |one: &remit::connector::Simulated<Roundup>| match (&one.asked, &one.undo) {
        (Asked::Comment { path: of, .. }, Undo::Comment { then, .. }) if of == path => Some(then.clone()),
        _ => None,
    };
    match call.simulated.iter().rev().find_map(of) {
        Some(status) => Ok(status),
        None => issue.map_or_else(tracker::first_status, |issue| Ok(issue.status())),
    }
}

/// The ticket that this rehearsal opened under this path.
fn opened(call: &Call<Roundup>, path: &str) -> Result<Option<Ticket>> {
    let opens = call.simulated.iter().filter_map(|one| match &one.asked {
        Asked::Open { place, title, .. } => Some((place, title)),
        _ => None,
    });
    let opens: Vec<_> = opens.collect();
    if opens.is_empty() {
        return Ok(None);
    }
    let first = tracker::next(newest()?)?;
    let found = opens.iter().zip(first..).find(|((place, _), id)| format!("{place}/{id}") == path);
    Ok(found.map(|((_, title), _)| Ticket {
        path: path.to_owned(),
        title: (*title).clone(),
        state: TicketState::Open,
        status: "unread".to_owned(),
        assignee: String::new(),
        labels: Vec::new(),
        comments: 1,
        changed: 0,
    }))
}

/// Whether an issue is as it was opened.
fn as_opened(issue: &Issue, title: &str, text: &str) -> Result<bool> {
    Ok(match issue.messages().as_slice() {
        [only] => issue.title() == title && same_text(&text_of(*only)?, text),
        _ => false,
    })
}

/// Looks for what was opened, where the answer was lost.
fn found(last: u64, title: &str, text: &str) -> Result<Live> {
    let mut ours = 0;
    for issue in tracker::after(last)? {
        if as_opened(&Issue::read_brief(&issue.to_string())?, title, text)? {
            ours += 1;
        }
    }
    Ok(match ours {
        0 => Live::Before,
        1 => Live::After,
        more => Live::Other(format!("there are {more} tickets like it")),
    })
}

fn other() -> Failure {
    Failure::Invalid("the function is not one of this connector".to_owned())
}

remit::connector!(Roundup);
