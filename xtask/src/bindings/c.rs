//! C: functions `remit_PACKAGE_FUNCTION` that answer NULL or an error, with types of their own: text ends with a NUL, a
//! list is a pointer and a count, an option a pointer that may be NULL.

use std::fmt::Write as _;

use heck::{ToShoutySnakeCase, ToSnakeCase};
use wit_bindgen_c::to_c_ident as name;

use super::text::{Files, MARK, commented, list};
use remit_author::model::{Field, Function, Kind, Named, Package, Param, Piece, Ty, TypeName};

pub(super) fn generate(packages: &[Package], files: &mut Files) {
    let mut header = format!(
        "/* {MARK} */\n/* What a scope can grant. A function answers NULL, or why it failed. */\n#ifndef REMIT_DOMAINS_H\n#define REMIT_DOMAINS_H\n"
    );
    let mut source = format!("/* {MARK} */\n#include \"internal.h\"\n");
    for package in packages {
        let package_name = package.name.to_snake_case();
        let _ = write!(header, "\n/* remit:{}.{} */\n", package.name, spaced(&package.docs));
        let types = package.interfaces.iter().flat_map(|interface| &interface.types);
        for ty in types {
            declare(&package_name, ty, &mut header);
        }
        for interface in &package.interfaces {
            for ty in &interface.types {
                let taken = package.takes(&interface.name, &ty.name);
                convert(&package_name, &interface.name, ty, taken, &mut source);
            }
        }
        for interface in &package.interfaces {
            for function in &interface.functions {
                let _ = write!(
                    header,
                    "\n{}{};\n",
                    comment(&function.docs, ""),
                    signature(&package_name, function)
                );
                define(&package_name, &interface.name, function, &mut source);
            }
        }
    }
    header.push_str("\n#endif\n");
    files.insert("c/src/domains.h".into(), header);
    files.insert("c/src/domains.c".into(), source);
}

fn spaced(docs: &str) -> String {
    let docs = docs.trim();
    if docs.is_empty() { String::new() } else { format!(" {}", docs.replace('\n', "\n * ")) }
}

/// A parameter, which is not to be called as what the wrapper has beside it.
fn param_name(of: &Param) -> String {
    match of.name.as_str() {
        "answer" | "failure" => format!("its_{}", of.name),
        other => name(other),
    }
}

fn declare(package: &str, ty: &Named, text: &mut String) {
    let _ = write!(text, "\n{}", comment(&ty.docs, ""));
    let full = format!("remit_{package}_{}", ty.name.to_snake_case());
    match &ty.kind {
        Kind::Enum(cases) => {
            let _ = writeln!(text, "enum {full} {{");
            for Field { name, docs, .. } in cases {
                let _ = writeln!(
                    text,
                    "{}    {}_{},",
                    comment(docs, "    "),
                    full.to_shouty_snake_case(),
                    name.to_shouty_snake_case()
                );
            }
        }
        Kind::Record(fields) => {
            let _ = writeln!(text, "struct {full} {{");
            for Field { name, docs, ty } in fields {
                let Some(ty) = ty else { continue };
                let _ = writeln!(
                    text,
                    "{}    {};",
                    comment(docs, "    "),
                    declared(package, ty, &self::name(name), ";\n    ")
                );
            }
        }
    }
    text.push_str("};\n");
}

/// A variable of a type; a list is two, with `between` them.
fn declared(package: &str, ty: &Ty, name: &str, between: &str) -> String {
    match ty {
        Ty::List(inner) => format!("{} *{name}{between}size_t {name}_count", element(package, inner)),
        Ty::Option(inner) if **inner != Ty::Text => format!("const {} *{name}", own(package, inner)),
        _ => {
            let ty = own(package, ty);
            format!("{ty}{}{name}", if ty.ends_with('*') { "" } else { " " })
        }
    }
}

fn own(package: &str, ty: &Ty) -> String {
    match ty {
        Ty::Bool => "bool".to_owned(),
        Ty::Int(name) => match name.split_at(1) {
            ("s", bits) => format!("int{bits}_t"),
            (_, bits) => format!("uint{bits}_t"),
        },
        Ty::Float("f32") => "float".to_owned(),
        Ty::Float(_) => "double".to_owned(),
        Ty::Text => "const char *".to_owned(),
        Ty::Option(inner) | Ty::List(inner) => own(package, inner),
        Ty::Record(of) => format!("struct remit_{package}_{}", of.name.to_snake_case()),
        Ty::Enum(of) => format!("enum remit_{package}_{}", of.name.to_snake_case()),
    }
}

/// An element of a list, which is not to be changed.
fn element(package: &str, ty: &Ty) -> String {
    if *ty == Ty::Text { "const char *const".to_owned() } else { format!("const {}", own(package, ty)) }
}

