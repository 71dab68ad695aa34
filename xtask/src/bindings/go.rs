//! Go: a package for each package of the WIT, with types of its own. Enums are strings, as in the WIT; options are
//! pointers.

use std::fmt::Write as _;

use heck::{ToLowerCamelCase, ToSnakeCase, ToUpperCamelCase};

use super::text::{Files, MARK, commented, escaped, list};
use remit_author::model::{Field, Function, Interface, Kind, Named, Package, Piece, Ty, TypeName};

/// Words of the language, and names that a wrapper has of its own.
const WORDS: &str = "break case chan const continue default defer else err fallthrough fmt for func go goto if import \
    interface item map package range refusal result return select some struct switch to type var";
const SDK: &str = "github.com/remit/remit/sdk/go";

pub(super) fn generate(packages: &[Package], files: &mut Files) {
    for package in packages {
        let name = package_name(package);
        files.insert(format!("go/{name}/{name}.go").into(), source(package));
    }
}

fn package_name(package: &Package) -> String {
    package.name.replace('-', "")
}

/// The name under which the bindings of an interface are imported.
fn alias(interface: &str) -> String {
    format!("host{}", interface.to_upper_camel_case())
}

fn source(package: &Package) -> String {
    let mut body = String::new();
    for interface in &package.interfaces {
        for ty in &interface.types {
            named(&interface.name, ty, package.takes(&interface.name, &ty.name), &mut body);
        }
    }
    for interface in &package.interfaces {
        for function in &interface.functions {
            self::function(&interface.name, function, &mut body);
        }
    }
    let name = package_name(package);
    let mut text = format!("// {MARK}\n\n// Package {name} is remit:{} of the WIT.", package.name);
    text.push_str(" An error is a *remit.Refusal.\n");
    if !package.docs.is_empty() {
        let _ = write!(text, "//\n{}", commented(&package.docs, "// "));
    }
    let _ = write!(text, "package {name}\n\nimport (\n");
    if body.contains("fmt.Sprintf") {
        text.push_str("\t\"fmt\"\n\n");
    }
    for Interface { name, .. } in &package.interfaces {
        if body.contains(&format!("{}.", alias(name))) {
            let (package, interface) = (package.name.to_snake_case(), name.to_snake_case());
            let _ = writeln!(text, "\t{} \"{SDK}/bindings/remit_{package}_{interface}\"", alias(name));
        }
    }
    let _ = writeln!(text, "\t\"{SDK}/internal/refusal\"");
    if body.contains("wit_types.") {
        text.push_str("\t\"go.bytecodealliance.org/pkg/wit/types\"\n");
    }
    text + ")\n" + &body
}

fn named(interface: &str, ty: &Named, taken: bool, text: &mut String) {
    let name = ty.name.to_upper_camel_case();
    let convert = ty.name.to_lower_camel_case();
    let host = format!("{}.{name}", alias(interface));
    let _ = write!(text, "\n{}", commented(&ty.docs, "// "));
    match &ty.kind {
        Kind::Enum(cases) => {
            let _ = write!(
                text,
                "type {name} string\n\n// The values of {name}, spelt as in the WIT.\nconst (\n"
            );
            for Field { name: case, docs, .. } in cases {
                let _ = writeln!(
                    text,
                    "{}\t{name}{} {name} = \"{case}\"",
                    commented(docs, "\t// "),
                    case.to_upper_camel_case()
                );
            }
            let _ = write!(text, ")\n\nfunc {convert}Of(of {host}) {name} {{\n\treturn [...]{name}{{");
            text.push_str(&list(cases, |case| format!("{name}{}", case.name.to_upper_camel_case())));
            text.push_str("}[of]\n}\n");
            let _ = write!(text, "\nfunc {convert}To(of {name}) {host} {{\n\tswitch of {{\n");
            for Field { name: case, .. } in cases {
                let case = case.to_upper_camel_case();
                let _ = write!(text, "\tcase {name}{case}:\n\t\treturn {host}{case}\n");
            }
            let _ = write!(text, "\t}}\n\tpanic(\"no {name}: \" + string(of))\n}}\n");
        }
        Kind::Record(fields) => {
            let _ = writeln!(text, "type {name} struct {{");
            for Field { name, docs, ty } in fields {
                let ty = ty.as_ref().map_or(String::new(), own);
                let _ = writeln!(text, "{}\t{} {ty}", commented(docs, "\t// "), name.to_upper_camel_case());
            }
            let _ = write!(text, "}}\n\nfunc {convert}Of(of {host}) {name} {{\n\tvar to {name}\n");
            for Field { name, ty, .. } in fields {
                let name = name.to_upper_camel_case();
                if let Some(ty) = ty {
                    from_host(ty, &format!("to.{name}"), &format!("of.{name}"), text);
                }
            }
            text.push_str("\treturn to\n}\n");
            if taken {
                let _ = write!(text, "\nfunc {convert}To(of {name}) {host} {{\n\tvar to {host}\n");
                for Field { name, ty, .. } in fields {
                    let name = name.to_upper_camel_case();
                    if let Some(ty) = ty {
                        to_host(ty, &format!("to.{name}"), &format!("of.{name}"), text);
                    }
                }
                text.push_str("\treturn to\n}\n");
            }
        }
    }
}

