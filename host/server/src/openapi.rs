//! `OpenAPI` 3.1, from the table of routes.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::problem;
use crate::routes::{Access, Holds, ROUTES, Route, Shape};

/// The shapes of `--json`, which answers have too.
const DOCUMENTED: &str = include_str!("../../../docs/json/remit.schema.json");

/// The description of all routes.
pub(crate) fn description() -> Value {
    let mut schemas = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    schemas.inline_subschemas = false;
    let mut generator = schemas.into_generator();
    let mut of = |shape: Shape| shape(&mut generator).to_value();
    let mut paths = Map::new();
    let problem = of(schemars::SchemaGenerator::subschema_for::<problem::Document>);
    for route in ROUTES {
        let path = paths.entry(route.path.replace("{*", "{")).or_insert_with(|| json!({}));
        path[route.method.as_str().to_lowercase()] = operation(route, &problem, &mut of);
    }
    let mut components = documented();
    components.extend(generator.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Remit",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "Prepare, sign, submit: the server makes a document, whoever holds the key signs it, and the server \
                            looks at everything again as it accepts it. docs/server.md tells how.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "session": {
                    "type": "http",
                    "scheme": "DPoP",
                    "description": "The token of a session, with a proof in the header DPoP (RFC 9449).",
                },
            },
        },
    })
}

/// The definitions of the documented shapes, as components.
fn documented() -> Map<String, Value> {
    // The file is part of this program; a test reads it.
    let document: Value = serde_json::from_str(DOCUMENTED).unwrap_or_default();
    let mut components = Map::new();
    for (name, shape) in document["$defs"].as_object().into_iter().flatten() {
        match name.as_str() {
            "commands" => {
                for (command, shape) in shape.as_object().into_iter().flatten() {
                    components.insert(component(&format!("commands/{command}")), moved(shape));
                }
            }
            _ => {
                components.insert(component(name), moved(shape));
            }
        }
    }
    components
}

/// The name of a documented shape as a component, which may have no slash and no space.
fn component(name: &str) -> String {
    name.replace("commands/", "answer-of-").replace(' ', "-")
}

/// A documented shape whose references lead to the components.
fn moved(shape: &Value) -> Value {
    match shape {
        Value::Object(members) => {
            let moved = members.iter().map(|(name, value)| match (name.as_str(), value.as_str()) {
                ("$ref", Some(to)) => {
                    (name.clone(), reference(to.trim_start_matches("#/$defs/"))["$ref"].clone())
                }
                _ => (name.clone(), moved(value)),
            });
            Value::Object(moved.collect())
        }
        Value::Array(items) => items.iter().map(moved).collect(),
        other => other.clone(),
    }
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{}", component(&name.replace("~1", "/").replace("%20", " ")))})
}

fn content(holds: Holds, of: &mut impl FnMut(Shape) -> Value) -> Value {
    match holds {
        Holds::Own(shape) => json!({"application/json": {"schema": of(shape)}}),
        Holds::Documented(name) => json!({"application/json": {"schema": reference(name)}}),
        Holds::Raw(media_type) => json!({(media_type): {}}),
    }
}

/// The shape of a parameter that is given: none is said by leaving it out.
fn given(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(members) = schema.as_object_mut() {
        members.retain(|name, value| name != "default" || !value.is_null());
        if let Some(Value::Array(types)) = members.get("type") {
            let some = types.iter().find(|one| *one != "null").cloned();
            members.insert("type".to_owned(), some.unwrap_or_default());
        }
    }
    schema
}

fn operation(route: &Route, problem: &Value, of: &mut impl FnMut(Shape) -> Value) -> Value {
    let (status, holds) = route.answers;
    let mut parameters: Vec<Value> = route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        // What is left of the path, slashes included, is a parameter like the others.
        .map(|name| name.trim_start_matches('*'))
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect();
    if let Some(query) = route.query {
        let shape = of(query);
        for (name, schema) in shape["properties"].as_object().into_iter().flatten() {
            parameters.push(json!({"name": name, "in": "query", "required": false, "schema": given(schema)}));
        }
    }
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.does,
        "parameters": parameters,
        "responses": {
            (status.to_string()): {"description": "Done.", "content": content(holds, of)},
            "default": {
                "description": "A problem (RFC 9457).",
                "content": {"application/problem+json": {"schema": problem}},
            },
        },
        "security": match route.access {
            Access::Session => json!([{"session": []}]),
            Access::Open | Access::Signed => json!([]),
        },
    });
    if let Some(takes) = route.takes {
        operation["requestBody"] = json!({"required": true, "content": content(takes, of)});
    }
    operation
}
