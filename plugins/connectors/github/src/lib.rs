//! Issues of GitHub, its alerts of leaked secrets, and tokens: those that leaked, and those of an organization's members.
//!
//! What GitHub does, and what follows from it:
//! - An issue cannot be deleted by the REST interface. What was opened is closed as `not_planned` when it is taken back, and stays
//!   to be read.
//! - Nothing that is written to an issue can be made to depend on its state: `If-Match` is not looked at. So what is read is compared
//!   before and after, and somebody who is quicker than that is not noticed.
//! - Pull requests are issues, with numbers of the same row. Here they are refused.
//! - Capital letters of names do not matter to GitHub, and a repository that was renamed is answered with a redirect. Here each thing has
//!   the one name that GitHub says: another one is refused, so that no policy is passed by in capital letters.
//! - A text is Markdown: `@name` calls a person, `#7` leaves a trace in another issue. That is not taken back.
//! - Who asks too often gets 403, as who may not ask.
//! - A token is revoked by its value alone, by anybody who does not sign in: with a credential, it is 403. The answer is 202 to every
//!   value, also to one that is no token, and the token may work a moment longer. Its owner is told by mail.
//! - What an organization revokes of a fine-grained token is its access to the organization: the token goes on working for what else
//!   it is for. Only a GitHub App may. There is no way to ask for one of them: they are listed, newest first. A classic token is
//!   not among them.
//! - An alert of secret scanning has the secret in it. GitHub leaves it out where it is asked to, but not in its answer to a change:
//!   the host takes it out there. To resolve an alert as `revoked` revokes nothing. What it was resolved as is gone when it is
//!   opened again.

mod alerts;
mod api;
mod grants;
mod issue;
mod tickets;
mod tokens;

use remit::connector::{
    Call, Connector, Failure, Live, Prepared, Result, tickets as ticket, tokens as token,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

struct GitHub;

#[derive(Deserialize)]
#[serde(untagged)]
enum Asked {
    Ticket(ticket::Call),
    Token(token::Call),
    Alert(alerts::Asked),
}

/// What the plan shows. What others change by the way is in the sealed part instead.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Undo {
    /// Of a member's token, whose it is, its name, and what it may do in the organization.
    Grant {
        owner: String,
        name: String,
        scopes: Vec<String>,
    },
    /// Whose the token is.
    Revoke {
        owner: String,
    },
    /// Why the issue is open.
    Resolve {
        status: String,
    },
    /// What kind of secret was found.
    Alert {
        kind: String,
    },
    Nothing {},
}

impl Connector for GitHub {
    type Asked = Asked;
    type Config = ();
    type Undo = Undo;

    fn observe(call: &Call<Self>) -> Result<Value> {
        match &call.asked {
            Asked::Ticket(ticket::Call::Inspect { path }) => tickets::inspect(call, path),
            Asked::Token(token::Call::Check { token, .. }) => tokens::works(call, token),
            Asked::Token(asked) => grants::observe(call, asked),
            Asked::Alert(asked) => alerts::observe(call, asked),
            Asked::Ticket(_) => Err(other()),
        }
    }

    fn prepare(call: &Call<Self>) -> Result<Prepared<Undo>> {
        match &call.asked {
            Asked::Ticket(asked) => tickets::prepare(call, asked),
            Asked::Token(token::Call::RevokeValue { place, token }) => tokens::prepare(call, place, token),
            Asked::Token(token::Call::Revoke { path }) => grants::prepare(call, path),
            Asked::Alert(asked) => alerts::prepare(call, asked),
            Asked::Token(_) => Err(other()),
        }
    }

    fn perform(call: &Call<Self>, prepared: &Prepared<Undo>) -> Result<Value> {
        match &call.asked {
            Asked::Ticket(asked) => tickets::perform(asked, prepared),
            Asked::Token(token::Call::RevokeValue { place, token }) => tokens::perform(place, token),
            Asked::Token(token::Call::Revoke { path }) => grants::perform(path),
            Asked::Alert(asked) => alerts::perform(asked),
            Asked::Token(_) => Err(other()),
        }
    }

    fn state(call: &Call<Self>, prepared: &Prepared<Undo>, got: Option<&Value>) -> Result<Live> {
        match &call.asked {
            Asked::Ticket(asked) => tickets::state(asked, prepared, got),
            Asked::Token(token::Call::RevokeValue { token, .. }) => tokens::state(token, got),
            Asked::Token(token::Call::Revoke { path }) => grants::state(path),
            Asked::Alert(asked) => alerts::state(asked),
            Asked::Token(_) => Err(other()),
        }
    }

    fn undo(call: &Call<Self>, _: &Prepared<Undo>, got: Option<&Value>) -> Result<()> {
        match &call.asked {
            Asked::Ticket(asked) => tickets::undo(asked, got),
            Asked::Alert(asked) => alerts::undo(asked),
            Asked::Token(_) => Err(other()),
        }
    }
}

fn other() -> Failure {
    Failure::Invalid("the function is not one of this connector".to_owned())
}

remit::connector!(GitHub);
