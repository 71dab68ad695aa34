//! The approvals that a policy asks for (`@needs`).

use std::fmt;
use std::str::FromStr;

use crate::Subject;
use crate::request::KINDS;

/// The approvals that a policy asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The id of the policy.
    pub policy: String,
    /// The number of different principals.
    pub count: usize,
    /// The kind of principal; none for any.
    pub kind: Option<String>,
    /// The group of the principal; none for any.
    pub group: Option<String>,
}

impl Need {
    /// How many approvals are missing. Each principal counts once.
    #[must_use]
    pub fn missing(&self, approvals: &[Subject]) -> usize {
        let fits = |who: &&Subject| {
            self.kind.as_ref().is_none_or(|kind| who.kind == *kind)
                && self.group.as_ref().is_none_or(|group| who.groups.contains(group))
        };
        let mut names: Vec<&str> = approvals.iter().filter(fits).map(|who| &*who.name).collect();
        names.sort_unstable();
        names.dedup();
        self.count.saturating_sub(names.len())
    }

    /// Reads the text of `@needs`: `2`, `2 human`, `1 in security`, `1 human in security`.
    pub(crate) fn parse(policy: &str, text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "@needs(\"{}\") is not like \"2\", \"1 human\" or \"1 human in security\"",
                text.escape_debug()
            )
        };
        let mut words = text.split_whitespace();
        let count = words.next().and_then(|count| usize::from_str(count).ok()).ok_or_else(wrong)?;
        let (mut kind, mut group) = (None, None);
        let mut next = words.next();
        if let Some(word) = next.filter(|word| KINDS.contains(word)) {
            kind = Some(word.to_owned());
            next = words.next();
        }
        if next == Some("in") {
            group = Some(words.next().ok_or_else(wrong)?.to_owned());
            next = words.next();
        }
        if next.is_some() {
            return Err(wrong());
        }
        Ok(Self { policy: policy.to_owned(), count, kind, group })
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.as_deref().unwrap_or("principal");
        write!(f, "{} {kind}{}", self.count, if self.count == 1 { "" } else { "s" })?;
        match &self.group {
            Some(group) => write!(f, " of {group}"),
            None => Ok(()),
        }
    }
}
