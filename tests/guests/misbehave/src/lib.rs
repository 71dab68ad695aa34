//! An action that does whatever a test asks, allowed or not: `{"do": "outside", "path": "app/other"}`.

use std::hint::black_box;

use remit::{Error, log, secrets};
use serde::Deserialize;
use serde_json::{Value, json};

/// What to do and to what.
#[derive(Deserialize)]
struct Input {
    #[serde(rename = "do")]
    deed: Deed,
    /// The secret.
    #[serde(default)]
    path: String,
    /// Several secrets, for `rotate-many` and the deeds that rotate and then go astray.
    #[serde(default)]
    paths: Vec<String>,
    /// The field, where one is needed.
    field: Option<String>,
    /// The version, where one is needed.
    #[serde(default = "first")]
    version: u64,
    /// How many bytes a bomb has. More than the guest's memory limit ends it before the host sees it.
    #[serde(default = "hundred_megabytes")]
    size: usize,
}

fn first() -> u64 {
    1
}

fn hundred_megabytes() -> usize {
    100_000_000
}

/// One way to go wrong, or to reach something that a grant may not give.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Deed {
    /// Never returns.
    Loop,
    /// Takes memory until there is none.
    Memory,
    /// Calls itself until the stack ends.
    Recursion,
    /// Calls the host without end.
    Flood,
    /// Logs one line of `size` bytes.
    LogBomb,
    /// Returns `size` bytes.
    OutputBomb,
    /// Rotates `path`, which the test did not grant.
    Outside,
    Panic,
    /// Returns an error.
    Fail,
    /// Rotates `path`, then returns an error.
    RotateThenFail,
    /// Rotates `path`, then rotates `paths`, which the test did not grant.
    RotateThenOutside,
    RotateThenPanic,
    RotateThenLoop,
    /// Rotates each of `paths`.
    RotateMany,
    /// `run` does nothing; `verify` rotates `path`.
    ChangeInVerify,
    /// Rotates `path`; `verify` says that it does not hold.
    VerifyFails,
    /// Returns the value of `field` in `version` of `path`.
    Reveal,
    Destroy,
    Disable,
    /// Rotates `path` as it stands and returns what the host says to it.
    BadPath,
}

fn run(input: Input) -> Result<Value, Error> {
    let Input { deed, path, paths, field, version, size } = input;
    let rotate = |path: &str| secrets::rotate(path, field.as_deref());
    match deed {
        Deed::Loop => forever(),
        Deed::Memory => exhaust_memory(),
        Deed::Recursion => return Ok(json!(descend(0))),
        Deed::Flood => loop {
            // The answer does not matter; the call does.
            let _ = black_box(secrets::inspect(&path));
        },
        Deed::LogBomb => log::info("x".repeat(size)),
        Deed::OutputBomb => return Ok(json!("x".repeat(size))),
        Deed::Panic => die(),
        Deed::Fail => return Err(Error::new("failing as asked")),
        Deed::RotateThenFail => {
            rotate(&path)?;
            return Err(Error::new("failing after the rotation as asked"));
        }
        Deed::RotateThenOutside => {
            rotate(&path)?;
            for outside in &paths {
                rotate(outside)?;
            }
        }
        Deed::RotateThenPanic => {
            rotate(&path)?;
            die();
        }
        Deed::RotateThenLoop => {
            rotate(&path)?;
            forever();
        }
        Deed::RotateMany => {
            for path in &paths {
                rotate(path)?;
            }
        }
        Deed::ChangeInVerify => {}
        Deed::Outside | Deed::VerifyFails => {
            rotate(&path)?;
        }
        Deed::Reveal => {
            let field = field.as_deref().unwrap_or("value");
            return Ok(json!({ "value": secrets::reveal(&path, field, version)? }));
        }
        Deed::Destroy => secrets::destroy(&path, version)?,
        Deed::Disable => secrets::disable(&path, version)?,
        Deed::BadPath => {
            let answer = rotate(&path).err().map(|error| error.to_string());
            return Ok(json!({ "failure": answer }));
        }
    }
    Ok(json!({ "done": true }))
}

fn verify(Input { deed, path, field, .. }: Input, _: Value) -> Result<(), Error> {
    match deed {
        Deed::ChangeInVerify => secrets::rotate(&path, field.as_deref()).map(drop),
        Deed::VerifyFails => Err(Error::new("it does not hold, as asked")),
        _ => Ok(()),
    }
}

remit::action!(run, verify);

fn forever() -> ! {
    let mut turn = 0_u64;
    loop {
        turn = black_box(turn.wrapping_add(1));
    }
}

fn exhaust_memory() -> ! {
    let mut held = Vec::new();
    loop {
        held.push(vec![1_u8; 1 << 20]);
        black_box(&held);
    }
}

#[expect(unconditional_recursion, reason = "the point of it")]
fn descend(depth: u64) -> u64 {
    black_box(descend(black_box(depth + 1)) + 1)
}

fn die() -> ! {
    panic!("panicking as asked")
}
