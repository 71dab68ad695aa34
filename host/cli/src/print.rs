//! How things look on a terminal.

use std::ffi::OsString;
use std::fmt;
use std::io::{ErrorKind, IsTerminal, Write as _};
use std::sync::OnceLock;
use std::time::Duration;

use miette::Diagnostic;
use remit_lifecycle::Class;

/// Whether to colour a stream: the one decision, for whatever is written to it.
pub(crate) fn colour(stream: &impl IsTerminal) -> bool {
    coloured(stream.is_terminal(), remit_text::env::var)
}

/// <https://no-color.org> and <https://bixense.com/clicolors>; a terminal that is dumb, or does not say what it is, is
/// told nothing but text.
fn coloured(terminal: bool, set: impl Fn(&str) -> Option<OsString>) -> bool {
    if set("NO_COLOR").is_some() {
        return false;
    }
    if set("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
        return true;
    }
    terminal
        && set("CLICOLOR").is_none_or(|value| value != "0")
        && set("TERM").is_some_and(|term| term != "dumb")
}

/// Prints what is wrong with the command line, or the help that was asked for; returns the exit code.
pub(crate) fn usage(error: &clap::Error) -> u8 {
    let text = error.render();
    let shown = |colour: bool| if colour { text.ansi().to_string() } else { text.to_string() };
    if error.use_stderr() {
        let _ = write!(std::io::stderr(), "{}", shown(colour(&std::io::stderr())));
    } else {
        raw(shown(colour(&std::io::stdout())).as_bytes());
    }
    u8::from(error.use_stderr()) * 2
}

/// Prints an error and what to do about it; returns the exit code.
pub(crate) fn error(error: &dyn Diagnostic) -> u8 {
    let word = if colour(&std::io::stderr()) { "\u{1b}[1;31merror\u{1b}[0m" } else { "error" };
    warn(&format!("{word}: {}", indented(&error.to_string())));
    if let Some(help) = error.help() {
        warn(&format!(" help: {}", indented(&help.to_string())));
    }
    Class::of(error).exit_code()
}

/// Text from outside, over as many lines as it has: see [`remit_text::lines`].
pub(crate) fn safe(text: &str) -> String {
    remit_text::lines(text).into_owned()
}

/// The same on one line: what an action says must not look like a line of ours.
pub(crate) fn word(text: &str) -> String {
    remit_text::line(text).into_owned()
}

/// The same over several lines, each after the first below the first.
fn indented(text: &str) -> String {
    safe(text).replace('\n', "\n       ")
}

/// Set by the first line of the answer that could not be written.
static LOST: OnceLock<String> = OnceLock::new();
/// Set once the reader of the answer has gone away.
static GONE: OnceLock<()> = OnceLock::new();

/// Prints a line of the answer. A reader that went away is no error, and never stops what is under way.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    keep(writeln!(std::io::stdout(), "{text}"));
}

/// Prints the answer as it is.
pub(crate) fn raw(bytes: &[u8]) {
    keep(std::io::stdout().write_all(bytes));
}

fn keep(result: std::io::Result<()>) {
    match result {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            let _ = GONE.set(());
        }
        Err(error) => {
            let _ = LOST.set(error.to_string());
        }
    }
}

/// Whether the reader of the answer has gone away, so that there is no use in more output.
pub(crate) fn is_gone() -> bool {
    GONE.get().is_some()
}

/// Why a part of the answer could not be written, if one could not.
pub(crate) fn lost() -> Option<&'static str> {
    keep(std::io::stdout().flush());
    LOST.get().map(String::as_str)
}

