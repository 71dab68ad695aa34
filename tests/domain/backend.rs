//! Lamps: a file with one lamp in each line, `hall/door on`. It stands for any real system.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use remit_file::Kind;
use remit_gate::{Authority, Failure, Resource};
use remit_text::Mistake;
use remit_text::Table;
use serde::Deserialize;

use crate::{BackendError, Checked, Systems};

/// The kind of every resource served here: `lamp:hall/door`.
pub const KIND: &str = "lamp";

/// `[[lamps]]` of `remit.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LampsConfig {
    /// Where the lamps are, relative to Remit's home.
    pub file: PathBuf,
}

/// The lamps of all configured files.
#[derive(Clone, Debug)]
pub struct Lamps {
    files: Arc<[PathBuf]>,
    /// In a rehearsal: which lamps the action believes to have switched.
    played: Option<Arc<Mutex<BTreeMap<String, bool>>>>,
}

impl Lamps {
    /// The same lamps for one rehearsal, which plays its changes here.
    #[must_use]
    pub fn for_rehearsal(&self) -> Self {
        Self { files: Arc::clone(&self.files), played: Some(Arc::default()) }
    }

    /// Whether a lamp is lit.
    pub fn is_lit(&self, lamp: &Resource) -> Result<bool, Failure> {
        if let Some(played) = &self.played
            && let Some(lit) = played.lock().unwrap_or_else(PoisonError::into_inner).get(lamp.path())
        {
            return Ok(*lit);
        }
        Ok(self.find(lamp)?.1[lamp.path()])
    }

    /// In a rehearsal, what the action will find from now on.
    pub fn play(&self, lamp: &Resource, lit: bool) {
        if let Some(played) = &self.played {
            played.lock().unwrap_or_else(PoisonError::into_inner).insert(lamp.path().to_owned(), lit);
        }
    }

    /// Switches a lamp, if it still is as expected. It compares right before it writes.
    pub fn turn(&self, lamp: &Resource, was: bool, on: bool, _: Authority<'_>) -> Result<(), Failure> {
        let (file, mut lamps) = self.find(lamp)?;
        if lamps[lamp.path()] != was {
            return Err(Failure::Conflict(format!("somebody else switched {lamp}")));
        }
        lamps.insert(lamp.path().to_owned(), on);
        let lines: Vec<_> = lamps.iter().map(|(path, on)| format!("{path} {}\n", word(*on))).collect();
        remit_file::write(file, lines.concat().as_bytes()).map_err(unavailable).map(drop)
    }

    fn find(&self, lamp: &Resource) -> Result<(&Path, BTreeMap<String, bool>), Failure> {
        for file in self.files.iter() {
            let lamps = lamps(file)?;
            if lamps.contains_key(lamp.path()) {
                return Ok((file, lamps));
            }
        }
        Err(Failure::NotFound(format!("there is no {lamp}")))
    }
}

impl Systems for Lamps {
    const SECTION: &'static str = "lamps";
    type Entry = LampsConfig;

    fn read(entry: Table<'_>) -> Result<LampsConfig, Mistake> {
        entry.rest("a file of [[lamps]]")
    }

    fn open(entries: &[LampsConfig], home: &Path) -> Result<Self, BackendError> {
        Ok(Self { files: entries.iter().map(|entry| home.join(&entry.file)).collect(), played: None })
    }

    async fn check(&self) -> Vec<Checked> {
        let check = |file: &PathBuf| Checked {
            what: format!("{} {}", Self::SECTION, file.display()),
            found: lamps(file).map(|lamps| format!("{} lamps", lamps.len())).map_err(Into::into),
        };
        self.files.iter().map(check).collect()
    }
}

/// `on` or `off`.
#[must_use]
pub fn word(lit: bool) -> &'static str {
    if lit { "on" } else { "off" }
}

fn lamps(file: &Path) -> Result<BTreeMap<String, bool>, Failure> {
    let text =
        remit_file::plain(file, Kind::Kept).and_then(remit_file::Content::into_text).map_err(unavailable)?;
    text.lines()
        .map(|line| match line.split_once(' ') {
            Some((path, "on")) => Ok((path.to_owned(), true)),
            Some((path, "off")) => Ok((path.to_owned(), false)),
            _ => Err(Failure::Unavailable(format!("{} has a line that is no lamp", file.display()))),
        })
        .collect()
}

fn unavailable(error: remit_file::FileError) -> Failure {
    Failure::Unavailable(error.to_string())
}
