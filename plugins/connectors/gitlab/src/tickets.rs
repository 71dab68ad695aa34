//! Issues as tickets.

use remit::connector::tickets::{Call as Asked, Commented, Opened, Ticket, TicketState};
use remit::connector::{Call, Failure, Live, Prepared, Request, Result, json, segments};
use serde_json::{Value, json};

use crate::issue::{self, Issue};
use crate::{Asked as Any, GitLab, Undo, other};

pub(crate) fn inspect(call: &Call<GitLab>, path: &str) -> Result<Value> {
    let mut ticket = match opened(call, path)? {
        Some((ticket, _)) => ticket,
        None => Issue::read(path)?.ticket(path),
    };
    for asked in simulated(call) {
        match asked {
            Asked::Comment { path: of, .. } if of == path => ticket.comments += 1,
            Asked::Resolve { path: of } if of == path => {
                ticket.state = TicketState::Resolved;
                "closed".clone_into(&mut ticket.status);
            }
            _ => {}
        }
    }
    Ok(json(&ticket))
}

pub(crate) fn prepare(call: &Call<GitLab>, asked: &Asked) -> Result<Prepared<Undo>> {
    match asked {
        Asked::Open { place, title, text } => {
            let project = issue::project(place)?;
            issue::without_commands(text)?;
            if title.trim().is_empty() {
                return Err(Failure::Invalid("an issue needs a title".to_owned()));
            }
            let last = issue::newest(place)?;
            let before = opens(call, place).count() as u64;
            let id = (last + 1 + before).to_string();
            let would = Opened { path: format!("{place}/{id}"), id };
            let describe = format!("close the issue of {project}");
            let prepared = Prepared::new(Undo::Of { what: project }, describe).returning(&would);
            Ok(sealing(prepared, last))
        }
        Asked::Comment { path, text } => {
            issue::without_commands(text)?;
            let (what, last) = match opened(call, path)? {
                Some((_, name)) => (name, 0),
                None => {
                    let issue = Issue::read(path)?;
                    if issue.is_locked() {
                        return Err(Failure::Conflict(format!("the conversation of {path} is locked")));
                    }
                    (issue.name().to_owned(), issue::last_note(path)?)
                }
            };
            let would = Commented { id: (last + 1).to_string() };
            let describe = format!("delete the comment on {what}");
            let prepared = Prepared::new(Undo::Of { what }, describe).returning(&would);
            Ok(sealing(prepared, last))
        }
        Asked::Resolve { path } => {
            let closed = || Failure::Conflict(format!("{path} is closed already"));
            if simulated(call).any(|one| matches!(one, Asked::Resolve { path: of } if of == path)) {
                return Err(closed());
            }
            let what = match opened(call, path)? {
                Some((_, name)) => name,
                None => {
                    let issue = Issue::read(path)?;
                    if !issue.is_open() {
                        return Err(closed());
                    }
                    issue.name().to_owned()
                }
            };
            let describe = format!("reopen {what}");
            Ok(Prepared::new(Undo::Of { what }, describe))
        }
        Asked::Inspect { .. } => Err(other()),
    }
}

pub(crate) fn perform(asked: &Asked) -> Result<Value> {
    match asked {
        Asked::Open { place, title, text } => {
            let (_, [project]) = segments(place)?;
            let request = Request::post(&["api", "v4", "projects", project, "issues"]);
            let answer = request.json(&json!({ "title": title, "description": text })).send()?;
            let id = number(&answer.ok(&format!("open an issue in {place}"))?.json()?, "iid")?;
            Ok(json(&Opened { path: format!("{place}/{id}"), id }))
        }
        Asked::Comment { path, text } => {
            let (_, [project, issue]) = segments(path)?;
            let request = Request::post(&["api", "v4", "projects", project, "issues", issue, "notes"]);
            let answer = request.json(&json!({ "body": text })).send()?;
            let id = number(&answer.ok(&format!("comment on {path}"))?.json()?, "id")?;
            Ok(json(&Commented { id }))
        }
        Asked::Resolve { path } => {
            if !Issue::read(path)?.is_open() {
                return Err(Failure::Conflict(format!("{path} is closed now")));
            }
            event(path, "close", &format!("resolve {path}"))
        }
        Asked::Inspect { .. } => Err(other()),
    }
}

/// What came after in the same run, or of a person, does not make a change undone: only `undo` minds it.
pub(crate) fn state(asked: &Asked, prepared: &Prepared<Undo>, got: Option<&Value>) -> Result<Live> {
    match asked {
        // GitLab does not tell why an issue is closed: one that was taken back is like one that was resolved.
        Asked::Open { place, title, text } => match id(got) {
            Some(id) if Issue::find(&format!("{place}/{id}"))?.is_some() => Ok(Live::After),
            Some(_) => Ok(Live::Before),
            None => Ok(one_of(issue::opened_after(place, last(prepared), title, text)?, "issues")),
        },
        Asked::Comment { path, text } => match id(got) {
            Some(id) => Ok(match issue::note(path, id)? {
                Some(note) if !issue::same(&note.body, text) => {
                    Live::Other(format!("comment {id} says something else now"))
                }
                Some(_) => Live::After,
                None => Live::Before,
            }),
            None => Ok(one_of(issue::notes_after(path, last(prepared), text)?, "comments")),
        },
        Asked::Resolve { path } => Ok(if Issue::read(path)?.is_open() { Live::Before } else { Live::After }),
        Asked::Inspect { .. } => Err(other()),
    }
}

