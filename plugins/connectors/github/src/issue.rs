//! What GitHub's REST interface tells of issues and their comments.

use remit::connector::tickets::{Ticket, TicketState};
use remit::connector::{Failure, Result, segments, time};
use serde_json::Value;

use crate::api;

/// The body of an answer to `GET /repos/{owner}/{repo}/issues/{number}`.
pub(crate) struct Issue(Value);

/// A comment of an issue.
pub(crate) struct Comment {
    pub(crate) id: u64,
    pub(crate) text: String,
}

/// How many new comments are looked through in a page, and how many pages.
const PAGE: u64 = 10;
const PAGES: u64 = 4;

impl Issue {
    /// The issue at a path; none if there is none, or none any more.
    pub(crate) fn find(path: &str) -> Result<Option<Self>> {
        let (instance, [owner, repo, number]) = segments(path)?;
        let answer = api::request("GET", &["repos", owner, repo, "issues", number]).send()?;
        if matches!(answer.status, 404 | 410) {
            return Ok(None);
        }
        let issue = Self(api::done(answer, &format!("read {path}"))?.json()?);
        // GitHub does not mind capital letters, nor a zero before a number: each would be another resource.
        let repository = issue.0["repository_url"].as_str().and_then(|url| url.split_once("/repos/"));
        let own = format!("{instance}/{}/{}", repository.map_or("", |(_, name)| name), issue.number());
        if own != path {
            return Err(Failure::Invalid(format!("GitHub writes {path} like this: {own}")));
        }
        if issue.is_pull_request() {
            return Err(Failure::Invalid(format!("{path} is a pull request, and no issue")));
        }
        Ok(Some(issue))
    }

    /// The issue at a path.
    pub(crate) fn read(path: &str) -> Result<Self> {
        Self::find(path)?.ok_or_else(|| missing(path))
    }

    pub(crate) fn number(&self) -> u64 {
        self.0["number"].as_u64().unwrap_or(0)
    }

    fn is_pull_request(&self) -> bool {
        self.0.get("pull_request").is_some()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0["state"] == "open"
    }

    pub(crate) fn is_locked(&self) -> bool {
        self.0["locked"] == true
    }

    /// Why it is in its state; the state itself, where GitHub knows no reason.
    pub(crate) fn status(&self) -> &str {
        self.0["state_reason"].as_str().or(self.0["state"].as_str()).unwrap_or_default()
    }

    fn comments(&self) -> u64 {
        self.0["comments"].as_u64().unwrap_or(0)
    }

    /// Whether it says what it was opened with.
    fn says(&self, title: &str, text: &str) -> bool {
        let body = self.0["body"].as_str().unwrap_or_default();
        self.0["title"].as_str().is_some_and(|own| same(own, title)) && same(body, text)
    }

    /// Whether nobody has worked on it since it was opened. Labels are put on new issues by programs.
    pub(crate) fn is_as_opened(&self, title: &str, text: &str) -> bool {
        let has_assignee = self.0["assignees"].as_array().is_some_and(|all| !all.is_empty());
        self.is_open() && self.comments() == 0 && !has_assignee && self.says(title, text)
    }

    /// The number of its newest comment; 0 if there is none.
    pub(crate) fn last_comment(&self, path: &str) -> Result<u64> {
        if self.comments() == 0 {
            return Ok(0);
        }
        let last = comments(path, 1, self.comments())?;
        last.last().map(|comment| comment.id).ok_or_else(|| {
            Failure::Unavailable(format!("the comments of {path} changed while they were read: try again"))
        })
    }

    /// Its comments with this text that are newer than one.
    pub(crate) fn comments_after(&self, path: &str, last: u64, text: &str) -> Result<Vec<u64>> {
        let (mut ours, mut page) = (Vec::new(), self.comments().div_ceil(PAGE));
        for _ in 0..PAGES {
            if page == 0 {
                return Ok(ours);
            }
            let all = comments(path, PAGE, page)?;
            let newer = all.iter().filter(|comment| comment.id > last);
            ours.extend(newer.filter(|comment| same(&comment.text, text)).map(|comment| comment.id));
            if all.iter().any(|comment| comment.id <= last) {
                return Ok(ours);
            }
            page -= 1;
        }
        Err(Failure::Conflict(format!(
            "{path} has too many new comments: a person has to look which one it is"
        )))
    }

