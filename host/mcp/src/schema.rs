//! JSON Schemas of arguments and answers. Shapes that `--json` has too are those of `docs/json/remit.schema.json`.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};

/// The shapes of `--json`, by name. Those of commands are `answer-of-…`, as in the description of the HTTP API.
static DOCUMENTED: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    // The file is part of this program; a test reads it.
    let document: Value =
        serde_json::from_str(include_str!("../../../docs/json/remit.schema.json")).unwrap_or_default();
    let mut shapes = Map::new();
    for (name, shape) in document["$defs"].as_object().into_iter().flatten() {
        if name == "commands" {
            let commands = shape.as_object().into_iter().flatten();
            shapes.extend(commands.map(|(name, shape)| (answer(name), shape.clone())));
        } else {
            shapes.insert(name.clone(), shape.clone());
        }
    }
    shapes
});

fn answer(command: &str) -> String {
    format!("answer-of-{}", command.replace(' ', "-"))
}

/// A reference to a documented shape.
pub(crate) fn documented(name: &str) -> Schema {
    json_schema!({"$ref": format!("#/$defs/{name}")})
}

/// A type's schema, with every shape that it refers to.
pub(crate) fn of<T: JsonSchema>() -> Map<String, Value> {
    let settings =
        SchemaSettings::draft2020_12().with_transform(RecursiveTransform(|schema: &mut Schema| {
            // Says nothing that a checker looks at.
            schema.remove("format");
        }));
    let settings = settings.with(|settings| settings.inline_subschemas = true);
    let mut root = match SchemaGenerator::from(settings).into_root_schema_for::<T>().to_value() {
        Value::Object(root) => root,
        _ => Map::new(),
    };
    root.remove("$schema");
    root.remove("title");
    let mut shapes = Map::new();
    collect(&Value::Object(root.clone()), &mut shapes);
    if !shapes.is_empty() {
        root.insert("$defs".to_owned(), Value::Object(shapes));
    }
    root
}

/// Adds every documented shape that a schema refers to.
fn collect(schema: &Value, shapes: &mut Map<String, Value>) {
    match schema {
        Value::Object(members) => {
            if let Some(name) =
                members.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix("#/$defs/"))
                && !shapes.contains_key(name)
                && let Some(shape) = DOCUMENTED.get(name)
            {
                shapes.insert(name.to_owned(), shape.clone());
                collect(shape, shapes);
            }
            members.values().for_each(|member| collect(member, shapes));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, shapes)),
        _ => {}
    }
}
