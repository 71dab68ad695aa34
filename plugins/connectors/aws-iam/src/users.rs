//! Users, as accounts.

use remit::connector::accounts::{Account, AccountState, Call as Asked};
use remit::connector::{Call, Failure, Live, Prepared, Result, json, segments, time};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::{self, NOT_YET, if_there, strange};
use crate::report::Report;
use crate::xml::Element;
use crate::{AwsIam, Undo, keys, other};

/// How often IAM is asked for its report. It answers at once if it has one that is less than four hours old.
const TRIES: usize = 3;
/// How many pages of users are read, and how many users a page has at most. With the report these are eight requests.
const PAGES: usize = 4;
const PAGE: &str = "250";

/// A user, as it is without its groups and keys.
#[derive(Debug, PartialEq)]
struct User {
    name: String,
    /// A name can be given to another user later, this cannot.
    id: String,
    /// Of the partition it is in: `aws`, `aws-cn`, `aws-us-gov`.
    partition: String,
    created: String,
    /// When its password was used last.
    signed_in: Option<String>,
}

/// Which user it was, for the plan.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Before {
    id: String,
    partition: String,
}

pub(crate) fn observe(call: &Call<AwsIam>, asked: &Asked) -> Result<Value> {
    match asked {
        Asked::InspectGet { path } => {
            let (_, [name]) = segments(path)?;
            let user = user(name)?.ok_or_else(|| missing(path))?;
            let mut last_used = user.signed_in.as_deref().and_then(time::milliseconds);
            for key in keys::keys(Some(name))?.unwrap_or_default() {
                let used = keys::last_used(&key.id)?;
                last_used = last_used.max(used.as_deref().and_then(time::milliseconds));
            }
            let denied = is_denied(&user)? || is_simulated(call, path);
            Ok(json(&account(path.clone(), &user.name, denied, groups(name)?, &user.created, last_used)))
        }
        Asked::InspectList { place } => {
            let (_, []) = segments(place)?;
            Ok(json(&all(call, place)?))
        }
        _ => Err(other()),
    }
}

pub(crate) fn prepare(call: &Call<AwsIam>, asked: &Asked) -> Result<Prepared<Undo>> {
    let (path, name) = of(asked)?;
    let user = user(name)?.ok_or_else(|| missing(path))?;
    if is_own(&user)? {
        // Nothing could be taken back any more, not even this.
        let why = format!("{path} is the user that Remit itself works as: change it by hand");
        return Err(Failure::Invalid(why));
    }
    if is_denied(&user)? || is_simulated(call, path) {
        return Err(Failure::Conflict(format!("{path} is disabled already")));
    }
    let describe = format!("let the IAM user {name} do again what its policies allow");
    Ok(Prepared::new(Undo::User(user.as_it_was()), describe))
}

pub(crate) fn perform(asked: &Asked, before: &Before) -> Result<Value> {
    let (path, name) = of(asked)?;
    let user = user(name)?.ok_or_else(|| missing(path))?;
    if user.as_it_was() != *before {
        return Err(Failure::Conflict(another(path)));
    }
    if is_denied(&user)? {
        return Err(Failure::Conflict(format!("somebody else disabled {path}")));
    }
    let fields = [("UserName", name), ("PolicyArn", &user.policy())];
    api::change("AttachUserPolicy", &fields, &format!("disable the IAM user {name}"))?;
    Ok(Value::Null)
}

pub(crate) fn state(asked: &Asked, before: &Before) -> Result<Live> {
    let (path, name) = of(asked)?;
    Ok(match user(name)? {
        None => Live::Other(format!("somebody deleted {path}")),
        Some(user) if user.as_it_was() != *before => Live::Other(another(path)),
        Some(user) if is_denied(&user)? => Live::After,
        Some(_) => Live::Before,
    })
}

pub(crate) fn undo(asked: &Asked, before: &Before) -> Result<()> {
    let (path, name) = of(asked)?;
    let user = user(name)?.ok_or_else(|| Failure::Conflict(format!("somebody deleted {path}")))?;
    if user.as_it_was() != *before {
        return Err(Failure::Conflict(another(path)));
    }
    if !is_denied(&user)? {
        return Err(Failure::Conflict(format!("somebody enabled {path} already")));
    }
    let fields = [("UserName", name), ("PolicyArn", &user.policy())];
    api::change("DetachUserPolicy", &fields, &format!("enable the IAM user {name}"))
}

/// What is disabled: its path and the user's name.
fn of(asked: &Asked) -> Result<(&str, &str)> {
    let Asked::Disable { path } = asked else { return Err(other()) };
    let (_, [name]) = segments(path)?;
    Ok((path, name))
}

impl User {
    fn of(found: &Element) -> Option<Self> {
        let text = |name| found.text(name).map(ToOwned::to_owned);
        Some(Self {
            name: text("UserName")?,
            id: text("UserId")?,
            partition: partition(found.text("Arn")?)?.to_owned(),
            created: text("CreateDate")?,
            signed_in: text("PasswordLastUsed"),
        })
    }

    fn as_it_was(&self) -> Before {
        Before { id: self.id.clone(), partition: self.partition.clone() }
    }

    /// The policy of AWS's own that forbids everything.
    fn policy(&self) -> String {
        deny_all(&self.partition)
    }
}

