//! Lists: times, names, tables, and `--watch`.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use clap::Args;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use remit_lifecycle::{Frozen, Home, Words, operation_words, second};
use serde_json::Value;

use super::common::{Done, usage};
use crate::place::Server;
use crate::print::{self, say};

/// The width of a table if stdout is not a terminal, in columns.
const WIDTH: usize = 160;
/// The minimum width of a column that is cut.
const NARROWEST: usize = 12;
/// The minimum number of letters shown of a name, after `run-` or `req-`: the time to the millisecond, and two more.
const LETTERS: usize = 12;
/// The maximum width of a call with its arguments in one column.
const WIDEST_CALL: usize = 48;
/// How often `--watch` looks for new records.
const POLL: Duration = Duration::from_millis(500);
/// The same through a server.
const POLL_SERVER: Duration = Duration::from_secs(2);
/// After so long the output is redrawn on a terminal, even if nothing is new: ages change.
const REDRAW: Duration = Duration::from_secs(5);

/// The format of times.
#[derive(Args, Clone, Copy, Default)]
pub(crate) struct Times {
    /// Show times in this machine's time zone instead of UTC.
    #[arg(long)]
    local: bool,
}

impl Times {
    /// A time, to the second.
    pub(crate) fn second(self, at: Timestamp) -> String {
        self.exact(second(at))
    }

    /// A time, with its fraction of a second.
    pub(crate) fn exact(self, at: Timestamp) -> String {
        if !self.local {
            return at.to_string();
        }
        let zoned = at.to_zoned(TimeZone::system());
        zoned.strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string()
    }

    /// A text with each time in it in this format. Parts that others wrote are not changed.
    pub(crate) fn words(self, words: &Words) -> String {
        if !self.local {
            return words.to_string();
        }
        words.with_ours(|text| {
            text.split_inclusive([' ', ',', ';', ')'])
                .map(|part| {
                    let word = part.trim_end_matches([' ', ',', ';', ')']);
                    match word.parse::<Timestamp>() {
                        Ok(at) => self.exact(at) + &part[word.len()..],
                        Err(_) => part.to_owned(),
                    }
                })
                .collect()
        })
    }
}

/// How long ago, in one unit: `40s`, `5m`, `3h`, `12d`.
pub(crate) fn age(since: Timestamp) -> String {
    short_duration(Timestamp::now().duration_since(since).as_secs())
}

/// How long until then, in one unit; `over` if it has passed.
pub(crate) fn left(until: Timestamp) -> String {
    match until.duration_since(Timestamp::now()).as_secs() {
        ..=0 => "over".to_owned(),
        seconds => short_duration(seconds),
    }
}

fn short_duration(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3_600 => format!("{}m", seconds / 60),
        seconds @ 3_600..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// A time, or an age: `2026-11-29T10:00:00Z`, `2h`, `7d`.
pub(crate) fn since(text: &str) -> Done<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let span = text.parse::<Span>().and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()));
    span.ok()
        .filter(|span| *span >= SignedDuration::ZERO)
        .and_then(|span| Timestamp::now().checked_sub(span).ok())
        .ok_or_else(|| {
            usage(
                format!("`{}` is neither a time nor an age", text.escape_debug()),
                "write a time like 2026-11-29T10:00:00Z, or an age like 2h or 7d",
            )
        })
}

/// How many characters to show of names, so that each is unique, also among later names.
pub(crate) fn letters<T: ToString>(names: impl IntoIterator<Item = T>) -> usize {
    let mut names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    names.sort_unstable();
    names.dedup();
    let alike = |pair: &[String]| pair[0].bytes().zip(pair[1].bytes()).take_while(|(a, b)| a == b).count();
    let prefix = "run-".len();
    names.windows(2).map(|pair| alike(pair) + 1).max().unwrap_or(0).max(prefix + LETTERS)
}

/// The beginning of a name.
pub(crate) fn short(name: impl ToString, letters: usize) -> String {
    name.to_string().chars().take(letters).collect()
}

