//! A run as a page of an incident report.

use std::fmt::Write as _;

use super::lines::publisher;
use super::words::{Words, code, consumed, count, duration};
use super::{ChangeState, Timeline};
use crate::time::second;

/// How many rows of a table are shown at most, because a person reads the page.
const ROWS: usize = 40;

pub(super) fn page(story: &Timeline) -> String {
    let title = Words::ours("# ").theirs(format!("{} {}", story.action.name, story.action.version));
    let mut page = format!("{}: {}\n\n", title.markdown(), headline(story));
    facts(story, &mut page);
    changed(story, &mut page);
    refused(story, &mut page);
    seen(story, &mut page);
    timeline(story, &mut page);
    page
}

/// The state of the run and of its changes, in one line.
pub(super) fn headline(story: &Timeline) -> String {
    let mut counts = Vec::new();
    for standing in [
        ChangeState::Stands,
        ChangeState::InDoubt,
        ChangeState::Undone,
        ChangeState::Failed,
        ChangeState::DidNotHappen,
        ChangeState::Simulated,
    ] {
        let n = story.changed.iter().filter(|change| change.standing == standing).count();
        if n > 0 {
            counts.push(standing.counted(n));
        }
    }
    if counts.is_empty() {
        counts.push("nothing changed".to_owned());
    }
    if !story.refused.is_empty() {
        counts.push(format!("{} refused", count(story.refused.len() as u64, "call")));
    }
    format!("{} ({})", story.state_word(), counts.join(", "))
}

fn facts(story: &Timeline, page: &mut String) {
    let mut row = |name: &str, words: &Words| {
        let _ = writeln!(page, "| {name} | {} |", words.markdown());
    };
    row("Run", &Words::default().theirs(story.run.to_string()));
    row("---", &Words::ours("---"));
    for (name, words) in facts_of(story) {
        row(name, &words);
    }
    let (first, last) = story.records;
    row("Journal", &Words::ours(format!("records {first} to {last}; `remit audit verify` checks them")));
}

/// What a person needs to know first, each with its name.
pub(super) fn facts_of(story: &Timeline) -> Vec<(&'static str, Words)> {
    let mut facts = Vec::new();
    let mut state = Words::ours(headline(story));
    if let Some(detail) = &story.detail {
        state = state.and(": ").theirs(detail);
    }
    facts.push(("State", state));
    facts.push(("Who", Words::default().theirs(&story.principal).and(", because: ").theirs(&story.reason)));
    facts.push((
        "Authority",
        match &story.authority {
            Some(authority) => authority.words(),
            None => Words::ours("none: a rehearsal changes nothing"),
        },
    ));
    facts.push((
        "Action",
        Words::default()
            .theirs(format!("{} {}", story.action.name, story.action.version))
            .and(", ")
            .theirs(story.action.digest.to_string())
            .and(", ")
            .then(publisher(story.publisher.as_deref())),
    ));
    let mut time = second(story.started).to_string();
    match story.duration_ms {
        Some(ms) => time = format!("{time}, for {}", duration(ms)),
        None => time.push_str(", has not ended: under way, or its host is gone"),
    }
    facts.push(("When", Words::ours(time)));
    for later in story.states.iter().skip(1) {
        let mut words = Words::ours(format!("{} at {}", later.state, second(later.at)));
        if let Some(by) = &later.by {
            words = words.and(" by ").theirs(by);
        }
        words = words.and(": ").theirs(later.why.as_ref().unwrap_or(&later.detail));
        facts.push(("Then", words));
    }
    for extended in &story.extended {
        let words = Words::ours(format!("to {} by ", extended.until)).theirs(&extended.principal);
        facts.push(("Extended", words.and(": ").theirs(&extended.reason)));
    }
    if let Some(at) = story.restore_at {
        let words = format!("at {at} the host undoes its changes, unless a person extends the time");
        facts.push(("Until", Words::ours(words)));
    }
    if let Some(at) = story.page_at {
        facts.push(("Pages", Words::ours(format!("at {at} the host calls people"))));
    }
    if !story.in_doubt.is_empty() {
        let calls: Vec<String> = story.in_doubt.iter().map(|call| format!("#{call}")).collect();
        let calls = calls.join(", ");
        facts.push(("In doubt", Words::ours(format!("{calls}: nobody knows whether it took effect; look"))));
    }
    if let Some(expired) = &story.undo_expired {
        let words = Words::ours("given up by ").theirs(&expired.principal).and(": ").theirs(&expired.rule);
        facts.push(("Undo data", words));
    }
    if let Some(output) = &story.output {
        facts.push(("Output", Words::default().theirs(output.to_string())));
    }
    if let Some(used) = consumed(&story.consumed) {
        facts.push(("Used", Words::ours(used)));
    }
    facts
}

fn table(page: &mut String, head: &[&str], rows: &[Vec<String>]) {
    let _ = writeln!(page, "| {} |", head.join(" | "));
    let _ = writeln!(page, "|{}", "---|".repeat(head.len()));
    for row in rows.iter().take(ROWS) {
        let _ = writeln!(page, "| {} |", row.join(" | "));
    }
    if let Some(more @ 1..) = rows.len().checked_sub(ROWS) {
        let _ = writeln!(page, "\n… and {more} more: `remit show` has all.");
    }
}

fn changed(story: &Timeline, page: &mut String) {
    page.push_str("\n## What changed\n\n");
    if story.changed.is_empty() {
        page.push_str("Nothing.\n");
        return;
    }
    let rows: Vec<_> = story
        .changed
        .iter()
        .map(|change| {
            vec![
                format!("{}", change.call),
                change.words().markdown(),
                code(&change.resource),
                code(&change.transition()),
                change.fate().markdown(),
            ]
        })
        .collect();
    table(page, &["Call", "Change", "On", "Before → after", "Now"], &rows);
}

fn refused(story: &Timeline, page: &mut String) {
    page.push_str("\n## What was refused\n\n");
    if story.refused.is_empty() {
        page.push_str("Nothing.\n");
        return;
    }
    let rows: Vec<_> = story
        .refused
        .iter()
        .map(|call| {
            vec![format!("{}", call.call), call.words().markdown(), code(&call.resource), code(&call.reason)]
        })
        .collect();
    table(page, &["Call", "Asked for", "On", "Why not"], &rows);
}

fn seen(story: &Timeline, page: &mut String) {
    page.push_str("\n## What was seen\n\n");
    if story.seen.is_empty() {
        page.push_str("Nothing.\n");
        return;
    }
    let rows: Vec<_> = story
        .seen
        .iter()
        .map(|seen| {
            vec![
                seen.words().markdown(),
                code(&seen.resource),
                seen.calls.len().to_string(),
                code(&seen.result()),
            ]
        })
        .collect();
    table(page, &["Look", "On", "Times", "Answer"], &rows);
}

fn timeline(story: &Timeline, page: &mut String) {
    page.push_str("\n## Timeline\n\n");
    let rows: Vec<_> = story
        .lines
        .iter()
        .filter(|line| line.essential)
        .map(|line| vec![second(line.at).to_string(), line.what.clone(), line.detail.markdown()])
        .collect();
    table(page, &["Time (UTC)", "What", "Detail"], &rows);
}
