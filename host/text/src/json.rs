//! JSON that is approved, signed or compared.
//!
//! All readers must understand such a document in the same way. Two members with one name, and numbers that are not doubles,
//! are read differently by different readers. Both are refused, with their place.

use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

use crate::{Mistake, number};

/// The maximum nesting of a document; the limit of `serde_json`.
const DEEPEST: usize = 127;

/// Reads a document that becomes canonical JSON: without duplicate members, and with exact numbers only.
pub fn parse(text: &str) -> Result<Value, Mistake> {
    Reader { text, exact: true }.document()
}

/// Reads a document into a type. Duplicate members are refused, also where the type accepts any value.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, Mistake> {
    Reader { text, exact: false }.document()?;
    serde_json::from_str(text).map_err(|error| wrong(text, 0, &error))
}

/// Whether a text is JSON, with or without duplicate members and inexact numbers.
#[must_use]
pub fn is_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}

/// The canonical JSON of a value (RFC 8785). Digests and signatures are made over these bytes only.
///
/// Fails on integers beyond ±(2⁵³ − 1): RFC 8785 writes numbers as doubles, which would give two of them the
/// same bytes, so that one could pass under the signature of the other. Carry such a number as a string.
pub fn canonical(value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    refuse_large(&serde_json::to_value(value)?)?;
    serde_json_canonicalizer::to_vec(value)
}

fn refuse_large(value: &Value) -> Result<(), serde_json::Error> {
    match value {
        Value::Number(number) if number.as_f64().is_some_and(number::is_unsafe) => {
            Err(serde_json::Error::custom(format!(
                "the integer {number} cannot be signed exactly: beyond 9007199254740991, write it as a string"
            )))
        }
        Value::Array(items) => items.iter().try_for_each(refuse_large),
        Value::Object(members) => members.values().try_for_each(refuse_large),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// What is wrong with the part of `text` that begins at `from`.
fn wrong(text: &str, from: usize, error: &serde_json::Error) -> Mistake {
    let part = &text[from..];
    let line: usize = part.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let at = (from + line + error.column().saturating_sub(1)).min(text.len());
    let told = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    Mistake::new(text, at..at + 1, told.strip_suffix(&place).unwrap_or(&told))
}

struct Reader<'a> {
    text: &'a str,
    /// Whether numbers must be exact.
    exact: bool,
}

impl<'a> Reader<'a> {
    fn document(&self) -> Result<Value, Mistake> {
        let raw = serde_json::from_str(self.text).map_err(|error| wrong(self.text, 0, &error))?;
        if let Some(at) = too_deep(self.text) {
            return Err(Mistake::new(self.text, at..at + 1, "it is nested too deep"));
        }
        self.value(raw)
    }

    /// The offset of a part of the text.
    fn place(&self, raw: &'a RawValue) -> Range<usize> {
        // The part is borrowed from the text.
        let start = raw.get().as_ptr().addr() - self.text.as_ptr().addr();
        start..start + raw.get().len()
    }

    fn part<T: Deserialize<'a>>(&self, raw: &'a RawValue) -> Result<T, Mistake> {
        serde_json::from_str(raw.get()).map_err(|error| wrong(self.text, self.place(raw).start, &error))
    }

    fn value(&self, raw: &'a RawValue) -> Result<Value, Mistake> {
        let refuse = |at: &'a RawValue, why: String| Err(Mistake::new(self.text, self.place(at), why));
        match raw.get().as_bytes().first() {
            Some(b'{') => {
                let mut object = Map::new();
                for (name, value) in self.part::<Members>(raw)?.0 {
                    let key: String = self.part(name)?;
                    if object.contains_key(&key) {
                        return refuse(name, format!("`{}` is given twice", shown(&key)));
                    }
                    object.insert(key, self.value(value)?);
                }
                Ok(Value::Object(object))
            }
            Some(b'[') => {
                let items = self.part::<Items>(raw)?.0.into_iter();
                Ok(Value::Array(items.map(|item| self.value(item)).collect::<Result<_, _>>()?))
            }
            Some(b'-' | b'0'..=b'9') => {
                if self.exact
                    && let Some(why) = number::refusal(raw.get())
                {
                    return refuse(raw, why);
                }
                Ok(Value::Number(self.part::<Number>(raw)?))
            }
            _ => self.part(raw),
        }
    }
}

/// The place where a document is nested too deep, if there is one.
fn too_deep(text: &str) -> Option<usize> {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    text.bytes().position(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > DEEPEST
    })
}

fn shown(key: &str) -> String {
    key.escape_debug().take(60).collect()
}

