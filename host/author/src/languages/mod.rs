//! The languages that actions and connectors can be written in, one file each.

mod c;
pub mod declarative;
mod go;
mod javascript;
mod python;
mod rust;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use include_dir::{Dir, include_dir};

use crate::AuthorError;
use crate::folder::Folder;

pub use javascript::javascript_name;

/// A language: how its projects are recognised, created and built.
#[derive(Clone, Copy)]
pub struct Language(&'static Entry);

/// An entry of the table of languages.
pub(crate) struct Entry {
    /// The name as `--lang` takes it.
    pub(crate) name: &'static str,
    /// The name as a person writes it.
    pub(crate) title: &'static str,
    /// The files that tell a project of it, any of them.
    pub(crate) marks: &'static [&'static str],
    /// The files that a new action starts with, with placeholders; none where there are only connectors.
    pub(crate) template: Option<&'static Dir<'static>>,
    /// The same for a connector; none where `remit new` makes none.
    pub(crate) connector: Option<Template>,
    /// The files of the SDK that its projects get a copy of.
    pub(crate) sdk: &'static Dir<'static>,
    /// Builds a component, before its metadata.
    pub(crate) build: fn(&Folder<'_>) -> Result<Vec<u8>, AuthorError>,
    /// The programs it takes, each by any of its names.
    pub(crate) tools: &'static [&'static [&'static str]],
    /// How its tool is installed, a command a line, typed in the project's folder.
    pub(crate) install: &'static str,
    /// Names that no project of it can have, and what they are; beside those that its world cannot have.
    pub(crate) reserved: (&'static [&'static str], &'static str),
    /// Whether the output of `build` is a core module that is still to become a component.
    pub(crate) core: bool,
}

/// The files that a new connector starts with.
#[derive(Clone, Copy)]
pub(crate) struct Template {
    pub(crate) files: &'static Dir<'static>,
    /// Whether its code uses the SDK.
    pub(crate) sdk: bool,
}

static RUST: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/rust");
static RUST_TEMPLATE: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/rust/template");
static RUST_CONNECTOR: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/rust/template-connector");

static C: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/c");
static C_TEMPLATE: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/c/template");

static JS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/js");
static JS_TEMPLATE: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/js/template");
static JS_CONNECTOR: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/js/template-connector");
static TS_TEMPLATE: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/js/template-ts");

static PYTHON: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/python");
static PYTHON_TEMPLATE: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/python/template");

static GO: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/go");
static GO_TEMPLATE: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/go/template");

static NO_SDK: Dir<'static> = Dir::new("", &[]);
static TOML_CONNECTOR: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/toml/template-connector");

/// The one list of them all; where two could match, the first does.
static TABLE: &[Entry] = &[
    Entry {
        name: "rust",
        title: "Rust",
        marks: &["Cargo.toml"],
        template: Some(&RUST_TEMPLATE),
        connector: Some(Template { files: &RUST_CONNECTOR, sdk: true }),
        sdk: &RUST,
        build: rust::build,
        tools: &[&["cargo"]],
        install: rust::INSTALL,
        reserved: rust::RESERVED,
        core: true,
    },
    Entry {
        name: "c",
        title: "C",
        marks: &["src/action.c"],
        template: Some(&C_TEMPLATE),
        connector: None,
        sdk: &C,
        build: c::build,
        tools: &[&c::ZIG],
        install: c::INSTALL,
        reserved: (&[], ""),
        core: true,
    },
    Entry {
        name: "python",
        title: "Python",
        marks: &["src/action.py"],
        template: Some(&PYTHON_TEMPLATE),
        connector: None,
        sdk: &PYTHON,
        build: python::build,
        tools: &[&["componentize-py"]],
        install: python::INSTALL,
        reserved: (&["componentize-py"], "a tool that the project is built with has it"),
        core: false,
    },
    Entry {
        name: "typescript",
        title: "TypeScript",
        marks: &["src/action.ts"],
        template: Some(&TS_TEMPLATE),
        connector: None,
        sdk: &JS,
        build: javascript::build_typescript,
        tools: &[&["componentize-qjs"], &["esbuild"], &["tsc"]],
        install: javascript::INSTALL_TS,
        reserved: javascript::RESERVED,
        core: false,
    },
    Entry {
        name: "javascript",
        title: "JavaScript",
        marks: &["src/action.js", "src/connector.js"],
        template: Some(&JS_TEMPLATE),
        connector: Some(Template { files: &JS_CONNECTOR, sdk: false }),
        sdk: &JS,
        build: javascript::build_javascript,
        tools: &[&["componentize-qjs"], &["esbuild"]],
        install: javascript::INSTALL_JS,
        reserved: javascript::RESERVED,
        core: false,
    },
    Entry {
        name: "go",
        title: "Go",
        marks: &["go.mod"],
        template: Some(&GO_TEMPLATE),
        connector: None,
        sdk: &GO,
        build: go::build,
        tools: &[&["go"]],
        install: go::INSTALL,
        reserved: go::RESERVED,
        core: true,
    },
    Entry {
        name: "toml",
        title: "TOML",
        // Every connector has it: this is one without code of its own.
        marks: &[crate::connector::FILE],
        template: None,
        connector: Some(Template { files: &TOML_CONNECTOR, sdk: false }),
        sdk: &NO_SDK,
        build: declarative::build,
        tools: &[],
        install: "",
        reserved: (&[], ""),
        core: false,
    },
];

impl Language {
    /// All languages, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(Self)
    }

    /// The language of the project in `dir`.
    #[must_use]
    pub fn of(dir: &Path) -> Option<Self> {
        Self::all().find(|language| language.0.marks.iter().any(|mark| dir.join(mark).exists()))
    }

    /// The files that tell languages apart.
    pub(crate) fn marks() -> String {
        TABLE.iter().flat_map(|entry| entry.marks).copied().collect::<Vec<_>>().join(", ")
    }

    /// The names of those that connectors, or actions, can be written in, as `--lang` takes them.
    #[must_use]
    pub fn names(connectors: bool) -> String {
        let can =
            |entry: &&Entry| if connectors { entry.connector.is_some() } else { entry.template.is_some() };
        TABLE.iter().filter(can).map(|entry| entry.name).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn entry(self) -> &'static Entry {
        self.0
    }

    /// The name as `--lang` takes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.title)
    }
}

impl fmt::Debug for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl FromStr for Language {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::all().find(|language| language.name() == text).ok_or_else(|| {
            format!("the languages are {}; of connectors {}", Self::names(false), Self::names(true))
        })
    }
}