/// Prints a line about the answer to standard error. Errors of that are ignored.
pub(crate) fn warn(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints a line of the answer, as `println!` would.
macro_rules! say {
    ($($text:tt)*) => { $crate::print::line(format_args!($($text)*)) };
}
pub(crate) use say;

/// Asks a question at the terminal; the answer is typed behind it.
pub(crate) fn ask(text: &str) {
    let _ = write!(std::io::stderr(), "{text}");
    let _ = std::io::stderr().flush();
}

/// Says that a component is being compiled, for what, and that this is done once.
pub(crate) fn compiling(file: &str) {
    warn(&format!("compiling {} …; this is done once, and kept", word(file)));
}

/// Tells a person on a terminal what takes so long, after a second. Until dropped.
pub(crate) struct Patience(tokio::task::JoinHandle<()>);

impl Patience {
    pub(crate) fn with(what: &'static str) -> Self {
        Self(tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if std::io::stderr().is_terminal() {
                warn(&format!("{what} …"));
            }
        }))
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The most columns of a terminal that one cell takes: more than anything of our own, a resource with the longest path
/// included. Whoever needs the rest of what is cut reads the JSON.
const CELL: usize = 600;
/// The widest that a column is made for one of its cells: a longer one pushes what follows it, in its own row only.
const COLUMN: usize = 100;

/// Prints rows as aligned columns, two spaces apart, indented by `indent`. Each row is one line, whatever is in it.
pub(crate) fn table(indent: usize, rows: &[Vec<String>]) {
    for row in aligned(indent, rows) {
        say!("{row}");
    }
}

fn aligned(indent: usize, rows: &[Vec<String>]) -> Vec<String> {
    let cell = |cell: &String| remit_text::short_line(cell, CELL).into_owned();
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |n: usize| {
        let cells = rows.iter().filter_map(|row| row.get(n)).map(|cell| remit_text::columns(cell));
        cells.max().unwrap_or(0).min(COLUMN)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let aligned = rows.iter().map(|row| {
        let mut text = " ".repeat(indent);
        for (cell, width) in row.iter().zip(&widths) {
            text += cell;
            text.extend(std::iter::repeat_n(' ', width.saturating_sub(remit_text::columns(cell)) + 2));
        }
        text.truncate(text.trim_end().len());
        text
    });
    aligned.collect()
}

/// Prints a value as indented JSON, free of anything that steers a terminal.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<(), remit_lifecycle::Error> {
    json_text(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Prints JSON text in which nothing hides: see [`remit_text::json`].
pub(crate) fn json_text(text: &str) {
    say!("{}", remit_text::json_text(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_decision_about_colour() {
        let with = |terminal, given: &[(&str, &str)]| {
            coloured(terminal, |name| {
                given.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
            })
        };
        assert!(with(true, &[("TERM", "xterm")]));
        assert!(with(true, &[("TERM", "xterm"), ("CLICOLOR", "1"), ("CLICOLOR_FORCE", "0")]));
        assert!(
            with(false, &[("CLICOLOR_FORCE", "1")])
                && with(true, &[("TERM", "dumb"), ("CLICOLOR_FORCE", "1")])
        );
        assert!(!with(false, &[("TERM", "xterm")]));
        assert!(!with(true, &[]) && !with(true, &[("TERM", "dumb")]));
        assert!(!with(true, &[("TERM", "xterm"), ("CLICOLOR", "0")]));
        assert!(!with(true, &[("TERM", "xterm"), ("NO_COLOR", "1")]));
        assert!(!with(true, &[("TERM", "xterm"), ("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]));
    }

    #[test]
    fn lines_of_an_error_stay_below_each_other() {
        assert_eq!(indented("a\n help: b"), "a\n        help: b");
        assert_eq!(safe("a\r\n\u{202e}b"), "a\\u{d}\n\\u{202e}b");
    }

    #[test]
    fn a_table_is_no_larger_than_what_is_in_it() {
        let row = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
        assert_eq!(aligned(2, &[row("a", "b"), row("世界", "c")]), ["  a     b", "  世界  c"]);
        let long = "x".repeat(100_000);
        let rows: Vec<_> = std::iter::once(row(&long, "end")).chain((0..9).map(|_| row("a", "b"))).collect();
        let lines = aligned(2, &rows);
        assert!(lines[0].ends_with("x… (100000 characters)  end"), "{}", lines[0]);
        assert!(lines[0].len() < 700 && lines[1..].iter().all(|line| line.len() < 120));
        // What is written out is longer, and cut as well.
        let hidden = aligned(0, &[row(&"\u{e0041}".repeat(100_000), "end")]);
        assert!(hidden[0].len() < 800 && hidden[0].ends_with("characters)  end"), "{}", hidden[0]);
    }
}
