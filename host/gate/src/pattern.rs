//! Resource patterns: segment globs.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::Resource;
use crate::resource::{ResourceError, check_path, split_kind};

/// A pattern over resources: `KIND:PATH`, as a resource is written, where in the path `*` stands for exactly one
/// segment and `**` for one or more. There is nothing else: no wildcard inside a segment, none for the kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Pattern {
    text: String,
    colon: usize,
}

impl Pattern {
    /// Parses a pattern.
    pub fn new(text: &str) -> Result<Self, ResourceError> {
        let (kind, path) = split_kind(text)?;
        // A wildcard segment is checked as if it were an ordinary one; `a*` then fails on the star.
        let plain: Vec<&str> =
            path.split('/').map(|s| if matches!(s, "*" | "**") { "x" } else { s }).collect();
        check_path(&plain.join("/"))?;
        Ok(Self { text: text.to_owned(), colon: kind.len() })
    }

    /// Every resource of a kind.
    pub fn all(kind: &str) -> Result<Self, ResourceError> {
        Self::new(&format!("{kind}:**"))
    }

    /// The text it was read from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The kind of resource, such as `secret`.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.text[..self.colon]
    }

    /// The part after the kind.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.text[self.colon + 1..]
    }

    /// The one resource it matches, if it has no wildcard.
    #[must_use]
    pub fn exact(&self) -> Option<Resource> {
        Resource::try_from(self.text.clone()).ok()
    }

    /// Whether it matches this resource or any that lies below it. `under` may also be a kind alone: `secret`.
    #[must_use]
    pub fn may_touch(&self, under: &str) -> bool {
        let (kind, path) = under.split_once(':').map_or((under, None), |(kind, path)| (kind, Some(path)));
        let pattern: Vec<&str> = self.path().split('/').collect();
        let under: Vec<&str> = path.map(|path| path.split('/').collect()).unwrap_or_default();
        kind == self.kind() && reaches(&pattern, &under)
    }
}

/// Whether a pattern matches a path that begins with these segments.
fn reaches(pattern: &[&str], under: &[&str]) -> bool {
    match (pattern, under) {
        // If the prefix is used up, some path below it matches the rest of the pattern; a `**` matches the rest of the prefix.
        (_, []) | (["**", ..], _) => true,
        (["*", rest @ ..], [_, tail @ ..]) => reaches(rest, tail),
        ([literal, rest @ ..], [segment, tail @ ..]) => literal == segment && reaches(rest, tail),
        ([], _) => false,
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text
    }
}

impl TryFrom<String> for Pattern {
    type Error = ResourceError;
    fn try_from(text: String) -> Result<Self, ResourceError> {
        Self::new(&text)
    }
}

/// Many patterns as one tree, so that a look-up costs the length of the path and not the number of
/// patterns.
#[derive(Debug, Default)]
pub struct PatternSet {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    literal: BTreeMap<Box<str>, usize>,
    one: Option<usize>,
    /// Where the first segment of a `**` leads; further segments stay there.
    many: Option<usize>,
    /// This node is the inside of a `**`.
    repeats: bool,
    accepts: bool,
}

impl PatternSet {
    /// Adds a pattern.
    pub fn insert(&mut self, pattern: &Pattern) {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let mut at = 0;
        // The kind is the first step of the way, and never a wildcard.
        for segment in std::iter::once(pattern.kind()).chain(pattern.path().split('/')) {
            let next = self.nodes.len();
            let node = &mut self.nodes[at];
            let to = match segment {
                "*" => *node.one.get_or_insert(next),
                "**" => *node.many.get_or_insert(next),
                _ => *node.literal.entry(segment.into()).or_insert(next),
            };
            if to == next {
                self.nodes.push(Node { repeats: segment == "**", ..Node::default() });
            }
            at = to;
        }
        self.nodes[at].accepts = true;
    }

