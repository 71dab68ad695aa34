//! The functions of an interface by their WIT types, where the host has no compiled bindings for it.
//!
//! A function with a float, a map, a resource, a stream or a future cannot be linked: see the module `value`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wasmparser::component_types::{
    ComponentAnyTypeId, ComponentDefinedType, ComponentEntityType, ComponentFuncTypeId,
    ComponentInstanceTypeId, ComponentValType,
};
use wasmparser::types::TypesRef;
use wasmparser::{PrimitiveValType, Validator};

use crate::features::RUNS;
use crate::flaw::Flaw;

/// The most types that the signatures of one interface are made of. A type that is used twice counts twice: by such types a
/// short component could describe an endless one.
const MOST_TYPES: usize = 4_000;
/// The deepest nesting of a type.
const DEEPEST: usize = 24;

/// The functions of an interface, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signatures(pub BTreeMap<String, Signature>);

/// The type of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// Name and type of each parameter, in order.
    pub parameters: Vec<(String, Type)>,
    /// The type of its result, if it has one.
    pub result: Option<Type>,
}

/// The type of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Type {
    /// Two values.
    Bool,
    /// 8 bits with a sign.
    S8,
    /// 8 bits.
    U8,
    /// 16 bits with a sign.
    S16,
    /// 16 bits.
    U16,
    /// 32 bits with a sign.
    S32,
    /// 32 bits.
    U32,
    /// 64 bits with a sign; a text in JSON.
    S64,
    /// 64 bits; a text in JSON.
    U64,
    /// A Unicode character.
    Char,
    /// A text.
    String,
    /// A list.
    List(Box<Type>),
    /// A value or none.
    Option(Box<Type>),
    /// Named fields, in order.
    Record(Vec<(String, Type)>),
    /// Fields without names.
    Tuple(Vec<Type>),
    /// One of several cases, each with a value or without.
    Variant(Vec<(String, Option<Type>)>),
    /// A value or an error, each of which can be without a type.
    Result(Option<Box<Type>>, Option<Box<Type>>),
    /// One of several names.
    Enum(Vec<String>),
    /// Any of several names.
    Flags(Vec<String>),
}

/// The interfaces in a WIT package in its binary form, by name and version.
pub fn wit_package(bytes: &[u8]) -> Result<BTreeMap<String, Result<Signatures, String>>, Flaw> {
    let types = Validator::new_with_features(RUNS).validate_all(bytes)?;
    let types = types.as_ref();
    let mut found = BTreeMap::new();
    for at in 0..types.component_type_count() {
        let ComponentAnyTypeId::Component(id) = types.component_any_type_at(at) else { continue };
        // An interface is a component type that exports it; a world exports a component type.
        for (name, item) in &types[id].exports {
            if let ComponentEntityType::Instance(instance) = item.ty {
                found.insert(name.clone(), signatures(types, instance));
            }
        }
    }
    Ok(found)
}

/// The functions of an instance's type; or why one of them cannot be linked.
pub(crate) fn signatures(types: TypesRef<'_>, id: ComponentInstanceTypeId) -> Result<Signatures, String> {
    let mut reader = Reader { types, left: MOST_TYPES };
    let mut all = BTreeMap::new();
    for (name, item) in &types[id].exports {
        match item.ty {
            ComponentEntityType::Func(function) => {
                let signature = reader.signature(function);
                all.insert(name.clone(), signature.map_err(|why| format!("its function `{name}` {why}"))?);
            }
            ComponentEntityType::Type { referenced: ComponentAnyTypeId::Resource(_), .. } => {
                return Err(format!("it has a resource, `{name}`"));
            }
            ComponentEntityType::Type { .. } => {}
            _ => return Err(format!("`{name}` is no function")),
        }
    }
    Ok(Signatures(all))
}

/// Reads types, so many at most.
struct Reader<'a> {
    types: TypesRef<'a>,
    left: usize,
}

