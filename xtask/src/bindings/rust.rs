//! Rust: the bindings of wit-bindgen, for each package a module of functions whose error is the SDK's, and for connectors the
//! types that they are called with and answer, as JSON.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};
use heck::{ToSnakeCase, ToUpperCamelCase};
use wit_bindgen_core::WorldGenerator;
use wit_bindgen_rust::{WithOption, to_rust_ident};
use wit_parser::{Resolve, WorldId};

use super::text::{Files, MARK, commented, list};
use remit_author::model::{Function, Kind, Named, Package, Piece, Ty};

pub(super) fn generate(resolve: &Resolve, packages: &[Package], files: &mut Files) -> Result<()> {
    let (action, world) = remit_author::sdk_world(resolve.clone());
    files.insert("rust/src/bindings.rs".into(), bindings(action, world, Vec::new())?);
    let (connector, world) = remit_author::connector_world(resolve.clone());
    let ours = ["remit:types/errors@0.1.0", "remit:host/log@0.1.0"].map(|import| {
        let name = import.replace([':', '/'], "::");
        let path = name.split('@').next().unwrap_or_default();
        (import.to_owned(), WithOption::Path(format!("crate::bindings::{path}")))
    });
    files.insert("rust/src/connector/bindings.rs".into(), bindings(connector, world, ours.to_vec())?);
    files.insert("rust/src/connector/domains.rs".into(), connector_types(packages)?);
    let mut text =
        format!("// {MARK}\n//! What a scope can grant, one module for each package of the WIT.\n");
    for package in packages {
        module(package, &mut text);
    }
    files.insert("rust/src/domains.rs".into(), text);
    Ok(())
}

pub(super) fn bindings(
    mut resolve: Resolve,
    world: WorldId,
    with: Vec<(String, WithOption)>,
) -> Result<String> {
    let options = wit_bindgen_rust::Opts {
        format: true,
        generate_all: true,
        with,
        pub_export_macro: true,
        ..Default::default()
    };
    let mut files = wit_bindgen_core::Files::default();
    options.build().generate(&mut resolve, world, &mut files)?;
    let (_, source) = files.iter().next().context("the generator wrote nothing")?;
    Ok(format!("// {MARK}\n{}", std::str::from_utf8(source)?))
}

fn module(package: &Package, text: &mut String) {
    let name = to_rust_ident(&package.name);
    // Writing to a string cannot fail.
    let _ = write!(text, "\n{}pub mod {name} {{\n", commented(&package.docs, "/// "));
    let _ = writeln!(
        text,
        "    use crate::bindings::remit::{name} as host;\n    use crate::error::{{Error, because}};\n"
    );
    for interface in &package.interfaces {
        let module = to_rust_ident(&interface.name);
        for ty in &interface.types {
            let _ = writeln!(text, "    pub use host::{module}::{};", ty.name.to_upper_camel_case());
        }
    }
    for interface in &package.interfaces {
        for function in &interface.functions {
            text.push('\n');
            self::function(package, &to_rust_ident(&interface.name), function, text);
        }
    }
    text.push_str("}\n");
}

fn function(package: &Package, module: &str, function: &Function, text: &mut String) {
    let params = list(&function.params, |p| format!("{}: {}", to_rust_ident(&p.name), param(package, &p.ty)));
    let ok = function.ok.as_ref().map_or("()".to_owned(), owned);
    let name = to_rust_ident(&function.name);
    let arguments = list(&function.params, |p| to_rust_ident(&p.name));
    let doing: String = function
        .doing
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Param(i) => format!("{{{}}}", to_rust_ident(&function.params[*i].name)),
        })
        .collect();
    text.push_str(&commented(&function.docs, "    /// "));
    let call = to_rust_ident(&function.wit);
    let _ = write!(
        text,
        "    pub fn {name}({params}) -> Result<{ok}, Error> {{\n        \
         host::{module}::{call}({arguments}).map_err(because(|| format!(\"{doing}\")))\n    }}\n"
    );
}

/// As the bindings take a type: what holds text or a list is borrowed.
fn param(package: &Package, ty: &Ty) -> String {
    match ty {
        Ty::Text => "&str".to_owned(),
        Ty::Option(inner) => format!("Option<{}>", param(package, inner)),
        Ty::List(inner) => format!("&[{}]", owned(inner)),
        Ty::Record(_) if package.any(ty, &|ty| matches!(ty, Ty::Text | Ty::List(_))) => {
            format!("&{}", owned(ty))
        }
        other => owned(other),
    }
}

