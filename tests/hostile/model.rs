//! What each principal may cause: written from what Remit promises (issue 24, docs/design), and not from its code. It
//! knows nothing of how a plan is made or matched: only what people saw and approved, and what was there before and
//! after.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::drive::Who;
use super::estate::{Node, Snapshot, Version};

/// What the policies of a home come to.
#[derive(Clone, Copy, Debug)]
pub struct Law {
    pub name: &'static str,
    /// How many people must allow that an action is told a secret; none if nobody can.
    pub disclosure: Option<usize>,
    /// Whether software may start what changes something.
    pub agents_change: bool,
    /// More people than Remit demands for a change.
    pub change: usize,
    /// Under this path of secrets nobody changes anything.
    pub closed: Option<&'static str>,
    /// And this one is told to nobody.
    pub untold: Option<&'static str>,
    /// Whether the shipped budgets for an hour are in force: they are for people, not for thousands of cases.
    pub budgets: bool,
}

impl Law {
    /// What Remit ships.
    pub const SHIPPED: Self = Self {
        name: "shipped",
        disclosure: None,
        agents_change: true,
        change: 1,
        closed: None,
        untold: None,
        budgets: false,
    };
    /// With its budgets.
    pub const BUDGETED: Self = Self { name: "budgeted", budgets: true, ..Self::SHIPPED };
    /// A house in which software changes nothing, and every change needs two.
    pub const STRICT: Self =
        Self { name: "strict", agents_change: false, change: 2, closed: Some("app"), ..Self::SHIPPED };
    /// One in which two people can let an action see a secret.
    pub const OPEN: Self =
        Self { name: "open", disclosure: Some(2), untold: Some("prod/api"), ..Self::SHIPPED };

    /// The same in Cedar, from what is shipped.
    pub fn policy(&self, shipped: &str) -> String {
        let mut text = String::new();
        for line in shipped.lines() {
            let most = if self.budgets { "" } else { "000000" };
            let line = line
                .replace("> 20 }", &format!("> 20{most} }}"))
                .replace("> 50 }", &format!("> 50{most} }}"));
            text += &line;
            text.push('\n');
        }
        let budgets = shipped.matches("resource.spentBy").count();
        assert!(self.budgets || text.matches("000000 }").count() == budgets, "each budget is out of the way");
        let without = |text: &str, id: &str| {
            let (before, rest) = text.split_once(&format!("@id(\"{id}\")")).expect("it is shipped");
            let (_, after) = rest.split_once("};").expect("it ends");
            format!("{before}{after}")
        };
        if let Some(people) = self.disclosure {
            text = without(&text, "no-disclosure");
            text = without(&text, "at-most-ten-targets");
            let _ = write!(
                text,
                "@id(\"telling\")\n@needs(\"{people} human\")\n\
                permit (principal, action == Remit::Action::\"require\", resource) when {{ resource.disclose > 0 }};\n"
            );
        }
        // Software finds out by comparing what is in one place.
        text += "@id(\"software-compares\")\npermit (principal, action == Remit::Action::\"rehearse\", resource)\n\
            when { resource.readsWithin.contains(Remit::Path::\"secret:dev\") };\n";
        let forbid = |id: &str, when: &str| {
            format!(
                "@id(\"{id}\")\nforbid (principal, action in [Remit::Action::\"propose\", \
                Remit::Action::\"trigger\"], resource)\nwhen {{ {when} }};\n"
            )
        };
        if let Some(path) = self.closed {
            let path = format!("contains(Remit::Path::\"secret:{path}\")");
            text += &forbid("closed", &format!("resource.mayChange.{path} || resource.mayDestroy.{path}"));
        }
        if let Some(path) = self.untold {
            text +=
                &forbid("untold", &format!("resource.mayDisclose.contains(Remit::Path::\"secret:{path}\")"));
        }
        if !self.agents_change {
            text += "@id(\"software-looks\")\nforbid (principal, action == Remit::Action::\"trigger\", resource)\n\
                when { principal.kind != \"human\" && resource.changes > 0 };\n";
        }
        if self.change > 1 {
            let _ = write!(
                text,
                "@id(\"more\")\n@needs(\"{} human\")\n\
                permit (principal, action == Remit::Action::\"require\", resource) when {{ resource.changes > 0 }};\n",
                self.change
            );
        }
        text
    }
}

