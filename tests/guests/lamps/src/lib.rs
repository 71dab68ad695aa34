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
    #[serde(rename = "acme:lamps/lock.set")]
    Lock { path: String, code: String },
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

/// Who has the code in place of the connector's own credential is told whether it is the lock's.
#[derive(Deserialize)]
struct Lock {
    locked: bool,
    #[serde(default)]
    yours: bool,
}

fn lock(path: &str, code: Option<&str>) -> Result<Lock> {
    let (_, [room, lamp]) = segments(path)?;
    let request = Request::get(&["lamps", room, lamp, "lock"]);
    let request = code.into_iter().fold(request, Request::credential);
    request.send()?.ok("look at the lock")?.json()
}

fn set_lock(path: &str, code: Option<&str>) -> Result<()> {
    let (_, [room, lamp]) = segments(path)?;
    let request = Request::new("PUT", &["lamps", room, lamp, "lock"]).json(&json!({ "code": code }));
    request.send()?.ok("set the lock").map(drop)
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
        if let Asked::Lock { path, .. } = &call.asked {
            if lock(path, None)?.locked {
                return Err(Failure::Conflict(format!("{path} is locked already")));
            }
            return Ok(Prepared::new(Was { lit: false }, "take the lock off"));
        }
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
        if let Asked::Lock { path, code } = &call.asked {
            set_lock(path, Some(code))?;
            return Ok(Value::Null);
        }
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
        if let Asked::Lock { path, code } = &call.asked {
            // After the run the host may not have the code any more: then, that there is a lock is all that can be told.
            let seen = lock(path, Some(code)).or_else(|_| {
                let Lock { locked, .. } = lock(path, None)?;
                Ok(Lock { locked, yours: locked })
            })?;
            return Ok(match seen {
                Lock { locked: false, .. } => Live::Before,
                Lock { yours: true, .. } => Live::After,
                Lock { .. } => Live::Other("it has another code".to_owned()),
            });
        }
        let Asked::Turn { path, .. } = &call.asked else { return Err(other()) };
        Ok(if lit(path)? == prepared.undo.lit { Live::Before } else { Live::After })
    }

    fn undo(call: &Call<Self>, prepared: &Prepared<Was>, _: Option<&Value>) -> Result<()> {
        if let Asked::Lock { path, .. } = &call.asked {
            return set_lock(path, None);
        }
        let Asked::Turn { path, .. } = &call.asked else { return Err(other()) };
        set(path, prepared.undo.lit)
    }
}

remit::connector!(Lamps);
