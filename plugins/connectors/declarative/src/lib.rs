//! The interpreter of connectors that are written in TOML: what has a state that a read tells, and one request to change it.
//!
//! It is no connector by itself. `remit build` makes one of it and of a `connector.toml`, whose functions it writes into
//! [`PROGRAM`], with the description and the WIT beside the code as in every connector. The host compares what this code asks to be
//! sent with that description, as it does for every connector: nothing depends on that the two say the same.

mod fill;
mod program;

use remit::connector::{Call, Connector, Failure, Live, Prepared, Result};
use serde::Deserialize;
use serde_json::{Map, Value};

use fill::{Scope, Seen, at_place, put};
use program::{Function, MARK, Program, ROOM, State, Template};

/// Where `remit build` writes the program.
#[used]
static PROGRAM: [u8; ROOM] = room();

#[expect(clippy::large_stack_arrays, reason = "it is on the compiler's stack")]
const fn room() -> [u8; ROOM] {
    let mut room = [b' '; ROOM];
    let mut at = 0;
    while at < MARK.len() {
        room[at] = MARK[at];
        at += 1;
    }
    room
}

struct Declarative;

#[derive(Deserialize)]
struct Asked {
    function: String,
    arguments: Map<String, Value>,
}

impl Connector for Declarative {
    type Asked = Asked;
    type Config = Value;
    type Undo = Value;

    fn observe(call: &Call<Self>) -> Result<Value> {
        let program = program()?;
        let mut scope = scope(&program, call)?;
        look(&program, call, &mut scope)?;
        let returned = scope.value(&scope.function.returns)?;
        if let Some(total) = &scope.function.total {
            let total = at_place(&scope.seen.body, total).as_u64().unwrap_or_default();
            let has = returned.as_array().map_or(0, Vec::len);
            if total > has as u64 {
                let path = scope.path();
                return Err(Failure::Unavailable(format!(
                    "{path} has {total}, and the system tells {has} at once"
                )));
            }
        }
        Ok(returned)
    }

    fn prepare(call: &Call<Self>) -> Result<Prepared<Value>> {
        let program = program()?;
        let mut scope = scope(&program, call)?;
        look(&program, call, &mut scope)?;
        let (path, was, after) = (scope.path(), now(&scope), after(&scope)?);
        if was == after {
            return Err(Failure::Conflict(format!("{} is {was} already", what(&scope))));
        }
        if let Some(before) = &scope.function.before {
            let before = scope.value(before)?;
            if was != before {
                return Err(Failure::Conflict(format!("{} is {was}, and not {before}", what(&scope))));
            }
        }
        scope.undo = written(&scope, was.clone());
        let describe = match &scope.function.describe {
            Some(describe) => scope.text(describe)?,
            None => format!("put {was} back for {path}"),
        };
        let would_return = scope.value(&scope.function.returns)?;
        Ok(Prepared::new(scope.undo, describe).returning(&would_return))
    }

    fn perform(call: &Call<Self>, prepared: &Prepared<Value>) -> Result<Value> {
        let program = program()?;
        let mut scope = scope(&program, call)?;
        look(&program, call, &mut scope)?;
        let now = written(&scope, now(&scope));
        if now != prepared.undo {
            return Err(Failure::Conflict(format!("{} is not as it was: {now} now", scope.path())));
        }
        scope.undo = now;
        send(&scope, scope.function.change.as_ref(), "change")?;
        scope.value(&scope.function.returns)
    }

    fn state(call: &Call<Self>, prepared: &Prepared<Value>, got: Option<&Value>) -> Result<Live> {
        let program = program()?;
        let mut scope = scope(&program, call)?;
        (scope.undo, scope.got) = (prepared.undo.clone(), got);
        match look(&program, call, &mut scope) {
            Err(Failure::NotFound(why)) => return Ok(Live::Other(why)),
            looked => looked?,
        }
        let now = now(&scope);
        Ok(if now == after(&scope)? {
            Live::After
        } else if now == prepared.undo["was"] {
            Live::Before
        } else {
            Live::Other(format!("{} is {now} now", what(&scope)))
        })
    }