/// An operation as people saw it in a plan: the function, the resource, the arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    pub operation: String,
    pub resource: String,
    pub arguments: Value,
}

/// What was signed by people, and by how many.
#[derive(Clone, Debug)]
pub struct Authority {
    pub law: Law,
    pub asked_by: Who,
    pub starter: Who,
    /// Who may start it.
    pub starters: Vec<String>,
    /// People who approved, without who asked.
    pub people: usize,
    /// What was asked for is a plan: these, in this order, and nothing else. Otherwise whatever the scope allows.
    pub plan: Option<Vec<Deed>>,
    pub scope: Value,
    /// The value of the sealed input, if it was given by whoever gave the input; and the value of any that was given.
    pub sealed: Option<String>,
    pub given: Option<String>,
}

/// A key that counts for a while only, and between which moments that ends.
#[derive(Clone, Copy, Debug)]
pub struct Certified {
    not_before: Timestamp,
    at_the_latest: Timestamp,
}

impl Certified {
    /// A key that counts for so long from some moment between these two.
    pub fn new(began: Timestamp, done: Timestamp, ttl: Duration) -> Self {
        Self { not_before: began + ttl, at_the_latest: done + ttl }
    }

    /// How long it may still count.
    pub fn left(&self) -> Duration {
        self.at_the_latest.duration_since(Timestamp::now()).try_into().unwrap_or_default()
    }

    /// Judges an act with the key that began then and was just answered. Once the key has ended nobody asks for anything with
    /// it and nobody starts anything; until then it is like any other. What it signed before counts for as long as
    /// if the key had not ended, and what was started with it goes on: so it is no part of an [`Authority`].
    pub fn judge<T>(&self, began: Timestamp, answer: &Result<T, String>) -> Result<(), String> {
        match answer {
            Ok(_) if began >= self.at_the_latest => Err("its key had ended, and it could".to_owned()),
            Err(why) if why.contains("imp's until") && Timestamp::now() < self.not_before => {
                Err(format!("its key had not ended yet, and it was refused: {why}"))
            }
            _ => Ok(()),
        }
    }
}

/// What can be done to a secret or a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Change,
    Irrevocable,
    Disclose,
    Content,
}

impl Who {
    /// People find out about any secret when they rehearse, and software about what is under one path.
    pub fn rehearses_comparing(self, path: &str) -> bool {
        self.is_human() || path.starts_with("dev/")
    }
}

impl Deed {
    fn of(step: &Value) -> Option<Self> {
        let text = |name: &str| step[name].as_str().map(ToOwned::to_owned);
        Some(Self {
            operation: text("operation")?,
            resource: text("resource")?,
            arguments: step["arguments"].clone(),
        })
    }

    fn kind(&self) -> Option<Kind> {
        match self.operation.as_str() {
            "remit:secrets/rotate.rotate" | "remit:secrets/put.put" | "remit:secrets/disable.disable" => {
                Some(Kind::Change)
            }
            "remit:secrets/destroy.destroy" => Some(Kind::Irrevocable),
            "remit:secrets/reveal.reveal" => Some(Kind::Disclose),
            "remit:files/write.look" | "remit:files/write.find" => None,
            operation if operation.starts_with("remit:files/write.") => Some(Kind::Change),
            _ => None,
        }
    }

    fn puts(&self, resource: &str, field: &str) -> bool {
        let named = *self.argument("field") == *field && *self.argument("secret") == *"token";
        self.operation == "remit:secrets/put.put" && self.resource == resource && named
    }

    fn argument(&self, name: &str) -> &Value {
        &self.arguments[name]
    }
}

/// The steps of a plan that are no plain look.
pub fn powers(plan: &Value) -> Vec<Deed> {
    let steps = plan["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    steps.iter().filter_map(Deed::of).filter(|deed| deed.kind().is_some()).collect()
}

/// A pattern of a scope, naively: `*` is one segment, `**` one or more.
fn matches(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        (["**", rest @ ..], [_, more @ ..]) => matches(rest, more) || matches(pattern, more),
        (["*", rest @ ..], [_, more @ ..]) => matches(rest, more),
        ([one, rest @ ..], [other, more @ ..]) => one == other && matches(rest, more),
        _ => false,
    }
}

