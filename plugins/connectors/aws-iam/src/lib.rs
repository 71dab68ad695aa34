//! AWS IAM: access keys as tokens, and users as accounts. A key is named by its user and its id: neither tells anything about its
//! secret. A user is named by its name.
//!
//! What IAM does, and what surprises:
//! - It answers in XML, and an error with a code in it; most have the status 400 or 403. A read is also taken by GET.
//! - Without a name, `ListAccessKeys` and `GetUser` are about the user who asks. For a role that is a `ValidationError`.
//! - A key can be made inactive, and active again, by the same request. A deleted one is gone. Neither ends a session that was
//!   begun with it: temporary credentials of `sts` go on until they expire.
//! - A key that was never used has no `LastUsedDate`. IAM notes the use some minutes late.
//! - Nothing compares before it writes, and what was forbidden can work for some seconds more.
//! - No secret of a key can be looked up, not even its key: so there is no `identify` here, and no `check`.
//! - A user cannot be switched off. What is forbidden explicitly is forbidden whatever else allows it, also to the keys, the console and
//!   the sessions that a user has: so it is disabled by attaching `AWSDenyAll`, a policy that AWS keeps in every account. To attach it
//!   twice is no error. A policy of the user's own would do the same, but whoever may write one may write any: what may be attached, AWS
//!   can limit to this one. A session of a role that the user took before goes on: it is the role's.
//! - When a user was used last is the latest of its password and its keys. For all users at once only a report says that, which IAM
//!   writes at most every four hours, and needs some seconds for: until then there is no answer.

mod api;
mod keys;
mod report;
mod users;
mod xml;

use remit::connector::{Call, Connector, Failure, Live, Prepared, Result, accounts, tokens};
use serde::{Deserialize, Serialize};
use serde_json::Value;

struct AwsIam;

#[derive(Deserialize)]
#[serde(untagged)]
enum Asked {
    Token(tokens::Call),
    Account(accounts::Call),
}

/// What there was, for the plan.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Undo {
    Key(keys::Before),
    User(users::Before),
}

impl Connector for AwsIam {
    type Asked = Asked;
    type Config = ();
    type Undo = Undo;

    fn observe(call: &Call<Self>) -> Result<Value> {
        match &call.asked {
            Asked::Token(asked) => keys::observe(call, asked),
            Asked::Account(asked) => users::observe(call, asked),
        }
    }

    fn prepare(call: &Call<Self>) -> Result<Prepared<Undo>> {
        match &call.asked {
            Asked::Token(asked) => keys::prepare(call, asked),
            Asked::Account(asked) => users::prepare(call, asked),
        }
    }

    fn perform(call: &Call<Self>, prepared: &Prepared<Undo>) -> Result<Value> {
        match (&call.asked, &prepared.undo) {
            (Asked::Token(asked), Undo::Key(before)) => keys::perform(asked, before),
            (Asked::Account(asked), Undo::User(before)) => users::perform(asked, before),
            _ => Err(other()),
        }
    }

    fn state(call: &Call<Self>, prepared: &Prepared<Undo>, _: Option<&Value>) -> Result<Live> {
        match (&call.asked, &prepared.undo) {
            (Asked::Token(asked), Undo::Key(before)) => keys::state(asked, before),
            (Asked::Account(asked), Undo::User(before)) => users::state(asked, before),
            _ => Err(other()),
        }
    }

    fn undo(call: &Call<Self>, prepared: &Prepared<Undo>, _: Option<&Value>) -> Result<()> {
        match (&call.asked, &prepared.undo) {
            (Asked::Token(asked), Undo::Key(_)) => keys::undo(asked),
            (Asked::Account(asked), Undo::User(before)) => users::undo(asked, before),
            _ => Err(other()),
        }
    }
}

fn other() -> Failure {
    Failure::Invalid("the function is not one of this connector".to_owned())
}

remit::connector!(AwsIam);