/// A call as the texts of two columns. The second is for the arguments, if the call is too wide for one column.
pub(crate) fn called(operation: &str, arguments: &Value) -> (String, String) {
    let whole = operation_words(operation, arguments).to_string();
    if whole.chars().count() <= WIDEST_CALL {
        return (whole, String::new());
    }
    let name = operation_words(operation, &Value::Null).to_string();
    let with = whole.strip_prefix(&name).unwrap_or_default().trim_start().to_owned();
    (name, with)
}

/// Prints a table with a head. The columns that may be cut share the width that the others leave. With `wide`, nothing
/// is cut.
pub(crate) fn table(head: &[(&str, Cut)], mut rows: Vec<Vec<String>>, wide: bool) {
    rows.insert(0, head.iter().map(|(name, _)| (*name).to_owned()).collect());
    for row in &mut rows {
        for cell in row.iter_mut() {
            *cell = print::word(cell);
        }
    }
    if !wide {
        let cuts: Vec<bool> = head.iter().map(|(_, cut)| *cut == Cut::May).collect();
        fit(&mut rows, &cuts, width());
    }
    print::table(0, &rows);
}

/// Whether the cells of a column may be cut.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    May,
    Not,
}

fn width() -> usize {
    if !std::io::stdout().is_terminal() {
        return WIDTH;
    }
    terminal_size::terminal_size().map_or(WIDTH, |(width, _)| usize::from(width.0))
}

/// Cuts cells until no row is wider than `width`, the longest columns first.
fn fit(rows: &mut [Vec<String>], cuts: &[bool], width: usize) {
    let longest = |n: usize| rows.iter().filter_map(|row| row.get(n)).map(|cell| cell.chars().count()).max();
    let longest: Vec<usize> = (0..cuts.len()).map(|n| longest(n).unwrap_or(0)).collect();
    let between = 2 * cuts.len().saturating_sub(1);
    let fixed: usize = longest.iter().zip(cuts).filter(|(_, cut)| !**cut).map(|(length, _)| length).sum();
    let room = width.saturating_sub(fixed + between);
    let of_cut = |most: usize| -> usize {
        longest.iter().zip(cuts).filter(|(_, cut)| **cut).map(|(length, _)| (*length).min(most)).sum()
    };
    let widest = longest.iter().zip(cuts).filter(|(_, cut)| **cut).map(|(length, _)| *length).max();
    let widest = widest.unwrap_or(0);
    let most =
        (NARROWEST..=widest.max(NARROWEST)).rev().find(|most| of_cut(*most) <= room).unwrap_or(NARROWEST);
    for row in rows {
        for (cell, cut) in row.iter_mut().zip(cuts) {
            if *cut && cell.chars().count() > most {
                *cell = cell.chars().take(most - 1).chain(['…']).collect();
            }
        }
    }
}

/// Prints a warning if the host is frozen.
pub(crate) fn warn_if_frozen(frozen: Option<&Frozen>, times: Times) {
    if let Some(Frozen { by, at, reason }) = frozen {
        let (by, reason) = (print::word(by), print::word(reason));
        say!("FROZEN since {} by {by}: {reason}", times.second(*at));
        say!("nothing starts until `remit unfreeze`\n");
    }
}

/// The option `--watch`.
#[derive(Args, Clone, Copy)]
pub(crate) struct Watch {
    /// Print again whenever something changes, until interrupted.
    #[arg(long)]
    watch: bool,
}

impl Watch {
    /// Calls `print` once for a home; with `--watch`, until the output is closed.
    pub(crate) async fn run(self, home: &Home, print: impl FnMut() -> Done<u8>) -> Done {
        self.repeat(|| Ok(home.reader()?.size()?), POLL, print).await
    }

    /// The same for what a server has.
    pub(crate) async fn run_at(self, server: &Server, print: impl FnMut() -> Done<u8>) -> Done {
        self.repeat(|| server.checkpoint(), POLL_SERVER, print).await
    }

