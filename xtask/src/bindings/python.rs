//! Python: a module for each package, with types of its own, so that one can be named where the action's world does not
//! import its interface.

use std::fmt::Write as _;

use heck::{ToSnakeCase, ToUpperCamelCase};

use super::text::{Files, MARK, commented, escaped, list};
use remit_author::model::{Field, Function, Interface, Kind, Named, Package, Param, Piece, Ty};

const WORDS: &str = "False None True and as assert async await break class continue def del elif else except finally for \
    from global if import in is lambda nonlocal not or pass raise return try while with yield";

pub(super) fn generate(packages: &[Package], files: &mut Files) {
    for package in packages {
        let path = format!("python/remit/{}.py", package.name.to_snake_case());
        files.insert(path.into(), module(package));
    }
}

fn name(name: &str) -> String {
    escaped(name.to_snake_case(), WORDS)
}

/// A parameter, which is not to be called as what the wrapper calls.
fn param(of: &Param) -> String {
    escaped(name(&of.name), "ask case")
}

/// The variable that holds the bindings of an interface.
fn bindings(interface: &str) -> String {
    format!("_{}", interface.to_snake_case())
}

fn module(package: &Package) -> String {
    let mut text = format!("# {MARK}\n{}", docstring(&package.docs, ""));
    let mut body = String::new();
    for interface in &package.interfaces {
        for ty in &interface.types {
            named(ty, &mut body);
            if let (Kind::Record(fields), true) = (&ty.kind, package.takes(&interface.name, &ty.name)) {
                given(&interface.name, &ty.name, fields, &mut body);
            }
        }
    }
    for interface in &package.interfaces {
        for function in &interface.functions {
            self::function(&interface.name, function, &mut body);
        }
    }
    if body.contains("@dataclass") {
        text.push_str("\nfrom dataclasses import dataclass");
    }
    let typing = [("Any", "-> Any"), ("Literal", "Literal[")];
    let typing = typing.iter().filter(|(_, used)| body.contains(used));
    let typing = list(typing, |(name, _)| (*name).to_owned());
    if !typing.is_empty() {
        let _ = write!(text, "\nfrom typing import {typing}");
    }
    let case = if body.contains("case(") { "case, " } else { "" };
    let _ = write!(text, "\n\nfrom remit._host import ask, {case}interface\n\n");
    for Interface { name, import, .. } in &package.interfaces {
        let _ = writeln!(text, "{} = interface(\"{import}\")", bindings(name));
    }
    text.push_str(&body);
    text
}

fn named(ty: &Named, text: &mut String) {
    let name = ty.name.to_upper_camel_case();
    match &ty.kind {
        Kind::Enum(cases) => {
            let cases = list(cases, |case| format!("\"{}\"", case.name));
            let _ = write!(text, "\n{name} = Literal[{cases}]\n{}", docstring(&ty.docs, ""));
        }
        Kind::Record(fields) => {
            let _ =
                write!(text, "\n\n@dataclass(frozen=True)\nclass {name}:\n{}", docstring(&ty.docs, "    "));
            for Field { name, docs, ty } in fields {
                let ty = ty.as_ref().map_or("None".to_owned(), shape);
                let _ = write!(text, "\n    {}: {ty}\n{}", self::name(name), docstring(docs, "    "));
            }
        }
    }
}

fn function(interface: &str, function: &Function, text: &mut String) {
    let trailing = function.params.iter().rev().take_while(|p| matches!(p.ty, Ty::Option(_))).count();
    let required = function.params.len() - trailing;
    let params = list(function.params.iter().enumerate(), |(i, p)| {
        format!("{}: {}{}", param(p), shape(&p.ty), if i < required { "" } else { " = None" })
    });
    let arguments = list(&function.params, |p| to_host(&p.ty, &param(p)));
    let doing: String = function
        .doing
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Param(i) => format!("{{{}}}", param(&function.params[*i])),
        })
        .collect();
    let ok = function.ok.as_ref().map_or("None".to_owned(), shape);
    let call = format!("{}.{}({arguments})", bindings(interface), name(&function.wit));
    let _ = write!(
        text,
        "\n\ndef {}({params}) -> {ok}:\n{}    answer: {ok} = ask(f\"{doing}\", lambda: {call}, {ok})\n    return answer\n",
        name(&function.name),
        docstring(&function.docs, "    "),
    );
}

/// The function that makes a record of the bindings of one of this package.
fn given(interface: &str, record: &str, fields: &[Field], text: &mut String) {
    let class = record.to_upper_camel_case();
    let fields = list(fields, |Field { name, ty, .. }| {
        let of = format!("of.{}", self::name(name));
        ty.as_ref().map_or(of.clone(), |ty| to_host(ty, &of))
    });
    let _ = write!(
        text,
        "\n\ndef {}(of: {class}) -> Any:\n    return {}.{class}({fields})\n",
        giver(record),
        bindings(interface)
    );
}

fn giver(record: &str) -> String {
    format!("_{}_given", record.to_snake_case())
}

/// The value of the bindings for `of`, of this type.
fn to_host(ty: &Ty, of: &str) -> String {
    let one = |ty: &Ty| to_host(ty, "one");
    match ty {
        Ty::Enum(name) => {
            format!("case({}.{}, {of})", bindings(&name.interface), name.name.to_upper_camel_case())
        }
        Ty::Record(name) => format!("{}({of})", giver(&name.name)),
        Ty::Option(inner) if one(inner) != "one" => {
            format!("None if {of} is None else {}", to_host(inner, of))
        }
        Ty::List(inner) if one(inner) != "one" => format!("[{} for one in {of}]", one(inner)),
        _ => of.to_owned(),
    }
}

fn shape(ty: &Ty) -> String {
    match ty {
        Ty::Bool => "bool".to_owned(),
        Ty::Int(_) => "int".to_owned(),
        Ty::Float(_) => "float".to_owned(),
        Ty::Text => "str".to_owned(),
        Ty::Option(inner) => format!("{} | None", shape(inner)),
        Ty::List(inner) if **inner == Ty::Int("u8") => "bytes".to_owned(),
        Ty::List(inner) => format!("list[{}]", shape(inner)),
        Ty::Record(of) | Ty::Enum(of) => of.name.to_upper_camel_case(),
    }
}

fn docstring(docs: &str, before: &str) -> String {
    let docs = docs.trim().replace('\\', "\\\\").replace("\"\"\"", "'''");
    match docs.lines().count() {
        0 => String::new(),
        1 if !docs.ends_with('"') => format!("{before}\"\"\"{docs}\"\"\"\n"),
        _ => format!("{before}\"\"\"{}{before}\"\"\"\n", commented(&docs, before).trim_start()),
    }
}
