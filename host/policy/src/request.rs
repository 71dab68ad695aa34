//! What a decision is about: the principal, what it wants to do, and the request.

use std::collections::{BTreeSet, HashSet};
use std::str::FromStr as _;
use std::sync::LazyLock;

use cedar_policy::{Context, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use remit_gate::Pattern;
use remit_trust::issuers::Proof;
use serde::{Deserialize, Serialize};

use crate::paths::{holder, touched, within};

/// The kinds of principals.
pub(crate) const KINDS: [&str; 3] = ["human", "agent", "service"];

/// A principal, as policies see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// The name of the principal.
    pub name: String,
    /// `human`, `agent` or `service`.
    pub kind: String,
    /// The names of its groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The person who operates it; none for a person, and for software of nobody in particular.
    #[serde(default)]
    pub operator: Option<Box<Subject>>,
    /// How it proved to be the one.
    #[serde(default)]
    pub proof: Proof,
    /// Whether that was with a passkey that never leaves its device.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub device_bound: bool,
}

/// What a principal wants to do; the Cedar action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyAction {
    /// Rehearse an action: nothing changes, but the action reads real systems.
    Rehearse,
    /// Make a request for authority.
    Propose,
    /// Approve or deny a request.
    Approve,
    /// Start a run under a request.
    Trigger,
    /// Revoke authority that was given.
    Revoke,
    /// Undo the changes of a run.
    Revert,
    /// Freeze or unfreeze the host.
    Freeze,
    /// Review a run that was started without the usual policy.
    Review,
    /// Resolve a call in doubt.
    Resolve,
}

impl PolicyAction {
    /// The name of the Cedar action.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rehearse => "rehearse",
            Self::Propose => "propose",
            Self::Approve => "approve",
            Self::Trigger => "trigger",
            Self::Revoke => "revoke",
            Self::Revert => "revert",
            Self::Freeze => "freeze",
            Self::Review => "review",
            Self::Resolve => "resolve",
        }
    }
}

/// A connector, as policies see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyConnector {
    /// The name of its instance.
    pub instance: String,
    /// Where its requests go.
    pub origin: String,
    /// The id of the publisher's key that signed it.
    pub publisher: String,
}

/// A request, as policies see it: `resource` in a policy. It has every power that the request would give, used or not.
/// Numbers above `i64::MAX` count as `i64::MAX`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "facts, each of its own, by the names that policies use")]
pub struct PolicyRequest {
    /// The name of the requester.
    pub requester: Subject,
    /// The name of the action, as the component gives it.
    pub action_name: String,
    /// The version of the action; in a standing scope for a publisher's action, the range of versions.
    pub action_version: String,
    /// The digest of the action; empty for a publisher's action.
    pub action_digest: String,
    /// The incident that the request belongs to.
    pub incident: Option<String>,
    /// The environment that the home is configured for: `production`.
    pub environment: Option<String>,
    /// The connectors through which it may reach anything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connectors: Vec<PolicyConnector>,
    /// Whether it asks for a standing scope.
    pub standing: bool,
    /// Whether it is a run under a standing scope.
    pub under_standing: bool,
    /// Whether it asks to run without the usual policy (break glass).
    pub break_glass: bool,
    /// Whether it has a plan. Without one, the counts are the maximum that its scope allows.
    pub has_plan: bool,
    /// The number of operations that read.
    pub observe: u64,
    /// The number of those that read content, such as that of files.
    pub content: u64,
    /// The number of changes that can be undone.
    pub change: u64,
    /// The number of changes that cannot be undone.
    pub irrevocable: u64,
    /// The number of operations that give secrets to the action.
    pub disclose: u64,
    /// The number of all changes of one run.
    pub changes: u64,
    /// The resource patterns of changes that can be undone.
    pub may_change: BTreeSet<Pattern>,
    /// The resource patterns of changes that cannot be undone.
    pub may_destroy: BTreeSet<Pattern>,
    /// The resource patterns of secrets that it may give to the action.
    pub may_disclose: BTreeSet<Pattern>,
    /// The resource patterns whose content it may read.
    pub may_read: BTreeSet<Pattern>,
    /// The resource patterns that it may observe without reading content.
    pub may_observe: BTreeSet<Pattern>,
    /// Changes in the last hour by runs that its requester asked for or started.
    pub spent_by_requester: u64,
    /// The same for the principal who starts it; none before it is started.
    pub spent_by_starter: u64,
    /// Changes that runs of the same action made in the last hour.
    pub spent_by_action: u64,
    /// Changes in the last hour below the first path segment of a resource that it may touch; the highest such count.
    pub spent_by_prefix: u64,
    /// How long it is valid.
    pub ttl_seconds: u64,
    /// After how long the host undoes the changes of a run by itself; none if it does not.
    pub restore_after_seconds: Option<u64>,
    /// How many runs it allows.
    pub uses: u64,
}

