//! A TOML document whose tables are read by different parts of the program, each with its own type. Serde's tagged
//! enums would lose the line of a mistake, and its `flatten` would let misspelt keys through.

use std::fmt;
use std::ops::Range;

use serde::de::value::Error as NoFields;
use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde::forward_to_deserialize_any;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue, ValueDeserializer};

use crate::Mistake;

/// A table of a document: keys are taken out of it one by one, and [`Table::rest`] reads all others. Every
/// [`Mistake`] shows the line of the document.
pub struct Table<'t> {
    text: &'t str,
    span: Range<usize>,
    keys: DeTable<'t>,
    /// The keys that were asked for, which [`Table::rest`] names besides the fields of its type.
    asked: Vec<&'static str>,
}

impl fmt::Debug for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.keys.keys().map(Spanned::get_ref)).finish()
    }
}

impl<'t> Table<'t> {
    /// Reads a whole document.
    pub fn parse(text: &'t str) -> Result<Self, Mistake> {
        let parsed = DeTable::parse(text).map_err(|error| crate::toml::wrong(text, &error))?;
        let span = parsed.span();
        Ok(Self { text, span, keys: parsed.into_inner(), asked: Vec::new() })
    }

    /// The same of a file that becomes canonical JSON: see [`crate::toml::read_exact`].
    pub fn parse_exact(text: &'t str) -> Result<Self, Mistake> {
        let document = Self::parse(text)?;
        document.keys.values().try_for_each(|value| crate::toml::check(text, value))?;
        Ok(document)
    }

    /// Takes the value of `key` out; `None` if it is not set.
    pub fn take<T: DeserializeOwned>(&mut self, key: &'static str) -> Result<Option<T>, Mistake> {
        let Some((key, value)) = self.remove(key) else { return Ok(None) };
        // A table that is written as `a.b = 1` has no place of its own.
        let at = if value.span().is_empty() { key.span() } else { value.span() };
        read(self.text, Spanned::new(at, value.into_inner())).map(Some)
    }

    /// Takes the table `[key]` out; `None` if it is not set.
    pub fn table(&mut self, key: &'static str) -> Result<Option<Self>, Mistake> {
        let Some((at, value)) = self.remove(key) else { return Ok(None) };
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(keys) => Ok(Some(Self { text: self.text, span, keys, asked: Vec::new() })),
            _ => Err(Mistake::new(self.text, at.span(), format!("`{key}` is a table: write [{key}]"))),
        }
    }

    /// Takes the tables `[[key]]` out; none if there is no such section.
    pub fn entries(&mut self, key: &'static str) -> Result<Vec<Self>, Mistake> {
        let Some((_, value)) = self.remove(key) else { return Ok(Vec::new()) };
        let span = value.span();
        let DeValue::Array(entries) = value.into_inner() else { return Err(self.no_entries(key, span)) };
        let entries = entries.into_iter().map(|entry| {
            let span = entry.span();
            match entry.into_inner() {
                DeValue::Table(keys) => Ok(Self { text: self.text, span, keys, asked: Vec::new() }),
                _ => Err(self.no_entries(key, span)),
            }
        });
        entries.collect()
    }

    /// Reads everything that was not taken. A key that `T` does not have is a mistake at its place; `whose` says what
    /// does not have it: `the openbao backend`.
    pub fn rest<T: DeserializeOwned>(self, whose: &str) -> Result<T, Mistake> {
        let fields = fields_of::<T>();
        if let Some(unknown) = self.keys.keys().find(|key| !fields.contains(&key.get_ref().as_ref())) {
            let known = self.asked.iter().chain(fields).map(|key| format!("`{key}`"));
            let known = known.collect::<Vec<_>>().join(", ");
            let why = format!("{whose} has no key `{}`; it has {known}", unknown.get_ref().escape_debug());
            return Err(Mistake::new(self.text, unknown.span(), why));
        }
        let value = Spanned::new(self.span.clone(), DeValue::Table(self.keys));
        read(self.text, value)
    }

    /// A mistake of the table as a whole.
    #[must_use]
    pub fn mistake(&self, why: impl Into<String>) -> Mistake {
        Mistake::new(self.text, self.span.clone(), why)
    }

    fn remove(&mut self, key: &'static str) -> Option<(Spanned<DeString<'t>>, Spanned<DeValue<'t>>)> {
        self.asked.push(key);
        let found = self.keys.keys().find(|found| found.get_ref() == key)?.clone();
        self.keys.remove_entry(&found)
    }

    fn no_entries(&self, key: &str, at: Range<usize>) -> Mistake {
        Mistake::new(self.text, at, format!("`{key}` is a list of tables: write [[{key}]]"))
    }
}