/// Whether a scope has a rule for it.
pub fn scope_allows(scope: &Value, capability: &str, resource: &str, flag: Option<&str>) -> bool {
    let rules = scope["allow"].as_array().map(Vec::as_slice).unwrap_or_default();
    rules.iter().any(|rule| {
        let named =
            rule["capability"].as_str().is_some_and(|name| name.split('@').next() == Some(capability));
        let flagged = flag.is_none_or(|flag| rule[flag] == true);
        let patterns = rule["resources"].as_array().map(Vec::as_slice).unwrap_or_default();
        let inside = |pattern: &Value| {
            let Some((kind, pattern)) = pattern.as_str().and_then(|text| text.split_once(':')) else {
                return false;
            };
            let Some((is, path)) = resource.split_once(':') else { return false };
            kind == is
                && matches(&pattern.split('/').collect::<Vec<_>>(), &path.split('/').collect::<Vec<_>>())
        };
        named && flagged && patterns.iter().any(inside)
    })
}

impl Authority {
    /// Whether this may be done at all by this run, whatever else it does. `Err` says why not.
    fn may(
        &self,
        kind: Kind,
        capability: &str,
        resource: &str,
        fits: impl Fn(&Deed) -> bool,
    ) -> Result<(), String> {
        let needed = match (kind, &self.plan) {
            (Kind::Disclose, _) => self.law.disclosure.ok_or("nobody is told secrets in this house")?,
            (Kind::Content, Some(_)) => 0,
            (_, None) => 2,
            (Kind::Irrevocable, Some(_)) => 2,
            (Kind::Change, Some(_)) => 1,
        };
        let changes = matches!(kind, Kind::Change | Kind::Irrevocable);
        let under = |path: Option<&str>| {
            let rest = path.and_then(|path| resource.strip_prefix(&format!("secret:{path}")));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if changes && under(self.law.closed) || kind == Kind::Disclose && under(self.law.untold) {
            return Err("a policy of this house forbids it there".to_owned());
        }
        let needed = if changes { needed.max(self.law.change) } else { needed };
        if self.people < needed {
            return Err(format!("{} approved, and it takes {needed}", self.people));
        }
        if changes && !self.law.agents_change && !self.starter.is_human() {
            return Err("software changes nothing in this house".to_owned());
        }
        if !self.starters.iter().any(|name| name == self.starter.name()) {
            return Err(format!("{} was not to start it", self.starter.name()));
        }
        let flag = match kind {
            Kind::Irrevocable => Some("irrevocable"),
            Kind::Disclose => Some("disclose"),
            Kind::Change | Kind::Content => None,
        };
        if !scope_allows(&self.scope, capability, resource, flag) {
            return Err(format!("no rule of the scope allows {capability} on {resource}"));
        }
        match &self.plan {
            Some(plan) if kind != Kind::Content && !plan.iter().any(fits) => {
                Err("it is not in the plan".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Whether an action may be told this value.
    pub fn may_tell(&self, path: &str, field: &str, version: usize) -> Result<(), String> {
        let resource = format!("secret:{path}");
        self.may(Kind::Disclose, "remit:secrets/reveal", &resource, |deed| {
            deed.kind() == Some(Kind::Disclose)
                && deed.resource == resource
                && *deed.argument("field") == *field
                && *deed.argument("version") == version
        })
    }

    /// Whether it may read this file. That is bound by the scope, which people saw, and not by the plan; and software
    /// has no plan in which files are read, as it may not rehearse that.
    pub fn may_read(&self, path: &str) -> Result<(), String> {
        let resource = format!("file:etc/{path}");
        if self.plan.is_some() && !self.asked_by.is_human() {
            return Err("software rehearses no reading of files in this house".to_owned());
        }
        self.may(Kind::Content, "remit:files/read", &resource, |_| true)
    }

    /// Whether the sealed input may be put into this field.
    fn may_put(&self, path: &str, field: &str) -> Result<(), String> {
        if self.sealed.is_none() {
            return Err("the sealed input is another principal's".to_owned());
        }
        let resource = format!("secret:{path}");
        self.may(Kind::Change, "remit:secrets/put", &resource, |deed| deed.puts(&resource, field))
    }

    /// Whether it may find out about a secret by comparing. That is bound by the scope, as reading a file is, and software
    /// rehearses it in one place only.
    pub fn may_compare(&self, path: &str) -> Result<(), String> {
        if self.sealed.is_none() {
            return Err("the sealed input is another principal's".to_owned());
        }
        if self.plan.is_some() && !self.asked_by.rehearses_comparing(path) {
            return Err("software finds out about nothing but what is under dev in this house".to_owned());
        }
        self.may(Kind::Content, "remit:secrets/compare", &format!("secret:{path}"), |_| true)
    }

    /// Judges what became of the estate. `theirs`: the versions that somebody else made meanwhile. `stands`: whether
    /// the run's changes are to stand, as its state says.
    pub fn judge(
        &self,
        before: &Snapshot,
        after: &Snapshot,
        theirs: &[(String, u64)],
        stands: bool,
    ) -> Result<usize, String> {
        let mut effects = 0;
        let paths: BTreeSet<&String> = before.secrets.keys().chain(after.secrets.keys()).collect();
        for path in paths {
            let none = Vec::new();
            let was = before.secrets.get(path).unwrap_or(&none);
            let is = after.secrets.get(path).unwrap_or(&none);
            let theirs = theirs.iter().filter(|(at, _)| at == path).map(|(_, number)| *number).collect();
            effects += self
                .judge_secret(path, was, is, &theirs, stands)
                .map_err(|why| format!("{path}: {why}\n  was {was:?}\n  is  {is:?}"))?;
        }
        effects += self.judge_files(&before.files, &after.files, stands)?;
        Ok(effects)
    }

    fn judge_secret(
        &self,
        path: &str,
        was: &[Version],
        is: &[Version],
        theirs: &BTreeSet<u64>,
        stands: bool,
    ) -> Result<usize, String> {
        let resource = format!("secret:{path}");
        let mut effects = 0;
        if is.len() < was.len() {
            return Err("a version is gone".to_owned());
        }
        for (at, (was, is)) in was.iter().zip(is).enumerate() {
            let version = at + 1;
            let deed = match (was.state, is.state) {
                (one, other) if one == other => {
                    if was.fields != is.fields {
                        return Err(format!("version {version} has another value"));
                    }
                    continue;
                }
                ('e', 'd') => (Kind::Change, "remit:secrets/disable"),
                ('e' | 'd', 'x') => (Kind::Irrevocable, "remit:secrets/destroy"),
                (one, other) => return Err(format!("version {version} went from {one} to {other}")),
            };
            let (kind, capability) = deed;
            self.may(kind, capability, &resource, |deed| {
                deed.kind() == Some(kind)
                    && deed.operation.starts_with(capability)
                    && deed.resource == resource
                    && *deed.argument("version") == version
            })?;
            if !stands && kind == Kind::Change {
                return Err(format!("version {version} is still disabled after all was taken back"));
            }
            effects += 1;
        }
        let planned = |fits: &dyn Fn(&Deed) -> bool| {
            let steps = self.plan.as_ref();
            steps.map_or(usize::MAX, |plan| plan.iter().filter(|deed| fits(deed)).count())
        };
        // New versions: fresh ones are rotations, or have the value of a sealed input in one field; and ones that were there
        // already are put back. Of what was destroyed again nobody can tell which of these it was.
        let (mut rotated, mut put, mut gone_again, mut back) = (0, 0, 0, 0);
        for (at, new) in is.iter().enumerate().skip(was.len()) {
            if theirs.contains(&(at as u64 + 1)) {
                continue;
            }
            effects += 1;
            let now = at + 1;
            // What it was before the run destroyed it is gone: then it was a rotation.
            let gone = match new.state {
                'x' => Some((Kind::Irrevocable, "remit:secrets/destroy")),
                'd' => Some((Kind::Change, "remit:secrets/disable")),
                _ => None,
            };
            if let Some((kind, capability)) = gone {
                self.may(kind, capability, &resource, |deed| {
                    deed.kind() == Some(kind) && deed.resource == resource && *deed.argument("version") == now
                })?;
            }
            let replaced = at.checked_sub(1).map(|before| was.get(before).unwrap_or(&is[before]));
            let given = replaced.and_then(|replaced| self.given_in(replaced, new));
            if let Some(field) = given
                && self.may_put(path, field).is_ok()
                && put < planned(&|deed| deed.puts(&resource, field))
            {
                put += 1;
                self.not_theirs(at, theirs)?;
                continue;
            }
            if new.state != 'x' && (0..at).any(|old| was.get(old).unwrap_or(&is[old]).fields == new.fields) {
                back += 1;
                continue;
            }
            let Some(replaced) = replaced else {
                return Err("a secret was made".to_owned());
            };
            if new.state == 'x' || replaced.state == 'x' || is[at - 1].state == 'x' && at > was.len() {
                gone_again += 1;
                continue;
            }
            rotated += 1;
            let differ: Vec<&String> = new
                .fields
                .keys()
                .filter(|name| new.fields.get(*name) != replaced.fields.get(*name))
                .collect();
            if differ.len() != 1 || new.fields.len() != replaced.fields.len() {
                return Err(format!("a rotation changed the fields {differ:?}"));
            }
            if given.is_some() {
                self.may_put(path, differ[0])?;
                return Err("the sealed input was put there more often than planned".to_owned());
            }
            let rotates = |deed: &Deed| {
                let field = deed.argument("field");
                deed.operation == "remit:secrets/rotate.rotate"
                    && deed.resource == resource
                    && (*field == **differ[0] || field.is_null() && new.fields.len() == 1)
            };
            self.may(Kind::Change, "remit:secrets/rotate", &resource, rotates)?;
            if planned(&rotates) < rotated {
                return Err("it was rotated more often than planned".to_owned());
            }
            self.not_theirs(at, theirs)?;
        }
        let renews = |deed: &Deed| {
            ["remit:secrets/rotate.rotate", "remit:secrets/put.put"].contains(&deed.operation.as_str())
                && deed.resource == resource
        };
        let fresh = rotated + put + gone_again;
        if back > fresh {
            return Err("more was put back than was rotated".to_owned());
        }
        if planned(&renews) < rotated + put {
            return Err("it was renewed more often than planned".to_owned());
        }
        if !stands && theirs.is_empty() && was.last().map(|v| &v.fields) != is.last().map(|v| &v.fields) {
            return Err("it has another value after all was taken back".to_owned());
        }
        Ok(effects)
    }

    /// The field in which a version has the value of the sealed input, if that is all that it could have changed.
    fn given_in<'a>(&self, replaced: &Version, new: &'a Version) -> Option<&'a String> {
        let (field, _) = new.fields.iter().find(|(_, value)| Some(*value) == self.given.as_ref())?;
        let others = |version: &Version| {
            let fields = version.fields.clone().into_iter();
            fields.filter(|(name, _)| name != field).collect::<Vec<_>>()
        };
        (replaced.fields.contains_key(field) && others(replaced) == others(new)).then_some(field)
    }

    /// What was approved is to replace what was there when it was approved, or what the run itself made.
    fn not_theirs(&self, at: usize, theirs: &BTreeSet<u64>) -> Result<(), String> {
        if self.plan.is_some() && theirs.contains(&(at as u64)) {
            return Err(format!("version {at}, which somebody else had just made, was replaced"));
        }
        Ok(())
    }

    fn judge_files(
        &self,
        was: &BTreeMap<String, Node>,
        is: &BTreeMap<String, Node>,
        stands: bool,
    ) -> Result<usize, String> {
        let mut effects = 0;
        let paths: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
        for path in paths {
            if was.get(path) == is.get(path) {
                continue;
            }
            effects += 1;
            let resource = format!("file:etc/{path}");
            let why = if stands {
                let fits = |deed: &Deed| deed.kind() == Some(Kind::Change) && deed.resource == resource;
                self.may(Kind::Change, "remit:files/write", &resource, fits).err()
            } else {
                Some("it is not as it was after all was taken back".to_owned())
            };
            if let Some(why) = why {
                return Err(format!(
                    "{resource}: {why}\n  was {:?}\n  is  {:?}",
                    was.get(path),
                    is.get(path)
                ));
            }
        }
        Ok(effects)
    }
}
