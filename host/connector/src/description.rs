//! `connector.toml`: what a connector implements, and every request that it can ever send.

mod check;
mod secrets;

use std::collections::{BTreeMap, BTreeSet};

use remit_gate::{Countermeasure, Effect};
use remit_text::Mistake;
use serde::{Deserialize, Serialize};

use crate::template::{Text, Variable};
use crate::{Pointer, Template};

/// What a connector says of itself. It is checked when the connector is built and when it is admitted.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    about: About,
    interfaces: Vec<String>,
    auth: Vec<Auth>,
    check: Option<Template>,
    functions: BTreeMap<String, Function>,
}

/// What a connector is called and who made it, as of an action. The build checks it; it decides nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Its name.
    pub name: Option<String>,
    /// The version that its author gave it: `0.1.0`.
    pub version: Option<String>,
    /// What it is for, in a line.
    pub summary: Option<String>,
    /// Its licence, as SPDX writes it.
    pub license: Option<String>,
    /// Where there is more about it.
    pub homepage: Option<String>,
}

/// A form of credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// A token in `Authorization: Bearer`.
    Bearer,
    /// User and password.
    Basic,
    /// A token in a header of its own.
    Header,
    /// OAuth 2.0 client credentials.
    Oauth,
    /// An installation of a GitHub App.
    GithubApp,
    /// AWS Signature Version 4.
    Aws,
}

/// How a function compares before it writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cas {
    /// The system compares an `ETag`.
    Etag,
    /// The system compares a version.
    Version,
    /// The system compares nothing: what somebody else writes in the moment between comparing and writing is lost.
    #[default]
    None,
}

/// One function of an interface.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    effect: Effect,
    irrevocable_because: Option<String>,
    kind: String,
    path: PathPattern,
    change: Vec<Template>,
    undo: Vec<Template>,
    reads: Vec<Template>,
    secrets: Vec<Pointer>,
    sealed: Vec<String>,
    response_headers: Vec<String>,
    countermeasure: Option<Countermeasure>,
    cas: Cas,
}

/// The form of a resource's path after the name of the instance: `{org}/{id}`; or `{name**}`, where a name has slashes in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    names: Vec<String>,
    /// The last name is that of one segment or more, up to the end.
    rest: bool,
}

impl Description {
    /// Reads the text of a `connector.toml`. A mistake shows its line.
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        check::parse(text)
    }

    /// What it is called and who made it.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    /// The interfaces that it implements: `remit:tokens/tokens@0.1.0`.
    #[must_use]
    pub fn interfaces(&self) -> &[String] {
        &self.interfaces
    }

    /// The forms of credential that it is made for.
    #[must_use]
    pub fn auth(&self) -> &[Auth] {
        &self.auth
    }

    /// A read that changes nothing and tells whether the credential works, for [`Origin::check`](crate::Origin::check); none if the
    /// system has none.
    #[must_use]
    pub fn check(&self) -> Option<&Template> {
        self.check.as_ref()
    }

    /// The function with this name: `remit:tokens/tokens.revoke`.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.get(name)
    }

    /// All functions, by name.
    pub fn functions(&self) -> impl Iterator<Item = (&str, &Function)> {
        self.functions.iter().map(|(name, function)| (name.as_str(), function))
    }
}

impl Function {
    /// Its effect. For a package `remit:*` the host's own table may say more.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// Why every call of it is irrevocable, in words.
    #[must_use]
    pub fn irrevocable_because(&self) -> Option<&str> {
        self.irrevocable_because.as_deref()
    }

    /// The kind of its resource: `token`.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The form of its resource's path.
    #[must_use]
    pub fn path(&self) -> &PathPattern {
        &self.path
    }

    /// The requests that `perform` may send, one of them once.
    #[must_use]
    pub fn change(&self) -> &[Template] {
        &self.change
    }

    /// The requests that `undo` may send, one of them once.
    #[must_use]
    pub fn undo(&self) -> &[Template] {
        &self.undo
    }

    /// What every phase may read.
    #[must_use]
    pub fn reads(&self) -> &[Template] {
        &self.reads
    }

    /// Where secrets are in answers.
    #[must_use]
    pub fn secrets(&self) -> &[Pointer] {
        &self.secrets
    }

    /// The parameters that are handles of sealed inputs.
    #[must_use]
    pub fn sealed(&self) -> &[String] {
        &self.sealed
    }

    /// The headers of answers that the connector may see besides those that every one may.
    #[must_use]
    pub fn response_headers(&self) -> &[String] {
        &self.response_headers
    }

    /// The parameters that its templates name: each must be one of the function's. The first parameter of the function, which is the
    /// resource's path, is not named; the names in [`Self::path`] are its segments, and no other parameter may have them.
    #[must_use]
    pub fn parameters(&self) -> BTreeSet<&str> {
        let templates = self.change.iter().chain(&self.undo).chain(&self.reads);
        let named = templates
            .flat_map(Template::all_texts)
            .flat_map(Text::variables)
            .filter_map(Variable::argument)
            .filter(|name| !self.path.names.iter().any(|own| own == name));
        named.chain(self.sealed.iter().map(String::as_str)).collect()
    }

    /// The kind of countermeasure that it is.
    #[must_use]
    pub fn countermeasure(&self) -> Option<Countermeasure> {
        self.countermeasure
    }

    /// How it compares before it writes.
    #[must_use]
    pub fn cas(&self) -> Cas {
        self.cas
    }
}

impl PathPattern {
    /// The text it was read from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names of its segments, the last of which can be of several.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The segments of this path of a resource, which begins with the name of the instance, by their names. None if the number is
    /// another.
    #[must_use]
    pub fn bind<'a>(&'a self, path: &'a str) -> Option<BTreeMap<&'a str, &'a str>> {
        let most = if self.rest { self.names.len() } else { usize::MAX };
        let after = path.split_once('/').map(|(_, after)| after);
        let segments: Vec<&str> = after.into_iter().flat_map(|after| after.splitn(most, '/')).collect();
        let named = || self.names.iter().map(String::as_str).zip(segments.iter().copied());
        (segments.len() == self.names.len()).then(|| named().collect())
    }

    /// The name that stands for several segments: a text with slashes in it, which no path of a request can have.
    pub(crate) fn rest(&self) -> Option<&str> {
        self.names.last().filter(|_| self.rest).map(String::as_str)
    }
}
