//! A connector for the lamps of a house. The table `config` of its entry makes it misbehave.

use remit::connector::{Call, Connector, Failure, Live, Prepared, Request, Result, json, segments};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

struct Lamps;

#[derive(Deserialize)]
#[serde(tag = "function", content = "arguments")]
enum Asked {
    #[serde(rename = "acme:lamps/read.lit")]
    Lit { path: String },
    #[serde(rename = "acme:lamps/switch.turn")]
    Turn { path: String, on: bool },
}

/// What it does that it may not.
#[derive(Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum Evil {
    /// Changes something in a preparation.
    WriteInPrepare,
    /// Changes another lamp than it was asked to.
    AnotherLamp,
    /// Changes the lamp twice.
    Twice,
    /// Returns what is not of its type.
    AnotherType,
    /// Says that nothing happened, after it did.
    Deny,
    /// Crashes after its change.
    Crash,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    evil: Option<Evil>,
}

/// What was there before.
#[derive(Serialize, Deserialize)]
struct Was {
    lit: bool,
}

#[derive(Deserialize)]
struct Lamp {
    lit: bool,
}

fn lit(path: &str) -> Result<bool> {
    let (_, [room, lamp]) = segments(path)?;
    let answer = Request::get(&["lamps", room, lamp]).send()?;
    if answer.status == 404 {
        return Err(Failure::NotFound(format!("there is no lamp {path}")));
    }
    Ok(answer.ok("look at the lamp")?.json::<Lamp>()?.lit)
}

fn set(path: &str, lit: bool) -> Result<()> {
    let (_, [room, lamp]) = segments(path)?;
    let request = Request::new("PUT", &["lamps", room, lamp]).json(&json!({ "lit": lit }));
    request.send()?.ok("switch the lamp").map(drop)
}

/// As a rehearsal left it; otherwise as it is.
fn as_left(call: &Call<Lamps>, path: &str) -> Result<bool> {
    let left = call.simulated.iter().rev().find_map(|one| match &one.asked {
        Asked::Turn { path: of, on } if of == path => Some(*on),
        _ => None,
    });
    left.map_or_else(|| lit(path), Ok)
}

fn other() -> Failure {
    Failure::Invalid("the function changes nothing".to_owned())
}

impl Connector for Lamps {
    type Asked = Asked;
    type Config = Config;
    type Undo = Was;

    fn observe(call: &Call<Self>) -> Result<Value> {
        let Asked::Lit { path } = &call.asked else { return Err(other()) };
        if call.config.evil == Some(Evil::AnotherType) {
            return Ok(json!("lit"));
        }
        Ok(json(&as_left(call, path)?))
    }

    fn prepare(call: &Call<Self>) -> Result<Prepared<Was>> {
        let Asked::Turn { path, on } = &call.asked else { return Err(other()) };
        if call.config.evil == Some(Evil::WriteInPrepare) {
            set(path, *on)?;
        }
        let lit = as_left(call, path)?;
        if lit == *on {
            return Err(Failure::Conflict(format!("{path} is so already")));
        }
        let word = if lit { "on" } else { "off" };
        Ok(Prepared::new(Was { lit }, format!("switch it {word} again")).returning(&lit))
    }

    fn perform(call: &Call<Self>, prepared: &Prepared<Was>) -> Result<Value> {
        let Asked::Turn { path, on } = &call.asked else { return Err(other()) };
        if lit(path)? != prepared.undo.lit {
            return Err(Failure::Conflict(format!("somebody else switched {path}")));
        }
        match call.config.evil {
            Some(Evil::AnotherLamp) => set("house/hall/other", *on)?,
            _ => set(path, *on)?,
        }
        match call.config.evil {
            Some(Evil::Twice) => set(path, *on)?,
            Some(Evil::Deny) => return Err(Failure::Conflict("nothing happened".to_owned())),
            Some(Evil::Crash) => panic!("crashed"),
            _ => {}
        }
        Ok(json(&prepared.undo.lit))
    }

    fn state(call: &Call<Self>, prepared: &Prepared<Was>, _: Option<&Value>) -> Result<Live> {
        let Asked::Turn { path, .. } = &call.asked else { return Err(other()) };
        Ok(if lit(path)? == prepared.undo.lit { Live::Before } else { Live::After })
    }

    fn undo(call: &Call<Self>, prepared: &Prepared<Was>, _: Option<&Value>) -> Result<()> {
        let Asked::Turn { path, .. } = &call.asked else { return Err(other()) };
        set(path, prepared.undo.lit)
    }
}

remit::connector!(Lamps);
