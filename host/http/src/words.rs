//! What of a server's own words a person, a journal and an action may see.

use std::collections::BTreeSet;

use zeroize::Zeroizing;

/// So much of them is looked at, and so much is shown.
const LOOKED_AT: usize = 2000;
const SHOWN: usize = 240;
/// Words and secrets that have so many bytes in common, or all of a shorter secret, are taken to be about it.
const IN_COMMON: usize = 8;
/// A string of letters and digits of at least this length could be a token, or a value that is not known here.
const LIKE_A_TOKEN: usize = 20;

/// A server's `errors` in plain characters and cut; `None` if it has none.
///
/// A server can put anything into them. A message with a part of one of `secrets` is not shown, nor is anything that
/// looks like a token.
#[must_use]
pub fn shown<'a>(said: &[String], secrets: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let said: String = said.join("; ").chars().take(LOOKED_AT).collect();
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    if said.is_empty() {
        return None;
    }
    if secrets.into_iter().any(|secret| have_in_common(&said, secret)) {
        return Some("(words that are not shown, since they have a part of a secret)".to_owned());
    }
    let plain: String = masked(&said).chars().flat_map(plain).collect();
    Some(match plain.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("\"{}…\"", &plain[..cut]),
        None => format!("\"{plain}\""),
    })
}

/// White space does not count: a server may break lines.
fn have_in_common(said: &str, secret: &str) -> bool {
    let dense = |text: &str| Zeroizing::new(text.split_whitespace().collect::<String>());
    let (said, secret) = (dense(said), dense(secret));
    let length = secret.len().min(IN_COMMON);
    if length == 0 {
        return false;
    }
    let parts: BTreeSet<&[u8]> = said.as_bytes().windows(length).collect();
    secret.as_bytes().windows(length).any(|part| parts.contains(part))
}

/// Without what looks like a token.
fn masked(said: &str) -> String {
    let of_a_token = |c: char| c.is_ascii_alphanumeric() || "-_.=+".contains(c);
    let mut masked = String::with_capacity(said.len());
    let mut rest = said;
    while !rest.is_empty() {
        let end = rest.find(|c| !of_a_token(c)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        let digit = run.contains(|c: char| c.is_ascii_digit());
        let letter = run.contains(|c: char| c.is_ascii_alphabetic());
        masked.push_str(if run.len() >= LIKE_A_TOKEN && digit && letter { "…" } else { run });
        let next = after.chars().next().map_or(0, char::len_utf8);
        masked.push_str(&after[..next]);
        rest = &after[next..];
    }
    masked
}

/// What could hide something, or look like something else, as an escape.
fn plain(c: char) -> impl Iterator<Item = char> {
    let shows = c == ' ' || c == '…' || c.is_ascii_graphic();
    shows.then_some(c).into_iter().chain((!shows).then(|| c.escape_unicode()).into_iter().flatten())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    #[test]
    fn the_servers_words_are_short_plain_and_without_secrets() {
        let shown = |said: &str, secrets: &[&str]| super::shown(&[said.to_owned()], secrets.iter().copied());
        let withheld = Some("(words that are not shown, since they have a part of a secret)".to_owned());
        for (said, secrets, expected) in [
            ("", &[][..], None),
            (" \n", &[], None),
            ("1 error occurred:\n\t* rate limit\n\n", &[], Some("\"1 error occurred: * rate limit\"")),
            ("caf\u{e9}\u{202e}\u{1b}[1m", &[], Some("\"caf\\u{e9}\\u{202e}\\u{1b}[1m\"")),
            ("a b", &["a bit"], Some("\"a b\"")),
            ("a bit", &[""], Some("\"a bit\"")),
            ("token hvs.CAESIJ2k3jlwqe98 is bad", &[], Some("\"token … is bad\"")),
            ("2f3a9c1e5b7d2f3a9c1e5b7d", &[], Some("\"…\"")),
            ("internationalisation-of-things", &[], Some("\"internationalisation-of-things\"")),
        ] {
            assert_eq!(shown(said, secrets), expected.map(ToOwned::to_owned), "{said}");
        }
        for (said, secret) in [
            ("it is hunter2", "hunter2"),
            ("starts correct-h", "correct-horse"),
            ("ends s-battery.", "horses-battery"),
            ("it is ab  cd\n ef  gh", "ab  cd  ef  gh"),
        ] {
            assert_eq!(shown(said, &["other", secret]), withheld, "{said}");
        }
        let long = shown(&"word ".repeat(10_000), &[]).unwrap();
        assert!(long.chars().count() < 250 && long.ends_with("…\""), "{long}");
    }
}