    /// `newest` says what the journal's newest record is.
    async fn repeat<N: PartialEq>(
        self,
        newest: impl Fn() -> Done<N>,
        pause: Duration,
        mut print: impl FnMut() -> Done<u8>,
    ) -> Done {
        let terminal = std::io::stdout().is_terminal();
        loop {
            if self.watch && terminal {
                print::raw(b"\x1b[2J\x1b[H");
            }
            let before = newest()?;
            let code = print()?;
            if !self.watch || print::write_error().is_some() || print::is_closed() {
                return Ok(code);
            }
            let since = Instant::now();
            while newest()? == before && !(terminal && since.elapsed() >= REDRAW) {
                tokio::time::sleep(pause).await;
            }
            if !terminal {
                say!("");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_cut_until_the_row_fits_and_only_where_they_may_be() {
        let long = |n: usize| "x".repeat(n);
        let table =
            || vec![vec![long(16), long(40), long(300)], vec!["a".to_owned(), "b".to_owned(), long(20)]];
        let widths = |rows: &[Vec<String>]| -> Vec<usize> {
            rows.iter().map(|row| row.iter().map(|cell| cell.chars().count()).sum::<usize>() + 4).collect()
        };
        let mut rows = table();
        fit(&mut rows, &[false, true, true], 120);
        assert!(widths(&rows).iter().all(|width| *width <= 120), "{rows:?}");
        assert_eq!((rows[0][0].len(), rows[0][1].len()), (16, 40), "the longest gives first");
        assert!(rows[0][2].ends_with('…') && rows[1][2] == long(20));
        let mut rows = table();
        fit(&mut rows, &[false, true, true], 10);
        assert_eq!(rows[0][0], long(16), "a name is never cut");
        assert_eq!(rows[0][1].chars().count(), NARROWEST);
        let mut rows = table();
        fit(&mut rows, &[false, true, true], 400);
        assert_eq!(rows, table());
        fit(&mut [], &[], 10);
    }

    #[test]
    fn short_names_are_unique() {
        let names =
            ["run-01jd2m4k9x8s7t6v5w4y3z2a1b", "run-01jd2m4k9x8s7t6v5w4y3z2a1c", "run-01jd2m4k9x8s7t6v"];
        assert_eq!(letters(names), 30);
        assert_eq!(letters(["run-01jd2m4k9x8s7t", "run-01jd2m4k9x8s7t"]), 16, "one name twice is one");
        assert_eq!(letters(["run-01jd2m4k9x8s7t", "run-01jd2m4k9x8saaaa"]), 17);
        assert_eq!(letters::<String>([]), 16);
        assert_eq!(short(names[0], 16), "run-01jd2m4k9x8s");
    }

    #[test]
    fn what_is_too_wide_for_its_column_comes_last() {
        let of = |text: &str| called("remit:files/write.put", &serde_json::json!({"sha256": text}));
        assert_eq!(of("ab"), ("write.put (sha256 ab)".to_owned(), String::new()));
        let long = "x".repeat(64);
        assert_eq!(of(&long), ("write.put".to_owned(), format!("(sha256 {long})")));
    }

    #[test]
    fn durations_are_short() {
        for (seconds, told) in [
            (-5, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3_599, "59m"),
            (7_200, "2h"),
            (172_799, "47h"),
            (172_800, "2d"),
        ] {
            assert_eq!(short_duration(seconds), told);
        }
        assert_eq!(left(Timestamp::UNIX_EPOCH), "over");
    }

    #[test]
    fn since_is_a_time_or_an_age() {
        assert_eq!(since("1970-01-01T00:00:00Z").ok(), Some(Timestamp::UNIX_EPOCH));
        for good in ["2h", "7d", "90m"] {
            assert!(since(good).is_ok_and(|at| at < Timestamp::now()), "{good}");
        }
        for wrong in ["", "yesterday", "-2h", "9999999d"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }
}
