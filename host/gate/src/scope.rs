//! What is allowed: capabilities × resource patterns × limits. A file a person writes and reads.

use std::collections::BTreeMap;

use bytesize::ByteSize;
use jiff::SignedDuration;
use miette::Diagnostic;
use remit_journal::LONGEST_RUN;
use remit_trust::Digest;
use serde::{Deserialize, Serialize};

use crate::Resource;
use crate::pattern::{Pattern, PatternSet};

/// A scope, as written. [`Scope::parse`] reads it from TOML. One that was part of a document is not checked yet:
/// [`Scope::check`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// What happens to a run's changes when it does not succeed.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// How long changes may stand after the run's end. Then the host undoes them by itself, unless a person extends the time.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "jiff::fmt::serde::duration::friendly::compact::optional",
        deserialize_with = "remit_text::duration::deserialize_optional"
    )]
    pub restore_after: Option<SignedDuration>,
    /// How long changes may stand after the run's end until the host calls people.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "jiff::fmt::serde::duration::friendly::compact::optional",
        deserialize_with = "remit_text::duration::deserialize_optional"
    )]
    pub page_after: Option<SignedDuration>,
    /// What has to be done before what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub require: Vec<Require>,
    /// Which capabilities on which resources. Empty: none but the ambient ones.
    #[serde(default)]
    pub allow: Vec<Allow>,
    /// How much a run may use.
    #[serde(default)]
    pub limits: Limits,
}

/// The longest time that changes may stand before the host does something by itself, extensions included.
pub const LONGEST_STANDING: SignedDuration = SignedDuration::from_hours(30 * 24);

/// One capability and the resources it may touch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    /// An interface, `remit:secrets/rotate`, with or without `@VERSION`.
    pub capability: String,
    /// The resources that it may touch, see [`Pattern`].
    pub resources: Vec<Pattern>,
    /// Accepts changes that cannot be taken back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub irrevocable: bool,
    /// Accepts that the action gets secret material.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disclose: bool,
}

impl Allow {
    /// The interface without its version, and the version if one is pinned.
    #[must_use]
    pub fn interface(&self) -> (&str, Option<&str>) {
        match self.capability.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (&self.capability, None),
        }
    }
}

/// A capability that may be used on a path only after another one was, by the same run, and successfully: evidence of a workload is
/// kept before it is cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Require {
    /// The interface that has to be used first, without a version: `remit:evidence/capture`.
    pub capability: String,
    /// The interface that may be used then: `remit:network/cut`.
    pub before: String,
}

/// What happens to a run's changes when it does not succeed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// They are undone at once, in reverse order.
    #[default]
    Revert,
    /// They stay, and a person decides: `remit revert`.
    Hold,
}

/// How much a run may use. Every limit has a default, and none can be switched off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Guest computation, in wasmtime's fuel (roughly one per instruction).
    pub fuel: u64,
    /// Elapsed time of `run` and `verify` together.
    #[serde(
        serialize_with = "jiff::fmt::serde::duration::friendly::compact::required",
        deserialize_with = "remit_text::duration::deserialize"
    )]
    pub wall_time: SignedDuration,
    /// All linear memories together.
    pub memory: ByteSize,
    /// All tables together, in elements.
    pub table_elements: u64,
    /// Host calls of any kind.
    pub host_calls: u64,
    /// Bytes of log lines.
    pub log_bytes: ByteSize,
    /// Size of the input.
    pub input: ByteSize,
    /// Size of the output.
    pub output: ByteSize,
    /// Bytes that the host hands to the action in one answer, as they are in the journal.
    pub one_answer: ByteSize,
    /// The maximum size of all answers together.
    pub answers: ByteSize,
    /// Changes, undoable or not.
    pub changes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: 1_000_000_000,
            wall_time: SignedDuration::from_secs(30),
            memory: ByteSize::mib(64),
            table_elements: 100_000,
            host_calls: 1_000,
            log_bytes: ByteSize::kib(64),
            input: ByteSize::kib(64),
            output: ByteSize::kib(64),
            one_answer: ByteSize::mib(8),
            answers: ByteSize::mib(16),
            changes: 1,
        }
    }
}

/// A limit that is above the most that somebody lets it be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beyond {
    /// The name of the limit, as in a scope.
    pub limit: &'static str,
    /// Its value in the scope.
    pub value: String,
    /// The highest that it may be.
    pub most: String,
}

