//! Issues as tickets.

use remit::connector::tickets::{Call as Asked, Commented, Opened, Ticket, TicketState};
use remit::connector::{Call, Failure, Live, Prepared, Result, json, segments};
use serde_json::{Value, json};

use crate::issue::{self, Issue};
use crate::{Asked as Any, GitHub, Undo, api, other};

pub(crate) fn inspect(call: &Call<GitHub>, path: &str) -> Result<Value> {
    let mut ticket = match opened(call, path)? {
        Some(ticket) => ticket,
        None => Issue::read(path)?.ticket(path),
    };
    for asked in simulated(call) {
        match asked {
            Asked::Comment { path: of, .. } if of == path => ticket.comments += 1,
            Asked::Resolve { path: of } if of == path => {
                ticket.state = TicketState::Resolved;
                "completed".clone_into(&mut ticket.status);
            }
            _ => {}
        }
    }
    Ok(json(&ticket))
}

pub(crate) fn prepare(call: &Call<GitHub>, asked: &Asked) -> Result<Prepared<Undo>> {
    match asked {
        Asked::Open { place, title, .. } => {
            issue::open_to_issues(place)?;
            if title.trim().is_empty() {
                return Err(Failure::Invalid("an issue needs a title".to_owned()));
            }
            let last = issue::newest(place)?;
            let before = opens(call, place).count() as u64;
            let id = (last + 1 + before).to_string();
            let would = Opened { path: format!("{place}/{id}"), id };
            let describe = "close the issue as not planned: GitHub deletes none";
            Ok(sealing(Prepared::new(Undo::Nothing {}, describe).returning(&would), last))
        }
        Asked::Comment { path, .. } => {
            let last = match opened(call, path)? {
                Some(_) => 0,
                None => {
                    let issue = Issue::read(path)?;
                    if issue.is_locked() {
                        return Err(Failure::Conflict(format!("the conversation of {path} is locked")));
                    }
                    issue.last_comment(path)?
                }
            };
            let would = Commented { id: (last + 1).to_string() };
            Ok(sealing(Prepared::new(Undo::Nothing {}, "delete the comment").returning(&would), last))
        }
        Asked::Resolve { path } => {
            let status = match opened(call, path)? {
                Some(ticket) => ticket.status,
                None => {
                    let issue = Issue::read(path)?;
                    if !issue.is_open() {
                        return Err(Failure::Conflict(format!(
                            "{path} is closed already: {}",
                            issue.status()
                        )));
                    }
                    issue.status().to_owned()
                }
            };
            if simulated(call).any(|one| matches!(one, Asked::Resolve { path: of } if of == path)) {
                return Err(Failure::Conflict(format!("{path} is closed already: completed")));
            }
            Ok(Prepared::new(Undo::Resolve { status }, "reopen the issue"))
        }
        Asked::Inspect { .. } => Err(other()),
    }
}

pub(crate) fn perform(asked: &Asked, prepared: &Prepared<Undo>) -> Result<Value> {
    match asked {
        Asked::Open { place, title, text } => {
            let (_, [owner, repo]) = segments(place)?;
            let request = api::request("POST", &["repos", owner, repo, "issues"]);
            let answer = request.json(&json!({ "title": title, "body": text })).send()?;
            let id = number(&api::done(answer, &format!("open an issue in {place}"))?.json()?, "number")?;
            Ok(json(&Opened { path: format!("{place}/{id}"), id }))
        }
        Asked::Comment { path, text } => {
            let (_, [owner, repo, number_]) = segments(path)?;
            let request = api::request("POST", &["repos", owner, repo, "issues", number_, "comments"]);
            let answer = request.json(&json!({ "body": text })).send()?;
            let id = number(&api::done(answer, &format!("comment on {path}"))?.json()?, "id")?;
            Ok(json(&Commented { id }))
        }
        Asked::Resolve { path } => {
            let issue = Issue::read(path)?;
            if !matches!(&prepared.undo, Undo::Resolve { status } if issue.is_open() && issue.status() == status)
            {
                return Err(Failure::Conflict(format!("{path} is {} now", issue.status())));
            }
            close(
                path,
                &json!({ "state": "closed", "state_reason": "completed" }),
                &format!("resolve {path}"),
            )
        }
        Asked::Inspect { .. } => Err(other()),
    }
}

