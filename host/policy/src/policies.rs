//! The policies of a home.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::Path;
use std::str::FromStr as _;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use cedar_policy::{
    ActionConstraint, Authorizer, Decision, Effect, Entities, EntityUid, Policy, PolicyId, PolicySet,
    Request, Response, Schema, ValidationMode, Validator,
};
use jiff::Timestamp;
use miette::Diagnostic;
use remit_file::{Entry, Kind};
use remit_trust::{Digest, canonical};

use crate::people::{Named, Spot};
use crate::request::{asked, context, entities};
use crate::{Need, PolicyAction, PolicyError, PolicyRequest, Subject, paths, people};

/// The Cedar schema of policies.
pub const SCHEMA: &str = include_str!("schema.cedarschema");

/// The policies that Remit ships, by file name.
#[must_use]
pub fn shipped_files() -> &'static [(&'static str, &'static str)] {
    &[("default.cedar", include_str!("../default/default.cedar"))]
}

/// The same in JSON, which takes half as long to read. A test holds them together.
const SCHEMA_JSON: &str = include_str!("schema.json");

/// The schema, parsed; an error says what is wrong with it.
pub(crate) static PARSED: LazyLock<Result<Schema, String>> =
    LazyLock::new(|| Schema::from_json_str(SCHEMA_JSON).map_err(|error| error.to_string()));

/// The policies that were parsed last. Parsing takes longer than all else that a command does, and the rules are read again whenever
/// something depends on them; mostly they say the same.
static LAST: Mutex<Option<Arc<Policies>>> = Mutex::new(None);

/// Every policy of a home, checked against the schema.
#[derive(Debug)]
pub struct Policies {
    /// The texts that they were parsed from, by file name.
    files: BTreeMap<String, String>,
    schema: &'static Schema,
    set: PolicySet,
    needs: BTreeMap<String, Need>,
    says: BTreeMap<String, String>,
    /// The ids of the policies that depend on recent changes.
    budgets: BTreeSet<String>,
    /// The kinds of resources that the host knows.
    kinds: BTreeSet<String>,
    /// Every path that a policy names.
    named: BTreeSet<String>,
    /// Every principal and group that a policy names.
    people: Vec<Named>,
    digest: Digest,
    answers: Answers,
}

/// The answer of the policies, and which of them decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyAnswer {
    /// Whether it is allowed.
    pub allowed: bool,
    /// The policies that decided: those that permit, or those that forbid.
    pub because: Vec<String>,
    /// The policies that could not be evaluated; if there are any, nothing is allowed.
    pub errors: Vec<String>,
    words: String,
}

impl PolicyAnswer {
    /// The reason for the answer, in one clause for a person.
    #[must_use]
    pub fn words(&self) -> String {
        self.words.clone()
    }
}

/// What policies are asked: with the policies, all that an answer depends on.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Question {
    who: Subject,
    action: &'static str,
    matter: Option<PolicyRequest>,
    /// To the second, as policies know the time.
    now: Timestamp,
    approvals: Vec<Subject>,
}

impl Question {
    fn new(
        who: &Subject,
        action: &'static str,
        matter: Option<&PolicyRequest>,
        now: Timestamp,
        approvals: &[Subject],
    ) -> Self {
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        Self { who: who.clone(), action, matter: matter.cloned(), now, approvals: approvals.to_vec() }
    }

    fn put(&self, to: &Policies) -> Result<Response, String> {
        let Self { who, action, matter, now, approvals } = self;
        let said = |error: &dyn std::fmt::Display| error.to_string();
        let matter = matter.as_ref();
        let entities = entities(who, matter, approvals, &to.named)?;
        // To hold them against the schema takes longer than all the rest, and a test does it (`request::tests`): they are made
        // from our own types. An entity that lacked something would be an error of the policy that asks for it, and so a no.
        let entities = Entities::from_entities(entities, None).map_err(|error| said(&error))?;
        let context = context(who, *now, approvals)?;
        let [principal, action, resource] = asked(who, action, matter);
        let request = Request::new(principal, action, resource, context, Some(to.schema))
            .map_err(|error| said(&error))?;
        Ok(Authorizer::new().is_authorized(&request, &to.set, &entities))
    }
}