/// A type of the bindings. A list or an option of a type with a name belongs to the interface `within` which it is used.
fn host(package: &str, within: &str, ty: &Ty) -> String {
    let named = |interface: &str, kind: &str, of: &TypeName| {
        format!("wit_remit_{package}_{}_{kind}{}_t", interface.to_snake_case(), of.name.to_snake_case())
    };
    let anonymous = |kind: &str, inner: &Ty| match inner {
        Ty::Record(of) | Ty::Enum(of) => named(within, kind, of),
        other => format!("action_{kind}{}_t", plain(other)),
    };
    match ty {
        Ty::Record(of) | Ty::Enum(of) => named(&of.interface, "", of),
        Ty::Text => "action_string_t".to_owned(),
        Ty::List(inner) => anonymous("list_", inner),
        Ty::Option(inner) => anonymous("option_", inner),
        other => own(package, other),
    }
}

/// As the bindings call a type within the name of another.
fn plain(ty: &Ty) -> &'static str {
    match ty {
        Ty::Bool => "bool",
        Ty::Int(name) | Ty::Float(name) => name,
        _ => "string",
    }
}

/// The functions that make a record of the bindings one of the SDK, and the reverse where a function takes it.
fn convert(package: &str, interface: &str, ty: &Named, taken: bool, text: &mut String) {
    let Kind::Record(fields) = &ty.kind else { return };
    let of = TypeName { interface: interface.to_owned(), name: ty.name.clone() };
    let record = Ty::Record(of);
    let _ = write!(
        text,
        "\nstatic {own} {package}_{name}_of(const {host} *of) {{\n    {own} to = {{ 0 }};\n",
        own = own(package, &record),
        host = host(package, interface, &record),
        name = ty.name.to_snake_case()
    );
    for Field { name, ty, .. } in fields {
        if let Some(ty) = ty {
            let name = self::name(name);
            from_host(
                package,
                ty,
                &format!("to.{name}"),
                &format!("to.{name}_count"),
                &format!("of->{name}"),
                text,
            );
        }
    }
    text.push_str("    return to;\n}\n");
    if taken {
        let _ = write!(
            text,
            "\nstatic {host} {package}_{name}_to(const {own} *of) {{\n    {host} to = {{ 0 }};\n",
            own = own(package, &record),
            host = host(package, interface, &record),
            name = ty.name.to_snake_case()
        );
        for Field { name, ty, .. } in fields {
            if let Some(ty) = ty {
                let name = self::name(name);
                to_host(package, ty, &format!("to.{name}"), &format!("of->{name}"), text);
            }
        }
        text.push_str("    return to;\n}\n");
    }
}

/// Statements that give `to`, of the bindings, the value at `from`, or with `from_count` for a list.
fn to_host(package: &str, ty: &Ty, to: &str, from: &str, text: &mut String) {
    let one = |ty: &Ty, from: &str| match ty {
        Ty::Text => format!("remit_borrowed({from})"),
        Ty::Record(of) => format!("{package}_{}_to(&{from})", of.name.to_snake_case()),
        Ty::Enum(_) => format!("({}){from}", host(package, "", ty)),
        _ => from.to_owned(),
    };
    let _ = match ty {
        Ty::Option(inner) => {
            let value = if **inner == Ty::Text { from.to_owned() } else { format!("(*{from})") };
            write!(
                text,
                "    {to}.is_some = {from} != NULL;\n    if ({from}) {to}.val = {};\n",
                one(inner, &value)
            )
        }
        Ty::List(inner) => write!(
            text,
            "    {to}.len = {from}_count;\n    {to}.ptr = remit_allocated({from}_count, sizeof *{to}.ptr);\n    \
             for (size_t i = 0; i < {from}_count; i++) {to}.ptr[i] = {};\n",
            one(inner, &format!("{from}[i]"))
        ),
        other => writeln!(text, "    {to} = {};", one(other, from)),
    };
}

/// Statements that give `to`, and `count` for a list, the value that the bindings have at `from`.
fn from_host(package: &str, ty: &Ty, to: &str, count: &str, from: &str, text: &mut String) {
    let one = |ty: &Ty, from: &str| match ty {
        Ty::Text => format!("remit_copied({from})"),
        Ty::Record(of) => format!("{package}_{}_of(&{from})", of.name.to_snake_case()),
        Ty::Enum(_) => format!("({}){from}", own(package, ty)),
        _ => from.to_owned(),
    };
    let _ = match ty {
        Ty::Option(inner) if **inner == Ty::Text => {
            writeln!(text, "    {to} = {from}.is_some ? remit_copied({from}.val) : NULL;")
        }
        Ty::Option(inner) => write!(
            text,
            "    if ({from}.is_some) {{\n        {own} *some = remit_allocated(1, sizeof *some);\n        *some = {};\n        {to} = some;\n    }} else {{\n        {to} = NULL;\n    }}\n",
            one(inner, &format!("{from}.val")),
            own = own(package, inner),
        ),
        Ty::List(inner) => write!(
            text,
            "    {{\n        {own} *items = remit_allocated({from}.len, sizeof *items);\n        \
             for (size_t i = 0; i < {from}.len; i++) items[i] = {};\n        {to} = items;\n        {count} = {from}.len;\n    }}\n",
            one(inner, &format!("{from}.ptr[i]")),
            own = own(package, inner),
        ),
        other => writeln!(text, "    {to} = {};", one(other, from)),
    };
}

