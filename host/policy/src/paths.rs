//! Paths of resources in policies: `Remit::Path::"secret:prod"` is everything at or under that path.

use std::collections::BTreeSet;

use remit_gate::{Pattern, Resource};

/// A path and all paths that contain it, widest first: `secret`, `secret:prod`, `secret:prod/db`.
fn chain(path: &str) -> impl Iterator<Item = &str> {
    let ends = path.match_indices([':', '/']).map(|(at, _)| at);
    ends.chain(std::iter::once(path.len())).map(|end| &path[..end])
}

/// The path that contains this one; none for a kind.
pub(crate) fn holder(path: &str) -> Option<&str> {
    path.rfind([':', '/']).map(|at| &path[..at])
}

/// The paths that contain everything that a pattern matches: its segments up to the first wildcard.
fn holders(pattern: &Pattern) -> BTreeSet<String> {
    let plain = |path: &&str| path.rsplit([':', '/']).next().is_none_or(|segment| !segment.contains('*'));
    chain(pattern.as_str()).take_while(plain).map(ToOwned::to_owned).collect()
}

/// The paths that any of these patterns may touch: all paths that contain it, and each path in a policy below which it may
/// match something. A policy cannot ask about other paths.
pub(crate) fn touched<'a>(
    patterns: impl IntoIterator<Item = &'a Pattern>,
    named: &BTreeSet<String>,
) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for pattern in patterns {
        all.extend(holders(pattern));
        all.extend(named.iter().filter(|path| pattern.may_touch(path)).cloned());
    }
    all
}

/// The paths that contain everything that these patterns match. Without patterns, every path in a policy: a request that
/// touches nothing is inside every path.
pub(crate) fn within<'a>(
    patterns: impl IntoIterator<Item = &'a Pattern>,
    named: &BTreeSet<String>,
) -> BTreeSet<String> {
    patterns
        .into_iter()
        .map(holders)
        .reduce(|all, one| all.intersection(&one).cloned().collect())
        .unwrap_or_else(|| named.clone())
}

/// Checks that a resource can be at or below a path in a policy. Otherwise says why not, and what was probably meant.
pub(crate) fn check(path: &str, kinds: &BTreeSet<String>) -> Result<(), String> {
    let Err(why) = possible(path, kinds) else { return Ok(()) };
    let meant = meant(path, kinds);
    let meant: Vec<String> = meant.iter().map(|path| format!("`{path}`")).collect();
    let meant = if meant.is_empty() { String::new() } else { format!("; write {}", meant.join(" or ")) };
    Err(format!("nothing can be in Remit::Path::\"{}\": {why}{meant}", path.escape_debug()))
}

/// Checks that the host knows a kind of resources.
pub(crate) fn check_kind(pattern: &Pattern, kinds: &BTreeSet<String>) -> Result<(), String> {
    if kinds.contains(pattern.kind()) {
        return Ok(());
    }
    let why = format!("`{pattern}` is of no kind that this host knows ({})", words(kinds));
    let meant = meant(pattern.as_str(), kinds);
    Err(meant.first().map_or(why.clone(), |meant| format!("{why}; write `{meant}`")))
}