/// The answers to the questions of one second. In the next one, they would be to other questions.
#[derive(Debug, Default)]
struct Answers(Mutex<(Timestamp, HashMap<Question, PolicyAnswer>)>);

impl Answers {
    /// How many are kept. A question can be as large as a request.
    const MOST: usize = 256;

    fn of(&self, question: &Question) -> Option<PolicyAnswer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.get(question).cloned()
    }

    fn keep(&self, question: Question, answer: &PolicyAnswer) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (second, answers) = &mut *kept;
        if *second != question.now || answers.len() >= Self::MOST {
            *second = question.now;
            answers.clear();
        }
        answers.insert(question, answer.clone());
    }
}

fn is_policy(entry: &Entry) -> bool {
    entry.path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("cedar"))
}

/// Whether a file may be beside policies: texts for people, tables of cases, a schema for editors.
fn is_beside(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("readme")
        || name.starts_with("license")
        || [".md", ".toml", ".cedarschema"].iter().any(|ending| name.ends_with(ending))
}

impl Policies {
    /// Reads every `*.cedar` file of a folder. Folders in it are refused, except hidden ones (`.git`): a policy in them, such as
    /// a `forbid`, would be ignored without notice. [`Self::unread`] lists other ignored files. `kinds` are the kinds of
    /// resources that the host knows.
    pub fn load<'a>(
        folder: &Path,
        kinds: impl IntoIterator<Item = &'a str>,
    ) -> Result<Arc<Self>, PolicyError> {
        let mut files = BTreeMap::new();
        for entry in remit_file::list(folder, Kind::Policy)? {
            if entry.is_folder {
                return Err(PolicyError::File {
                    file: entry.path.display().to_string(),
                    why: "a folder: policies in it would not be read".to_owned(),
                });
            }
            if is_policy(&entry) {
                files.insert(entry.name, remit_file::trusted(&entry.path, Kind::Policy)?.into_text()?);
            }
        }
        if files.is_empty() {
            return Err(PolicyError::File {
                file: folder.display().to_string(),
                why: "holds no policy (*.cedar)".to_owned(),
            });
        }
        Self::parse(files, kinds)
    }

    /// The ignored files of a folder that a person could take for policies: an editor's backup, a disabled file, a file with a
    /// second ending.
    pub fn unread(folder: &Path) -> Result<Vec<String>, PolicyError> {
        let mut unread = remit_file::list(folder, Kind::Policy)?;
        unread.retain(|entry| !entry.is_folder && !is_policy(entry) && !is_beside(&entry.name));
        Ok(unread.into_iter().map(|entry| entry.name).collect())
    }

    /// The policies that Remit ships.
    pub fn shipped<'a>(kinds: impl IntoIterator<Item = &'a str>) -> Result<Arc<Self>, PolicyError> {
        let files = shipped_files().iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        Self::parse(files.collect(), kinds)
    }

    /// Reads policies from their texts by file name. `kinds` as for [`Policies::load`].
    pub fn parse<'a>(
        files: BTreeMap<String, String>,
        kinds: impl IntoIterator<Item = &'a str>,
    ) -> Result<Arc<Self>, PolicyError> {
        let kinds: BTreeSet<String> = kinds.into_iter().map(ToOwned::to_owned).collect();
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = last.as_ref().filter(|last| last.files == files && last.kinds == kinds) {
            return Ok(Arc::clone(last));
        }
        let parsed = Arc::new(Self::checked(files, kinds)?);
        *last = Some(Arc::clone(&parsed));
        Ok(parsed)
    }

    fn checked(files: BTreeMap<String, String>, kinds: BTreeSet<String>) -> Result<Self, PolicyError> {
        let wrong = |place: &str, why: String| PolicyError::Wrong { place: place.to_owned(), why };
        let schema = PARSED.as_ref().map_err(|why| wrong("the schema", why.clone()))?;
        let validator = Validator::new(schema.clone());
        let digest = Digest::of(&canonical(&files).map_err(|error| wrong("policies", error.to_string()))?);
        let mut all = Self {
            files: BTreeMap::new(),
            schema,
            set: PolicySet::new(),
            needs: BTreeMap::new(),
            says: BTreeMap::new(),
            budgets: BTreeSet::new(),
            kinds,
            named: BTreeSet::new(),
            people: Vec::new(),
            digest,
            answers: Answers::default(),
        };
        for (file, text) in &files {
            let set = PolicySet::from_str(text).map_err(|error| found(file, text, &error))?;
            if set.templates().next().is_some() {
                return Err(wrong(
                    file,
                    "it has a template (`?principal`), which nothing fills in".to_owned(),
                ));
            }
            let result = validator.validate(&set, ValidationMode::Strict);
            if let Some(error) = result.validation_errors().next() {
                return Err(found(file, text, error));
            }
            // Warnings count as errors: a policy that never applies, or that looks like another, is a mistake.
            if let Some(warning) = result.validation_warnings().next() {
                return Err(found(file, text, warning));
            }
            for (at, policy) in set.policies().enumerate() {
                all.add(file, text, at, policy)?;
            }
        }
        all.files = files;
        Ok(all)
    }

    fn add(&mut self, file: &str, text: &str, at: usize, policy: &Policy) -> Result<(), PolicyError> {
        let annotations: BTreeMap<&str, &str> = policy.annotations().collect();
        let annotation = |name: &str| annotations.get(name).copied();
        let name = annotation("id").map_or_else(|| format!("{file}#{}", at + 1), ToOwned::to_owned);
        // Cedar has no place for annotations, so the place is that of the text or the policy's name.
        let place = ["needs", "id"].into_iter().find_map(|called| {
            let value = annotation(called)?;
            text.find(&format!("@{called}(\"{}\")", value.escape_debug()))
        });
        let spot = place.map_or_else(|| Spot::of(file, &name), |offset| Spot::at(file, text, offset));
        let wrong = |why: String| match place {
            Some(_) => spot.wrong(&format!("policy `{name}`: {why}")),
            None => spot.wrong(&why),
        };
        for literal in policy.entity_literals() {
            let (kind, said) = (literal.type_name().basename().to_owned(), literal.id().unescaped());
            let spot = match paths::place(text, &kind, said) {
                Some(offset) => Spot::at(file, text, offset),
                None => spot.clone(),
            };
            match &*kind {
                "Path" => {
                    paths::check(said, &self.kinds).map_err(|why| spot.wrong(&why))?;
                    self.named.insert(said.to_owned());
                }
                "Principal" => self.people.push(Named { kind: "Principal", name: said.to_owned(), spot }),
                "Group" => self.people.push(Named { kind: "Group", name: said.to_owned(), spot }),
                _ => {}
            }
        }
        let json = policy.to_json().map_err(|why| wrong(why.to_string()))?;
        if let Some((why, word)) = people::no_word(&json) {
            return Err(match text.find(&format!("\"{word}\"")) {
                Some(offset) => Spot::at(file, text, offset).wrong(&why),
                None => wrong(why),
            });
        }
        let id = PolicyId::new(&name);
        if let Some(says) = annotation("says") {
            self.says.insert(name.clone(), says.to_owned());
        }
        // Not in its text, where an escape can hide it.
        if json.to_string().contains("spentBy") {
            self.budgets.insert(name.clone());
        }
        let require = |action: &EntityUid| action.id().unescaped() == "require";
        let (named, any) = match policy.action_constraint() {
            ActionConstraint::Any => (false, true),
            ActionConstraint::Eq(action) => (require(&action), false),
            ActionConstraint::In(actions) => (actions.iter().any(require), false),
        };
        let requires = policy.effect() == Effect::Permit && named;
        match annotation("needs") {
            Some(_) if !requires => {
                return Err(wrong(
                    "@needs belongs to a `permit` of `action == Remit::Action::\"require\"`".to_owned(),
                ));
            }
            Some(text) => {
                let need = Need::parse(&name, text).map_err(&wrong)?;
                if let Some(group) = &need.group {
                    self.people.push(Named { kind: "Group", name: group.clone(), spot: spot.clone() });
                }
                self.needs.insert(name.clone(), need);
            }
            None if policy.effect() == Effect::Permit && (requires || any) => {
                return Err(wrong(
                    "it permits `require` without saying what is needed: add @needs(\"1 human\"), or name the actions it is for"
                        .to_owned(),
                ));
            }
            None => {}
        }
        self.set.add(policy.new_id(id)).map_err(|_| wrong("this @id is there twice".to_owned()))
    }

    /// Checks that every principal and group in the policies exists among `all` principals.
    pub fn check_people(&self, all: &[Subject]) -> Result<(), PolicyError> {
        people::check(&self.people, all)
    }

    /// The approvals that the policies ask for and that could not be given even if `all` principals approved, in words.
    #[must_use]
    pub fn unmet(&self, all: &[Subject]) -> Vec<String> {
        people::unmet(self.needs.values(), all)
    }

    /// The digest of the names and texts of all files.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether a policy depends on recent changes: what it denies now, it may allow later.
    #[must_use]
    pub fn is_budget(&self, name: &str) -> bool {
        self.budgets.contains(name)
    }

    /// Whether any policy depends on recent changes.
    #[must_use]
    pub fn have_budgets(&self) -> bool {
        !self.budgets.is_empty()
    }

    /// The kinds of resources that the policies were checked against.
    pub(crate) fn kinds(&self) -> &BTreeSet<String> {
        &self.kinds
    }

    /// Each policy as it is written, by its name, sorted.
    #[must_use]
    pub fn texts(&self) -> BTreeMap<String, String> {
        self.set.policies().map(|policy| (policy.id().to_string(), policy.to_string())).collect()
    }

    /// The number of policies.
    #[must_use]
    pub fn count(&self) -> usize {
        self.set.policies().count()
    }

    /// The answer to a question. Before a run starts, each of its questions is asked several times.
    fn ask(&self, question: Question) -> PolicyAnswer {
        if let Some(answer) = self.answers.of(&question) {
            return answer;
        }
        let answer = match question.put(self) {
            Ok(response) => self.verdict(&response),
            Err(why) => PolicyAnswer {
                allowed: false,
                because: Vec::new(),
                words: format!("the policies cannot be asked this: {why}"),
                errors: vec![why],
            },
        };
        self.answers.keep(question, &answer);
        answer
    }

    /// Decides whether a principal may do something.
    #[must_use]
    pub fn may(
        &self,
        who: &Subject,
        verb: PolicyAction,
        matter: Option<&PolicyRequest>,
        now: Timestamp,
        approvals: &[Subject],
    ) -> PolicyAnswer {
        self.ask(Question::new(who, verb.name(), matter, now, approvals))
    }

    fn verdict(&self, response: &Response) -> PolicyAnswer {
        let errors: Vec<String> = response.diagnostics().errors().map(ToString::to_string).collect();
        let mut because: Vec<String> = response.diagnostics().reason().map(ToString::to_string).collect();
        because.sort();
        // A policy that cannot be evaluated might have forbidden it.
        let allowed = response.decision() == Decision::Allow && errors.is_empty();
        let words = if let Some(error) = errors.first() {
            format!("a policy cannot be evaluated, so the answer is no: {error}")
        } else if allowed {
            format!("allowed by {}", because.join(", "))
        } else if because.is_empty() {
            "no policy allows it".to_owned()
        } else {
            let says = |name: &String| match self.says.get(name) {
                Some(says) => format!("{says} (policy {name})"),
                None => format!("policy {name}"),
            };
            format!("forbidden: {}", because.iter().map(says).collect::<Vec<_>>().join("; "))
        };
        PolicyAnswer { allowed, because, errors, words }
    }

    /// The approvals that a request needs: those of all policies together. An error if no policy asks for any.
    pub fn requirements(&self, matter: &PolicyRequest, now: Timestamp) -> Result<Vec<Need>, PolicyError> {
        let answer = self.ask(Question::new(&matter.requester, "require", Some(matter), now, &[]));
        if !answer.allowed {
            let words = if answer.because.is_empty() && answer.errors.is_empty() {
                "no policy says which approvals this needs".to_owned()
            } else {
                answer.words
            };
            return Err(PolicyError::Refused(words));
        }
        Ok(answer.because.iter().filter_map(|name| self.needs.get(name).cloned()).collect())
    }
}