impl Limits {
    /// The first limit that is more than `times` its default; none if none is. The number of changes is not compared: it is
    /// what people approve, and calls and answers limit what it costs.
    #[must_use]
    pub fn beyond(&self, times: u32) -> Option<Beyond> {
        let default = Self::default();
        let number = |limit, value: u64, default: u64| {
            let most = default.saturating_mul(times.into());
            (value > most).then(|| Beyond { limit, value: value.to_string(), most: most.to_string() })
        };
        let size = |limit, value: ByteSize, default: ByteSize| {
            let most = ByteSize(default.0.saturating_mul(times.into()));
            (value > most).then(|| Beyond { limit, value: value.to_string(), most: most.to_string() })
        };
        let Self {
            fuel,
            wall_time,
            memory,
            table_elements,
            host_calls,
            log_bytes,
            input,
            output,
            one_answer,
            answers,
            changes: _,
        } = *self;
        let longest = default.wall_time.saturating_mul(times.try_into().unwrap_or(i32::MAX));
        let time = (wall_time > longest).then(|| Beyond {
            limit: "wall_time",
            value: format!("{wall_time:#}"),
            most: format!("{longest:#}"),
        });
        number("fuel", fuel, default.fuel)
            .or(time)
            .or_else(|| size("memory", memory, default.memory))
            .or_else(|| number("table_elements", table_elements, default.table_elements))
            .or_else(|| number("host_calls", host_calls, default.host_calls))
            .or_else(|| size("log_bytes", log_bytes, default.log_bytes))
            .or_else(|| size("input", input, default.input))
            .or_else(|| size("output", output, default.output))
            .or_else(|| size("one_answer", one_answer, default.one_answer))
            .or_else(|| size("answers", answers, default.answers))
    }
}

/// Why a scope is not valid.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ScopeError {
    /// The text is not TOML, or not a scope.
    #[error("{file} is not a scope:\n{detail}")]
    #[diagnostic(code(usage::scope), help("`remit plan ACTION --emit-scope FILE` writes one to start from"))]
    Malformed {
        /// The path of the file.
        file: String,
        /// The error of the parser, with line and caret.
        detail: String,
    },
    /// A value out of range.
    #[error("{file}: {detail}")]
    #[diagnostic(code(usage::scope), help("correct the value; the README lists each limit and its default"))]
    Value {
        /// The path of the file.
        file: String,
        /// The name of the value and what is wrong with it.
        detail: String,
    },
}

impl Scope {
    /// Reads a scope from TOML; `file` names it in errors.
    pub fn parse(text: &str, file: &str) -> Result<Self, ScopeError> {
        let scope: Self = remit_text::toml::read_exact(text).map_err(|mistake| ScopeError::Malformed {
            file: file.to_owned(),
            detail: mistake.to_string(),
        })?;
        scope.check(file)?;
        Ok(scope)
    }

    /// Checks what the types do not, also of a scope that was no TOML; `file` names it in errors.
    pub fn check(&self, file: &str) -> Result<(), ScopeError> {
        self.check_values().map_err(|detail| ScopeError::Value { file: file.to_owned(), detail })
    }

    fn check_values(&self) -> Result<(), String> {
        for allow in &self.allow {
            let (name, version) = allow.interface();
            let shaped = name.split_once(':').is_some_and(|(_, rest)| rest.contains('/'));
            if !shaped || version == Some("") || name.contains('*') {
                return Err(format!(
                    "capability `{}` is not an interface name such as remit:secrets/rotate",
                    allow.capability.escape_debug()
                ));
            }
            if allow.resources.is_empty() {
                return Err(format!("{name} has no resources; name at least one"));
            }
        }
        for Require { capability, before } in &self.require {
            let allowed = |name: &str| self.allow.iter().any(|allow| allow.interface().0 == name);
            if capability == before {
                return Err(format!("[[require]] has {capability} before itself, which nothing can do"));
            }
            if let Some(name) = [before, capability].into_iter().find(|name| !allowed(name)) {
                return Err(format!(
                    "[[require]] has {capability} before {before}, and no [[allow]] has {name} (without a version here)"
                ));
            }
        }
        for (name, after) in [("restore_after", self.restore_after), ("page_after", self.page_after)] {
            if after.is_some_and(|after| after < SignedDuration::from_secs(1) || after > LONGEST_STANDING) {
                return Err(format!("{name} must be at least 1s and at most 30d"));
            }
        }
        if let (Some(restore), Some(page)) = (self.restore_after, self.page_after)
            && page >= restore
        {
            return Err(
                "page_after must be shorter than restore_after: then nothing stands any more".to_owned()
            );
        }
        if self.limits.wall_time <= SignedDuration::ZERO || self.limits.wall_time > LONGEST_RUN {
            return Err("limits.wall_time must be over 0 and at most 1h".to_owned());
        }
        Ok(())
    }

