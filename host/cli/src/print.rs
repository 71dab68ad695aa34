//! Output: stdout, stderr, colours, tables, JSON.

use std::ffi::OsString;
use std::fmt;
use std::io::{ErrorKind, IsTerminal, Write as _};
use std::sync::OnceLock;
use std::time::Duration;

use miette::Diagnostic;
use remit_lifecycle::Class;

/// Whether to use colours on this stream.
pub(crate) fn colour(stream: &impl IsTerminal) -> bool {
    coloured(stream.is_terminal(), remit_text::env::var)
}

/// As <https://no-color.org> and <https://bixense.com/clicolors> say. A terminal without TERM, or with TERM=dumb, gets no
/// colours.
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

/// Prints an error of the command line to stderr, or the requested help to stdout. Returns the exit code.
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

/// Prints an error and its help to stderr. Returns the exit code.
pub(crate) fn error(error: &dyn Diagnostic) -> u8 {
    let word = if colour(&std::io::stderr()) { "\u{1b}[1;31merror\u{1b}[0m" } else { "error" };
    warn(&format!("{word}: {}", indented(&error.to_string())));
    if let Some(help) = error.help() {
        warn(&format!(" help: {}", indented(&help.to_string())));
    }
    Class::of(error).exit_code()
}

/// Text from outside, safe to print, with its line breaks: see [`remit_text::lines`].
pub(crate) fn safe(text: &str) -> String {
    remit_text::lines(text).into_owned()
}

/// Text from outside, safe to print, on one line: it must not look like a line of this program.
pub(crate) fn word(text: &str) -> String {
    remit_text::line(text).into_owned()
}

/// Text from outside with its lines aligned, to print after `error: `.
fn indented(text: &str) -> String {
    safe(text).replace('\n', "\n       ")
}

/// The first error of a write to stdout.
static WRITE_ERROR: OnceLock<String> = OnceLock::new();
/// Set when the reader of stdout has closed the pipe.
static CLOSED: OnceLock<()> = OnceLock::new();

/// Prints a line to stdout. A closed pipe is not an error and does not stop the command.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    note_error(writeln!(std::io::stdout(), "{text}"));
}

/// Prints bytes to stdout, unchanged.
pub(crate) fn raw(bytes: &[u8]) {
    note_error(std::io::stdout().write_all(bytes));
}

fn note_error(result: std::io::Result<()>) {
    match result {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            let _ = CLOSED.set(());
        }
        Err(error) => {
            let _ = WRITE_ERROR.set(error.to_string());
        }
    }
}

/// Whether the reader of stdout has closed the pipe: more output is useless.
pub(crate) fn is_closed() -> bool {
    CLOSED.get().is_some()
}

/// Why output could not be written; none if all was written.
pub(crate) fn write_error() -> Option<&'static str> {
    note_error(std::io::stdout().flush());
    WRITE_ERROR.get().map(String::as_str)
}

/// Prints a line to stderr. Errors of the write are ignored.
pub(crate) fn warn(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints a line to stdout, like `println!`.
macro_rules! say {
    ($($text:tt)*) => { $crate::print::line(format_args!($($text)*)) };
}
pub(crate) use say;

/// Prints a question to stderr; the cursor stays behind it.
pub(crate) fn ask(text: &str) {
    let _ = write!(std::io::stderr(), "{text}");
    let _ = std::io::stderr().flush();
}

/// Says that a component is being compiled, and that this happens once.
pub(crate) fn compiling(file: &str) {
    warn(&format!("compiling {} …; this is done once, and kept", word(file)));
}

/// Prints `WHAT …` on a terminal if it is not dropped within a second.
pub(crate) struct SlowNote(tokio::task::JoinHandle<()>);

impl SlowNote {
    pub(crate) fn start(what: &'static str) -> Self {
        Self(tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if std::io::stderr().is_terminal() {
                warn(&format!("{what} …"));
            }
        }))
    }
}

impl Drop for SlowNote {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The maximum width of a cell, in columns of a terminal. The longest resource fits. The JSON has longer texts whole.
const MAX_CELL: usize = 600;
/// The maximum width of a column. A longer cell moves the rest of its own row to the right.
const MAX_COLUMN: usize = 100;

/// Prints rows as aligned columns, two spaces apart, indented by `indent`. Each row is one line, whatever it contains.
pub(crate) fn table(indent: usize, rows: &[Vec<String>]) {
    for row in aligned(indent, rows) {
        say!("{row}");
    }
}

fn aligned(indent: usize, rows: &[Vec<String>]) -> Vec<String> {
    let cell = |cell: &String| remit_text::short_line(cell, MAX_CELL).into_owned();
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |n: usize| {
        let cells = rows.iter().filter_map(|row| row.get(n)).map(|cell| remit_text::columns(cell));
        cells.max().unwrap_or(0).min(MAX_COLUMN)
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

/// Prints a value as indented JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<(), remit_lifecycle::Error> {
    json_text(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Prints JSON text; characters that control a terminal or cannot be seen are escaped.
pub(crate) fn json_text(text: &str) {
    say!("{}", remit_text::json_text(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_follow_the_environment() {
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
        // Escapes are longer than the character, and are cut as well.
        let hidden = aligned(0, &[row(&"\u{e0041}".repeat(100_000), "end")]);
        assert!(hidden[0].len() < 800 && hidden[0].ends_with("characters)  end"), "{}", hidden[0]);
    }
}
