//! The functions of an interface by their WIT types, where the host has no compiled bindings for it; and JSON for each value
//! of these types.
//!
//! Each value has one text, and each text is one value or none. Floats, maps, resources, streams and futures have none: a
//! function that has one cannot be linked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use wasmparser::component_types::{
    ComponentAnyTypeId, ComponentDefinedType, ComponentEntityType, ComponentFuncTypeId,
    ComponentInstanceTypeId, ComponentValType,
};
use wasmparser::types::TypesRef;
use wasmparser::{PrimitiveValType, Validator};
use wasmtime::component::Val;

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

/// Why a JSON value is not a value of a type: its place, and what is wrong there. It quotes no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", if place.is_empty() { "the whole" } else { place.as_str() })]
pub struct Misfit {
    /// The place, as a JSON pointer.
    pub place: String,
    /// What is wrong there.
    pub why: String,
}

impl Misfit {
    fn new(why: impl Into<String>) -> Self {
        Self { place: String::new(), why: why.into() }
    }

    fn below(mut self, name: &str) -> Self {
        self.place = format!("/{name}{}", self.place);
        self
    }
}

impl Type {
    /// Whether a value of it can be `null` in JSON.
    fn can_be_null(&self) -> bool {
        matches!(self, Self::Option(_))
    }

    /// The JSON of a value of this type.
    ///
    /// Fails if the value is not of this type: never for a value that wasmtime checked against the same type.
    pub fn to_json(&self, value: &Val) -> Result<Value, Misfit> {
        let case = |name: &str, of: Option<&Self>, payload: Option<&Val>| match (of, payload) {
            (None, None) => Ok(Value::from(name)),
            (Some(of), Some(payload)) => {
                let payload = of.to_json(payload).map_err(|misfit| misfit.below(name))?;
                Ok(Value::Object(Map::from_iter([(name.to_owned(), payload)])))
            }
            _ => Err(Misfit::new("the value is not of its type")),
        };
        Ok(match (self, value) {
            (Self::Bool, Val::Bool(value)) => (*value).into(),
            (Self::S8, Val::S8(value)) => (*value).into(),
            (Self::U8, Val::U8(value)) => (*value).into(),
            (Self::S16, Val::S16(value)) => (*value).into(),
            (Self::U16, Val::U16(value)) => (*value).into(),
            (Self::S32, Val::S32(value)) => (*value).into(),
            (Self::U32, Val::U32(value)) => (*value).into(),
            (Self::S64, Val::S64(value)) => value.to_string().into(),
            (Self::U64, Val::U64(value)) => value.to_string().into(),
            (Self::Char, Val::Char(value)) => value.to_string().into(),
            (Self::String, Val::String(value)) => value.as_str().into(),
            (Self::List(of), Val::List(items)) => {
                items.iter().map(|item| of.to_json(item)).collect::<Result<Vec<_>, _>>()?.into()
            }
            (Self::Option(_), Val::Option(None)) => Value::Null,
            (Self::Option(of), Val::Option(Some(value))) if of.can_be_null() => {
                Value::Object(Map::from_iter([("some".to_owned(), of.to_json(value)?)]))
            }
            (Self::Option(of), Val::Option(Some(value))) => of.to_json(value)?,
            (Self::Record(fields), Val::Record(values)) if fields.len() == values.len() => {
                let mut object = Map::new();
                for ((name, of), (_, value)) in fields.iter().zip(values) {
                    object.insert(name.clone(), of.to_json(value).map_err(|misfit| misfit.below(name))?);
                }
                object.into()
            }
            (Self::Tuple(types), Val::Tuple(values)) if types.len() == values.len() => {
                let items = types.iter().zip(values).map(|(of, value)| of.to_json(value));
                items.collect::<Result<Vec<_>, _>>()?.into()
            }
            (Self::Variant(cases), Val::Variant(name, payload)) => {
                let of = cases.iter().find(|(known, _)| known == name);
                let (_, of) = of.ok_or_else(|| Misfit::new("there is no such case"))?;
                case(name, of.as_ref(), payload.as_deref())?
            }
            (Self::Result(ok, _), Val::Result(Ok(value))) => case("ok", ok.as_deref(), value.as_deref())?,
            (Self::Result(_, err), Val::Result(Err(value))) => case("err", err.as_deref(), value.as_deref())?,
            (Self::Enum(_), Val::Enum(name)) => name.as_str().into(),
            (Self::Flags(names), Val::Flags(set)) => {
                let set = names.iter().filter(|name| set.contains(name));
                set.map(|name| Value::from(name.as_str())).collect::<Vec<_>>().into()
            }
            _ => return Err(Misfit::new("the value is not of its type")),
        })
    }

