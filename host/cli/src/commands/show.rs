//! `remit show`.

use clap::{Args, ValueEnum};
use jiff::Unit;
use remit_journal::{Record, RunId};
use remit_lifecycle::{Line, StoryView, Timeline, down_to};
use serde_json::Value;

use super::common::Done;
use super::listing::Times;
use crate::place::Place;
use crate::print::{self, say};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  remit show run-01jd2m4k9x8s7t6v5w4y3z2a1b\n  remit show 01jd2m                          the beginning is enough\n  remit show last --local                    the newest\n  remit show 01jd2m --format markdown        for an incident report"
)]
pub(crate) struct Show {
    /// The run, or the beginning of its name; `last` for the newest.
    run: String,
    /// The format.
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT", conflicts_with = "json")]
    format: Format,
    /// Show only the output and messages of the action that are sealed: they may contain secrets or content that it was
    /// given.
    #[arg(long, conflicts_with = "format")]
    own_words: bool,
    #[command(flatten)]
    times: Times,
    /// The same as --format json.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For a terminal.
    Text,
    /// A page for an incident report.
    Markdown,
    /// The story, and every record.
    Json,
}

impl Show {
    pub(crate) fn run(self, place: &Place) -> Done {
        if let Some(server) = place.server()? {
            if self.own_words {
                // The server does not open what is sealed.
                place.home()?;
            }
            let (run, records) = server.run(&self.run)?;
            return self.print(run, &records);
        }
        let home = place.home()?;
        let reader = home.reader()?;
        let run = match (&*self.run, reader.last()?) {
            ("last", Some(last)) => last,
            (name, _) => reader.find(name)?,
        };
        if self.own_words {
            match remit_lifecycle::own_words(home, &reader, run)? {
                Some(own) if self.json => print::json(&own)?,
                Some(own) => {
                    say!("ended     {}", print::word(&own.detail));
                    if let Some(output) = &own.output {
                        say!("output    {}", print::word(&output.to_string()));
                    }
                }
                None if self.json => print::json(&Value::Null)?,
                None => say!("no output or message of {run} is sealed: `remit show {run}` has all"),
            }
            return Ok(0);
        }
        self.print(run, &reader.run(&run)?)
    }

    /// Prints the story that the records tell.
    fn print(&self, run: RunId, records: &[(u64, Record)]) -> Done {
        let story = Timeline::of(run, records)?;
        match if self.json { Format::Json } else { self.format } {
            Format::Text => text(&story, self.times),
            Format::Markdown => print::raw(story.markdown().as_bytes()),
            Format::Json => print::json(&StoryView::of(run, &story, records))?,
        }
        Ok(0)
    }
}

fn text(story: &Timeline, times: Times) {
    say!("{}  {}", story.run, story.state_word());
    let facts: Vec<_> = story
        .facts()
        .into_iter()
        .map(|(name, words)| vec![name.to_lowercase(), times.words(&words)])
        .collect();
    print::table(2, &facts);
    say!("");
    print::table(2, &rows(&story.lines, times));
}

/// The lines of a story, as rows of a table.
pub(crate) fn rows(lines: &[Line], times: Times) -> Vec<Vec<String>> {
    lines
        .iter()
        .map(|line| {
            let at = down_to(line.at, Unit::Millisecond);
            vec![line.seq.to_string(), times.exact(at), line.what.clone(), line.detail.to_string()]
        })
        .collect()
}
