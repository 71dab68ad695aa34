//! What GitLab says of issues and of what is written to them.

use remit::connector::tickets::{Ticket, TicketState};
use remit::connector::{Failure, Request, Result, segments, time};
use serde::Deserialize;
use serde_json::Value;

/// How many of the newest issues or comments are looked through.
const NEWEST: usize = 20;

#[derive(Deserialize)]
pub(crate) struct Issue {
    iid: u64,
    project_id: u64,
    title: String,
    description: Option<String>,
    state: String,
    labels: Vec<String>,
    assignees: Vec<User>,
    user_notes_count: u32,
    discussion_locked: Option<bool>,
    updated_at: String,
    references: References,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize)]
struct References {
    full: String,
}

/// A comment.
#[derive(Deserialize)]
pub(crate) struct Note {
    pub(crate) id: u64,
    pub(crate) body: String,
    updated_at: String,
}

impl Issue {
    /// The issue at a path; none if there is none, or none any more.
    pub(crate) fn find(path: &str) -> Result<Option<Self>> {
        let (instance, [project, number]) = segments(path)?;
        let answer = Request::get(&["api", "v4", "projects", project, "issues", number]).send()?;
        if answer.status == 404 {
            return Ok(None);
        }
        let issue: Self = answer.ok(&format!("read {path}"))?.json()?;
        // Another spelling of a number would be another path.
        let own = format!("{instance}/{}/{}", issue.project_id, issue.iid);
        if own != path {
            return Err(Failure::Invalid(format!("write {path} with numbers, like this: {own}")));
        }
        Ok(Some(issue))
    }

    /// The issue at a path.
    pub(crate) fn read(path: &str) -> Result<Self> {
        Self::find(path)?.ok_or_else(|| Failure::NotFound(format!("there is no issue {path}")))
    }

    /// `group/project#7`.
    pub(crate) fn name(&self) -> &str {
        &self.references.full
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state == "opened"
    }

    pub(crate) fn is_locked(&self) -> bool {
        self.discussion_locked == Some(true)
    }

    fn says(&self, title: &str, text: &str) -> bool {
        same(&self.title, title) && same(self.description.as_deref().unwrap_or_default(), text)
    }

    /// Whether nobody has worked on it since it was opened. Labels are put on new issues by programs.
    pub(crate) fn is_as_opened(&self, title: &str, text: &str) -> bool {
        self.user_notes_count == 0 && self.assignees.is_empty() && self.says(title, text)
    }

    /// What `inspect` answers.
    pub(crate) fn ticket(self, path: &str) -> Ticket {
        Ticket {
            path: path.to_owned(),
            state: if self.is_open() { TicketState::Open } else { TicketState::Resolved },
            title: self.title,
            status: self.state,
            assignee: self.assignees.into_iter().next().map(|user| user.username).unwrap_or_default(),
            labels: self.labels,
            comments: self.user_notes_count,
            changed: time::milliseconds(&self.updated_at).unwrap_or(0),
        }
    }
}

impl Note {
    /// The last moment of the second in which it was changed: GitLab knows it more exactly than it says.
    pub(crate) fn unmodified_since(&self) -> String {
        let second = self.updated_at.split(['.', 'Z']).next().unwrap_or_default();
        format!("{second}.999999Z")
    }
}

/// The name of a project that takes issues: `group/subgroup/project`.
pub(crate) fn project(place: &str) -> Result<String> {
    let (_, [id]) = segments(place)?;
    let answer = Request::get(&["api", "v4", "projects", id]).send()?;
    let found: Value = answer.ok(&format!("look at the project {place}"))?.json()?;
    if found["id"].as_u64().map(|own| own.to_string()).as_deref() != Some(id) {
        return Err(Failure::Invalid(format!("write the project of {place} by its number: {}", found["id"])));
    }
    if found["archived"] == true || found["issues_access_level"] == "disabled" {
        return Err(Failure::NotFound(format!(
            "{place} takes no issues: it is archived, or they are switched off"
        )));
    }
    Ok(found["path_with_namespace"].as_str().unwrap_or_default().to_owned())
}

/// The number of a project's newest issue; 0 if there is none.
pub(crate) fn newest(place: &str) -> Result<u64> {
    Ok(list(place, 1)?.first().map_or(0, |issue| issue.iid))
}

/// The issues of a project that are newer than one, and say what was to be opened.
pub(crate) fn opened_after(place: &str, last: u64, title: &str, text: &str) -> Result<usize> {
    let all = list(place, NEWEST)?;
    if all.len() == NEWEST && all.iter().all(|issue| issue.iid > last) {
        return Err(Failure::Conflict(format!(
            "{place} has too many new issues: a person has to look which one it is"
        )));
    }
    Ok(all.iter().filter(|issue| issue.iid > last && issue.says(title, text)).count())
}

/// The newest first.
fn list(place: &str, count: usize) -> Result<Vec<Issue>> {
    let (_, [project]) = segments(place)?;
    let request = Request::get(&["api", "v4", "projects", project, "issues"]).query("order_by", "created_at");
    let request = request.query("sort", "desc").query("per_page", &count.to_string());
    request.send()?.ok(&format!("list the issues of {place}"))?.json()
}

/// The number of the newest comment; 0 if there is none.
pub(crate) fn last_note(path: &str) -> Result<u64> {
    Ok(notes(path, 1)?.first().map_or(0, |note| note.id))
}

/// How many comments with this text are newer than one.
pub(crate) fn notes_after(path: &str, last: u64, text: &str) -> Result<usize> {
    let all = notes(path, NEWEST)?;
    if all.len() == NEWEST && all.iter().all(|note| note.id > last) {
        return Err(Failure::Conflict(format!(
            "{path} has too many new comments: a person has to look which one it is"
        )));
    }
    Ok(all.iter().filter(|note| note.id > last && same(&note.body, text)).count())
}

/// The newest first.
fn notes(path: &str, count: usize) -> Result<Vec<Note>> {
    let (_, [project, issue]) = segments(path)?;
    let request = Request::get(&["api", "v4", "projects", project, "issues", issue, "notes"]);
    let request = request.query("activity_filter", "only_comments").query("order_by", "created_at");
    let request = request.query("sort", "desc").query("per_page", &count.to_string());
    request.send()?.ok(&format!("list the comments of {path}"))?.json()
}

/// A comment by its number; none if there is none any more.
pub(crate) fn note(path: &str, id: &str) -> Result<Option<Note>> {
    let (_, [project, issue]) = segments(path)?;
    let answer = Request::get(&["api", "v4", "projects", project, "issues", issue, "notes", id]).send()?;
    if answer.status == 404 {
        return Ok(None);
    }
    Ok(Some(answer.ok(&format!("read comment {id} of {path}"))?.json()?))
}

/// Refuses a text that GitLab would take for commands: `/close` at the begin of a line closes the issue.
pub(crate) fn without_commands(text: &str) -> Result<()> {
    let is_command = |line: &str| {
        let rest = line.trim_start().strip_prefix('/');
        rest.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_alphabetic()))
    };
    match text.lines().position(is_command) {
        None => Ok(()),
        Some(line) => Err(Failure::Invalid(format!(
            "line {} of the text begins with `/`, which GitLab takes for a command: begin it with something else",
            line + 1
        ))),
    }
}

/// Ends of lines and space around a text are not always kept.
pub(crate) fn same(one: &str, other: &str) -> bool {
    let plain = |text: &str| text.replace("\r\n", "\n").trim().to_owned();
    plain(one) == plain(other)
}
