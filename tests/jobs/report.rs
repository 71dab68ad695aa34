//! The reports in docs/jobs.md are what the stories' runs are told as: a story that is told in another way fails, and
//! `REMIT_UPDATE=1` writes its report anew.
//!
//! What differs from one run to the next (times, identifiers, digests) is compared as if it were the same, so that the page
//! has one that was there.

use std::fs;
use std::sync::{Mutex, PoisonError};

use regex::Regex;

use crate::common::World;

/// What differs, and what it stands for.
const DIFFERS: [(&str, &str); 19] = [
    (r"\brun-[0-9a-z]{26}(-[0-9a-f]{16})?", "RUN"),
    (r"\breq-[0-9a-z]{26}", "REQUEST"),
    (r"\bsha256:[0-9a-f]{64}", "DIGEST"),
    (r"sealed:token:[0-9a-f]{64}", "HANDLE"),
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "UUID"),
    (r"\bremit-[0-9a-f]{16}\b", "TABLE"),
    (r"\b[0-9a-f]{12}\b", "SHORT"),
    (r"\b\d{4}-\d\d-\d\dT[0-9:.]+Z", "TIME"),
    (r"\b1[5-9]\d{11}\b", "MOMENT"),
    (r"\bfor [0-9.]+ (ms|s|min)\b", "for LONG"),
    // A language's runtime makes host calls of its own, and not always as many.
    (r"\b\d+ ms, \d+ fuel, \d+ KiB memory, \d+ host calls", "USED"),
    (r"(?m)^> \| \d+ \|", "> | CALL |"),
    (r"#\d+\b", "#CALL"),
    (r"\brecords \d+ to \d+", "RECORDS"),
    (r"\b(oid|row|namespace|refused) \d+", "$1 NUMBER"),
    (r"\bbao/[0-9A-Za-z]{24}", "bao/ACCESSOR"),
    (r"\bid [0-9a-z]{20}\b", "id USER"),
    // A session may be one more than is known when it is started.
    (r#"(oid NUMBER → |"ended":)\d+"#, "${1}SESSIONS"),
    // Of a workload, which has more or fewer parts on another machine.
    (r#"(\d+ parts|parts: \d+ entries|"parts":\d+)"#, "PARTS"),
];

fn page() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/jobs.md").to_owned()
}

/// A quotation of what `remit show --format markdown` printed, with headlines as bold text. `as_shown` are names that only this test
/// has, and what the page has in their place.
fn quoted(told: &str, as_shown: &[(&str, &str)]) -> String {
    let named = as_shown.iter().fold(told.trim_end().to_owned(), |told, (from, to)| told.replace(from, to));
    let line = |line: &str| match line.trim_start_matches('#') {
        "" => ">\n".to_owned(),
        title if title.len() < line.len() => format!("> **{}**\n", title.trim()),
        _ => format!("> {line}\n"),
    };
    named.lines().map(line).collect()
}

fn masked(text: &str) -> String {
    DIFFERS.iter().fold(text.to_owned(), |text, (differs, by)| {
        Regex::new(differs).unwrap().replace_all(&text, *by).into_owned()
    })
}

/// Where the report of this name is in the page: what is before, what it is, and what is after.
fn parts<'a>(page: &'a str, name: &str) -> (&'a str, &'a str, &'a str) {
    let mark = format!("<!-- the report of {name}: written by its test -->\n");
    let begin = page.find(&mark).unwrap_or_else(|| panic!("docs/jobs.md has no line {mark}")) + mark.len();
    let length = page[begin..]
        .split_inclusive('\n')
        .take_while(|line| line.starts_with('>'))
        .map(str::len)
        .sum::<usize>();
    (&page[..begin], &page[begin..begin + length], &page[begin + length..])
}

/// Tells the report of a run, which is the one that the page has under this name.
#[track_caller]
pub fn tell(world: &World, run: &str, name: &str, as_shown: &[(&str, &str)]) {
    static WRITING: Mutex<()> = Mutex::new(());
    let told = world.remit(&["show", run, "--format", "markdown"]).exits(0).out;
    println!("\nhome$ remit show {run} --format markdown\n{told}");
    let (told, _turn) = (quoted(&told, as_shown), WRITING.lock().unwrap_or_else(PoisonError::into_inner));
    let page_now = fs::read_to_string(page()).unwrap();
    let (before, found, after) = parts(&page_now, name);
    if masked(found) == masked(&told) {
        return;
    }
    assert!(
        std::env::var_os("REMIT_UPDATE").is_some(),
        "docs/jobs.md has another report of {name}; write it anew with REMIT_UPDATE=1. It is now:\n{}\nand was:\n{}",
        masked(&told),
        masked(found)
    );
    fs::write(page(), [before, &told, after].concat()).unwrap();
}