    fn undo(call: &Call<Self>, prepared: &Prepared<Value>, got: Option<&Value>) -> Result<()> {
        let program = program()?;
        let mut scope = scope(&program, call)?;
        (scope.undo, scope.got) = (prepared.undo.clone(), got);
        look(&program, call, &mut scope)?;
        let now = now(&scope);
        if now != after(&scope)? {
            return Err(Failure::Conflict(format!("{} is {now} now", what(&scope))));
        }
        send(&scope, scope.function.undo.as_ref(), "change back")
    }
}

fn program() -> Result<Program> {
    // The compiler knows only what stands there before the build.
    let program = std::hint::black_box(&PROGRAM);
    serde_json::from_slice(program)
        .map_err(|error| Failure::Invalid(format!("this interpreter has no program: {error}")))
}

fn function<'a>(program: &'a Program, asked: &Asked) -> Result<&'a Function> {
    let none = || Failure::Invalid(format!("there is no function {}", asked.function));
    program.get(&asked.function).ok_or_else(none)
}

fn scope<'a>(program: &'a Program, call: &'a Call<Declarative>) -> Result<Scope<'a>> {
    Ok(Scope::new(function(program, &call.asked)?, &call.asked.arguments, &call.config))
}

/// Asks the system for the resource. What a rehearsal changed before is as it left it.
fn look(program: &Program, call: &Call<Declarative>, scope: &mut Scope<'_>) -> Result<()> {
    let address = scope.address(&scope.function.read)?;
    let answer = scope.request(&scope.function.read)?.send()?;
    let found = !matches!(answer.status, 404 | 410);
    let may_be_missing = matches!(scope.function.state, Some(State::Found));
    scope.seen = if found || !may_be_missing {
        let answer = answer.ok(&format!("look at {}", scope.path()))?;
        let etag = answer.header("etag").map(ToOwned::to_owned);
        let body = if answer.body.is_empty() { Value::Null } else { answer.json()? };
        Seen { found, body, etag }
    } else {
        Seen::default()
    };
    for one in &call.simulated {
        let of = Scope::new(function(program, &one.asked)?, &one.asked.arguments, &call.config);
        if let Some(State::At(pointer)) = &of.function.state {
            scope.simulated.push((of.path().to_owned(), pointer.clone(), after(&of)?));
        }
        // It is the same thing if the same is asked for it.
        if of.address(&of.function.read)? != address {
            continue;
        }
        match &of.function.state {
            Some(State::Found) => scope.seen.found = after(&of)? == Value::Bool(true),
            Some(State::At(pointer)) => put(&mut scope.seen.body, pointer, after(&of)?),
            None => {}
        }
    }
    Ok(())
}

/// The state that was seen.
fn now(scope: &Scope<'_>) -> Value {
    match &scope.function.state {
        Some(State::At(pointer)) => at_place(&scope.seen.body, pointer),
        Some(State::Found) | None => Value::Bool(scope.seen.found),
    }
}

fn after(scope: &Scope<'_>) -> Result<Value> {
    scope.function.after.as_ref().map_or(Ok(Value::Null), |after| scope.value(after))
}

/// What is written down before a change: the state, and what else is to be kept.
fn written(scope: &Scope<'_>, was: Value) -> Value {
    let kept = scope.function.keep.iter();
    let mut all: Map<String, Value> =
        kept.map(|(name, pointer)| (name.clone(), at_place(&scope.seen.body, pointer))).collect();
    all.insert("was".to_owned(), was);
    Value::Object(all)
}

/// The state's name, for a person.
fn what(scope: &Scope<'_>) -> String {
    match &scope.function.state {
        Some(State::At(pointer)) => format!("/{} of {}", pointer.join("/"), scope.path()),
        Some(State::Found) | None => format!("whether there is {}", scope.path()),
    }
}

fn send(scope: &Scope<'_>, template: Option<&Template>, doing: &str) -> Result<()> {
    let template = template.ok_or_else(|| Failure::Invalid(format!("nothing says how to {doing}")))?;
    scope.request(template)?.send()?.ok(&format!("{doing} {}", scope.path()))?;
    Ok(())
}

remit::connector!(Declarative);