    /// The value that JSON is.
    pub fn from_json(&self, json: &Value) -> Result<Val, Misfit> {
        let wanted = |what: &str| Misfit::new(format!("{what} is wanted, this is {}", kind(json)));
        let text = |what: &str| json.as_str().ok_or_else(|| wanted(what));
        Ok(match self {
            Self::Bool => Val::Bool(json.as_bool().ok_or_else(|| wanted("a bool"))?),
            Self::S8 => Val::S8(integer(json, "s8")?),
            Self::U8 => Val::U8(integer(json, "u8")?),
            Self::S16 => Val::S16(integer(json, "s16")?),
            Self::U16 => Val::U16(integer(json, "u16")?),
            Self::S32 => Val::S32(integer(json, "s32")?),
            Self::U32 => Val::U32(integer(json, "u32")?),
            Self::S64 => Val::S64(long(json, "s64")?),
            Self::U64 => Val::U64(long(json, "u64")?),
            Self::Char => {
                let mut characters = text("a text of one character")?.chars();
                match (characters.next(), characters.next()) {
                    (Some(one), None) => Val::Char(one),
                    _ => return Err(Misfit::new("a text of one character is wanted")),
                }
            }
            Self::String => Val::String(text("a text")?.to_owned()),
            Self::List(of) => {
                let items = json.as_array().ok_or_else(|| wanted("a list"))?;
                Val::List(each(items, |_| Some(of))?)
            }
            Self::Option(_) if json.is_null() => Val::Option(None),
            Self::Option(of) if of.can_be_null() => {
                let inner = json.as_object().filter(|object| object.len() == 1).and_then(|o| o.get("some"));
                let inner = inner.ok_or_else(|| wanted("null, or an object with `some` alone,"))?;
                let inner = of.from_json(inner).map_err(|misfit| misfit.below("some"))?;
                Val::Option(Some(Box::new(inner)))
            }
            Self::Option(of) => Val::Option(Some(Box::new(of.from_json(json)?))),
            Self::Record(fields) => {
                let object = json.as_object().ok_or_else(|| wanted("an object"))?;
                if let Some(other) = object.keys().find(|key| !fields.iter().any(|(name, _)| name == *key)) {
                    let other = remit_text::short_line(other, 80);
                    return Err(Misfit::new(format!("the record has no field `{other}`")));
                }
                let value = |(name, of): &(String, Self)| {
                    let json = object.get(name);
                    let json = json.ok_or_else(|| Misfit::new(format!("the field `{name}` is missing")))?;
                    let value = of.from_json(json).map_err(|misfit| misfit.below(name))?;
                    Ok((name.clone(), value))
                };
                Val::Record(fields.iter().map(value).collect::<Result<_, Misfit>>()?)
            }
            Self::Tuple(types) => {
                let items = json.as_array().ok_or_else(|| wanted("a list"))?;
                if items.len() != types.len() {
                    return Err(Misfit::new(format!("a list of {} is wanted", types.len())));
                }
                Val::Tuple(each(items, |at| types.get(at))?)
            }
            Self::Variant(cases) => {
                let (name, payload) = one_case(json).ok_or_else(|| wanted("a case"))?;
                let of = cases.iter().find(|(known, _)| known == name);
                let (_, of) = of.ok_or_else(|| no_such(name))?;
                Val::Variant(name.to_owned(), payload_of(name, of.as_ref(), payload)?)
            }
            Self::Result(ok, err) => match one_case(json).ok_or_else(|| wanted("a result"))? {
                ("ok", payload) => Val::Result(Ok(payload_of("ok", ok.as_deref(), payload)?)),
                ("err", payload) => Val::Result(Err(payload_of("err", err.as_deref(), payload)?)),
                (other, _) => return Err(no_such(other)),
            },
            Self::Enum(names) => {
                let name = text("a text")?;
                if !names.iter().any(|known| known == name) {
                    return Err(no_such(name));
                }
                Val::Enum(name.to_owned())
            }
            Self::Flags(names) => {
                let set = json.as_array().ok_or_else(|| wanted("a list of names"))?;
                let set: Option<Vec<&str>> = set.iter().map(Value::as_str).collect();
                let set = set.ok_or_else(|| Misfit::new("a list of names is wanted"))?;
                let ordered: Vec<&str> =
                    names.iter().map(String::as_str).filter(|name| set.contains(name)).collect();
                if ordered != set {
                    return Err(Misfit::new(format!(
                        "these names are wanted, each at most once and in this order: {}",
                        names.join(", ")
                    )));
                }
                Val::Flags(set.into_iter().map(str::to_owned).collect())
            }
        })
    }
}

