//! How things look on a terminal.

use std::fmt::Write as _;
use std::io::IsTerminal;

use miette::Diagnostic;

/// Whether to colour a stream.
pub(crate) fn colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Prints an error and what to do about it; returns the exit code.
pub(crate) fn error(error: &dyn Diagnostic) -> u8 {
    let word = if colour(&std::io::stderr()) { "\u{1b}[1;31merror\u{1b}[0m" } else { "error" };
    eprintln!("{word}: {}", safe(&error.to_string()));
    if let Some(help) = error.help() {
        eprintln!(" help: {}", safe(&help.to_string()));
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

/// Text from outside, made harmless for a terminal: line breaks stay, other control characters and
/// those that reorder text are spelt out.
pub(crate) fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let steers = c.is_control() && c != '\n'
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if steers {
            let _ = write!(out, "{}", c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Prints rows as aligned columns, two spaces apart, indented by `indent`.
pub(crate) fn table(indent: usize, rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |n: usize| {
        rows.iter().filter_map(|row| row.get(n)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let mut line = " ".repeat(indent);
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{:width$}  ", safe(cell));
        }
        println!("{}", line.trim_end());
    }
}

/// Prints a value as indented JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<(), remit_lifecycle::Error> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
