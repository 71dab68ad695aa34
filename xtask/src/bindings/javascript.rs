//! TypeScript, for JavaScript too: a module for each interface, so that an action imports only what it uses, and one for
//! each package that has them all. Types are those of the declarations that `remit build` makes.

use std::fmt::Write as _;

use heck::{ToLowerCamelCase, ToUpperCamelCase};

use super::text::{Files, MARK, commented, list};
use remit_author::javascript_name as name;
use remit_author::model::{Function, Interface, Package, Piece, Ty};

pub(super) fn generate(packages: &[Package], files: &mut Files) {
    for package in packages {
        let mut index = format!("// {MARK}\n{}", comment(&package.docs, ""));
        for interface in &package.interfaces {
            let _ = writeln!(index, "export * from \"./{}.js\";", interface.name);
            let path = format!("js/src/{}/{}.ts", package.name, interface.name);
            files.insert(path.into(), module(interface));
        }
        files.insert(format!("js/src/{}/index.ts", package.name).into(), index);
    }
}

fn module(interface: &Interface) -> String {
    let mut text = format!("// {MARK}\nimport * as host from \"{}\";\n", interface.import);
    text.push_str("import { ask } from \"../refusal.js\";\n");
    if !interface.types.is_empty() {
        let types = list(&interface.types, |ty| ty.name.to_upper_camel_case());
        let _ = writeln!(text, "\nexport type {{ {types} }} from \"{}\";", interface.import);
    }
    for function in &interface.functions {
        self::function(function, &mut text);
    }
    text
}

fn function(function: &Function, text: &mut String) {
    let trailing = function.params.iter().rev().take_while(|p| matches!(p.ty, Ty::Option(_))).count();
    let required = function.params.len() - trailing;
    let params = list(function.params.iter().enumerate(), |(i, p)| {
        format!("{}{}: {}", name(&p.name), if i < required { "" } else { "?" }, param(&p.ty))
    });
    let arguments = list(function.params.iter().enumerate(), |(i, p)| {
        name(&p.name) + if i < required { "" } else { " ?? null" }
    });
    let doing: String = function
        .doing
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Param(i) => format!("${{{}}}", name(&function.params[*i].name)),
        })
        .collect();
    let call = function.wit.to_lower_camel_case();
    let _ = write!(
        text,
        "\n{}export function {}({params}): ReturnType<typeof host.{call}> {{\n  \
         return ask(`{doing}`, () => host.{call}({arguments}));\n}}\n",
        comment(&function.docs, ""),
        name(&function.name),
    );
}

/// A type as a parameter.
fn param(ty: &Ty) -> String {
    match ty {
        Ty::Bool => "boolean".to_owned(),
        Ty::Int(_) | Ty::Float(_) => "number".to_owned(),
        Ty::Text => "string".to_owned(),
        Ty::Option(inner) => format!("{} | null", param(inner)),
        Ty::List(inner) if **inner == Ty::Int("u8") => "Uint8Array".to_owned(),
        Ty::List(inner) => format!("Array<{}>", param(inner)),
        Ty::Record(of) | Ty::Enum(of) => format!("host.{}", of.name.to_upper_camel_case()),
    }
}

fn comment(docs: &str, before: &str) -> String {
    let docs = docs.trim();
    match docs.lines().count() {
        0 => String::new(),
        1 => format!("{before}/** {docs} */\n"),
        _ => format!("{before}/**\n{}{before} */\n", commented(docs, &format!("{before} * "))),
    }
}