fn deny_all(partition: &str) -> String {
    format!("arn:{partition}:iam::aws:policy/AWSDenyAll")
}

/// `aws` of `arn:aws:iam::123456789012:user/ci`.
fn partition(arn: &str) -> Option<&str> {
    arn.split(':').nth(1).filter(|partition| !partition.is_empty())
}

/// The user of this name; none if there is none.
fn user(name: &str) -> Result<Option<User>> {
    let found = api::result("GetUser", &[("UserName", name)], &format!("look at the IAM user {name}"));
    let Some(found) = if_there(found)? else { return Ok(None) };
    let user = found.child("User").and_then(User::of).ok_or_else(strange)?;
    if user.name != name {
        // Capital letters of names do not matter to IAM, and they do to whoever wrote the scope.
        return Err(Failure::Invalid(format!("the IAM user {name} is called `{}`", user.name)));
    }
    Ok(Some(user))
}

/// Whether the user is the one that asks.
fn is_own(user: &User) -> Result<bool> {
    match api::result("GetUser", &[], "look which IAM user Remit works as") {
        Ok(found) => {
            let own = found.child("User").and_then(|own| own.text("UserId")).ok_or_else(strange)?;
            Ok(own == user.id)
        }
        // A role is no user.
        Err(Failure::Invalid(_) | Failure::NotFound(_)) => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// Whether everything is forbidden to the user.
fn is_denied(user: &User) -> Result<bool> {
    let (doing, mut denied) = (format!("list the policies of {}", user.name), false);
    api::pages("ListAttachedUserPolicies", &[("UserName", &user.name)], &doing, 1, |page| {
        denied |= has_deny_all(page.child("AttachedPolicies").ok_or_else(strange)?, &user.partition);
        Ok(())
    })?;
    Ok(denied)
}

fn has_deny_all(policies: &Element, partition: &str) -> bool {
    let deny_all = deny_all(partition);
    policies.children("member").any(|policy| policy.text("PolicyArn") == Some(&deny_all))
}

fn is_simulated(call: &Call<AwsIam>, path: &str) -> bool {
    let disables = |asked: &crate::Asked| matches!(asked, crate::Asked::Account(Asked::Disable { path: of }) if of == path);
    call.simulated.iter().any(|one| disables(&one.asked))
}

/// The names of the groups that the user is in.
fn groups(name: &str) -> Result<Vec<String>> {
    let (doing, mut found) = (format!("list the groups of {name}"), Vec::new());
    api::pages("ListGroupsForUser", &[("UserName", name)], &doing, 1, |page| {
        for group in page.child("Groups").ok_or_else(strange)?.children("member") {
            found.push(group.text("GroupName").ok_or_else(strange)?.to_owned());
        }
        Ok(())
    })?;
    found.sort();
    Ok(found)
}

/// All users. When each was used last is what IAM's report says, which can be four hours old: `get` asks anew.
fn all(call: &Call<AwsIam>, place: &str) -> Result<Vec<Account>> {
    let report = report()?;
    let with = [("Filter.member.1", "User"), ("MaxItems", PAGE)];
    let mut accounts = Vec::new();
    api::pages("GetAccountAuthorizationDetails", &with, "list the IAM users", PAGES, |page| {
        for user in page.child("UserDetailList").ok_or_else(strange)?.children("member") {
            accounts.extend(listed(call, place, &report, user).ok_or_else(strange)?);
        }
        Ok(())
    })?;
    accounts.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(accounts)
}

/// One of all users. The inner none: a comma in a name is nothing that a path can have.
fn listed(call: &Call<AwsIam>, place: &str, report: &Report, user: &Element) -> Option<Option<Account>> {
    let (name, created) = (user.text("UserName")?, user.text("CreateDate")?);
    if name.contains(',') {
        return Some(None);
    }
    let path = format!("{place}/{name}");
    let denied = has_deny_all(user.child("AttachedManagedPolicies")?, partition(user.text("Arn")?)?);
    let groups = user.child("GroupList")?.children("member").filter_map(Element::own_text);
    let mut groups: Vec<String> = groups.map(ToOwned::to_owned).collect();
    groups.sort();
    let denied = denied || is_simulated(call, &path);
    Some(Some(account(path, name, denied, groups, created, report.last_used(name))))
}

fn report() -> Result<Report> {
    for _ in 0..TRIES {
        let asked = api::result("GenerateCredentialReport", &[], "ask for the report of all users")?;
        if asked.text("State") == Some("COMPLETE") {
            let found = api::result("GetCredentialReport", &[], "read the report of all users")?;
            return found.text("Content").and_then(Report::read).ok_or_else(strange);
        }
    }
    Err(Failure::Unavailable(format!("could not read the report of all users{NOT_YET}")))
}

fn account(
    path: String,
    name: &str,
    denied: bool,
    groups: Vec<String>,
    created: &str,
    last_used: Option<u64>,
) -> Account {
    Account {
        path,
        name: name.to_owned(),
        state: if denied { AccountState::Disabled } else { AccountState::Enabled },
        groups,
        created: time::milliseconds(created),
        last_used,
    }
}

fn missing(path: &str) -> Failure {
    Failure::NotFound(format!("there is no IAM user {path}"))
}

fn another(path: &str) -> String {
    format!("{path} is another user now: the one that was there was deleted")
}
