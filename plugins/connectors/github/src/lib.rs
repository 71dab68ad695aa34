//! Issues of GitHub, and tokens of GitHub that leaked.
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

mod api;
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
}

/// What the plan shows. What others change by the way is in the sealed part instead.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Undo {
    /// Whose the token is.
    Revoke {
        owner: String,
    },
    /// Why the issue is open.
    Resolve {
        status: String,
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
            _ => Err(other()),
        }
    }

    fn prepare(call: &Call<Self>) -> Result<Prepared<Undo>> {
        match &call.asked {
            Asked::Ticket(asked) => tickets::prepare(call, asked),
            Asked::Token(token::Call::RevokeValue { place, token }) => tokens::prepare(call, place, token),
            Asked::Token(_) => Err(other()),
        }
    }

    fn perform(call: &Call<Self>, prepared: &Prepared<Undo>) -> Result<Value> {
        match &call.asked {
            Asked::Ticket(asked) => tickets::perform(asked, prepared),
            Asked::Token(token::Call::RevokeValue { place, token }) => tokens::perform(place, token),
            Asked::Token(_) => Err(other()),
        }
    }

    fn state(call: &Call<Self>, prepared: &Prepared<Undo>, got: Option<&Value>) -> Result<Live> {
        match &call.asked {
            Asked::Ticket(asked) => tickets::state(asked, prepared, got),
            Asked::Token(token::Call::RevokeValue { token, .. }) => tokens::state(token, got),
            Asked::Token(_) => Err(other()),
        }
    }

    fn undo(call: &Call<Self>, _: &Prepared<Undo>, got: Option<&Value>) -> Result<()> {
        match &call.asked {
            Asked::Ticket(asked) => tickets::undo(asked, got),
            Asked::Token(_) => Err(other()),
        }
    }
}

fn other() -> Failure {
    Failure::Invalid("the function is not one of this connector".to_owned())
}

remit::connector!(GitHub);
