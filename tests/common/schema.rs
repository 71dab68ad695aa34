//! What `docs/json/remit.schema.json` says of a command's output: every test that asks for JSON is held to it.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock};

use jsonschema::Validator;
use serde_json::{Value, json};

const SCHEMA: &str = include_str!("../../docs/json/remit.schema.json");

fn schema() -> &'static Value {
    static SCHEMA_: OnceLock<Value> = OnceLock::new();
    SCHEMA_.get_or_init(|| serde_json::from_str(SCHEMA).unwrap())
}

/// Every command that it describes, as it is typed.
pub fn commands() -> Vec<String> {
    let all = schema()["$defs"]["commands"].as_object().unwrap();
    all.keys().filter(|name| !name.starts_with('$')).cloned().collect()
}

/// The command among the arguments, as the schema names it.
fn command(args: &[&str]) -> Option<String> {
    let words: Vec<&str> = args.iter().skip_while(|arg| arg.starts_with('-')).take(2).copied().collect();
    let commands = commands();
    let both = words.join(" ");
    [both.as_str(), words.first()?]
        .into_iter()
        .find(|name| commands.iter().any(|c| c == name))
        .map(str::to_owned)
}

/// What is wrong with the output of such a command, each place a line.
pub fn wrong(name: &str, output: &Value) -> Vec<String> {
    static VALIDATORS: OnceLock<Mutex<HashMap<String, &'static Validator>>> = OnceLock::new();
    let mut validators = VALIDATORS.get_or_init(Mutex::default).lock().unwrap();
    let validator = *validators.entry(name.to_owned()).or_insert_with(|| {
        let place = name.replace(' ', "%20");
        let whole = json!({"$ref": format!("#/$defs/commands/{place}"), "$defs": schema()["$defs"]});
        Box::leak(Box::new(jsonschema::draft202012::new(&whole).unwrap()))
    });
    validator.iter_errors(output).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// Holds what was printed to the schema, if JSON was asked for.
#[track_caller]
pub fn hold(args: &[&str], printed: &str) {
    if !args.contains(&"--json") || printed.trim().is_empty() {
        return;
    }
    let name = command(args).unwrap_or_else(|| panic!("{args:?} is not described in docs/json"));
    let output = serde_json::from_str(printed).unwrap_or_else(|error| panic!("{error} in:\n{printed}"));
    let wrong = wrong(&name, &output);
    assert!(
        wrong.is_empty(),
        "`remit {name} --json` is not what docs/json says:\n{}\n{printed}",
        wrong.join("\n")
    );
}