/// A type of Cedar entities of `schema.cedarschema`.
type Kind = LazyLock<EntityTypeName>;

macro_rules! kind {
    ($($kind:ident = $name:literal),* $(,)?) => {
        $(static $kind: Kind = LazyLock::new(|| {
            EntityTypeName::from_str(concat!("Remit::", $name)).expect("the name of a type by Cedar's grammar")
        });)*
    };
}

kind! {
    ACTION = "Action",
    GROUP = "Group",
    HOST = "Host",
    PATH = "Path",
    PRINCIPAL = "Principal",
    REQUEST = "Request",
}

fn uid(kind: &Kind, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id((**kind).clone(), EntityId::new(id))
}

fn reference(kind: &Kind, id: &str) -> RestrictedExpression {
    RestrictedExpression::new_entity_uid(uid(kind, id))
}

fn string(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

fn number(n: u64) -> RestrictedExpression {
    RestrictedExpression::new_long(i64::try_from(n).unwrap_or(i64::MAX))
}

fn set(of: impl IntoIterator<Item = RestrictedExpression>) -> RestrictedExpression {
    RestrictedExpression::new_set(of)
}

fn entity<'a>(
    uid: EntityUid,
    attributes: impl IntoIterator<Item = (&'a str, RestrictedExpression)>,
    parents: impl IntoIterator<Item = EntityUid>,
) -> Result<Entity, String> {
    let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Entity::new(uid, attributes, parents.into_iter().collect()).map_err(|error| error.to_string())
}

impl Subject {
    /// The principal, its groups and its operator as Cedar entities.
    fn entities(&self) -> Result<Vec<Entity>, String> {
        let operator = self.operator.as_deref();
        let attributes = std::iter::once(("kind", string(&self.kind)))
            .chain(operator.map(|operator| ("operator", reference(&PRINCIPAL, &operator.name))));
        let groups = self.groups.iter().map(|name| uid(&GROUP, name));
        let mut entities = vec![entity(uid(&PRINCIPAL, &self.name), attributes, groups.clone())?];
        entities.extend(groups.map(|group| Entity::new_no_attrs(group, HashSet::new())));
        if let Some(operator) = operator {
            entities.extend(operator.entities()?);
        }
        Ok(entities)
    }
}

impl PolicyRequest {
    /// The patterns of resources that it may change or whose secrets it may receive.
    pub fn touches(&self) -> impl Iterator<Item = &Pattern> {
        self.may_change.iter().chain(&self.may_destroy).chain(&self.may_disclose)
    }

    /// The number of these resources. A pattern with a wildcard counts as `i64::MAX`.
    #[must_use]
    pub fn target_count(&self) -> u64 {
        let all: BTreeSet<&Pattern> = self.touches().collect();
        if all.iter().all(|pattern| pattern.exact().is_some()) { all.len() as u64 } else { u64::MAX }
    }

    /// The request and its paths as Cedar entities.
    fn entities(&self, named: &BTreeSet<String>) -> Result<Vec<Entity>, String> {
        let touches = touched(self.touches(), named);
        let may = |patterns: &BTreeSet<Pattern>| touched(patterns, named);
        let by_effect = [
            ("mayChange", may(&self.may_change)),
            ("mayDestroy", may(&self.may_destroy)),
            ("mayDisclose", may(&self.may_disclose)),
            ("mayRead", may(&self.may_read)),
            ("mayObserve", may(&self.may_observe)),
            ("within", within(self.touches(), named)),
            ("readsWithin", within(&self.may_read, named)),
        ];
        let mut mentioned = named.clone();
        mentioned.extend(by_effect.iter().flat_map(|(_, paths)| paths.iter().cloned()));
        let yes = RestrictedExpression::new_bool;
        let always = [
            ("requester", reference(&PRINCIPAL, &self.requester.name)),
            ("requesterProof", string(self.requester.proof.name())),
            ("actionName", string(&self.action_name)),
            ("actionVersion", string(&self.action_version)),
            ("actionDigest", string(&self.action_digest)),
            ("standing", yes(self.standing)),
            ("underStanding", yes(self.under_standing)),
            ("breakGlass", yes(self.break_glass)),
            ("hasPlan", yes(self.has_plan)),
            ("observe", number(self.observe)),
            ("content", number(self.content)),
            ("change", number(self.change)),
            ("irrevocable", number(self.irrevocable)),
            ("disclose", number(self.disclose)),
            ("changes", number(self.changes)),
            ("targetCount", number(self.target_count())),
            ("spentByRequester", number(self.spent_by_requester)),
            ("spentByStarter", number(self.spent_by_starter)),
            ("spentByAction", number(self.spent_by_action)),
            ("spentByPrefix", number(self.spent_by_prefix)),
            ("ttlSeconds", number(self.ttl_seconds)),
            ("uses", number(self.uses)),
        ];
        let optional = [
            ("incident", self.incident.as_deref().map(string)),
            ("environment", self.environment.as_deref().map(string)),
            ("restoreAfterSeconds", self.restore_after_seconds.map(number)),
        ];
        let of = |get: fn(&PolicyConnector) -> &str| set(self.connectors.iter().map(|one| string(get(one))));
        let connectors = [
            ("connectors", of(|one| &one.instance)),
            ("connectorOrigins", of(|one| &one.origin)),
            ("connectorPublishers", of(|one| &one.publisher)),
        ];
        let paths = by_effect
            .into_iter()
            .map(|(name, paths)| (name, set(paths.iter().map(|path| reference(&PATH, path)))));
        let optional = optional.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let attributes = always.into_iter().chain(optional).chain(connectors).chain(paths);
        let parents = touches.iter().map(|path| uid(&PATH, path));
        let request = entity(uid(&REQUEST, "this"), attributes, parents)?;
        Ok(std::iter::once(request).chain(places(mentioned)).collect())
    }
}

/// Paths as Cedar entities, each a child of the path that contains it.
fn places(mut all: BTreeSet<String>) -> impl Iterator<Item = Entity> {
    let mut holders: Vec<String> = all.iter().cloned().collect();
    while let Some(path) = holders.pop() {
        if let Some(holder) = holder(&path)
            && all.insert(holder.to_owned())
        {
            holders.push(holder.to_owned());
        }
    }
    all.into_iter().map(|path| {
        let holder = holder(&path).map(|holder| uid(&PATH, holder));
        Entity::new_no_attrs(uid(&PATH, &path), holder.into_iter().collect())
    })
}

/// All Cedar entities for a decision. `named` are the paths that policies name. Of entities with one name the first is kept.
pub(crate) fn entities(
    who: &Subject,
    matter: Option<&PolicyRequest>,
    approvals: &[Subject],
    named: &BTreeSet<String>,
) -> Result<Vec<Entity>, String> {
    let mut entities = who.entities()?;
    for other in approvals.iter().chain(matter.map(|matter| &matter.requester)) {
        entities.extend(other.entities()?);
    }
    entities.push(Entity::new_no_attrs(uid(&HOST, "this"), HashSet::new()));
    if let Some(matter) = matter {
        entities.extend(matter.entities(named)?);
    }
    let mut seen = HashSet::new();
    entities.retain(|entity| seen.insert(entity.uid()));
    Ok(entities)
}

/// What a decision is about, as Cedar asks for it: the principal, the action and the resource.
pub(crate) fn asked(who: &Subject, action: &str, matter: Option<&PolicyRequest>) -> [EntityUid; 3] {
    let resource = if matter.is_some() { uid(&REQUEST, "this") } else { uid(&HOST, "this") };
    [uid(&PRINCIPAL, &who.name), uid(&ACTION, action), resource]
}

/// The Cedar context of a decision about what a principal wants to do.
pub(crate) fn context(who: &Subject, now: jiff::Timestamp, approvals: &[Subject]) -> Result<Context, String> {
    let at = now.to_zoned(jiff::tz::TimeZone::UTC);
    let by: BTreeSet<&str> = approvals.iter().map(|who| &*who.name).collect();
    let long = RestrictedExpression::new_long;
    let facts = [
        ("proof", string(who.proof.name())),
        ("userVerified", RestrictedExpression::new_bool(who.proof == Proof::Passkey)),
        ("deviceBound", RestrictedExpression::new_bool(who.device_bound)),
        ("time", long(now.as_second())),
        ("hour", long(at.hour().into())),
        ("weekday", long(at.weekday().to_monday_one_offset().into())),
        ("approvalCount", number(by.len() as u64)),
        ("approvals", set(by.into_iter().map(|name| reference(&PRINCIPAL, name)))),
    ];
    let facts = facts.into_iter().map(|(name, value)| (name.to_owned(), value));
    Context::from_pairs(facts).map_err(|error| error.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use cedar_policy::Entities;
    use proptest::prelude::*;

    use super::*;
    use crate::policies::PARSED;

    fn texts() -> impl Strategy<Value = String> {
        prop_oneof![Just(String::new()), "[a-z\"\\\\:/\u{e4} ]{1,8}"]
    }

    fn alone() -> impl Strategy<Value = Subject> {
        let facts = (texts(), texts(), proptest::collection::vec(texts(), 0..3), any::<bool>());
        facts.prop_map(|(name, kind, groups, device_bound)| {
            let proof = if device_bound { Proof::Passkey } else { Proof::default() };
            Subject { name, kind, groups, operator: None, proof, device_bound }
        })
    }

    fn subjects() -> impl Strategy<Value = Subject> {
        let operated = (alone(), proptest::option::of(alone()));
        operated.prop_map(|(one, operator)| Subject { operator: operator.map(Box::new), ..one })
    }

    fn patterns() -> impl Strategy<Value = BTreeSet<Pattern>> {
        let path = "(secret|file):[a-c]{1,2}(/[a-c]{1,2}){0,2}(/\\*|/\\*\\*)?";
        proptest::collection::btree_set(path.prop_map(|text| Pattern::new(&text).unwrap()), 0..3)
    }

    prop_compose! {
        fn requests()(
            (requester, action_name, incident, environment) in
                (subjects(), texts(), proptest::option::of(texts()), proptest::option::of(texts())),
            connectors in proptest::collection::vec((texts(), texts(), texts()), 0..3),
            flags in any::<[bool; 4]>(),
            numbers in any::<[u64; 4]>(),
            restore_after_seconds in proptest::option::of(any::<u64>()),
            [may_change, may_destroy, may_disclose, may_read, may_observe] in
                [patterns(), patterns(), patterns(), patterns(), patterns()],
        ) -> PolicyRequest {
            let connectors = connectors.into_iter();
            PolicyRequest {
                action_version: action_name.clone(),
                connectors: connectors
                    .map(|(instance, origin, publisher)| PolicyConnector { instance, origin, publisher })
                    .collect(),
                standing: flags[0], under_standing: flags[1], break_glass: flags[2], has_plan: flags[3],
                observe: numbers[0], changes: numbers[1], spent_by_prefix: numbers[2], ttl_seconds: numbers[3],
                requester, action_name, incident, environment, restore_after_seconds,
                may_change, may_destroy, may_disclose, may_read, may_observe,
                ..PolicyRequest::default()
            }
        }
    }

    /// What is asked has no entities for actions. If one lay in a group, a `forbid` of that group would be passed over.
    #[test]
    fn no_action_is_in_a_group() {
        let actions = PARSED.as_ref().unwrap().action_entities().unwrap();
        for action in actions.iter() {
            assert_eq!(actions.ancestors(&action.uid()).unwrap().count(), 0, "{}", action.uid());
        }
        assert!(actions.len() > 5);
    }

    proptest! {
        /// The schema is what policies were checked against. So whatever is asked, everything that it promises is there.
        #[test]
        fn whatever_is_asked_conforms_to_the_schema(
            (who, request, approvals, named) in
                (subjects(), proptest::option::of(requests()), proptest::collection::vec(subjects(), 0..3), patterns())
        ) {
            let schema = PARSED.as_ref().unwrap();
            let named = named.iter().filter_map(Pattern::exact).map(|path| path.to_string()).collect();
            let all = entities(&who, request.as_ref(), &approvals, &named).unwrap();
            Entities::from_entities(all, Some(schema)).unwrap();
        }
    }
}