    /// Whether one of the patterns matches.
    #[must_use]
    pub fn matches(&self, resource: &Resource) -> bool {
        if self.nodes.is_empty() {
            return false;
        }
        // Few patterns match at once, so the states of most paths fit without an allocation.
        let mut here: SmallVec<[usize; 8]> = SmallVec::from_slice(&[0]);
        let mut next: SmallVec<[usize; 8]> = SmallVec::new();
        for segment in std::iter::once(resource.kind()).chain(resource.path().split('/')) {
            for &at in &here {
                let node = &self.nodes[at];
                let stay = node.repeats.then_some(at);
                for to in
                    [node.literal.get(segment).copied(), node.one, node.many, stay].into_iter().flatten()
                {
                    if !next.contains(&to) {
                        next.push(to);
                    }
                }
            }
            std::mem::swap(&mut here, &mut next);
            next.clear();
        }
        here.iter().any(|&at| self.nodes[at].accepts)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    /// The definition, segment by segment.
    fn model(pattern: &[&str], path: &[&str]) -> bool {
        match (pattern, path) {
            ([], []) => true,
            (["**", rest @ ..], [_, tail @ ..]) => model(rest, tail) || model(pattern, tail),
            (["*", rest @ ..], [_, tail @ ..]) => model(rest, tail),
            ([literal, rest @ ..], [segment, tail @ ..]) => literal == segment && model(rest, tail),
            _ => false,
        }
    }

    fn segments(of: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<&'static str>> {
        prop::collection::vec(prop::sample::select(of), 1..=most)
    }

    fn secret(path: &[&str]) -> Resource {
        Resource::new("secret", &path.join("/")).unwrap()
    }

    fn pattern(segments: &[&str]) -> Pattern {
        Pattern::new(&format!("secret:{}", segments.join("/"))).unwrap()
    }

    /// Every path of up to `most` of these segments.
    fn paths(of: &[&'static str], most: usize) -> Vec<Vec<&'static str>> {
        let mut all: Vec<Vec<&str>> = vec![Vec::new()];
        let mut from = 0;
        for _ in 0..most {
            let to = all.len();
            for at in from..to {
                for segment in of {
                    all.push([&all[at][..], &[segment]].concat());
                }
            }
            from = to;
        }
        all.split_off(1)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        /// One tree of many patterns says what each pattern alone would say.
        #[test]
        fn a_set_matches_as_its_patterns_do(
            patterns in prop::collection::vec(segments(&["a", "b", "*", "**"], 5), 0..6),
            path in segments(&["a", "b", "c"], 7),
        ) {
            let mut set = PatternSet::default();
            for segments in &patterns {
                set.insert(&pattern(segments));
            }
            let expected = patterns.iter().any(|pattern| model(pattern, &path));
            prop_assert_eq!(set.matches(&secret(&path)), expected);
            prop_assert!(!set.matches(&Resource::new("file", &path.join("/")).unwrap()), "another kind");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// What it may touch is found by trying every path that there is.
        #[test]
        fn what_a_pattern_may_touch_is_what_it_matches(
            of in segments(&["a", "b", "*", "**"], 4),
            under in segments(&["a", "b"], 3),
        ) {
            let pattern = pattern(&of);
            let all = paths(&["a", "b"], 7);
            let expected = all.iter().any(|path| path.starts_with(&under) && model(&of, path));
            prop_assert_eq!(pattern.may_touch(&format!("secret:{}", under.join("/"))), expected);
            prop_assert!(pattern.may_touch("secret") && !pattern.may_touch("file"));
        }
    }

    #[test]
    fn wildcards_are_whole_segments() {
        for good in ["*", "**", "**/**", "a/*/b", "a-b_c.d@e+f=g~h/**"] {
            let good = format!("secret:{good}");
            assert_eq!(Pattern::new(&good).unwrap().as_str(), good);
        }
        for bad in
            ["", "a*", "*a", "***", "a/**b", "a//b", "/a", "a/", "..", "a/../*", "?", "[a]", "{a,b}", "!a"]
        {
            Pattern::new(&format!("secret:{bad}")).unwrap_err();
        }
        for no_kind in ["a/b", "**", ":a", "*:a", "Secret:a", "secret :a", "a/b:c"] {
            Pattern::new(no_kind).unwrap_err();
        }
    }

    #[test]
    fn many_wildcards_cost_no_time() {
        let mut set = PatternSet::default();
        set.insert(&pattern(&[&["**"; 100][..], &["end"]].concat()));
        // A matcher that backtracks would never finish here.
        assert!(!set.matches(&secret(&["a"; 250])));
        assert!(set.matches(&secret(&[&["a"; 250][..], &["end"]].concat())));
    }
}
