//! What Roundup's REST interface tells of issues, messages and statuses.

use remit::connector::tickets::{Ticket, TicketState};
use remit::connector::{Failure, Request, Response, Result, time};
use serde_json::Value;

/// How many retired issues behind the newest one are looked at: a phase may send eight requests.
const RETIRED: usize = 4;

/// An issue with its `ETag`.
pub(crate) struct Issue {
    pub(crate) etag: String,
    attributes: Value,
}

impl Issue {
    /// Its status and messages.
    pub(crate) fn read(id: &str) -> Result<Self> {
        Self::fields(id, "status,messages", "2")
    }

    /// Its title and messages.
    pub(crate) fn read_brief(id: &str) -> Result<Self> {
        Self::fields(id, "title,messages", "0")
    }

    fn fields(id: &str, fields: &str, verbose: &str) -> Result<Self> {
        let request = Request::get(&["rest", "data", "issue", id]);
        let answer = request.query("@fields", fields).query("@verbose", verbose).send()?;
        let answer = answer.ok(&format!("read ticket {id}"))?;
        let etag = answer.header("etag").unwrap_or_default().to_owned();
        let mut found: Value = answer.json()?;
        Ok(Self { etag, attributes: found["data"]["attributes"].take() })
    }

    pub(crate) fn title(&self) -> &str {
        self.attributes["title"].as_str().unwrap_or_default()
    }

