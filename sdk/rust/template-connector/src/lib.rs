//! What this connector is for, and what the real system does that its documentation does not say.

use remit::connector::accounts::Call as Asked;
use remit::connector::{Call, Connector, Failure, Live, Prepared, Request, Result, segments};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

struct Accounts;

/// What the system says of a user.
#[derive(Deserialize)]
struct User {
    enabled: bool,
    name: String,
}

/// What the plan shows, and what is compared when the plan is run: what was approved.
#[derive(Serialize, Deserialize)]
struct Undo {
    name: String,
}

impl Connector for Accounts {
    type Asked = Asked;
    type Config = ();
    type Undo = Undo;

    fn observe(_: &Call<Self>) -> Result<Value> {
        Err(other())
    }

    fn prepare(call: &Call<Self>) -> Result<Prepared<Undo>> {
        let path = path(call)?;
        let user = user(path)?;
        // In a rehearsal, what it did before is not done, and counts as done.
        let before = |one: &remit::connector::Simulated<Self>| one.asked == call.asked;
        if !user.enabled || call.simulated.iter().any(before) {
            return Err(Failure::Conflict(format!("{path} is disabled already")));
        }
        let describe = format!("enable {path} again");
        Ok(Prepared::new(Undo { name: user.name }, describe))
    }

    fn perform(call: &Call<Self>, _: &Prepared<Undo>) -> Result<Value> {
        set(path(call)?, false)?;
        Ok(Value::Null)
    }

    fn state(call: &Call<Self>, _: &Prepared<Undo>, _: Option<&Value>) -> Result<Live> {
        Ok(if user(path(call)?)?.enabled { Live::Before } else { Live::After })
    }

    fn undo(call: &Call<Self>, _: &Prepared<Undo>, _: Option<&Value>) -> Result<()> {
        set(path(call)?, true)
    }
}

fn path(call: &Call<Accounts>) -> Result<&str> {
    match &call.asked {
        Asked::Disable { path } => Ok(path),
        _ => Err(other()),
    }
}

fn user(path: &str) -> Result<User> {
    let (_, [id]) = segments(path)?;
    Request::get(&["users", id]).send()?.ok(&format!("look at {path}"))?.json()
}

fn set(path: &str, enabled: bool) -> Result<()> {
    let (_, [id]) = segments(path)?;
    let request = Request::new("PATCH", &["users", id]).json(&json!({ "enabled": enabled }));
    request.send()?.ok(&format!("change {path}")).map(drop)
}

fn other() -> Failure {
    Failure::Invalid("the function is not one of this connector".to_owned())
}

remit::connector!(Accounts);