fn param(package: &str, ty: &Ty, name: &str) -> String {
    match ty {
        Ty::Record(_) => format!("const {} *{name}", own(package, ty)),
        other => declared(package, other, name, ", "),
    }
}

fn signature(package: &str, function: &Function) -> String {
    let mut params: Vec<String> =
        function.params.iter().map(|p| param(package, &p.ty, &param_name(p))).collect();
    match &function.ok {
        None => {}
        Some(Ty::List(inner)) => {
            params.push(format!("{} **answer, size_t *answer_count", element(package, inner)));
        }
        Some(Ty::Option(inner)) if **inner != Ty::Text => {
            params.push(format!("const {} **answer", own(package, inner)));
        }
        Some(ok) => params.push(declared(package, ok, "*answer", "")),
    }
    if params.is_empty() {
        params.push("void".to_owned());
    }
    format!("remit_error *remit_{package}_{}({})", function.name.to_snake_case(), params.join(", "))
}

fn define(package: &str, interface: &str, function: &Function, text: &mut String) {
    let _ = writeln!(text, "\n{} {{", signature(package, function));
    let mut arguments = Vec::new();
    for p in &function.params {
        let name = param_name(p);
        arguments.push(match &p.ty {
            Ty::Bool | Ty::Int(_) | Ty::Float(_) => name,
            Ty::Enum(_) => format!("({}){name}", host(package, interface, &p.ty)),
            // The bindings take a pointer that may be NULL.
            Ty::Option(inner) => {
                let value = if **inner == Ty::Text { name.clone() } else { format!("(*{name})") };
                let _ =
                    write!(text, "    {} {name}_;\n    if ({name})\n    ", host(package, interface, inner));
                to_host(package, inner, &format!("{name}_"), &value, text);
                format!("{name} ? &{name}_ : NULL")
            }
            Ty::List(_) => {
                let _ = writeln!(text, "    {} {name}_;", host(package, interface, &p.ty));
                to_host(package, &p.ty, &format!("{name}_"), &name, text);
                format!("&{name}_")
            }
            Ty::Text | Ty::Record(_) => {
                let value = if p.ty == Ty::Text { name.clone() } else { format!("(*{name})") };
                to_host(
                    package,
                    &p.ty,
                    &format!("{} {name}_", host(package, interface, &p.ty)),
                    &value,
                    text,
                );
                format!("&{name}_")
            }
        });
    }
    if let Some(ok) = &function.ok {
        let _ = writeln!(text, "    {} answer_;", host(package, interface, ok));
        arguments.push("&answer_".to_owned());
    }
    arguments.push("&failure_".to_owned());
    let doing: String = function
        .doing
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.replace('%', "%%"),
            Piece::Param(i) => match &function.params[*i].ty {
                Ty::Text => "%s".to_owned(),
                Ty::Int(name) if name.starts_with('u') => "%llu".to_owned(),
                _ => "%lld".to_owned(),
            },
        })
        .collect();
    let values = list(
        function.doing.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Param(i) => Some(&function.params[*i]),
        }),
        |p| match &p.ty {
            Ty::Text => param_name(p),
            Ty::Int(ty) if ty.starts_with('u') => format!("(unsigned long long){}", param_name(p)),
            _ => format!("(long long){}", param_name(p)),
        },
    );
    let values = if values.is_empty() { values } else { format!(", {values}") };
    let _ = write!(
        text,
        "    wit_remit_types_errors_failure_t failure_;\n    if (!wit_remit_{package}_{}_{}({})) {{\n        \
         return remit_refused(&failure_, \"{doing}\"{values});\n    }}\n",
        interface.to_snake_case(),
        function.wit.to_snake_case(),
        arguments.join(", ")
    );
    if let Some(ok) = &function.ok {
        from_host(package, ok, "*answer", "*answer_count", "answer_", text);
    }
    text.push_str("    return NULL;\n}\n");
}

fn comment(docs: &str, before: &str) -> String {
    let docs = docs.trim().replace("*/", "* /");
    match docs.lines().count() {
        0 => String::new(),
        1 => format!("{before}/* {docs} */\n"),
        _ => format!(
            "{before}/* {} */\n",
            commented(&docs, &format!("{before} * ")).trim().trim_start_matches("* ")
        ),
    }
}
