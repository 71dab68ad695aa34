//! Opens a ticket, or says in one what became of the matter, and that nothing is left to do.

use remit::Error;
use remit::tickets::{self, TicketState};
use serde::{Deserialize, Serialize};

/// What to say, and where.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    /// Where to open a ticket,
    place: Option<String>,
    /// and what it is about.
    title: Option<String>,
    /// Otherwise the ticket to write into.
    ticket: Option<String>,
    /// What to say.
    text: String,
    /// Whether nothing is left to do.
    #[serde(default)]
    resolve: bool,
}

/// Where it was said.
#[derive(Serialize, Deserialize)]
struct Output {
    /// The ticket's path.
    ticket: String,
}

fn run(input: Input) -> Result<Output, Error> {
    let ticket = match (input.place, input.title, input.ticket) {
        (Some(place), Some(title), None) => tickets::open(&place, &title, &input.text)?.path,
        (None, None, Some(ticket)) => {
            tickets::comment(&ticket, &input.text)?;
            ticket
        }
        _ => return Err(Error::new("give either place and title, or ticket")),
    };
    // Last: in some trackers a comment opens what is resolved again.
    if input.resolve {
        tickets::resolve(&ticket)?;
    }
    Ok(Output { ticket })
}

fn verify(input: Input, Output { ticket }: Output) -> Result<(), Error> {
    let now = tickets::inspect(&ticket)?;
    if (now.state == TicketState::Resolved) != input.resolve {
        return Err(Error::new(format!("{ticket} is {}", now.status)));
    }
    Ok(())
}

remit::action!(run, verify);