/// A Cedar error with its line and a caret.
fn found(file: &str, text: &str, error: &dyn Diagnostic) -> PolicyError {
    let label = error.labels().and_then(|mut labels| labels.next());
    let mut why = error.to_string();
    if let Some(label) = &label
        && let Some(words) = label.label()
    {
        let _ = write!(why, " ({words})");
    }
    if let Some(help) = error.help() {
        let _ = write!(why, "; {help}");
    }
    let Some(offset) = label.map(|label| label.offset().min(text.len())) else {
        return PolicyError::Wrong { place: file.to_owned(), why };
    };
    Spot::at(file, text, offset).wrong(&why)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Who asks, its groups, the time, the approvals and the request each make a difference here.
    const POLICY: &str = r#"
@id("who") permit (principal == Remit::Principal::"a", action == Remit::Action::"approve", resource);
@id("groups") permit (principal in Remit::Group::"g", action == Remit::Action::"trigger", resource);
@id("late") permit (principal, action == Remit::Action::"propose", resource) when { context.time == 1 };
@id("two") permit (principal, action == Remit::Action::"trigger", resource) when { context.approvalCount > 1 };
@id("spent") forbid (principal, action == Remit::Action::"trigger", resource is Remit::Request) when { resource.spentByStarter > 1 };
@id("many") @needs("2 human") permit (principal, action == Remit::Action::"require", resource) when { resource.changes > 1 };
"#;

    fn subjects() -> impl Strategy<Value = Subject> {
        ("[ab]", proptest::option::of("g")).prop_map(|(name, group)| Subject {
            name,
            kind: "human".to_owned(),
            groups: group.into_iter().collect(),
            ..Subject::default()
        })
    }

    proptest! {
        /// What is remembered is what would be answered, in whatever order and however often it is asked.
        #[test]
        fn a_remembered_answer_is_the_answer(
            asked in proptest::collection::vec((
                subjects(),
                prop_oneof![Just("approve"), Just("trigger"), Just("propose"), Just("require")],
                (0_u64..4, 0_u64..4, subjects()),
                0_i64..3_000,
                proptest::collection::vec(subjects(), 0..3),
            ), 1..12)
        ) {
            let files = BTreeMap::from([("house.cedar".to_owned(), POLICY.to_owned())]);
            let policies = Policies::parse(files, ["secret"]).unwrap();
            for (who, action, matter, at, approvals) in asked.iter().chain(asked.iter().rev()) {
                let (changes, spent_by_starter, requester) = matter.clone();
                let matter = PolicyRequest { requester, changes, spent_by_starter, ..PolicyRequest::default() };
                let at = Timestamp::from_millisecond(*at).unwrap();
                let question = || Question::new(who, action, Some(&matter), at, approvals);
                let answer = match question().put(&policies) {
                    Ok(response) => policies.verdict(&response),
                    Err(why) => panic!("{why}"),
                };
                prop_assert_eq!(policies.ask(question()), answer.clone());
                prop_assert_eq!(policies.answers.of(&question()), Some(answer));
            }
        }
    }

    #[test]
    fn no_more_answers_are_kept_than_may_be() {
        let policies = Policies::shipped(["secret"]).unwrap();
        let ask = |changes, second| {
            let matter = PolicyRequest { changes, ..PolicyRequest::default() };
            let _ = policies.may(
                &Subject::default(),
                PolicyAction::Approve,
                Some(&matter),
                Timestamp::from_second(second).unwrap(),
                &[],
            );
        };
        let kept = || policies.answers.0.lock().unwrap().1.len();
        for n in 1..=Answers::MOST {
            ask(n as u64, 7);
            assert_eq!(kept(), n);
        }
        ask(0, 7);
        assert_eq!(kept(), 1);
        ask(1, 7);
        assert_eq!(kept(), 2);
        ask(1, 8);
        assert_eq!(kept(), 1);
    }
}
