//! How things look on a terminal.

use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::io::{ErrorKind, IsTerminal, Write as _};
use std::sync::OnceLock;
use std::time::Duration;

use miette::Diagnostic;

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
    code(error)
}

/// The exit code: the first word of the diagnostic's code says whose matter it is.
pub(crate) fn code(error: &dyn Diagnostic) -> u8 {
    let code = error.code().map(|code| code.to_string()).unwrap_or_default();
    match code.split("::").next() {
        Some("usage") => 2,
        Some("refused") => 3,
        Some("integrity") => 4,
        Some("doubt") => 5,
        _ => 1,
    }
}

/// Text from outside, made harmless for a terminal: line breaks stay, other control characters and those
/// that reorder or hide text are spelt out.
pub(crate) fn safe(text: &str) -> String {
    escape(text, |c| c != '\n' && steers(c), |c| c.escape_unicode().to_string())
}

/// The same on one line: what an action says must not look like a line of ours.
pub(crate) fn word(text: &str) -> String {
    escape(text, steers, |c| if c == '\n' { "\\n".to_owned() } else { c.escape_unicode().to_string() })
}

/// The same over several lines, each after the first below the first.
fn indented(text: &str) -> String {
    safe(text).replace('\n', "\n       ")
}

fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn escape(text: &str, which: impl Fn(char) -> bool, how: impl Fn(char) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if which(c) { out.push_str(&how(c)) } else { out.push(c) }
    }
    out
}

/// Set by the first line of the answer that could not be written.
static LOST: OnceLock<String> = OnceLock::new();
/// Set once nobody reads the answer any more.
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

/// Whether the reader of the answer went away: then there is nobody to go on telling.
pub(crate) fn is_gone() -> bool {
    GONE.get().is_some()
}

/// Why a part of the answer could not be written, if one could not.
pub(crate) fn lost() -> Option<&'static str> {
    keep(std::io::stdout().flush());
    LOST.get().map(String::as_str)
}

/// Prints a line about the answer. With stderr gone there is nobody to tell.
pub(crate) fn warn(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints a line of the answer, as `println!` would.
macro_rules! say {
    ($($text:tt)*) => { $crate::print::line(format_args!($($text)*)) };
}
pub(crate) use say;

/// Puts a question to whoever is at the terminal; the answer is typed behind it.
pub(crate) fn ask(text: &str) {
    let _ = write!(std::io::stderr(), "{text}");
    let _ = std::io::stderr().flush();
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

/// Prints rows as aligned columns, two spaces apart, indented by `indent`. Each row is one line.
pub(crate) fn table(indent: usize, rows: &[Vec<String>]) {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| word(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |n: usize| {
        rows.iter().filter_map(|row| row.get(n)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in &rows {
        let mut text = " ".repeat(indent);
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(text, "{cell:width$}  ");
        }
        say!("{}", text.trim_end());
    }
}

/// Prints a value as indented JSON, free of anything that steers a terminal.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<(), remit_lifecycle::Error> {
    json_text(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Prints JSON text, free of anything that steers a terminal: outside of strings JSON has nothing such but line
/// breaks; inside, `\uXXXX` means the same.
pub(crate) fn json_text(text: &str) {
    say!("{}", escape(text, |c| c != '\n' && steers(c), |c| format!("\\u{:04x}", u32::from(c))));
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
    fn nothing_steers_the_terminal() {
        assert_eq!(word("a\u{1b}[2J\nended"), "a\\u{1b}[2J\\nended");
        assert_eq!(safe("a\r\n\u{202e}b"), "a\\u{d}\n\\u{202e}b");
        assert_eq!(indented("a\n help: b"), "a\n        help: b");
        assert_eq!(word("Grüße, 世界"), "Grüße, 世界");
    }
}
