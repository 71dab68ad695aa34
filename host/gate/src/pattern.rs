//! Resource patterns: segment globs.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::resource::{ResourceError, check_path};

/// A pattern over paths. `*` stands for exactly one segment, `**` for one or more; there is nothing
/// else, and no wildcard inside a segment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Pattern(String);

impl Pattern {
    /// Reads a pattern.
    pub fn new(text: &str) -> Result<Self, ResourceError> {
        // A wildcard segment is checked as if it were an ordinary one; `a*` then fails on the star.
        let plain: Vec<&str> =
            text.split('/').map(|s| if matches!(s, "*" | "**") { "x" } else { s }).collect();
        check_path(&plain.join("/"))?;
        Ok(Self(text.to_owned()))
    }

    /// The text it was read from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
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
pub(crate) struct PatternSet {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    literal: BTreeMap<Box<str>, usize>,
    one: Option<usize>,
    /// Entered by the first segment of a `**`; stays for every further one.
    many: Option<usize>,
    /// This node is the inside of a `**`.
    repeats: bool,
    accepts: bool,
}

impl PatternSet {
    pub(crate) fn insert(&mut self, pattern: &Pattern) {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let mut at = 0;
        for segment in pattern.as_str().split('/') {
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

    pub(crate) fn matches(&self, path: &str) -> bool {
        if self.nodes.is_empty() {
            return false;
        }
        // Few patterns fit at once: the states of most paths need no place on the heap.
        let mut here: SmallVec<[usize; 8]> = SmallVec::from_slice(&[0]);
        let mut next: SmallVec<[usize; 8]> = SmallVec::new();
        for segment in path.split('/') {
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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        /// One tree of many patterns says what each pattern alone would say.
        #[test]
        fn a_set_matches_as_its_patterns_do(
            patterns in prop::collection::vec(segments(&["a", "b", "*", "**"], 5), 0..6),
            path in segments(&["a", "b", "c"], 7),
        ) {
            let mut set = PatternSet::default();
            for pattern in &patterns {
                set.insert(&Pattern::new(&pattern.join("/")).unwrap());
            }
            let expected = patterns.iter().any(|pattern| model(pattern, &path));
            prop_assert_eq!(set.matches(&path.join("/")), expected);
        }
    }

    #[test]
    fn wildcards_are_whole_segments() {
        for good in ["*", "**", "**/**", "a/*/b", "a-b_c.d@e+f=g~h/**"] {
            assert_eq!(Pattern::new(good).unwrap().as_str(), good);
        }
        for bad in
            ["", "a*", "*a", "***", "a/**b", "a//b", "/a", "a/", "..", "a/../*", "?", "[a]", "{a,b}", "!a"]
        {
            Pattern::new(bad).unwrap_err();
        }
    }

    #[test]
    fn many_wildcards_cost_no_time() {
        let mut set = PatternSet::default();
        set.insert(&Pattern::new(&format!("{}/end", ["**"; 100].join("/"))).unwrap());
        // Backtracking would take longer than the universe has had.
        assert!(!set.matches(&["a"; 250].join("/")));
        assert!(set.matches(&format!("{}/end", ["a"; 250].join("/"))));
    }
}
