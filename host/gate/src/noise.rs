//! Made-up text in place of secret text: what a rehearsal hands out where a run would disclose.

use ring::hmac;

/// Makes text up for one run.
///
/// The output depends on the run, on the place that is asked about, and on the *shape* of the real text (its length, and
/// the class of each character), and on nothing else. So nobody can learn the text from any number of rehearsals, nor
/// whether two places hold the same text. A made-up character may be equal to the real one by chance: if it never were, the
/// one character that never appears in many rehearsals would be the real one.
#[derive(Clone)]
pub struct Noise {
    key: hmac::Key,
}

/// Letters of two, three and four bytes that stand for other characters of as many: first one, and how many.
const WIDE: [(u32, u64); 3] = [(0x100, 0x80), (0x4E00, 0x5000), (0x20000, 0xA000)];
const PUNCTUATION: &[u8] = b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

impl Noise {
    /// The noise of the run that drew this seed.
    #[must_use]
    pub fn new(seed: &[u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, seed) }.at("remit-noise-v1")
    }

    /// The noise of one place, such as an operation with its arguments. Each place has its own, and always the same.
    #[must_use]
    pub fn at(&self, place: &str) -> Self {
        let key = hmac::sign(&self.key, &[b"at\0", place.as_bytes()].concat());
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()) }
    }

    /// A text of the shape of `text`: as many characters and bytes, letters for letters of their case, digits
    /// for digits, ASCII punctuation for ASCII punctuation, and letters for everything else. `context` says which of
    /// several texts of the place it is.
    #[must_use]
    pub fn like(&self, context: &str, text: &str) -> String {
        let stream = self.at(context).key;
        let mut block = [0; 32];
        text.chars()
            .enumerate()
            .map(|(index, real)| {
                let (number, part) = (index / 4, index % 4);
                if part == 0 {
                    let fresh = hmac::sign(&stream, &[&b"text\0"[..], &number.to_le_bytes()].concat());
                    block.copy_from_slice(fresh.as_ref());
                }
                let mut drawn = [0; 8];
                drawn.copy_from_slice(&block[part * 8..][..8]);
                of_class(real, u64::from_le_bytes(drawn))
            })
            .collect()
    }
}

/// A character of the class of `real`: the one that was drawn.
fn of_class(real: char, drawn: u64) -> char {
    // The bias of the remainder of a 64-bit number is too small to measure.
    let of = |count: u64| u32::try_from(drawn % count).unwrap_or_default();
    let from = |first: char, count: u64| char::from_u32(u32::from(first) + of(count)).unwrap_or(first);
    match real {
        '0'..='9' => from('0', 10),
        'A'..='Z' => from('A', 26),
        _ if real.is_ascii_punctuation() => char::from(PUNCTUATION[of(PUNCTUATION.len() as u64) as usize]),
        _ if real.is_ascii() => from('a', 26),
        _ => {
            let (first, count) = WIDE[real.len_utf8() - 2];
            char::from_u32(first + of(count)).unwrap_or('\u{100}')
        }
    }
}

impl std::fmt::Debug for Noise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Noise(..)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn class(of: char) -> u8 {
        match of {
            '0'..='9' => 0,
            'A'..='Z' => 1,
            'a'..='z' => 2,
            _ if of.is_ascii_punctuation() => 3,
            // A letter stands for a space or a control character.
            _ if of.is_ascii() => 2,
            _ => 4,
        }
    }

    #[test]
    fn the_tables_are_of_their_classes() {
        assert!(
            (0..=127u8)
                .map(char::from)
                .filter(char::is_ascii_punctuation)
                .eq(PUNCTUATION.iter().copied().map(char::from))
        );
        for (width, (first, count)) in (2..).zip(WIDE) {
            for at in [first, first + u32::try_from(count).unwrap() - 1] {
                let letter = char::from_u32(at).unwrap();
                assert!(letter.is_alphabetic() && letter.len_utf8() == width, "{at:x}");
            }
        }
    }

    /// Why a made-up character may be the real one: with the same noise in all rehearsals but the seed, each
    /// character of the class comes at each place, so none is missing that would be the real one.
    #[test]
    fn many_rehearsals_tell_no_more_than_one() {
        let seen: BTreeSet<String> = (0..200u8).map(|seed| Noise::new(&[seed; 32]).like("", "7")).collect();
        assert_eq!(seen.len(), 10, "{seen:?}");
    }

    /// The seed of a run is on record, so the text can be made up again: each character is drawn with eight bytes of its own.
    #[test]
    fn one_seed_makes_one_text_in_every_version() {
        assert_eq!(Noise::new(&[1; 32]).like("a", "Swordfish-2027 é"), "Zsanzfnrz@9020mĴ");
    }

    /// One long run of a character is no pattern: each place is drawn by itself.
    #[test]
    fn a_long_text_repeats_nothing() {
        let made = Noise::new(&[1; 32]).like("", &"7".repeat(256));
        let fours: BTreeSet<&[u8]> = made.as_bytes().chunks(4).collect();
        assert!(fours.len() > 50, "{made}");
        assert!(made.as_bytes().chunks(4).any(|four| four[0] != four[1] && four[1] != four[2]), "{made}");
    }

    proptest! {
        #[test]
        fn the_shape_is_kept(text in any::<String>(), seed: [u8; 32], context: String) {
            let noise = Noise::new(&seed);
            let made = noise.like(&context, &text);
            prop_assert_eq!(made.len(), text.len());
            prop_assert!(made.chars().map(class).eq(text.chars().map(class)), "{} {}", text, made);
            prop_assert_eq!(&made, &noise.like(&context, &text), "asked twice");
        }

        /// The real text is nowhere in it.
        #[test]
        fn texts_of_one_shape_are_made_up_alike(seed: [u8; 32], text in "[ -~éß€🔑]{0,40}", other: [u8; 32]) {
            let another = Noise::new(&other).like("another text of this shape", &text);
            let noise = Noise::new(&seed);
            prop_assert_eq!(noise.like("c", &text), noise.like("c", &another));
        }

        #[test]
        fn every_place_and_run_has_its_own(seed: [u8; 32], other: [u8; 32], text in "[a-zA-Z0-9]{16,40}") {
            prop_assume!(seed != other);
            let noise = Noise::new(&seed);
            let made = [
                noise.like("a", &text),
                noise.like("b", &text),
                noise.at("x").like("a", &text),
                noise.at("y").like("a", &text),
                Noise::new(&other).like("a", &text),
                text,
            ];
            prop_assert_eq!(made.iter().collect::<BTreeSet<_>>().len(), made.len(), "{:?}", made);
        }
    }
}