pub(crate) fn undo(asked: &Asked, got: Option<&Value>) -> Result<()> {
    let by_hand =
        |what: &str| Failure::Conflict(format!("nobody knows which {what} it is: take it back by hand"));
    match asked {
        Asked::Open { place, title, text } => {
            let path = format!("{place}/{}", id(got).ok_or_else(|| by_hand("issue"))?);
            let issue = Issue::read(&path)?;
            if !issue.is_as_opened(title, text) {
                return Err(Failure::Conflict(format!("somebody has worked on {path}")));
            }
            // By an undo that was interrupted, or by a person.
            if !issue.is_open() {
                return Ok(());
            }
            event(&path, "close", &format!("close {path}")).map(drop)
        }
        Asked::Comment { path, text } => {
            let id = id(got).ok_or_else(|| by_hand("comment"))?;
            let note = issue::note(path, id)?.filter(|note| issue::same(&note.body, text));
            let note =
                note.ok_or_else(|| Failure::Conflict(format!("somebody changed the comment on {path}")))?;
            if issue::last_note(path)? != note.id {
                return Err(Failure::Conflict(format!("others answered to the comment on {path}")));
            }
            let (_, [project, issue]) = segments(path)?;
            let segments = ["api", "v4", "projects", project, "issues", issue, "notes", id];
            let request =
                Request::new("DELETE", &segments).header("if-unmodified-since", &note.unmodified_since());
            request.send()?.ok(&format!("delete the comment on {path}")).map(drop)
        }
        Asked::Resolve { path } => {
            if Issue::read(path)?.is_open() {
                return Err(Failure::Conflict(format!("{path} is open now")));
            }
            event(path, "reopen", &format!("reopen {path}")).map(drop)
        }
        Asked::Inspect { .. } => Err(other()),
    }
}

/// Closes an issue, or opens it again.
fn event(path: &str, event: &str, doing: &str) -> Result<Value> {
    let (_, [project, issue]) = segments(path)?;
    let request = Request::new("PUT", &["api", "v4", "projects", project, "issues", issue]);
    request.json(&json!({ "state_event": event })).send()?.ok(doing)?;
    Ok(Value::Null)
}

fn simulated(call: &Call<GitLab>) -> impl Iterator<Item = &Asked> {
    call.simulated.iter().filter_map(|one| match &one.asked {
        Any::Ticket(asked) => Some(asked),
        Any::Token(_) => None,
    })
}

/// The titles of what this rehearsal opened at a place, and the name of its project.
fn opens<'a>(call: &'a Call<GitLab>, place: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    call.simulated.iter().filter_map(move |one| match (&one.asked, &one.undo) {
        (Any::Ticket(Asked::Open { place: of, title, .. }), Undo::Of { what }) if of == place => {
            Some((title.as_str(), what.as_str()))
        }
        _ => None,
    })
}

/// The ticket that this rehearsal opened under this path, and the name that it would have.
fn opened(call: &Call<GitLab>, path: &str) -> Result<Option<(Ticket, String)>> {
    let Some((place, id)) = path.rsplit_once('/') else { return Ok(None) };
    if opens(call, place).next().is_none() {
        return Ok(None);
    }
    let first = issue::newest(place)? + 1;
    let found = opens(call, place).zip(first..).find(|(_, number)| number.to_string() == id);
    Ok(found.map(|((title, project), _)| {
        let ticket = Ticket {
            path: path.to_owned(),
            title: title.to_owned(),
            state: TicketState::Open,
            status: "opened".to_owned(),
            assignee: String::new(),
            labels: Vec::new(),
            comments: 0,
            changed: 0,
        };
        (ticket, format!("{project}#{id}"))
    }))
}

/// What was there last, so that what is new can be told.
fn sealing(mut prepared: Prepared<Undo>, last: u64) -> Prepared<Undo> {
    prepared.secret = Some(last.to_string());
    prepared
}

fn last(prepared: &Prepared<Undo>) -> u64 {
    prepared.secret.as_deref().and_then(|last| last.parse().ok()).unwrap_or(u64::MAX)
}

fn id(got: Option<&Value>) -> Option<&str> {
    got.and_then(|got| got["id"].as_str())
}

fn number(of: &Value, name: &str) -> Result<String> {
    of[name].as_u64().map(|number| number.to_string()).ok_or_else(|| {
        Failure::Unavailable(format!("GitLab's answer has no `{name}`: look whether it was done"))
    })
}

/// The state of a change whose answer was lost, by how many there are that are like it.
fn one_of(found: usize, what: &str) -> Live {
    match found {
        0 => Live::Before,
        1 => Live::After,
        more => Live::Other(format!("there are {more} {what} like it")),
    }
}