fn owned(ty: &Ty) -> String {
    match ty {
        Ty::Bool => "bool".to_owned(),
        Ty::Int(name) => name.replace('s', "i"),
        Ty::Float(name) => (*name).to_owned(),
        Ty::Text => "String".to_owned(),
        Ty::Option(inner) => format!("Option<{}>", owned(inner)),
        Ty::List(inner) => format!("Vec<{}>", owned(inner)),
        Ty::Record(of) | Ty::Enum(of) => {
            format!("host::{}::{}", of.interface.to_snake_case(), of.name.to_upper_camel_case())
        }
    }
}

/// The domains whose resources are the host's own: no connector implements them.
const NATIVE: [&str; 5] = ["databases", "evidence", "files", "network", "secrets"];

/// The types of what connectors implement: how a call and its answer are as JSON.
fn connector_types(packages: &[Package]) -> Result<String> {
    let mut text = format!(
        "// {MARK}\n//! What connectors are called with, and what they answer: one module for each package of the WIT.\n"
    );
    for package in packages.iter().filter(|package| !NATIVE.contains(&package.name.as_str())) {
        let _ = write!(
            text,
            "\n{}pub mod {} {{\n    use serde::{{Deserialize, Serialize}};\n",
            commented(&package.docs, "/// "),
            to_rust_ident(&package.name)
        );
        for ty in package.interfaces.iter().flat_map(|interface| &interface.types) {
            connector_type(ty, &mut text)?;
        }
        text.push_str(
            "\n    /// One call of a function of this package.\n    #[derive(Clone, Debug, PartialEq, Eq, Deserialize)]\n    \
             #[serde(tag = \"function\", content = \"arguments\")]\n    pub enum Call {\n",
        );
        for interface in &package.interfaces {
            for function in &interface.functions {
                let import = interface.import.split('@').next().unwrap_or_default();
                let _ = write!(
                    text,
                    "{}        #[serde(rename = \"{import}.{}\", rename_all = \"kebab-case\")]\n        {} {{\n",
                    commented(&function.docs, "        /// "),
                    function.wit,
                    function.name.to_upper_camel_case()
                );
                for param in &function.params {
                    let docs = format!("The parameter `{}`.", param.name);
                    member(&param.name, &docs, &param.ty, "", 12, &mut text)?;
                }
                text.push_str("        },\n");
            }
        }
        text.push_str("    }\n}\n");
    }
    Ok(text)
}

fn connector_type(ty: &Named, text: &mut String) -> Result<()> {
    let _ = write!(
        text,
        "\n{}    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]\n    #[serde(rename_all = \"kebab-case\")]\n    pub ",
        commented(&ty.docs, "    /// ")
    );
    let name = ty.name.to_upper_camel_case();
    match &ty.kind {
        Kind::Record(fields) => {
            let _ = writeln!(text, "struct {name} {{");
            for field in fields {
                let ty = field.ty.as_ref().context("a field without a type")?;
                member(&field.name, &field.docs, ty, "pub ", 8, text)?;
            }
        }
        Kind::Enum(cases) => {
            let _ = writeln!(text, "enum {name} {{");
            for case in cases {
                let docs = if case.docs.is_empty() { format!("`{}`.", case.name) } else { case.docs.clone() };
                let _ = writeln!(
                    text,
                    "{}        {},",
                    commented(&docs, "        /// "),
                    case.name.to_upper_camel_case()
                );
            }
        }
    }
    text.push_str("    }\n");
    Ok(())
}

/// A field of a struct or of a case. Integers of 64 bits are texts in JSON.
fn member(name: &str, docs: &str, ty: &Ty, public: &str, indent: usize, text: &mut String) -> Result<()> {
    let pad = " ".repeat(indent);
    let is_wide = |ty: &Ty| matches!(ty, Ty::Int("u64" | "s64"));
    let with = match ty {
        ty if is_wide(ty) => Some("wide"),
        Ty::Option(inner) if is_wide(inner) => Some("wide::option"),
        Ty::List(inner) if is_wide(inner) => {
            bail!("`{name}` is a list of 64-bit integers: no connector has one yet")
        }
        _ => None,
    };
    text.push_str(&commented(docs, &format!("{pad}/// ")));
    if let Some(with) = with {
        let _ = writeln!(text, "{pad}#[serde(with = \"crate::connector::{with}\")]");
    }
    // A type of the same package lies in the same module.
    let ty = json_type(ty);
    let _ = writeln!(text, "{pad}{public}{}: {ty},", to_rust_ident(name));
    Ok(())
}

fn json_type(ty: &Ty) -> String {
    match ty {
        Ty::Option(inner) => format!("Option<{}>", json_type(inner)),
        Ty::List(inner) => format!("Vec<{}>", json_type(inner)),
        Ty::Record(of) | Ty::Enum(of) => of.name.to_upper_camel_case(),
        other => owned(other),
    }
}