fn words(kinds: &BTreeSet<String>) -> String {
    kinds.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn possible(path: &str, kinds: &BTreeSet<String>) -> Result<(), String> {
    if kinds.contains(path) {
        return Ok(());
    }
    let Some((kind, rest)) = path.split_once(':') else {
        return Err(format!("it does not begin with a kind ({})", words(kinds)));
    };
    if !kinds.contains(kind) {
        return Err(format!("`{}` is no kind that this host knows ({})", kind.escape_debug(), words(kinds)));
    }
    if rest.split('/').any(|segment| segment.contains('*')) {
        return Err("it has a wildcard, and a path is everything under it anyway".to_owned());
    }
    // The error begins with the text that it is about, which is shown already.
    Resource::try_from(path.to_owned()).map(drop).map_err(|error| {
        let text = error.to_string();
        text.split_once("resource: ").map_or(text.clone(), |(_, why)| why.to_owned())
    })
}

/// What was probably meant: the same path without mistakes, for each kind that fits.
fn meant(path: &str, kinds: &BTreeSet<String>) -> Vec<String> {
    let (kind, rest) = match path.split_once(':') {
        Some((kind, rest)) => (Some(kind.trim().to_ascii_lowercase()), rest),
        None => (None, path),
    };
    let rest: Vec<&str> = rest
        .trim()
        .split('/')
        .map(str::trim)
        .take_while(|s| !s.contains('*'))
        .filter(|s| !s.is_empty())
        .collect();
    let of =
        |kind: &String| if rest.is_empty() { kind.clone() } else { format!("{kind}:{}", rest.join("/")) };
    // A path without a kind, such as `Secrets`, may be a kind itself.
    let single = rest.join("/").to_ascii_lowercase();
    let near = |said: &str| kinds.iter().find(|kind| said == *kind || said.strip_suffix('s') == Some(kind));
    let candidates: Vec<String> = match &kind {
        Some(said) => match near(said) {
            Some(kind) => vec![of(kind)],
            None => kinds.iter().map(of).collect(),
        },
        None => match near(&single) {
            Some(kind) => vec![kind.clone()],
            None => kinds.iter().map(of).collect(),
        },
    };
    candidates.into_iter().filter(|meant| meant != path && possible(meant, kinds).is_ok()).collect()
}

/// The place in a policy file where an entity is named. It must follow `Path::` (or another type), so that a comment or a
/// string with the same text is not taken for it.
pub(crate) fn place(text: &str, kind: &str, name: &str) -> Option<usize> {
    let quoted = format!("\"{name}\"");
    text.match_indices(&quoted).map(|(at, _)| at).find(|at| {
        let before = text[..*at].trim_end().strip_suffix("::");
        before.is_some_and(|before| before.trim_end().ends_with(kind))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(paths: &[&str]) -> BTreeSet<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).unwrap()
    }

    #[test]
    fn a_path_lies_in_all_that_hold_it() {
        let exact = pattern("secret:prod/db/main");
        let all = ["secret", "secret:prod", "secret:prod/db", "secret:prod/db/main"];
        assert_eq!(touched([&exact], &set(&[])), set(&all));
        assert_eq!(within([&exact], &set(&[])), set(&all));
        assert_eq!(holder("secret:prod/db"), Some("secret:prod"));
        assert_eq!(holder("secret:prod"), Some("secret"));
        assert_eq!(holder("secret"), None);
    }

    #[test]
    fn what_may_be_touched_is_asked_by_overlap() {
        let named = set(&["secret:prod", "secret:prod/db", "secret:dev", "file:etc", "secret:production"]);
        for (text, touches, holds) in [
            (
                "secret:**",
                &["secret", "secret:prod", "secret:prod/db", "secret:dev", "secret:production"][..],
                &["secret"][..],
            ),
            (
                "secret:*/db",
                &["secret", "secret:prod", "secret:prod/db", "secret:dev", "secret:production"],
                &["secret"],
            ),
            (
                "secret:*/**",
                &["secret", "secret:prod", "secret:prod/db", "secret:dev", "secret:production"],
                &["secret"],
            ),
            ("secret:prod/*/*", &["secret", "secret:prod", "secret:prod/db"], &["secret", "secret:prod"]),
            (
                "secret:prod/x/*",
                &["secret", "secret:prod", "secret:prod/x"],
                &["secret", "secret:prod", "secret:prod/x"],
            ),
            ("file:**", &["file", "file:etc"], &["file"]),
            ("secret:prod", &["secret", "secret:prod"], &["secret", "secret:prod"]),
        ] {
            assert_eq!(touched([&pattern(text)], &named), set(touches), "{text}");
            assert_eq!(within([&pattern(text)], &named), set(holds), "{text}");
        }
        let both = [pattern("secret:prod/a"), pattern("secret:prod/b/*")];
        assert_eq!(within(&both, &named), set(&["secret", "secret:prod"]));
        assert_eq!(within(&[pattern("secret:prod/a"), pattern("file:etc/a")], &named), set(&[]));
        // Nothing is inside everything that can be asked about, and touches nothing.
        assert_eq!(within([], &named), named);
        assert_eq!(touched([], &named), set(&[]));
    }

    #[test]
    fn what_nothing_can_be_in_is_refused_with_what_was_meant() {
        let kinds = set(&["secret", "file"]);
        for good in ["secret", "file", "secret:prod", "secret:prod/DB", "file:etc/app.d/x-1"] {
            check(good, &kinds).unwrap();
        }
        for (bad, why, meant) in [
            (
                "prod/db",
                "does not begin with a kind (file, secret)",
                "write `file:prod/db` or `secret:prod/db`",
            ),
            ("", "does not begin with a kind", "write `file` or `secret`"),
            ("Secrets", "does not begin with a kind", "write `secret`"),
            ("secrets:prod", "`secrets` is no kind", "write `secret:prod`"),
            ("Secret:prod/db", "`Secret` is no kind", "write `secret:prod/db`"),
            ("ticket:ops/7", "`ticket` is no kind", "write `file:ops/7` or `secret:ops/7`"),
            ("secret:", "it is empty", "write `secret`"),
            ("secret:prod/", "empty segment", "write `secret:prod`"),
            ("secret:/prod", "empty segment", "write `secret:prod`"),
            ("secret:prod//db", "empty segment", "write `secret:prod/db`"),
            ("secret:prod/**", "it has a wildcard", "write `secret:prod`"),
            ("secret:*", "it has a wildcard", "write `secret`"),
            ("secret:prod/pay*", "it has a wildcard", "write `secret:prod`"),
            ("secret: prod", "the character ` `, which is not allowed", "write `secret:prod`"),
            (" secret:prod", "` secret` is no kind", "write `secret:prod`"),
            ("secret:prod/../dev", "`.` and `..`", ""),
            ("secret:pr\u{f6}d", "outside ASCII", ""),
            ("secret:a b", "the character ` `, which is not allowed", ""),
            ("ticket:a b", "`ticket` is no kind", ""),
        ] {
            let said = check(bad, &kinds).unwrap_err();
            assert!(said.contains(why) && said.ends_with(meant), "{bad}: {said}");
            assert!(!meant.is_empty() || !said.contains("; write"), "{bad}: {said}");
            assert!(said.starts_with("nothing can be in Remit::Path::\""), "{said}");
        }
        check_kind(&pattern("secret:**"), &kinds).unwrap();
        let said = check_kind(&pattern("secrets:prod/db"), &kinds).unwrap_err();
        assert!(
            said.contains("no kind that this host knows") && said.ends_with("write `secret:prod/db`"),
            "{said}"
        );
        let said = check_kind(&pattern("x:**"), &set(&[])).unwrap_err();
        assert!(said.ends_with("knows ()"), "{said}");
    }

    #[test]
    fn a_path_is_found_where_it_is_named() {
        let text = "// \"a\"\npermit (principal, action, resource) when { \"a\" == \"a\" || resource in Remit::Path:: \"a\" };";
        assert_eq!(place(text, "Path", "a"), text.rfind("\"a\""));
        assert_eq!(place(text, "Path", "b"), None);
    }

    fn patterns() -> impl Strategy<Value = Pattern> {
        let segment = prop::sample::select(vec!["a", "b", "*", "**"]);
        prop::collection::vec(segment, 1..=4).prop_map(|all| pattern(&format!("secret:{}", all.join("/"))))
    }

    /// Every path of up to seven of these segments.
    fn resources() -> Vec<String> {
        let mut all = vec!["secret:".to_owned()];
        let mut at = 0;
        while at < all.len() {
            let path = all[at].clone();
            if path.matches('/').count() < 7 {
                all.extend(["a/", "b/"].map(|segment| path.clone() + segment));
            }
            at += 1;
        }
        all[1..].iter().map(|path| path.trim_end_matches('/').to_owned()).collect()
    }

    /// The definition, on texts.
    fn matches(pattern: &[&str], path: &[&str]) -> bool {
        match (pattern, path) {
            ([], []) => true,
            (["**", rest @ ..], [_, tail @ ..]) => matches(rest, tail) || matches(pattern, tail),
            (["*", rest @ ..], [_, tail @ ..]) => matches(rest, tail),
            ([literal, rest @ ..], [segment, tail @ ..]) => literal == segment && matches(rest, tail),
            _ => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Against every resource that there is: touched is "some at or under it", within is "all at or under it".
        #[test]
        fn overlap_is_what_trying_every_resource_says(of in prop::collection::vec(patterns(), 1..3)) {
            let all = resources();
            let named: BTreeSet<String> =
                all.iter().filter(|path| path.matches('/').count() < 3).cloned().collect();
            let split = |text: &str| -> Vec<String> { text["secret:".len()..].split('/').map(str::to_owned).collect() };
            let hit: Vec<&String> = all.iter().filter(|path| of.iter().any(|pattern| {
                let (pattern, path) = (split(pattern.as_str()), split(path));
                let (pattern, path): (Vec<&str>, Vec<&str>) =
                    (pattern.iter().map(String::as_str).collect(), path.iter().map(String::as_str).collect());
                matches(&pattern, &path)
            })).collect();
            let under = |path: &str, place: &str| path == place || path.starts_with(&format!("{place}/"));
            let (touched, within) = (touched(&of, &named), within(&of, &named));
            for place in &named {
                prop_assert_eq!(touched.contains(place), hit.iter().any(|path| under(path, place)), "{} touched", place);
                prop_assert_eq!(within.contains(place), hit.iter().all(|path| under(path, place)), "{} within", place);
            }
            prop_assert!(touched.contains("secret") && within.contains("secret"));
        }
    }
}