impl Reader<'_> {
    fn signature(&mut self, id: ComponentFuncTypeId) -> Result<Signature, String> {
        let types = self.types;
        let function = &types[id];
        if function.async_ {
            return Err("is async".to_owned());
        }
        let parameter = |(name, ty): &(_, ComponentValType)| {
            let name: &wasmparser::names::KebabString = name;
            Ok((name.to_string(), self.value(*ty, 0)?))
        };
        let parameters = function.params.iter().map(parameter).collect::<Result<_, String>>()?;
        Ok(Signature { parameters, result: function.result.map(|ty| self.value(ty, 0)).transpose()? })
    }

    fn value(&mut self, ty: ComponentValType, depth: usize) -> Result<Type, String> {
        self.left = self.left.checked_sub(1).ok_or("and the others are made of too many types")?;
        if depth > DEEPEST {
            return Err(format!("has a type that is nested deeper than {DEEPEST}"));
        }
        let id = match ty {
            ComponentValType::Primitive(primitive) => return of_primitive(primitive),
            ComponentValType::Type(id) => id,
        };
        let types = self.types;
        let depth = depth + 1;
        let names = |names: &wasmparser::collections::IndexSet<wasmparser::names::KebabString>| {
            names.iter().map(ToString::to_string).collect()
        };
        Ok(match &types[id] {
            ComponentDefinedType::Primitive(primitive) => of_primitive(*primitive)?,
            ComponentDefinedType::Record(record) => {
                let field = |(name, ty): (&_, &ComponentValType)| {
                    let name: &wasmparser::names::KebabString = name;
                    Ok((name.to_string(), self.value(*ty, depth)?))
                };
                Type::Record(record.fields.iter().map(field).collect::<Result<_, String>>()?)
            }
            ComponentDefinedType::Variant(variant) => {
                let case = |(name, case): (&_, &wasmparser::component_types::VariantCase)| {
                    let name: &wasmparser::names::KebabString = name;
                    Ok((name.to_string(), self.maybe(case.ty, depth)?))
                };
                Type::Variant(variant.cases.iter().map(case).collect::<Result<_, String>>()?)
            }
            ComponentDefinedType::List { element, .. } => Type::List(Box::new(self.value(*element, depth)?)),
            ComponentDefinedType::Tuple(tuple) => {
                Type::Tuple(tuple.types.iter().map(|ty| self.value(*ty, depth)).collect::<Result<_, _>>()?)
            }
            ComponentDefinedType::Flags(flags) => Type::Flags(names(flags)),
            ComponentDefinedType::Enum(cases) => Type::Enum(names(cases)),
            ComponentDefinedType::Option { ty, .. } => Type::Option(Box::new(self.value(*ty, depth)?)),
            ComponentDefinedType::Result { ok, err, .. } => {
                Type::Result(self.maybe(*ok, depth)?.map(Box::new), self.maybe(*err, depth)?.map(Box::new))
            }
            ComponentDefinedType::Map { .. } => return Err(unfit("a map")),
            ComponentDefinedType::FixedLengthList { .. } => return Err(unfit("a list of fixed length")),
            ComponentDefinedType::Own(_) | ComponentDefinedType::Borrow(_) => {
                return Err(unfit("a handle of a resource"));
            }
            ComponentDefinedType::Future { .. } => return Err(unfit("a future")),
            ComponentDefinedType::Stream { .. } => return Err(unfit("a stream")),
        })
    }
}

impl Reader<'_> {
    fn maybe(&mut self, ty: Option<ComponentValType>, depth: usize) -> Result<Option<Type>, String> {
        ty.map(|ty| self.value(ty, depth)).transpose()
    }
}

fn of_primitive(primitive: PrimitiveValType) -> Result<Type, String> {
    Ok(match primitive {
        PrimitiveValType::Bool => Type::Bool,
        PrimitiveValType::S8 => Type::S8,
        PrimitiveValType::U8 => Type::U8,
        PrimitiveValType::S16 => Type::S16,
        PrimitiveValType::U16 => Type::U16,
        PrimitiveValType::S32 => Type::S32,
        PrimitiveValType::U32 => Type::U32,
        PrimitiveValType::S64 => Type::S64,
        PrimitiveValType::U64 => Type::U64,
        PrimitiveValType::Char => Type::Char,
        PrimitiveValType::String => Type::String,
        PrimitiveValType::F32 | PrimitiveValType::F64 => return Err(unfit("a float")),
        PrimitiveValType::ErrorContext => return Err(unfit("an error context")),
    })
}

fn unfit(what: &str) -> String {
    format!("has {what}, which a connector's function cannot have")
}
