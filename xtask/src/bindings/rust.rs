//! Rust: the bindings of wit-bindgen, and for each package a module of functions whose error is the SDK's.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use heck::{ToSnakeCase, ToUpperCamelCase};
use wit_bindgen_core::WorldGenerator;
use wit_bindgen_rust::to_rust_ident;
use wit_parser::Resolve;

use super::text::{Files, MARK, commented, list};
use remit_author::model::{Function, Package, Piece, Ty};

pub(super) fn generate(resolve: &Resolve, packages: &[Package], files: &mut Files) -> Result<()> {
    files.insert("rust/src/bindings.rs".into(), bindings(resolve)?);
    let mut text =
        format!("// {MARK}\n//! What a scope can grant, one module for each package of the WIT.\n");
    for package in packages {
        module(package, &mut text);
    }
    files.insert("rust/src/domains.rs".into(), text);
    Ok(())
}

fn bindings(resolve: &Resolve) -> Result<String> {
    let (mut resolve, world) = remit_author::sdk_world(resolve.clone());
    let options = wit_bindgen_rust::Opts {
        format: true,
        generate_all: true,
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
