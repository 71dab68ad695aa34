//! JSON for each value of a WIT type.
//!
//! Each value has one text, and each text is one value or none. Floats, maps, resources, streams and futures have none.

use serde_json::{Map, Value};
use wasmtime::component::Val;

use crate::Type;

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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::{Index, subsequence};
    use serde_json::json;

    use super::*;

    fn types() -> impl Strategy<Value = Type> {
        let names = || subsequence(vec!["a", "b-c", "ok", "some"], 1..4);
        let plain = prop_oneof![
            Just(Type::Bool),
            Just(Type::S8),
            Just(Type::U16),
            Just(Type::S32),
            Just(Type::U32),
            Just(Type::S64),
            Just(Type::U64),
            Just(Type::Char),
            Just(Type::String),
            names().prop_map(|names| Type::Enum(names.into_iter().map(str::to_owned).collect())),
            names().prop_map(|names| Type::Flags(names.into_iter().map(str::to_owned).collect())),
        ];
        plain.prop_recursive(4, 24, 4, move |inner| {
            let maybe = proptest::option::of(inner.clone());
            let named = |names: Vec<&str>, of: Vec<Type>| -> Vec<(String, Type)> {
                names.into_iter().map(str::to_owned).zip(of).collect()
            };
            prop_oneof![
                inner.clone().prop_map(|of| Type::List(Box::new(of))),
                inner.clone().prop_map(|of| Type::Option(Box::new(of))),
                (names(), vec(inner.clone(), 4)).prop_map(move |(names, of)| Type::Record(named(names, of))),
                vec(inner.clone(), 1..4).prop_map(Type::Tuple),
                (names(), vec(maybe.clone(), 4)).prop_map(|(names, of)| {
                    Type::Variant(names.into_iter().map(str::to_owned).zip(of).collect())
                }),
                (maybe.clone(), maybe)
                    .prop_map(|(ok, err)| Type::Result(ok.map(Box::new), err.map(Box::new))),
            ]
        })
    }

    fn boxed(value: impl Strategy<Value = Val> + 'static) -> BoxedStrategy<Val> {
        value.boxed()
    }

    fn payload(of: Option<&Type>) -> BoxedStrategy<Option<Box<Val>>> {
        match of {
            None => Just(None).boxed(),
            Some(of) => values(of).prop_map(|value| Some(Box::new(value))).boxed(),
        }
    }

    fn values(of: &Type) -> BoxedStrategy<Val> {
        match of.clone() {
            Type::Bool => boxed(any::<bool>().prop_map(Val::Bool)),
            Type::S8 => boxed(any::<i8>().prop_map(Val::S8)),
            Type::U8 => boxed(any::<u8>().prop_map(Val::U8)),
            Type::S16 => boxed(any::<i16>().prop_map(Val::S16)),
            Type::U16 => boxed(any::<u16>().prop_map(Val::U16)),
            Type::S32 => boxed(any::<i32>().prop_map(Val::S32)),
            Type::U32 => boxed(any::<u32>().prop_map(Val::U32)),
            Type::S64 => boxed(any::<i64>().prop_map(Val::S64)),
            Type::U64 => boxed(any::<u64>().prop_map(Val::U64)),
            Type::Char => boxed(any::<char>().prop_map(Val::Char)),
            Type::String => boxed(any::<String>().prop_map(Val::String)),
            Type::List(of) => boxed(vec(values(&of), 0..4).prop_map(Val::List)),
            Type::Option(of) => {
                boxed(proptest::option::of(values(&of)).prop_map(|value| Val::Option(value.map(Box::new))))
            }
            Type::Record(fields) => {
                let all: Vec<_> = fields.iter().map(|(_, of)| values(of)).collect();
                let names: Vec<String> = fields.into_iter().map(|(name, _)| name).collect();
                boxed(all.prop_map(move |values| Val::Record(names.iter().cloned().zip(values).collect())))
            }
            Type::Tuple(types) => boxed(types.iter().map(values).collect::<Vec<_>>().prop_map(Val::Tuple)),
            Type::Variant(cases) => boxed(any::<Index>().prop_flat_map(move |index| {
                let (name, of) = cases[index.index(cases.len())].clone();
                payload(of.as_ref()).prop_map(move |value| Val::Variant(name.clone(), value))
            })),
            Type::Result(ok, err) => boxed(prop_oneof![
                payload(ok.as_deref()).prop_map(|value| Val::Result(Ok(value))),
                payload(err.as_deref()).prop_map(|value| Val::Result(Err(value))),
            ]),
            Type::Enum(names) => boxed(
                any::<Index>().prop_map(move |index| Val::Enum(names[index.index(names.len())].clone())),
            ),
            Type::Flags(names) => {
                let most = names.len();
                boxed(subsequence(names, 0..=most).prop_map(Val::Flags))
            }
        }
    }

    fn two() -> impl Strategy<Value = (Type, Val, Val)> {
        types().prop_flat_map(|of| {
            let (one, other) = (values(&of), values(&of));
            (Just(of), one, other)
        })
    }

    proptest! {
        /// Each value comes back from its text as it was, and no two have one text.
        #[test]
        fn a_value_has_one_text_and_comes_back_from_it((of, one, other) in two()) {
            let text = |value: &Val| {
                let json = of.to_json(value).unwrap();
                String::from_utf8(remit_text::json::canonical(&json).unwrap()).unwrap()
            };
            let back = of.from_json(&remit_text::json::parse(&text(&one)).unwrap()).unwrap();
            prop_assert_eq!(&back, &one);
            prop_assert_eq!(text(&one) == text(&other), one == other);
        }
    }

    #[test]
    fn what_is_not_of_its_type_is_refused_with_its_place() {
        let of = Type::Record(vec![
            ("id".to_owned(), Type::U64),
            ("tags".to_owned(), Type::List(Box::new(Type::Enum(vec!["on".to_owned()])))),
        ]);
        let refused = |json: Value| of.from_json(&json).unwrap_err().to_string();
        assert_eq!(
            refused(json!({"id": 7, "tags": []})),
            "/id: a number of the type u64 as a text is wanted"
        );
        assert_eq!(
            refused(json!({"id": "07", "tags": []})),
            "/id: a number of the type u64 as a text is wanted"
        );
        assert_eq!(refused(json!({"id": "7", "tags": ["on", "off"]})), "/tags/1: there is no case `off`");
        assert_eq!(refused(json!({"id": "7"})), "the whole: the field `tags` is missing");
        assert_eq!(refused(json!({"id": "7", "tags": [], "x": 1})), "the whole: the record has no field `x`");
        for (of, json) in [
            (Type::U8, json!(256)),
            (Type::U8, json!(1.0)),
            (Type::Char, json!("ab")),
            (Type::Option(Box::new(Type::Option(Box::new(Type::Bool)))), json!(true)),
            (Type::Flags(vec!["a".to_owned(), "b".to_owned()]), json!(["b", "a"])),
            (Type::Variant(vec![("a".to_owned(), None)]), json!({"a": null})),
        ] {
            assert!(of.from_json(&json).is_err(), "{of:?} {json}");
        }
    }
}
