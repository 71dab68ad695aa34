//! How things are timed, and the table of what came out.

use std::fmt::Write as _;
use std::time::Instant;

use serde::Serialize;

/// One line of the table.
#[derive(Debug, Serialize)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// The median.
    pub value: f64,
    /// Of what: `µs`, `MiB`, `records/s`.
    pub unit: &'static str,
    /// What it is held against, measured in the same process, in the same unit.
    pub floor: Option<Floor>,
    /// `value / floor`.
    pub ratio: Option<f64>,
    /// What must hold, in words; and whether it does. A figure without a target is told for its own sake.
    pub target: Option<(String, bool)>,
}

/// What a figure is held against.
#[derive(Debug, Serialize)]
pub struct Floor {
    pub what: String,
    pub value: f64,
}

impl Figure {
    pub fn new(what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { what: what.into(), value, unit, floor: None, ratio: None, target: None }
    }

    pub fn over(mut self, floor: impl Into<String>, value: f64) -> Self {
        self.ratio = Some(self.value / value);
        self.floor = Some(Floor { what: floor.into(), value });
        self
    }

    /// At most this many times the floor.
    pub fn at_most_times(self, times: f64) -> Self {
        let holds = self.ratio.is_some_and(|ratio| ratio <= times);
        self.wants(format!("≤ {times} ×"), holds)
    }

    /// At least this many times the floor.
    pub fn at_least_times(self, times: f64) -> Self {
        let holds = self.ratio.is_some_and(|ratio| ratio >= times);
        self.wants(format!("≥ {times} ×"), holds)
    }

    /// At most this much more than the floor.
    pub fn at_most_more(self, more: f64) -> Self {
        let holds = self.floor.as_ref().is_some_and(|floor| self.value - floor.value <= more);
        let words = format!("≤ floor + {more} {}", self.unit);
        self.wants(words, holds)
    }

    pub fn at_most(self, most: f64) -> Self {
        let words = format!("≤ {most} {}", self.unit);
        let holds = self.value <= most;
        self.wants(words, holds)
    }

    pub fn exactly(self, value: f64) -> Self {
        let words = format!("= {value}");
        let holds = (self.value - value).abs() < f64::EPSILON;
        self.wants(words, holds)
    }

    fn wants(mut self, words: String, holds: bool) -> Self {
        self.target = Some((words, holds));
        self
    }

    fn row(&self) -> [String; 6] {
        let with_unit = |value: f64| {
            let digits = if value.abs() >= 100.0 {
                0
            } else if value.abs() >= 10.0 {
                1
            } else {
                2
            };
            format!("{value:.digits$} {}", self.unit)
        };
        [
            self.what.clone(),
            with_unit(self.value),
            self.floor.as_ref().map(|floor| floor.what.clone()).unwrap_or_default(),
            self.floor.as_ref().map(|floor| with_unit(floor.value)).unwrap_or_default(),
            self.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            self.target
                .as_ref()
                .map(|(words, holds)| format!("{words}  {}", if *holds { "holds" } else { "MISSED" }))
                .unwrap_or_default(),
        ]
    }
}

/// A part of the table.
#[derive(Debug, Serialize)]
pub struct Section {
    pub title: &'static str,
    pub figures: Vec<Figure>,
    /// What the reader must know of it.
    pub notes: Vec<String>,
}

/// The table as Markdown: what is printed is what the manual shows.
pub fn table(section: &Section) -> String {
    let mut rows = vec![["what", "Remit", "floor", "", "ratio", "target"].map(str::to_owned)];
    rows.extend(section.figures.iter().map(Figure::row));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut text = format!("### {}\n\n", section.title);
    for (n, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(text, "| {cell:width$} ");
        }
        text.push_str("|\n");
        if n == 0 {
            for width in &widths {
                let _ = write!(text, "|{}", "-".repeat(width + 2));
            }
            text.push_str("|\n");
        }
    }
    for note in &section.notes {
        let _ = write!(text, "\n{note}\n");
    }
    text
}

/// The medians of several things, each in microseconds a piece. They are timed in turns, so that what slows the
/// machine down slows all of them down; the first round only warms up.
pub fn in_turns<const N: usize>(rounds: usize, pieces: u32, things: [&mut dyn FnMut(u32); N]) -> [f64; N] {
    let clock = Instant::now();
    turns(rounds, pieces, things, || clock.elapsed().as_secs_f64())
}

/// The same in time on a processor, of this thread alone: what others do meanwhile on theirs is not in it.
pub fn in_turns_on_cpu<const N: usize>(
    rounds: usize,
    pieces: u32,
    things: [&mut dyn FnMut(u32); N],
) -> [f64; N] {
    turns(rounds, pieces, things, || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
    })
}

/// The same by any clock, which tells seconds.
pub fn turns<const N: usize>(
    rounds: usize,
    pieces: u32,
    mut things: [&mut dyn FnMut(u32); N],
    clock: impl Fn() -> f64,
) -> [f64; N] {
    let mut seen: [Vec<f64>; N] = std::array::from_fn(|_| Vec::with_capacity(rounds));
    for round in 0..=rounds {
        for (thing, seen) in things.iter_mut().zip(&mut seen) {
            let since = clock();
            thing(pieces);
            let took = (clock() - since) * 1e6 / f64::from(pieces);
            if round > 0 {
                seen.push(took);
            }
        }
    }
    seen.map(median)
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
