//! Errors with a place in a text.

use std::ops::Range;

/// A mistake in a text: the line with a caret below the place, and the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}\n{drawn}\n{why}")]
pub struct Mistake {
    at: usize,
    line: usize,
    column: usize,
    drawn: String,
    why: String,
}

/// The maximum number of characters of a line that are shown, and of those before the place.
const SHOWN: usize = 100;
const BEFORE: usize = 60;

impl Mistake {
    /// A mistake at the bytes `at` of `text`.
    #[must_use]
    pub fn new(text: &str, at: Range<usize>, why: impl Into<String>) -> Self {
        let start = boundary(text, at.start);
        let end = boundary(text, at.end).max(start);
        let begin = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[..begin].matches('\n').count() + 1;
        let column = text[begin..start].chars().count();
        let rest = text[begin..].split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let skip = column.saturating_sub(BEFORE);
        // Tabs and invisible characters would move the caret, so they are replaced.
        let flat = |c: char| if c.is_control() { ' ' } else { c };
        let shown: String = rest.chars().skip(skip).take(SHOWN).map(flat).collect();
        let left = shown.chars().count().saturating_sub(column - skip);
        let carets = text[start..end].split('\n').next().unwrap_or_default().chars().count();
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        let drawn = format!(
            "{margin} |\n{number} | {shown}\n{margin} | {}{}",
            " ".repeat(column - skip),
            "^".repeat(carets.clamp(1, left.max(1)))
        );
        Self { at: start, line, column: column + 1, drawn, why: why.into() }
    }

    /// The byte offset of the mistake in the text.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }

    /// The reason, without the place.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }
}

/// The nearest character boundary at or before `at`.
fn boundary(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_is_below_the_place() {
        let told = Mistake::new("a\nbé\tcd\r\ne", 6..8, "no").to_string();
        assert_eq!(told, "line 2, column 4\n  |\n2 | bé cd\n  |    ^^\nno");
        let end = Mistake::new("{\n", 2..2, "no").to_string();
        assert_eq!(end, "line 2, column 1\n  |\n2 | \n  | ^\nno");
        let nothing = Mistake::new("", 5..9, "no").to_string();
        assert_eq!(nothing, "line 1, column 1\n  |\n1 | \n  | ^\nno");
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = format!("{}wrong{}", "a".repeat(500), "b".repeat(500));
        let told = Mistake::new(&text, 500..505, "no").to_string();
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines[2].len(), "1 | ".len() + SHOWN);
        assert_eq!(lines[3].find('^').map(|at| &lines[2][at..at + 5]), Some("wrong"));
        assert_eq!(lines[3].matches('^').count(), 5);
        // A mark over several lines ends with the first of them.
        let over = Mistake::new("ab\ncd", 1..5, "no").to_string();
        assert_eq!(over.matches('^').count(), 1);
    }
}
