//! The language of the hostile guest: shared by it and by the test that writes scripts for it.
//!
//! Every text may name what the script has seen so far, in braces: `{value}` is the last secret it was given. What it
//! can see is listed at [`Step`]; what it never saw stays as it is written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What the guest does: in `run`, and in `verify`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    pub run: Vec<Step>,
    pub verify: Vec<Step>,
    /// The handle of a sealed input, as the host wants it in an input: under its own name. `{token}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// One step. A host call that fails does not end the script: after each, `{failed}` is `yes` or `no`, `{kind}` the kind
/// of the failure and `{error}` its words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Of the secret: `{current}`, and `{states}`, a letter for each version.
    Inspect(String),
    /// The secret and the field: `{previous}`, `{current}`.
    Rotate(String, Option<String>),
    /// The secret, the field and the handle of a sealed input: `{previous}`, `{current}`.
    Store(String, String, String),
    /// The secret, the field, the version and the handle: `{same}`, `yes` or `no`.
    Compare(String, String, String, String),
    /// The secret and the version.
    Disable(String, String),
    Destroy(String, String),
    /// The secret, the field and the version: `{value}`.
    Reveal(String, String, String),
    Log(String),
    /// `{id}`, `{started}`, `{reason}`.
    Facts,
    /// `{random}`.
    Random,
    /// `{clock}`.
    Clock,
    /// To standard output.
    Print(String),
    /// `{content}` of the file.
    Read(String),
    Write(String, String),
    Append(String, String),
    /// `{names}` in the folder.
    List(String),
    /// `{size}`.
    Stat(String),
    Remove(String),
    Rename(String, String),
    MakeFolder(String),
    RemoveFolder(String),
    /// A field of the output, and its value. `verify` sees it under that name.
    Put(String, String),
    If(Test, Vec<Step>, Vec<Step>),
    Repeat(u32, Vec<Step>),
    /// Ends with this error.
    Fail(String),
    Trap,
}

/// What a script can ask of what it saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Test {
    Same(String, String),
    Has(String, String),
    /// Of the last byte: of what is never twice the same, a coin.
    Odd(String),
    Longer(String, usize),
    Failed,
}

/// What `run` returns, and `verify` is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Output {
    pub put: BTreeMap<String, String>,
    /// Which way each branch went.
    pub trace: String,
}

/// How the guest's log lines begin: of the branches that a phase took, and of each thing it was told.
pub const TRACE: &str = "trace ";
pub const SAW: &str = "saw ";
/// And of what it found out about a secret: with the path, the field, the version and the answer, each between spaces.
pub const COMPARED: &str = "compared ";