    /// The number of its status.
    pub(crate) fn status(&self) -> String {
        self.attributes["status"]["id"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn status_name(&self) -> &str {
        self.attributes["status"]["name"].as_str().unwrap_or_default()
    }

    /// The numbers of its messages, in their order.
    pub(crate) fn messages(&self) -> Vec<u64> {
        let each = self.attributes["messages"].as_array().into_iter().flatten();
        let id = |message: &Value| message["id"].as_str().or(message.as_str()).and_then(|id| id.parse().ok());
        let mut ids: Vec<u64> = each.filter_map(id).collect();
        ids.sort_unstable();
        ids
    }

    pub(crate) fn last_message(&self) -> u64 {
        self.messages().last().copied().unwrap_or(0)
    }

    /// The message with this text that came after one.
    pub(crate) fn message_after(&self, last: u64, text: &str) -> Result<Option<u64>> {
        // A phase may send few requests: whoever writes so much in between is told that a person must look.
        let newer: Vec<u64> = self.messages().into_iter().filter(|id| *id > last).collect();
        if newer.len() > 4 {
            return Err(Failure::Conflict(format!("there are {} new messages", newer.len())));
        }
        for id in newer {
            if same_text(&text_of(id)?, text) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }
}

/// What `inspect` answers.
pub(crate) fn ticket(path: &str, id: &str, resolved: &str) -> Result<Ticket> {
    let request =
        issues().query("id", id).query("@fields", "title,status,assignedto,keyword,messages,activity");
    let found = list(&request.query("@verbose", "2"))?;
    let issue = found.first().ok_or_else(|| Failure::NotFound(format!("there is no ticket {path}")))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let status = text(&issue["status"]["name"]);
    Ok(Ticket {
        path: path.to_owned(),
        title: text(&issue["title"]),
        state: if status == resolved { TicketState::Resolved } else { TicketState::Open },
        status,
        assignee: text(&issue["assignedto"]["username"]),
        labels: issue["keyword"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|keyword| text(&keyword["name"]))
            .collect(),
        comments: issue["messages"].as_array().map_or(0, |all| u32::try_from(all.len()).unwrap_or(u32::MAX)),
        // `2026-11-30.04:00:16`, in UTC.
        changed: time::milliseconds(&text(&issue["activity"]).replacen('.', " ", 1)).unwrap_or(0),
    })
}

/// Whether there is an issue with this number that is not retired.
pub(crate) fn presence(id: &str) -> Result<bool> {
    let request = issues().query("id", id).query("@sort", "-id").query("@page_size", "1");
    // Another spelling of the number would be another path.
    Ok(list(&request)?.iter().any(|issue| issue["id"] == id))
}

/// The number of the newest issue; 0 if there is none.
pub(crate) fn newest() -> Result<u64> {
    let newest = list(&issues().query("@sort", "-id").query("@page_size", "1"))?;
    Ok(newest.first().map_or(0, number))
}

/// The number that the next issue gets, after the newest. Retired ones keep theirs and are in no list: those that came last are asked for one by one,
/// up to a limit. Behind more of them this is a wrong guess, and what is planned on it is not what happens then.
pub(crate) fn next(newest: u64) -> Result<u64> {
    let mut next = newest + 1;
    for _ in 0..RETIRED {
        let request = Request::get(&["rest", "data", "issue", &next.to_string()]);
        let answer = request.query("@fields", "title,messages").query("@verbose", "0").send()?;
        if answer.status == 404 {
            break;
        }
        answer.ok("look for a retired ticket")?;
        next += 1;
    }
    Ok(next)
}

/// The issues that are newer than one.
pub(crate) fn after(last: u64) -> Result<Vec<u64>> {
    let request = issues().query("@sort", "-id").query("@page_size", "5");
    let found: Vec<u64> = list(&request)?.iter().map(number).filter(|id| *id > last).collect();
    // Each takes two requests more.
    if found.len() > 3 {
        return Err(Failure::Conflict(format!(
            "{} tickets are newer: a person has to look which one it is",
            found.len()
        )));
    }
    Ok(found)
}

fn issues() -> Request {
    Request::get(&["rest", "data", "issue"])
}

fn number(issue: &Value) -> u64 {
    issue["id"].as_str().and_then(|id| id.parse().ok()).unwrap_or(0)
}

fn list(request: &Request) -> Result<Vec<Value>> {
    let mut found: Value = request.send()?.ok("look for tickets")?.json()?;
    match found["data"]["collection"].take() {
        Value::Array(issues) => Ok(issues),
        _ => Err(Failure::Unavailable("the tracker answered with something else than a list".to_owned())),
    }
}

/// The number of the status that a comment leaves behind, as the detector of the classic template sets it.
pub(crate) fn status_after_comment(status: &str) -> Result<String> {
    let all = statuses()?;
    let named = |id: &str| all.iter().find(|one| one["id"] == id).and_then(|one| one["name"].as_str());
    let chatting = all.iter().find(|one| one["name"] == "chatting").and_then(|one| one["id"].as_str());
    let moves = matches!(named(status), Some("unread" | "resolved" | "done-cbb"));
    Ok(chatting.filter(|_| moves).unwrap_or(status).to_owned())
}

/// The number of the status that a new ticket gets.
pub(crate) fn first_status() -> Result<String> {
    let all = statuses()?;
    let unread = all.iter().find(|one| one["name"] == "unread").and_then(|one| one["id"].as_str());
    Ok(unread.unwrap_or_default().to_owned())
}

fn statuses() -> Result<Vec<Value>> {
    list(&Request::get(&["rest", "data", "status"]).query("@fields", "name"))
}

/// The text of a message.
pub(crate) fn text_of(message: u64) -> Result<String> {
    let answer =
        Request::get(&["rest", "data", "msg", &message.to_string()]).query("@verbose", "3").send()?;
    let found: Value = answer.ok(&format!("read message {message}"))?.json()?;
    Ok(found["data"]["attributes"]["content"].as_str().unwrap_or_default().to_owned())
}

/// The web interface changes the ends of lines, and drops space around a text.
pub(crate) fn same_text(one: &str, other: &str) -> bool {
    let plain = |text: &str| text.replace("\r\n", "\n").trim().to_owned();
    plain(one) == plain(other)
}

/// The number of the issue that the web interface leads to after it did what a form asked.
pub(crate) fn redirected(answer: &Response, doing: &str) -> Result<String> {
    let path = answer.header("location").and_then(|location| location.split('?').next());
    let id = path.and_then(|path| path.rsplit('/').next()).and_then(|last| last.strip_prefix("issue"));
    match id.filter(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit())) {
        Some(id) if answer.status == 302 => Ok(id.to_owned()),
        // A page that says why not, in HTML.
        _ if answer.status == 200 => {
            Err(Failure::Invalid(format!("could not {doing}: the tracker did not take it")))
        }
        _ => {
            answer.clone().ok(doing)?;
            Err(Failure::Unavailable(format!(
                "could not {doing}: the tracker answered with status {}",
                answer.status
            )))
        }
    }
}
