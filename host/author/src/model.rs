//! The WIT as the generators see it: packages of functions that answer `result<_, failure>`, and the types they use.
//!
//! What cannot be given a wrapper in every language is an error here, before anything is written.

use std::collections::BTreeMap;

use wit_parser::{FunctionKind, InterfaceId, Resolve, Type, TypeDefKind, TypeId, TypeOwner};

use crate::world;

/// The error says why a package cannot have wrappers.
pub type Result<T> = std::result::Result<T, String>;

/// The interface with the error type of every function.
const FAILURE: &str = "remit:types/errors";

/// What a function can do, as its documentation says; in the order in which an action calls functions.
pub(crate) const EFFECTS: [&str; 4] = ["observe", "disclose", "change", "irrevocable"];

/// A WIT package with at least one interface that a scope grants.
pub struct Package {
    /// The name without its namespace: `secrets`.
    pub name: String,
    /// The documentation in the WIT; empty if there is none.
    pub docs: String,
    /// In the order of the WIT: those that a scope grants, those that need no grant, and those that only have types.
    pub interfaces: Vec<Interface>,
}

/// An interface of a package.
pub struct Interface {
    /// The name without its package: `rotate`.
    pub name: String,
    /// The full name with its version: `remit:secrets/rotate@0.1.0`.
    pub import: String,
    /// The types it defines, each after those it is made of.
    pub types: Vec<Named>,
    /// The functions, in the order of the WIT.
    pub functions: Vec<Function>,
}

/// A function and its wrapper.
pub struct Function {
    /// The wrapper's name, unique in the package: the interface's where it has this one function only, or where
    /// they are called alike; otherwise `interface-function`.
    pub name: String,
    /// The name of the function in the WIT.
    pub wit: String,
    /// The documentation in the WIT; empty if there is none.
    pub docs: String,
    /// The parameters, in order. The first one that is text names the resource.
    pub params: Vec<Param>,
    /// What the function returns if it does not fail; none if it returns nothing.
    pub ok: Option<Ty>,
    /// The documented effect: `observe`, `disclose`, `change` or `irrevocable`.
    pub effect: &'static str,
    /// What an error says was asked: `disable version {1} of {0}`.
    pub doing: Vec<Piece>,
}

/// A parameter of a function.
pub struct Param {
    /// The name in the WIT: `max-age`.
    pub name: String,
    /// The type of the parameter.
    pub ty: Ty,
}

/// A part of the text that says what was asked.
pub enum Piece {
    /// Words, with the spaces around them.
    Text(String),
    /// A parameter, by its index: text or a whole number.
    Param(usize),
}

/// A type with a name.
pub struct Named {
    /// The name in the WIT: `version-state`.
    pub name: String,
    /// The documentation in the WIT; empty if there is none.
    pub docs: String,
    /// Whether it is a record or an enum, with its parts.
    pub kind: Kind,
}

/// The two kinds of types that wrappers have.
pub enum Kind {
    /// A record with these fields.
    Record(Vec<Field>),
    /// An enum with these cases.
    Enum(Vec<Field>),
}

/// A field of a record, or a case of an enum, which has no type.
pub struct Field {
    /// The name in the WIT.
    pub name: String,
    /// The documentation in the WIT; empty if there is none.
    pub docs: String,
    /// The type of the field; none for a case of an enum.
    pub ty: Option<Ty>,
}

