//! Integers of 64 bits, which are texts in JSON: not every reader of JSON knows numbers of this size.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::Serializer;

/// Writes one.
pub fn serialize<N: Display, S: Serializer>(number: &N, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(number)
}

/// Reads one.
pub fn deserialize<'de, N: FromStr<Err: Display>, D: Deserializer<'de>>(from: D) -> Result<N, D::Error> {
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}

/// The same where there may be none.
pub mod option {
    use super::{Deserialize, Deserializer, Display, Error, FromStr, Serializer};

    /// Writes one.
    pub fn serialize<N: Display, S: Serializer>(number: &Option<N>, to: S) -> Result<S::Ok, S::Error> {
        match number {
            Some(number) => to.collect_str(number),
            None => to.serialize_none(),
        }
    }

    /// Reads one.
    pub fn deserialize<'de, N: FromStr<Err: Display>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<N>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| text.parse()).transpose().map_err(D::Error::custom)
    }
}