    /// What `inspect` answers.
    pub(crate) fn ticket(&self, path: &str) -> Ticket {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let labels = self.0["labels"].as_array().into_iter().flatten();
        Ticket {
            path: path.to_owned(),
            title: text(&self.0["title"]),
            state: if self.is_open() { TicketState::Open } else { TicketState::Resolved },
            status: self.status().to_owned(),
            assignee: text(&self.0["assignees"][0]["login"]),
            labels: labels.map(|label| text(label.get("name").unwrap_or(label))).collect(),
            comments: u32::try_from(self.comments()).unwrap_or(u32::MAX),
            changed: time::milliseconds(&text(&self.0["updated_at"])).unwrap_or(0),
        }
    }
}

pub(crate) fn missing(path: &str) -> Failure {
    Failure::NotFound(format!("there is no issue {path}"))
}

/// A repository that takes issues, under the name that it has.
pub(crate) fn open_to_issues(place: &str) -> Result<()> {
    let (instance, [owner, repo]) = segments(place)?;
    let answer = api::request("GET", &["repos", owner, repo]).send()?;
    let found: Value = api::done(answer, &format!("look at the repository {place}"))?.json()?;
    let own = format!("{instance}/{}", found["full_name"].as_str().unwrap_or_default());
    if own != place {
        return Err(Failure::Invalid(format!("GitHub writes {place} like this: {own}")));
    }
    if found["archived"] == true || found["has_issues"] == false {
        return Err(Failure::NotFound(format!(
            "{place} takes no issues: it is archived, or they are switched off"
        )));
    }
    Ok(())
}

/// The number of a repository's newest issue or pull request, which share their numbers; 0 if there is none.
pub(crate) fn newest(place: &str) -> Result<u64> {
    Ok(list(place, "1")?.first().map_or(0, Issue::number))
}

/// The issues of a repository that are newer than one, and as they were opened.
pub(crate) fn opened_after(place: &str, last: u64, title: &str, text: &str) -> Result<Vec<u64>> {
    let all = list(place, "20")?;
    if all.len() == 20 && all.iter().all(|issue| issue.number() > last) {
        return Err(Failure::Conflict(format!(
            "{place} has too many new issues: a person has to look which one it is"
        )));
    }
    let newer = all.iter().filter(|issue| issue.number() > last && !issue.is_pull_request());
    Ok(newer.filter(|issue| issue.says(title, text)).map(Issue::number).collect())
}

/// The newest first.
fn list(place: &str, count: &str) -> Result<Vec<Issue>> {
    let (_, [owner, repo]) = segments(place)?;
    let request = api::request("GET", &["repos", owner, repo, "issues"]).query("state", "all");
    let request = request.query("sort", "created").query("direction", "desc").query("per_page", count);
    let all: Vec<Value> = api::done(request.send()?, &format!("list the issues of {place}"))?.json()?;
    Ok(all.into_iter().map(Issue).collect())
}

/// One page of the comments of an issue, the oldest first.
fn comments(path: &str, size: u64, page: u64) -> Result<Vec<Comment>> {
    let (_, [owner, repo, number]) = segments(path)?;
    let request = api::request("GET", &["repos", owner, repo, "issues", number, "comments"]);
    let request = request.query("per_page", &size.to_string()).query("page", &page.to_string());
    let all: Vec<Value> = api::done(request.send()?, &format!("list the comments of {path}"))?.json()?;
    Ok(all.iter().map(comment).collect())
}

fn comment(of: &Value) -> Comment {
    Comment { id: of["id"].as_u64().unwrap_or(0), text: of["body"].as_str().unwrap_or_default().to_owned() }
}

/// A comment by its number; none if there is none any more.
pub(crate) fn comment_by_id(path: &str, id: &str) -> Result<Option<Comment>> {
    let (_, [owner, repo, _]) = segments(path)?;
    let answer = api::request("GET", &["repos", owner, repo, "issues", "comments", id]).send()?;
    if answer.status == 404 {
        return Ok(None);
    }
    let found: Value = api::done(answer, &format!("read comment {id} of {path}"))?.json()?;
    Ok(Some(comment(&found)))
}

/// Ends of lines and space around a text are not always kept.
pub(crate) fn same(one: &str, other: &str) -> bool {
    let plain = |text: &str| text.replace("\r\n", "\n").trim().to_owned();
    plain(one) == plain(other)
}