/// A type where it is used.
#[derive(Clone, PartialEq)]
pub enum Ty {
    /// A `bool`.
    Bool,
    /// An integer, by its WIT name: `u64`.
    Int(&'static str),
    /// A floating-point number, by its WIT name: `f32` or `f64`.
    Float(&'static str),
    /// A `string`.
    Text,
    /// An option of any type but another option or a list.
    Option(Box<Ty>),
    /// A list of any type but an option or another list.
    List(Box<Ty>),
    /// A record of the same package.
    Record(TypeName),
    /// An enum of the same package.
    Enum(TypeName),
}

impl Package {
    /// Whether a function takes a record, as a parameter or as a part of one.
    #[must_use]
    pub fn takes(&self, interface: &str, record: &str) -> bool {
        let record = TypeName { interface: interface.to_owned(), name: record.to_owned() };
        let functions = self.interfaces.iter().flat_map(|interface| &interface.functions);
        let mut params = functions.flat_map(|function| &function.params);
        params.any(|param| self.any(&param.ty, &|ty| matches!(ty, Ty::Record(of) if *of == record)))
    }

    /// Whether `is` holds for a type, or for one that it is made of.
    pub fn any(&self, ty: &Ty, is: &dyn Fn(&Ty) -> bool) -> bool {
        is(ty)
            || match ty {
                Ty::Option(inner) | Ty::List(inner) => self.any(inner, is),
                Ty::Record(of) => {
                    let own = self.interfaces.iter().filter(|interface| interface.name == of.interface);
                    let mut own = own.flat_map(|interface| &interface.types);
                    own.any(|ty| match &ty.kind {
                        Kind::Record(fields) if ty.name == of.name => {
                            fields.iter().filter_map(|field| field.ty.as_ref()).any(|ty| self.any(ty, is))
                        }
                        _ => false,
                    })
                }
                _ => false,
            }
    }
}

/// A type of the package.
#[derive(Clone, PartialEq)]
pub struct TypeName {
    /// The interface that defines it.
    pub interface: String,
    /// The name in the WIT.
    pub name: String,
}

/// Every package of `resolve` that is to have wrappers, in order of their names.
///
/// # Errors
/// When a type or name in the WIT cannot have a wrapper in every language.
pub fn packages(resolve: &Resolve) -> Result<Vec<Package>> {
    let mut packages = Vec::new();
    for (_, package) in &resolve.packages {
        if !package.interfaces.values().any(|id| world::is_capability(resolve, *id)) {
            continue;
        }
        let mut interfaces = Vec::new();
        for id in package.interfaces.values() {
            let name = resolve.id_of(*id).unwrap_or_default();
            if world::without_version(&name) != FAILURE {
                interfaces.push(
                    interface(resolve, *id).map_err(|why| format!("{name} cannot have wrappers: {why}"))?,
                );
            }
        }
        let docs = package.docs.contents.clone().unwrap_or_default();
        let mut types = package.interfaces.values().flat_map(|id| resolve.interfaces[*id].types.values());
        let other = types.find(|id| {
            let owner = defined(resolve, **id).0;
            !is_failure(resolve, &Type::Id(**id))
                && owner.is_some_and(|owner| !package.interfaces.values().any(|own| *own == owner))
        });
        if let Some(other) = other {
            let (name, other) = (&package.name, defined(resolve, *other).1);
            return Err(format!("{name}: it uses `{other}` of another package, which has no wrapper"));
        }
        let package = Package { name: package.name.name.clone(), docs, interfaces };
        unique(&package)?;
        packages.push(package);
    }
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(packages)
}

/// One package is one module: each of its names means one thing, in the spelling of every language. Go spells types
/// and functions alike, and a case of an enum after its type.
fn unique(package: &Package) -> Result<()> {
    let mut seen = BTreeMap::new();
    for interface in &package.interfaces {
        let mut names: Vec<_> = interface.functions.iter().map(|function| function.name.clone()).collect();
        for ty in &interface.types {
            names.push(ty.name.clone());
            if let Kind::Enum(cases) = &ty.kind {
                names.extend(cases.iter().map(|case| format!("{}-{}", ty.name, case.name)));
            }
        }
        for name in names {
            if let Some(other) = seen.insert(name.to_ascii_lowercase(), &interface.name) {
                let (package, interface) = (&package.name, &interface.name);
                return Err(format!(
                    "remit:{package}: `{name}` is in {other} and in {interface}: rename one, or `use` it"
                ));
            }
        }
    }
    Ok(())
}

fn interface(resolve: &Resolve, id: InterfaceId) -> Result<Interface> {
    let interface = &resolve.interfaces[id];
    let name = interface.name.clone().ok_or("an interface has no name")?;
    let mut types = Vec::new();
    for (name, ty) in &interface.types {
        let def = &resolve.types[*ty];
        let docs = def.docs.contents.clone().unwrap_or_default();
        let kind = match &def.kind {
            TypeDefKind::Type(_) => continue,
            TypeDefKind::Record(record) => Kind::Record(
                record
                    .fields
                    .iter()
                    .map(|field| {
                        Ok(Field {
                            name: field.name.clone(),
                            docs: field.docs.contents.clone().unwrap_or_default(),
                            ty: Some(ty_of(resolve, &field.ty)?),
                        })
                    })
                    .collect::<Result<_>>()?,
            ),
            TypeDefKind::Enum(cases) => Kind::Enum(
                cases
                    .cases
                    .iter()
                    .map(|case| Field {
                        name: case.name.clone(),
                        docs: case.docs.contents.clone().unwrap_or_default(),
                        ty: None,
                    })
                    .collect(),
            ),
            other => {
                return Err(format!(
                    "`{name}` is a {}: only records and enums have wrappers",
                    other.as_str()
                ));
            }
        };
        types.push(Named { name: name.clone(), docs, kind });
    }
    let functions = interface.functions.values();
    let functions = functions.map(|f| function(resolve, &name, interface.functions.len() == 1, f));
    let functions = functions.collect::<Result<_>>()?;
    Ok(Interface { import: resolve.id_of(id).unwrap_or_default(), name, types, functions })
}

fn function(resolve: &Resolve, interface: &str, only: bool, f: &wit_parser::Function) -> Result<Function> {
    if f.kind != FunctionKind::Freestanding {
        return Err(format!("`{}` is not a plain function", f.name));
    }
    let params = f.params.iter();
    let params = params.map(|p| Ok(Param { name: p.name.clone(), ty: ty_of(resolve, &p.ty)? }));
    let params: Vec<Param> = params.collect::<Result<_>>()?;
    let kind = match &f.result {
        Some(Type::Id(id)) => Some(&resolve.types[*id].kind),
        _ => None,
    };
    let Some(TypeDefKind::Result(result)) = kind else {
        return Err(format!("`{}` does not answer result<_, failure> of {FAILURE}", f.name));
    };
    if !result.err.is_some_and(|err| is_failure(resolve, &err)) {
        return Err(format!("`{}` does not answer result<_, failure> of {FAILURE}", f.name));
    }
    let ok = result.ok.map(|ok| ty_of(resolve, &ok)).transpose()?;
    let name =
        if only || f.name == interface { interface.to_owned() } else { format!("{interface}-{}", f.name) };
    let verb = if only { interface } else { &f.name };
    let doing = doing(verb, &params);
    let docs = f.docs.contents.clone().unwrap_or_default();
    let said = docs.split_once("Effect: ").map(|(_, said)| said.split(|c: char| !c.is_ascii_lowercase()));
    let said = said.and_then(|mut words| words.next());
    let effect = EFFECTS.into_iter().find(|effect| said == Some(*effect)).ok_or_else(|| {
        format!("the documentation of `{}` has no `Effect: ` with one of {}", f.name, EFFECTS.join(", "))
    })?;
    Ok(Function { name, wit: f.name.clone(), docs, params, ok, effect, doing })
}

/// `disable version {version} of {path}`: the verb, the numbers, and the first parameter, which names the resource. Other
/// texts stay out: one could be secret.
fn doing(verb: &str, params: &[Param]) -> Vec<Piece> {
    let mut pieces = vec![Piece::Text(verb.replace('-', " "))];
    let numbers: Vec<usize> = (0..params.len()).filter(|i| matches!(params[*i].ty, Ty::Int(_))).collect();
    for (at, number) in numbers.iter().enumerate() {
        let before = if at == 0 { " " } else { ", " };
        pieces.push(Piece::Text(format!("{before}{} ", params[*number].name.replace('-', " "))));
        pieces.push(Piece::Param(*number));
    }
    if params.first().is_some_and(|first| first.ty == Ty::Text) {
        pieces.push(Piece::Text(if numbers.is_empty() { " " } else { " of " }.to_owned()));
        pieces.push(Piece::Param(0));
    }
    pieces
}

fn is_failure(resolve: &Resolve, ty: &Type) -> bool {
    let Type::Id(id) = ty else { return false };
    let (owner, name) = defined(resolve, *id);
    name == "failure"
        && owner
            .and_then(|owner| resolve.id_of(owner))
            .is_some_and(|owner| world::without_version(&owner) == FAILURE)
}

/// Where a type is defined, through `use`, and its name.
fn defined(resolve: &Resolve, mut id: TypeId) -> (Option<InterfaceId>, &str) {
    while let TypeDefKind::Type(Type::Id(other)) = &resolve.types[id].kind {
        id = *other;
    }
    let owner = match resolve.types[id].owner {
        TypeOwner::Interface(owner) => Some(owner),
        _ => None,
    };
    (owner, resolve.types[id].name.as_deref().unwrap_or_default())
}

fn ty_of(resolve: &Resolve, ty: &Type) -> Result<Ty> {
    Ok(match ty {
        Type::Bool => Ty::Bool,
        Type::U8 => Ty::Int("u8"),
        Type::U16 => Ty::Int("u16"),
        Type::U32 => Ty::Int("u32"),
        Type::U64 => Ty::Int("u64"),
        Type::S8 => Ty::Int("s8"),
        Type::S16 => Ty::Int("s16"),
        Type::S32 => Ty::Int("s32"),
        Type::S64 => Ty::Int("s64"),
        Type::F32 => Ty::Float("f32"),
        Type::F64 => Ty::Float("f64"),
        Type::String => Ty::Text,
        Type::Char | Type::ErrorContext => return Err("its type has no wrapper: use string".to_owned()),
        Type::Id(id) => {
            let named = || {
                let (owner, name) = defined(resolve, *id);
                let interface =
                    owner.and_then(|owner| resolve.interfaces[owner].name.clone()).unwrap_or_default();
                TypeName { interface, name: name.to_owned() }
            };
            match &resolve.types[*id].kind {
                TypeDefKind::Type(other) => return ty_of(resolve, other),
                TypeDefKind::Option(inner) => match ty_of(resolve, inner)? {
                    Ty::Option(_) | Ty::List(_) => {
                        return Err("an option of an option or of a list has no wrapper".to_owned());
                    }
                    inner => Ty::Option(Box::new(inner)),
                },
                TypeDefKind::List(inner) => match ty_of(resolve, inner)? {
                    Ty::Option(_) | Ty::List(_) => {
                        return Err("a list of options or of lists has no wrapper".to_owned());
                    }
                    inner => Ty::List(Box::new(inner)),
                },
                TypeDefKind::Record(_) => Ty::Record(named()),
                TypeDefKind::Enum(_) => Ty::Enum(named()),
                other => return Err(format!("a {} has no wrapper", other.as_str())),
            }
        }
    })
}
