//! Text in URIs.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All but the unreserved characters of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Text as it stands in one part of a URI, such as a segment of its path or a value of its query: all but letters, digits and `-._~` as
/// `%XX`.
#[must_use]
pub fn uri_part(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::uri_part;

    #[test]
    fn all_but_unreserved_characters_are_encoded() {
        assert_eq!(uri_part("aZ09-._~"), "aZ09-._~");
        assert_eq!(uri_part("../a b?c=d&e#%\u{e9}\n"), "..%2Fa%20b%3Fc%3Dd%26e%23%25%C3%A9%0A");
    }
}