fn no_such(name: &str) -> Misfit {
    Misfit::new(format!("there is no case `{}`", remit_text::short_line(name, 80)))
}

fn kind(json: &Value) -> &'static str {
    match json {
        Value::Null => "null",
        Value::Bool(_) => "a bool",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn integer<T: TryFrom<i64>>(json: &Value, name: &str) -> Result<T, Misfit> {
    let number = json.as_i64().and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| Misfit::new(format!("a whole number of the type {name} is wanted")))
}

fn long<T: std::str::FromStr + ToString>(json: &Value, name: &str) -> Result<T, Misfit> {
    let number = json.as_str().and_then(|text| Some((text, text.parse::<T>().ok()?)));
    // One text for each number: no `+`, no zeros in front.
    let number = number.filter(|(text, number)| number.to_string() == *text);
    let number = number.map(|(_, number)| number);
    number.ok_or_else(|| Misfit::new(format!("a number of the type {name} as a text is wanted")))
}

fn each<'a>(items: &[Value], of: impl Fn(usize) -> Option<&'a Type>) -> Result<Vec<Val>, Misfit> {
    let value = |(at, item): (usize, &Value)| {
        let of = of(at).ok_or_else(|| Misfit::new("there are too many"))?;
        of.from_json(item).map_err(|misfit| misfit.below(&at.to_string()))
    };
    items.iter().enumerate().map(value).collect()
}

/// The name of a case, and its payload.
fn one_case(json: &Value) -> Option<(&str, Option<&Value>)> {
    match json {
        Value::String(name) => Some((name, None)),
        Value::Object(object) if object.len() == 1 => {
            object.iter().next().map(|(name, payload)| (name.as_str(), Some(payload)))
        }
        _ => None,
    }
}

fn payload_of(name: &str, of: Option<&Type>, payload: Option<&Value>) -> Result<Option<Box<Val>>, Misfit> {
    match (of, payload) {
        (None, None) => Ok(None),
        (Some(of), Some(payload)) => {
            let value = of.from_json(payload).map_err(|misfit| misfit.below(name))?;
            Ok(Some(Box::new(value)))
        }
        (None, Some(_)) => Err(Misfit::new(format!("`{name}` has no value: it is a text"))),
        (Some(_), None) => Err(Misfit::new(format!("`{name}` has a value: it is an object"))),
    }
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