fn read<T: DeserializeOwned>(text: &str, value: Spanned<DeValue<'_>>) -> Result<T, Mistake> {
    let all = value.span();
    T::deserialize(ValueDeserializer::from(value)).map_err(|error| {
        // A check of the type's own (`try_from`) is of the value as a whole.
        let at = error.span().filter(|at| !at.is_empty()).unwrap_or(all);
        Mistake::new(text, at, error.message().trim_end())
    })
}

/// The keys of a struct, in the order of its definition; none of another type.
fn fields_of<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    // It always fails: all that is wanted is what the type asks for.
    let _ = T::deserialize(Fields(&mut fields));
    fields
}

struct Fields<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Fields<'_> {
    type Error = NoFields;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, NoFields> {
        Err(serde::de::Error::custom("only the fields of a struct are wanted"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, NoFields> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Door {
        colour: String,
        #[serde(default)]
        height: u32,
    }

    fn doors(text: &str) -> Result<Vec<(String, Door)>, Mistake> {
        let mut house = Table::parse(text)?;
        let doors = house.entries("door")?.into_iter().map(|mut door| {
            let kind = door.take("kind")?.unwrap_or_default();
            Ok((kind, door.rest("a door")?))
        });
        let doors = doors.collect::<Result<_, _>>()?;
        house.rest::<serde::de::IgnoredAny>("a house")?;
        Ok(doors)
    }

    #[test]
    fn each_part_reads_its_own() {
        let found =
            doors("[[door]]\nkind = 'oak'\ncolour = 'red'\n[[door]]\ncolour = 'blue'\nheight = 2").unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].0.as_str(), found[0].1.colour.as_str()), ("oak", "red"));
        assert_eq!((found[1].0.as_str(), found[1].1.height), ("", 2));
        assert!(doors("").unwrap().is_empty());
    }

    #[test]
    fn mistakes_are_shown_at_their_place() {
        for (text, told) in [
            (
                "[[door]]\ncolour = 'red'\nhieght = 2",
                "line 3, column 1\n  |\n3 | hieght = 2\n  | ^^^^^^\na door has no key `hieght`; it has `kind`, `colour`, `height`",
            ),
            (
                "[[door]]\ncolour = 'red'\nheight = 'x'",
                "line 3, column 10\n  |\n3 | height = 'x'\n  |          ^^^\ninvalid type: string \"x\", expected u32",
            ),
            (
                "[[door]]\nkind = 1",
                "line 2, column 8\n  |\n2 | kind = 1\n  |        ^\ninvalid type: integer `1`, expected a string",
            ),
            (
                "[[door]]\nheight = 1",
                "line 1, column 1\n  |\n1 | [[door]]\n  | ^^^^^^^^\nmissing field `colour`",
            ),
            (
                "[door]\n",
                "line 1, column 1\n  |\n1 | [door]\n  | ^^^^^^\n`door` is a list of tables: write [[door]]",
            ),
            (
                "door = [1]",
                "line 1, column 9\n  |\n1 | door = [1]\n  |         ^\n`door` is a list of tables: write [[door]]",
            ),
            (
                "roof = 1",
                "line 1, column 1\n  |\n1 | roof = 1\n  | ^^^^\na house has no key `roof`; it has `door`",
            ),
        ] {
            assert_eq!(doors(text).unwrap_err().to_string(), told, "{text}");
        }
    }
}