/// What came after in the same run, or of a person, does not make a change undone: only `undo` minds it.
pub(crate) fn state(asked: &Asked, prepared: &Prepared<Undo>, got: Option<&Value>) -> Result<Live> {
    match asked {
        Asked::Open { place, title, text } => match id(got) {
            // Closed as not planned is what an undo leaves behind.
            Some(id) => Ok(match Issue::find(&format!("{place}/{id}"))? {
                Some(issue) if issue.is_open() || issue.status() != "not_planned" => Live::After,
                _ => Live::Before,
            }),
            None => Ok(one_of(&issue::opened_after(place, last(prepared), title, text)?, "issues")),
        },
        Asked::Comment { path, text } => match id(got) {
            Some(id) => Ok(match issue::comment_by_id(path, id)? {
                Some(comment) if !issue::same(&comment.text, text) => {
                    Live::Other(format!("comment {id} says something else now"))
                }
                Some(_) => Live::After,
                None => Live::Before,
            }),
            None => Ok(one_of(&Issue::read(path)?.comments_after(path, last(prepared), text)?, "comments")),
        },
        Asked::Resolve { path } => {
            let issue = Issue::read(path)?;
            Ok(match (issue.is_open(), issue.status()) {
                (true, _) => Live::Before,
                (false, "completed") => Live::After,
                (false, status) => Live::Other(format!("it is closed: {status}")),
            })
        }
        Asked::Inspect { .. } => Err(other()),
    }
}

pub(crate) fn undo(asked: &Asked, got: Option<&Value>) -> Result<()> {
    let by_hand =
        |what: &str| Failure::Conflict(format!("nobody knows which {what} it is: take it back by hand"));
    match asked {
        Asked::Open { place, title, text } => {
            let path = format!("{place}/{}", id(got).ok_or_else(|| by_hand("issue"))?);
            if !Issue::read(&path)?.is_as_opened(title, text) {
                return Err(Failure::Conflict(format!("somebody has worked on {path}")));
            }
            let body = json!({ "state": "closed", "state_reason": "not_planned" });
            close(&path, &body, &format!("close {path}")).map(drop)
        }
        Asked::Comment { path, text } => {
            let id = id(got).ok_or_else(|| by_hand("comment"))?;
            let comment = issue::comment_by_id(path, id)?;
            if !comment.is_some_and(|comment| issue::same(&comment.text, text)) {
                return Err(Failure::Conflict(format!("somebody changed the comment on {path}")));
            }
            if Issue::read(path)?.last_comment(path)?.to_string() != id {
                return Err(Failure::Conflict(format!("others answered to the comment on {path}")));
            }
            let (_, [owner, repo, _]) = segments(path)?;
            let request = api::request("DELETE", &["repos", owner, repo, "issues", "comments", id]);
            api::done(request.send()?, &format!("delete the comment on {path}")).map(drop)
        }
        Asked::Resolve { path } => {
            let issue = Issue::read(path)?;
            if issue.is_open() || issue.status() != "completed" {
                return Err(Failure::Conflict(format!("{path} is {} now", issue.status())));
            }
            close(path, &json!({ "state": "open", "state_reason": "reopened" }), &format!("reopen {path}"))
                .map(drop)
        }
        Asked::Inspect { .. } => Err(other()),
    }
}

/// Writes the state of an issue.
fn close(path: &str, body: &Value, doing: &str) -> Result<Value> {
    let (_, [owner, repo, number]) = segments(path)?;
    let request = api::request("PATCH", &["repos", owner, repo, "issues", number]);
    api::done(request.json(body).send()?, doing)?;
    Ok(Value::Null)
}

fn simulated(call: &Call<GitHub>) -> impl Iterator<Item = &Asked> {
    call.simulated.iter().filter_map(|one| match &one.asked {
        Any::Ticket(asked) => Some(asked),
        Any::Token(_) | Any::Alert(_) => None,
    })
}

/// The titles of what this rehearsal opened at a place.
fn opens<'a>(call: &'a Call<GitHub>, place: &'a str) -> impl Iterator<Item = &'a str> {
    simulated(call).filter_map(move |asked| match asked {
        Asked::Open { place: of, title, .. } if of == place => Some(title.as_str()),
        _ => None,
    })
}

/// The ticket that this rehearsal opened under this path.
fn opened(call: &Call<GitHub>, path: &str) -> Result<Option<Ticket>> {
    let Some((place, id)) = path.rsplit_once('/') else { return Ok(None) };
    if opens(call, place).next().is_none() {
        return Ok(None);
    }
    let first = issue::newest(place)? + 1;
    let found = opens(call, place).zip(first..).find(|(_, number)| number.to_string() == id);
    Ok(found.map(|(title, _)| Ticket {
        path: path.to_owned(),
        title: title.to_owned(),
        state: TicketState::Open,
        status: "open".to_owned(),
        assignee: String::new(),
        labels: Vec::new(),
        comments: 0,
        changed: 0,
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
        Failure::Unavailable(format!("GitHub's answer has no `{name}`: look whether it was done"))
    })
}

/// The state of a change whose answer was lost, by what is there that is like it.
fn one_of(found: &[u64], what: &str) -> Live {
    match found {
        [] => Live::Before,
        [_] => Live::After,
        more => Live::Other(format!("there are {} {what} like it", more.len())),
    }
}