/// Statements that give `to`, of the bindings and empty, the value of `from`. An option without a value is none.
fn to_host(ty: &Ty, to: &str, from: &str, text: &mut String) {
    let one = |ty: &Ty, value: &str| match ty {
        Ty::Record(of) | Ty::Enum(of) => format!("{}To({value})", of.name.to_lower_camel_case()),
        _ => value.to_owned(),
    };
    let _ = match ty {
        Ty::Option(inner) => write!(
            text,
            "\tif {from} != nil {{\n\t\t{to} = wit_types.Some({})\n\t}}\n",
            one(inner, &format!("*{from}"))
        ),
        Ty::List(inner) if matches!(**inner, Ty::Record(_) | Ty::Enum(_)) => write!(
            text,
            "\tfor _, item := range {from} {{\n\t\t{to} = append({to}, {})\n\t}}\n",
            one(inner, "item")
        ),
        other => writeln!(text, "\t{to} = {}", one(other, from)),
    };
}

/// A type of the bindings.
fn host(ty: &Ty) -> String {
    match ty {
        Ty::Option(inner) => format!("wit_types.Option[{}]", host(inner)),
        Ty::List(inner) => format!("[]{}", host(inner)),
        Ty::Record(of) | Ty::Enum(of) => format!("{}.{}", alias(&of.interface), own(ty)),
        other => own(other),
    }
}

/// Statements that give `to` the value that the bindings have at `from`.
fn from_host(ty: &Ty, to: &str, from: &str, text: &mut String) {
    let convert = |of: &TypeName, value: &str| format!("{}Of({value})", of.name.to_lower_camel_case());
    let one = |ty: &Ty, value: &str| match ty {
        Ty::Record(of) | Ty::Enum(of) => convert(of, value),
        _ => value.to_owned(),
    };
    let _ = match ty {
        Ty::Option(inner) => write!(
            text,
            "\tif {from}.IsSome() {{\n\t\tsome := {}\n\t\t{to} = &some\n\t}}\n",
            one(inner, &format!("{from}.Some()"))
        ),
        Ty::List(inner) if matches!(**inner, Ty::Record(_) | Ty::Enum(_)) => write!(
            text,
            "\tfor _, item := range {from} {{\n\t\t{to} = append({to}, {})\n\t}}\n",
            one(inner, "item")
        ),
        other => writeln!(text, "\t{to} = {}", one(other, from)),
    };
}

fn function(interface: &str, function: &Function, text: &mut String) {
    let param = |name: &str| escaped(name.to_lower_camel_case(), WORDS);
    let params = list(&function.params, |p| format!("{} {}", param(&p.name), own(&p.ty)));
    let name = function.name.to_upper_camel_case();
    let docs = function.docs.trim();
    let results = match &function.ok {
        Some(ok) => format!("(to {}, err error)", own(ok)),
        None => "error".to_owned(),
    };
    let _ = write!(text, "\n{}", commented(&format!("{name}: {}", decapitalised(docs)), "// "));
    let _ = writeln!(text, "func {name}({params}) {results} {{");
    let mut arguments = Vec::new();
    for p in &function.params {
        let name = param(&p.name);
        arguments.push(match &p.ty {
            Ty::Bool | Ty::Int(_) | Ty::Float(_) | Ty::Text => name,
            Ty::List(inner) if !matches!(**inner, Ty::Record(_) | Ty::Enum(_)) => name,
            Ty::Record(of) | Ty::Enum(of) => format!("{}To({name})", of.name.to_lower_camel_case()),
            ty => {
                let _ = writeln!(text, "\tvar {name}Host {}", host(ty));
                to_host(ty, &format!("{name}Host"), &name, text);
                format!("{name}Host")
            }
        });
    }
    let call =
        format!("{}.{}({})", alias(interface), function.wit.to_upper_camel_case(), arguments.join(", "));
    let format: String = function
        .doing
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.replace('%', "%%"),
            Piece::Param(_) => "%v".to_owned(),
        })
        .collect();
    let values: String = function
        .doing
        .iter()
        .filter_map(|piece| match piece {
            Piece::Param(i) => Some(format!(", {}", param(&function.params[*i].name))),
            Piece::Text(_) => None,
        })
        .collect();
    let refused = format!("refusal.Of(fmt.Sprintf(\"{format}\"{values}), result.Err())");
    let _ = write!(text, "\tresult := {call}\n\tif result.IsErr() {{\n");
    if let Some(ok) = &function.ok {
        let _ = write!(text, "\t\treturn to, {refused}\n\t}}\n");
        from_host(ok, "to", "result.Ok()", text);
        text.push_str("\treturn to, nil\n}\n");
    } else {
        let _ = write!(text, "\t\treturn {refused}\n\t}}\n\treturn nil\n}}\n");
    }
}

/// The docs of a function follow its name.
fn decapitalised(docs: &str) -> String {
    let mut letters = docs.chars();
    letters.next().map(|first| first.to_lowercase().to_string() + letters.as_str()).unwrap_or_default()
}

fn own(ty: &Ty) -> String {
    match ty {
        Ty::Bool => "bool".to_owned(),
        Ty::Int(name) => match name.split_at(1) {
            ("s", bits) => format!("int{bits}"),
            (_, bits) => format!("uint{bits}"),
        },
        Ty::Float(name) => name.replace('f', "float"),
        Ty::Text => "string".to_owned(),
        Ty::Option(inner) => format!("*{}", own(inner)),
        Ty::List(inner) => format!("[]{}", own(inner)),
        Ty::Record(of) | Ty::Enum(of) => of.name.to_upper_camel_case(),
    }
}