    /// What it says of how a run goes, beside what it may touch and how much it may use: what has to be done before what, and what becomes
    /// of its changes, each as when and what.
    #[must_use]
    pub fn terms(&self) -> Vec<(&'static str, String)> {
        let demands = self.require.iter().map(|Require { capability, before }| {
            ("demands", format!("{capability} of the same path before {before}, in the same run"))
        });
        demands.chain(self.fate()).collect()
    }

    fn fate(&self) -> Vec<(&'static str, String)> {
        let failing = match self.on_failure {
            OnFailure::Revert => "its changes are undone at once",
            OnFailure::Hold => "its changes stay, and a person decides",
        };
        let mut fate = vec![("if it fails", failing.to_owned())];
        if let Some(after) = self.page_after {
            fate.push(("then", format!("people are called {after:#} after its end, if its changes stand")));
        }
        if let Some(after) = self.restore_after {
            let what = "unless a person extends the time";
            fate.push(("then", format!("its changes are undone {after:#} after its end, {what}")));
        }
        fate
    }

    /// The scope as TOML, every limit spelled out.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// The digest that grants bind.
    pub fn digest(&self) -> Result<Digest, serde_json::Error> {
        Ok(Digest::of(&remit_trust::canonical(self)?))
    }

    /// Whether a component that imports `interface` at `version` may be loaded at all.
    #[must_use]
    pub fn covers_import(&self, interface: &str, version: &str) -> bool {
        self.allow.iter().any(|allow| {
            let (name, pinned) = allow.interface();
            name == interface && pinned.is_none_or(|pinned| pinned == version)
        })
    }

    /// The first segments of every pattern of these capabilities, wildcards as they are.
    pub fn first_segments<'a>(&'a self, capabilities: &'a [&str]) -> impl Iterator<Item = &'a str> {
        let allowed = self.allow.iter().filter(|allow| capabilities.contains(&allow.interface().0));
        let patterns = allowed.flat_map(|allow| &allow.resources);
        patterns.map(|pattern| pattern.path().split('/').next().unwrap_or_default())
    }

    /// Makes it ready for many look-ups.
    #[must_use]
    pub fn compile(&self) -> Rules {
        let mut by_interface: BTreeMap<String, Rule> = BTreeMap::new();
        for allow in &self.allow {
            let rule = by_interface.entry(allow.interface().0.to_owned()).or_default();
            for pattern in &allow.resources {
                rule.allowed.insert(pattern);
                if allow.irrevocable {
                    rule.irrevocable.insert(pattern);
                }
                if allow.disclose {
                    rule.disclose.insert(pattern);
                }
            }
        }
        Rules { by_interface, require: self.require.clone() }
    }
}

/// A scope made ready for many look-ups.
#[derive(Debug)]
pub struct Rules {
    by_interface: BTreeMap<String, Rule>,
    require: Vec<Require>,
}

#[derive(Debug, Default)]
struct Rule {
    allowed: PatternSet,
    irrevocable: PatternSet,
    disclose: PatternSet,
}

impl Rules {
    /// Whether a rule allows an interface on a resource; why not, if none does.
    pub fn permits(&self, interface: &str, resource: &Resource) -> Result<(), String> {
        match self.by_interface.get(interface) {
            None => Err(format!("no rule allows {interface}")),
            Some(rule) if rule.allowed.matches(resource) => Ok(()),
            Some(_) => Err(format!("no resource pattern of {interface} matches {resource}")),
        }
    }

    /// What has to be done on a path before an interface may be used there.
    pub(crate) fn required_before<'a>(&'a self, interface: &'a str) -> impl Iterator<Item = &'a str> {
        let rules = self.require.iter().filter(move |rule| rule.before == interface);
        rules.map(|rule| rule.capability.as_str())
    }

    /// Whether something may be used only after this interface.
    pub(crate) fn is_required(&self, interface: &str) -> bool {
        self.require.iter().any(|rule| rule.capability == interface)
    }

    pub(crate) fn accepts_irrevocable(&self, interface: &str, resource: &Resource) -> bool {
        self.by_interface.get(interface).is_some_and(|rule| rule.irrevocable.matches(resource))
    }

    pub(crate) fn accepts_disclosure(&self, interface: &str, resource: &Resource) -> bool {
        self.by_interface.get(interface).is_some_and(|rule| rule.disclose.matches(resource))
    }
}
