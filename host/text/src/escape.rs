//! Escaping of untrusted text for a person or a language model: characters that control a terminal, change the order of text
//! or are invisible are written out. The log, the terminal and JSON output all use these functions, and no others.

use std::borrow::Cow;
use std::fmt::Write as _;

use icu_properties::props::{
    BidiControl, DefaultIgnorableCodePoint, GeneralCategory, NoncharacterCodePoint,
    PrependedConcatenationMark,
};
use icu_properties::{CodePointMapData, CodePointSetData};
use unicode_width::UnicodeWidthChar as _;

/// Whether a reader cannot see this character as it is: a control character, one that changes the order of others, or one
/// that programs may show as nothing (Unicode's property `Default_Ignorable_Code_Point` and category `Format`).
#[must_use]
pub fn hides(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    match CodePointMapData::<GeneralCategory>::new().get(c) {
        GeneralCategory::Control | GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator => {
            true
        }
        // Some Arabic and Indic signs are in this category, but visible.
        GeneralCategory::Format => !CodePointSetData::new::<PrependedConcatenationMark>().contains(c),
        _ => {
            CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
                || CodePointSetData::new::<BidiControl>().contains(c)
                || CodePointSetData::new::<NoncharacterCodePoint>().contains(c)
                // The Braille character without dots.
                || c == '\u{2800}'
        }
    }
}

/// Whether `text` has a character that [`hides`], other than line feeds and tabs.
#[must_use]
pub fn has_hidden(text: &str) -> bool {
    text.contains(|c| hides(c) && c != '\n' && c != '\t')
}

/// Escapes `text` and keeps its lines: line feeds and tabs stay, other characters that [`hides`] are written out (`\u{1b}`).
#[must_use]
pub fn lines(text: &str) -> Cow<'_, str> {
    escape(text, |c| hides(c) && c != '\n' && c != '\t', braces)
}

/// Escapes `text` into one line, so that untrusted text cannot look like a line by Remit.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    escape(text, hides, |c, out| match c {
        '\n' => out.push_str("\\n"),
        '\t' => out.push_str("\\t"),
        c => braces(c, out),
    })
}

/// Escapes JSON text without changing its meaning. Outside of strings, JSON has no such characters except line breaks; inside,
/// `\uXXXX` means the same.
#[must_use]
pub fn json_text(text: &str) -> Cow<'_, str> {
    escape(
        text,
        |c| hides(c) && c != '\n',
        |c, out| {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        },
    )
}

/// The number of columns that `text` takes on a terminal.
#[must_use]
pub fn columns(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// As [`line()`], but cut after `most` columns. A cut text ends with the length of `text`.
#[must_use]
pub fn short_line(text: &str, most: usize) -> Cow<'_, str> {
    let mut room = most;
    for (shown, (at, c)) in text.char_indices().enumerate() {
        let width = columns(&line(&text[at..at + c.len_utf8()]));
        // Combining marks have no width, so their number is limited too.
        if width > room || shown > 2 * most {
            let total = text.chars().count();
            return format!("{}… ({total} characters)", line(&text[..at])).into();
        }
        room -= width;
    }
    line(text)
}

fn braces(c: char, out: &mut String) {
    out.extend(c.escape_unicode());
}

fn escape(text: &str, which: impl Fn(char) -> bool, how: impl Fn(char, &mut String)) -> Cow<'_, str> {
    let Some(first) = text.find(&which) else { return text.into() };
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(&text[..first]);
    for c in text[first..].chars() {
        if which(c) { how(c, &mut out) } else { out.push(c) }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(lines("two\nlines\tand a tab, žluť"), "two\nlines\tand a tab, žluť");
        assert_eq!(lines("\u{1b}[2Jgone\r\u{7f}\u{9b}"), "\\u{1b}[2Jgone\\u{d}\\u{7f}\\u{9b}");
        assert_eq!(line("a\u{1b}[2J\nended\t."), "a\\u{1b}[2J\\nended\\t.");
        assert_eq!(line("Grüße, 世界, नमस्ते, שלום"), "Grüße, 世界, नमस्ते, שלום");
    }

    #[test]
    fn nothing_hides() {
        for c in [
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{115f}',
            '\u{1160}',
            '\u{17b4}',
            '\u{180b}',
            '\u{180e}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{2028}',
            '\u{2029}',
            '\u{202e}',
            '\u{2060}',
            '\u{2064}',
            '\u{2066}',
            '\u{206a}',
            '\u{206f}',
            '\u{2800}',
            '\u{3164}',
            '\u{fe00}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fff9}',
            '\u{fffe}',
            '\u{1bca0}',
            '\u{1d173}',
            '\u{e0001}',
            '\u{e0041}',
            '\u{e007f}',
            '\u{e0100}',
            '\u{e0fff}',
            '\u{85}',
        ] {
            assert!(has_hidden(&format!("a{c}b")), "{c:?}");
            assert_eq!(line(&format!("a{c}b")), format!("a\\u{{{:x}}}b", u32::from(c)));
            // Marked for whoever reads the text, and the same for whoever parses it.
            let text = format!("\"a{c}b\"");
            let marked = json_text(&text);
            assert!(marked.is_ascii(), "{marked}");
        }
        assert_eq!(json_text("\"\u{e0041}\""), "\"\\udb40\\udc41\"");
        // Seen for what they are.
        for c in ['\u{a0}', '\u{600}', '\u{6dd}', '\u{301}', '\u{fffd}', '😀'] {
            assert!(!hides(c), "{c:?}");
        }
    }

    #[test]
    fn what_is_long_is_cut() {
        assert_eq!(short_line("short", 5), "short");
        assert_eq!(short_line("longer", 5), "longe… (6 characters)");
        assert_eq!(short_line("世界世界", 5), "世界… (4 characters)");
        assert_eq!(short_line("\u{202e}\u{202e}\u{202e}", 17), "\\u{202e}\\u{202e}… (3 characters)");
        assert!(short_line(&"a\u{301}\u{301}\u{301}".repeat(100_000), 50).len() < 300);
        assert_eq!(columns("世界"), 4);
    }
}