/// An object with its members' raw text.
struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);
/// An array with its elements' raw text.
struct Items<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Each)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Items<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(item) = items.next_element()? {
                    all.push(item);
                }
                Ok(Items(all))
            }
        }
        from.deserialize_seq(Each)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_is_what_every_reader_reads_in_it() {
        let text =
            " { \"a\" : [1, -2.5, true, null, \"\\u00e9\\n\"], \"b\": {\"a\": {}} , \"\\u0063\": [] }\n";
        assert_eq!(parse(text).unwrap(), json!({"a": [1, -2.5, true, null, "é\n"], "b": {"a": {}}, "c": []}));
        assert_eq!(parse(text).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused_at_its_place() {
        let told = |text: &str| parse(text).unwrap_err().to_string();
        assert_eq!(
            told("{\"path\": \"a\",\n \"n\": 1, \"path\": \"b\"}"),
            "line 2, column 10\n  |\n2 |  \"n\": 1, \"path\": \"b\"}\n  |          ^^^^^^\n`path` is given twice"
        );
        // However it is spelt, and however deep.
        assert!(told(r#"[[{"x": {"path": 1, "\u0070ath": 2}}]]"#).contains("`path` is given twice"));
        assert!(parse(r#"{"a": {"x": 1}, "b": {"x": 1}}"#).is_ok());
        let large = told(r#"{"n": [9007199254740993]}"#);
        assert!(large.contains("column 8") && large.contains("^^^^^^^^^^^^^^^^\n"), "{large}");
        assert!(told("1e400").contains("too large"));
        assert!(told("[0.1000000000000000055]").contains("would become 0.1"));
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let told = |text: &str| parse(text).unwrap_err().to_string();
        assert_eq!(
            told("{\n  \"a\": nope\n}"),
            "line 2, column 9\n  |\n2 |   \"a\": nope\n  |         ^\nexpected ident"
        );
        assert!(told("").contains("EOF") && told("{} x").contains("line 1, column 4"));
        assert!(told("{\"a\": NaN}").contains("line 1"));
        // Half of a pair is no character; the place is that of the string, not of its beginning.
        let half = told("[1,\n \"a\\ud800b\"]");
        assert!(half.starts_with("line 2, column "), "{half}");
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(&deep(DEEPEST)).is_ok() && serde_json::from_str::<Value>(&deep(DEEPEST)).is_ok());
        assert!(told(&deep(DEEPEST + 1)).contains("nested too deep"));
        // What is in a string, or beside one another, is not nested.
        assert!(parse(&format!("[\"\\\"{}\", {}]", "[".repeat(200), "[],".repeat(200) + "1")).is_ok());
        assert!(told(&deep(1_000_000)).contains("nested too deep"));
    }

    #[test]
    fn a_form_has_each_member_once_and_its_own_numbers() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Form {
            n: u64,
            any: Value,
        }
        let form: Form = read("{\"n\": 18446744073709551615, \"any\": {\"a\": 1}}").unwrap();
        assert_eq!((form.n, form.any), (u64::MAX, json!({"a": 1})));
        let told = |text: &str| read::<Form>(text).unwrap_err().to_string();
        assert!(told("{\"n\": 1, \"any\": {\"a\": 1, \"a\": 2}}").contains("`a` is given twice"));
        let unknown = told("{\"n\": 1,\n \"any\": 1,\n \"other\": 2}");
        assert!(unknown.starts_with("line 3") && unknown.contains("unknown field `other`"), "{unknown}");
        assert!(!unknown.contains("at line"), "{unknown}");
    }

    #[test]
    fn canonical_json_is_that_of_the_rfc() {
        let value = parse(r#"{"literals":[null,true,false],"numbers":[333333333.3333333,4.50,2e-3],"string":"\u20ac$\u000F\nA'B\"\\\\\"/"}"#).unwrap();
        let text = "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,4.5,0.002],\"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
        assert_eq!(String::from_utf8(canonical(&value).unwrap()).unwrap(), text);
        let names =
            json!({"\u{20ac}": 1, "\r": 2, "\u{fb33}": 3, "1": 4, "\u{1f600}": 5, "\u{80}": 6, "\u{f6}": 7});
        let text = "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"ö\":7,\"€\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}";
        assert_eq!(String::from_utf8(canonical(&names).unwrap()).unwrap(), text);
    }

    /// Two values that differ must never have the same canonical bytes: large integers would, as doubles.
    #[test]
    fn what_has_no_canonical_form_of_its_own_is_refused() {
        for exact in [9_007_199_254_740_991_i64, -9_007_199_254_740_991, 0] {
            assert_eq!(
                canonical(&json!({"n": [exact]})).unwrap(),
                format!("{{\"n\":[{exact}]}}").into_bytes()
            );
        }
        for inexact in [json!(1_u64 << 53), json!(u64::MAX), json!(i64::MIN), json!(1e16), json!(-1e20)] {
            let error = canonical(&json!({"deep": [{"n": inexact}]})).unwrap_err();
            assert!(error.to_string().contains("write it as a string"), "{error}");
        }
        assert_eq!(canonical(&json!(1e21)).unwrap(), b"1e+21");
        let raw = RawValue::from_string("9007199254740993".to_owned()).unwrap();
        assert!(canonical(&raw).is_err());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            any::<f64>()
                .prop_filter("finite", |n| n.is_finite() && !number::is_unsafe(*n))
                .prop_map(Value::from),
            "\\PC{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("\\PC{0,3}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn canonical_is_a_fixed_point(value in any_json()) {
            let bytes = canonical(&value).unwrap();
            let text = std::str::from_utf8(&bytes).unwrap();
            let again = parse(text).unwrap();
            prop_assert_eq!(canonical(&again).unwrap(), bytes);
        }

        #[test]
        fn it_reads_what_serde_json_reads(text in "[\\[\\]{}:, \"ab1.e\\-\\\\]{0,24}") {
            let ours = parse(&text);
            match serde_json::from_str::<Value>(&text) {
                Ok(value) => match ours {
                    Ok(read) => prop_assert_eq!(read, value),
                    Err(why) => prop_assert!(
                        ["twice", "string", "digits"].iter().any(|word| why.why().contains(word)), "{}", why
                    ),
                },
                Err(_) => prop_assert!(ours.is_err()),
            }
        }
    }
}
