//! For tests of connectors to ticket systems: each power of the package, on one ticket.

use remit::{Error, tickets};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    /// Where to open the ticket, or the path of one that there is.
    place: Option<String>,
    path: Option<String>,
    /// What to say.
    text: Option<String>,
    #[serde(default)]
    resolve: bool,
}

#[derive(Serialize, Deserialize)]
struct Output {
    path: String,
    status: String,
    comments: u32,
}

fn run(Input { place, path, text, resolve }: Input) -> Result<Output, Error> {
    let path = match (place, path) {
        (Some(place), None) => {
            tickets::open(&place, "A token leaked", "It was found in a repository.\nBy a scanner.")?.path
        }
        (_, path) => path.ok_or_else(|| Error::new("where?"))?,
    };
    if let Some(text) = text {
        tickets::comment(&path, &text)?;
    }
    if resolve {
        tickets::resolve(&path)?;
    }
    let now = tickets::inspect(&path)?;
    Ok(Output { path, status: now.status, comments: now.comments })
}

fn verify(input: Input, output: Output) -> Result<(), Error> {
    let now = tickets::inspect(&output.path)?;
    if now.state == tickets::TicketState::Resolved || !input.resolve {
        return Ok(());
    }
    Err(Error::new("it is not resolved"))
}

remit::action!(run, verify);
