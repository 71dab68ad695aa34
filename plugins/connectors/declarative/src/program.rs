//! What the interpreter is told: the functions of a `connector.toml`, taken apart. `remit build` writes it, this component reads
//! it; both have this one file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What stands at the begin of the room for a program until a build writes one. It is nowhere else in the component.
pub(crate) const MARK: &[u8; 32] = b"remit: here goes a program 0.1.0";
/// The room for a program, in bytes. What it leaves is filled with spaces, which JSON takes.
pub(crate) const ROOM: usize = 32 * 1024;

/// The functions, by name.
pub(crate) type Program = BTreeMap<String, Function>;

/// What the interpreter does for one function of the interface: `rules` and requests, with names resolved.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Function {
    /// The parameter that is the path of the resource.
    pub(crate) resource: String,
    /// The names of its segments, after that of the instance.
    pub(crate) segments: Vec<String>,
    /// The request whose answer tells the state.
    pub(crate) read: Template,
    /// How it is changed, and back; none of a function that observes.
    pub(crate) change: Option<Template>,
    pub(crate) undo: Option<Template>,
    /// Where the state is; none of a function that observes and says nothing of it.
    pub(crate) state: Option<State>,
    /// The state that there has to be; none if any other than `after` will do.
    pub(crate) before: Option<Term>,
    /// The state that the change makes.
    pub(crate) after: Option<Term>,
    /// What else is written down before the change, by name: places in the answer.
    pub(crate) keep: BTreeMap<String, Pointer>,
    /// What an undo does, for a person.
    pub(crate) describe: Option<Term>,
    /// What the function returns.
    pub(crate) returns: Term,
    /// Where a list says how many there are: more than it has is a failure.
    pub(crate) total: Option<Pointer>,
}

/// Where the state is.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// At this place of the answer.
    At(Pointer),
    /// Whether there is an answer: `false` for status 404.
    Found,
}

/// A JSON pointer (RFC 6901), taken apart. `*` is each element.
pub(crate) type Pointer = Vec<String>;

/// A request.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Template {
    pub(crate) method: String,
    pub(crate) path: Vec<Term>,
    pub(crate) query: BTreeMap<String, Term>,
    pub(crate) headers: BTreeMap<String, Term>,
    pub(crate) json: Option<Term>,
    pub(crate) form: Option<BTreeMap<String, Term>>,
    /// The parameter whose value is the credential.
    pub(crate) credential: Option<String>,
}

/// A value to be filled in.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Term {
    Exactly(Value),
    /// A variable, with its own type.
    Value(Variable),
    /// A text of literals and variables.
    Text(Vec<Term>),
    List(Vec<Term>),
    Object(BTreeMap<String, Term>),
    /// The same for each element at a place of the answer, in the order of their `path`.
    Each(Pointer, Box<Term>),
}

/// A variable.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Variable {
    /// A segment of the path, or a parameter and what is inside of it.
    Argument(Vec<String>),
    /// The same as a JSON number.
    Number(Vec<String>),
    Undo(Vec<String>),
    Got(Vec<String>),
    Config(Vec<String>),
    /// A place in the answer.
    Answer(Pointer),
    /// The milliseconds since the Unix epoch of a moment (RFC 3339) in the answer, as a text.
    Time(Pointer),
    /// One text or another, by whether there is `true` at a place of the answer.
    Either(Pointer, String, String),
    /// Whether there is an answer.
    Found,
    /// `{*}`: in a body what the answer has at the same place, in the header `if-match` its `ETag`.
    Same,
}
