//! A secret's values, kept from sight.

use std::collections::BTreeMap;
use std::fmt;

use remit_gate::Failure;
use remit_trust::{SecretBytes, SecretText};

/// One version of a secret: its fields by name. `Debug` shows the names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, SecretText>);

impl Fields {
    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The value of `field`. Each use is a place to look at twice.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&str> {
        self.0.get(field).map(SecretText::expose)
    }

    /// Names and values, in order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.expose()))
    }

    /// Sets a field to a value, whether it exists or not.
    pub fn insert(&mut self, field: String, value: impl Into<SecretText>) {
        self.0.insert(field, value.into());
    }

    /// A copy in which `field` has `value` and every other field is the same.
    #[must_use]
    pub fn with(&self, field: &str, value: impl Into<SecretText>) -> Self {
        let mut fields = self.clone();
        fields.insert(field.to_owned(), value);
        fields
    }

    /// The number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields as a JSON object, to be sealed or sent.
    #[must_use]
    pub fn to_secret(&self) -> SecretBytes {
        let map: BTreeMap<&str, &str> = self.iter().collect();
        // Room for every character escaped: a buffer that grows leaves copies of values behind.
        let room = 2 + self.iter().map(|(name, value)| 6 * (name.len() + value.len()) + 6).sum::<usize>();
        let mut bytes = Vec::with_capacity(room);
        #[expect(clippy::expect_used, reason = "a map of strings always has a JSON form")]
        serde_json::to_writer(&mut bytes, &map).expect("strings serialise");
        SecretBytes::new(bytes)
    }

    /// Reads the fields from the JSON object that [`Fields::to_secret`] made.
    pub fn from_secret(secret: &SecretBytes) -> Result<Self, Failure> {
        // Serde's own words could quote a value.
        serde_json::from_slice::<BTreeMap<String, String>>(secret.expose())
            .map(|map| map.into_iter().collect())
            .map_err(|_| Failure::Invalid("what should be a secret's fields is not".to_owned()))
    }
}

impl FromIterator<(String, String)> for Fields {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name, SecretText::new(value))).collect())
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fields")?;
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_shows() {
        let fields = Fields::default().with("password", "hunter2".to_owned());
        assert_eq!(format!("{fields:?}"), "Fields{\"password\"}");
        assert_eq!(format!("{:?}", SecretText::new("hunter2".to_owned())), "Secret(..)");
        let broken =
            Fields::from_secret(&SecretBytes::new(br#"{"password": hunter2}"#.to_vec())).unwrap_err();
        assert!(!broken.to_string().contains("hunter2"));
    }

    proptest::proptest! {
        #[test]
        fn json_round_trip(map: std::collections::BTreeMap<String, String>) {
            let fields: Fields = map.into_iter().collect();
            let secret = fields.to_secret();
            proptest::prop_assert_eq!(Fields::from_secret(&secret).unwrap(), fields);
        }
    }
}
