//! What was expected beside what was seen.

use serde_json::Value;

use crate::Expect;

/// Each difference, as lines: `-` was expected, `+` was seen. Empty if all is as expected.
#[must_use]
pub fn differences(expected: &Expect, seen: &Expect) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(wanted) = expected.outcome.filter(|wanted| Some(*wanted) != seen.outcome) {
        let found = seen.outcome.map_or_else(|| "nothing".to_owned(), |found| found.to_string());
        let why = seen.because.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        pair(&mut lines, "outcome", &wanted.to_string(), &format!("{found}{why}"));
    }
    if let Some(words) = &expected.because {
        let why = seen.because.as_deref().unwrap_or("it succeeded");
        if !why.contains(words.as_str()) {
            pair(&mut lines, "because", &format!("… {words} …"), why);
        }
    }
    if let Some(wanted) = &expected.operations {
        operations(&mut lines, wanted, seen.operations.as_deref().unwrap_or_default());
    }
    if let Some(wanted) = expected.output.as_ref().filter(|wanted| Some(*wanted) != seen.output.as_ref()) {
        let found = seen.output.as_ref().map_or_else(|| "none".to_owned(), Value::to_string);
        pair(&mut lines, "output", &wanted.to_string(), &found);
    }
    for (table, wanted) in
        expected.after.iter().flat_map(|(table, all)| all.iter().map(move |one| (table, one)))
    {
        let found = seen.states(table).iter().find(|state| state.path == wanted.path);
        if found != Some(wanted) {
            let found = found.map_or("not there", |state| &state.words);
            pair(&mut lines, &format!("{table} {}", wanted.path), &wanted.words, found);
        }
    }
    lines
}

fn pair(lines: &mut Vec<String>, what: &str, wanted: &str, found: &str) {
    lines.extend([what.to_owned(), format!("- {wanted}"), format!("+ {found}")]);
}

/// The operations side by side: what both have stands once, so that the eye finds what differs.
fn operations(lines: &mut Vec<String>, wanted: &[String], found: &[String]) {
    if wanted == found {
        return;
    }
    lines.push("operations".to_owned());
    let same = wanted.iter().zip(found).take_while(|(a, b)| a == b).count();
    let rest = (&wanted[same..], &found[same..]);
    let tail = rest.0.iter().rev().zip(rest.1.iter().rev()).take_while(|(a, b)| a == b).count();
    lines.extend(wanted[..same].iter().map(|line| format!("  {line}")));
    lines.extend(rest.0[..rest.0.len() - tail].iter().map(|line| format!("- {line}")));
    lines.extend(rest.1[..rest.1.len() - tail].iter().map(|line| format!("+ {line}")));
    lines.extend(rest.0[rest.0.len() - tail..].iter().map(|line| format!("  {line}")));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(operations: &[&str]) -> Expect {
        Expect {
            operations: Some(operations.iter().map(|line| (*line).to_owned()).collect()),
            ..Expect::default()
        }
    }

    #[test]
    fn only_what_differs_is_marked() {
        let lines = differences(&of(&["a", "b", "c"]), &of(&["a", "x", "y", "c"]));
        assert_eq!(lines, ["operations", "  a", "- b", "+ x", "+ y", "  c"]);
        assert_eq!(differences(&of(&["a", "a"]), &of(&["a"])), ["operations", "  a", "- a"]);
        assert!(differences(&Expect::default(), &of(&["a"])).is_empty());
    }
}
