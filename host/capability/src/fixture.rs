//! How the systems of a domain are made up for an offline test, and what they look like afterwards.
//!
//! In a fixture, each domain has tables of its own: `[[secret]]` says what there is, and `[[expect.secret]]` what there is
//! to be in the end.

use std::fmt::Debug;
use std::path::Path;
use std::pin::Pin;

use remit_backend::Systems;
use remit_gate::{Estate, Failure};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The systems of a domain: how runs reach them, and how an offline test makes them up.
pub trait Offline: Systems + Clone {
    /// The name of its tables in a fixture: `secret`. It is the kind of its resources.
    const TABLE: &'static str;
    /// One thing before the test.
    type Before: DeserializeOwned + Clone + Debug + Send + Sync + 'static;
    /// One thing after it.
    type After: Serialize + DeserializeOwned + Debug + Send + Sync + 'static;

    /// Adds the systems to an estate: the same for each run, or each run's own part.
    fn serve(self, estate: Estate) -> Estate;

    /// The path of a thing before the test.
    fn path_before(before: &Self::Before) -> &str;

    /// The path of a thing after the test.
    fn path_after(after: &Self::After) -> &str;

    /// Why nothing of this domain can have this path; none if something can.
    fn no_path(path: &str) -> Option<String>;

    /// The mistakes in well-formed tables, beside their paths: things that cannot exist.
    fn mistakes(_before: &[Self::Before]) -> Vec<Misstated> {
        Vec::new()
    }

    /// Makes everything in `folder`, which exists and is empty.
    fn make_up(before: &[Self::Before], folder: &Path) -> impl Future<Output = Result<Self, Failure>> + Send;

    /// What is at `path` now. That there is nothing is an answer too.
    fn look(&self, path: &str) -> impl Future<Output = Result<Self::After, Failure>> + Send;

    /// The whole of it in words, for a comparison: `version 2, disabled [1]`.
    fn words(after: &Self::After) -> String;
}

/// A mistake in what a fixture says there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misstated {
    /// The index of the table, counted from 0.
    pub at: usize,
    /// The name of the key in that table.
    pub key: &'static str,
    /// What is wrong with its value.
    pub why: String,
}

/// What is at one path after a test.
#[derive(Clone, Debug)]
pub struct State {
    /// The path, in the domain's own form.
    pub path: String,
    /// The whole state in words, for comparison and for messages.
    pub words: String,
    /// The state as a table of a fixture.
    pub written: toml_edit::InlineTable,
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        (&self.path, &self.words) == (&other.path, &other.words)
    }
}

impl State {
    pub(crate) fn of<O: Offline>(after: &O::After) -> Self {
        let written = after.serialize(toml_edit::ser::ValueSerializer::new()).ok();
        let written = written.and_then(|value| value.as_inline_table().cloned()).unwrap_or_default();
        Self { path: O::path_after(after).to_owned(), words: O::words(after), written }
    }
}

/// What a fixture says that there is of one domain before the test.
pub trait Things: Debug + Send + Sync {
    /// The path of each thing.
    fn paths(&self) -> Vec<&str>;
    /// The mistakes in the tables: see [`Offline::no_path`] and [`Offline::mistakes`].
    fn mistakes(&self) -> Vec<Misstated>;
    /// Makes everything in `folder`, and lets runs reach it.
    fn make_up<'a>(&'a self, folder: &'a Path, estate: Estate) -> Boxed<'a, (Estate, Box<dyn MadeUp>)>;
}

/// Systems that were made up.
pub trait MadeUp: Send + Sync {
    /// Reads what is at `path` now.
    fn look<'a>(&'a self, path: &'a str) -> Boxed<'a, State>;
}

/// A boxed future that can fail.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// What there is of the domain of `S` before a test.
pub(crate) struct Befores<S: Offline>(pub(crate) Vec<S::Before>);

impl<S: Offline> Debug for Befores<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl<S: Offline> Things for Befores<S> {
    fn paths(&self) -> Vec<&str> {
        self.0.iter().map(|before| S::path_before(before)).collect()
    }

    fn mistakes(&self) -> Vec<Misstated> {
        let paths = self.paths();
        let wrong = |(at, path): (usize, &&str)| {
            let twice = paths[..at].contains(path).then(|| format!("{path} is there twice"));
            Some(Misstated { at, key: "path", why: S::no_path(path).or(twice)? })
        };
        let mut found: Vec<_> = paths.iter().enumerate().filter_map(wrong).collect();
        found.extend(S::mistakes(&self.0));
        found.sort_by_key(|misstated| misstated.at);
        found
    }

    fn make_up<'a>(&'a self, folder: &'a Path, estate: Estate) -> Boxed<'a, (Estate, Box<dyn MadeUp>)> {
        Box::pin(async move {
            let systems = S::make_up(&self.0, folder).await?;
            let estate = systems.clone().serve(estate);
            Ok((estate, Box::new(Made(systems)) as Box<dyn MadeUp>))
        })
    }
}

struct Made<S>(S);

impl<S: Offline> MadeUp for Made<S> {
    fn look<'a>(&'a self, path: &'a str) -> Boxed<'a, State> {
        Box::pin(async move { Ok(State::of::<S>(&self.0.look(path).await?)) })
    }
}
