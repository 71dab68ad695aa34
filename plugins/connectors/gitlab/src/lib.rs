//! Access tokens and issues of GitLab.
//!
//! What GitLab does, and what follows from it:
//! - Every access token, of a person, a project or a group, may look at itself and revoke itself, whatever its scopes. So who holds
//!   the value needs no permission of anybody; by its number, only its user and administrators can revoke it.
//! - Who is no administrator is answered with 401 for a token that there is not, as for one of somebody else.
//! - A revoked token is still shown by its number, with `revoked`.
//! - A line that begins with `/` is a command in a text: `/close`, `/assign`, `/confidential`. Such a text is refused: what was approved is
//!   a text. `@name` calls a person, and `#7` leaves a trace in another issue; that is not taken back.
//! - Only planners and owners may delete an issue, and no number is used again. What was opened is closed when it is taken back.
//! - Deletions look at `If-Unmodified-Since`, other changes at nothing: what is read is compared before and after, and somebody who is
//!   quicker than that is not noticed.

mod issue;
mod tickets;
mod tokens;

use remit::connector::{
    Call, Connector, Failure, Live, Prepared, Result, tickets as ticket, tokens as token,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

struct GitLab;

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
    /// Whose the token is, and what it was for.
    Revoke { token: String, owner: String, name: String, scopes: Vec<String> },
    /// The name of the project, or of the issue, whose path is of numbers.
    Of { what: String },
}

impl Connector for GitLab {
    type Asked = Asked;
    type Config = ();
    type Undo = Undo;

    fn observe(call: &Call<Self>) -> Result<Value> {
        match &call.asked {
            Asked::Ticket(ticket::Call::Inspect { path }) => tickets::inspect(call, path),
            Asked::Ticket(_) => Err(other()),
            Asked::Token(asked) => tokens::observe(call, asked),
        }
    }

    fn prepare(call: &Call<Self>) -> Result<Prepared<Undo>> {
        match &call.asked {
            Asked::Ticket(asked) => tickets::prepare(call, asked),
            Asked::Token(asked) => tokens::prepare(call, asked),
        }
    }

    fn perform(call: &Call<Self>, _: &Prepared<Undo>) -> Result<Value> {
        match &call.asked {
            Asked::Ticket(asked) => tickets::perform(asked),
            Asked::Token(asked) => tokens::perform(asked),
        }
    }

    fn state(call: &Call<Self>, prepared: &Prepared<Undo>, got: Option<&Value>) -> Result<Live> {
        match &call.asked {
            Asked::Ticket(asked) => tickets::state(asked, prepared, got),
            Asked::Token(asked) => tokens::state(asked),
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

remit::connector!(GitLab);
