//! Addresses of systems: `https://HOST[:PORT]/…`, or `http://` to this machine only, because anything else could be read on its
//! way.

use std::net::IpAddr;

use http::Uri;

/// An address to which something may be sent that nobody else may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    origin: String,
    rest: String,
}

/// Why nothing is sent to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is none.
    #[error("{0}")]
    Malformed(&'static str),
    /// Plain HTTP to another machine.
    #[error(
        "it is http:// to another machine, where others can read what is sent; write https://HOST[:PORT]"
    )]
    Plaintext,
}

impl Address {
    /// Reads an address.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let wrong = |why| Err(AddressError::Malformed(why));
        let Ok(uri) = text.parse::<Uri>() else {
            return wrong("it is not a URL such as https://HOST:PORT");
        };
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return wrong("it has no scheme or no host; write https://HOST:PORT");
        };
        if authority.as_str().contains('@') {
            return wrong("it has a user or password in it; remove them");
        }
        if authority.host().is_empty() {
            return wrong("it has no host; write https://HOST:PORT");
        }
        let port = &authority.as_str()[authority.host().len()..];
        // What is no port would be left out, and whoever listens on the scheme's own would get what is sent.
        if !port.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
            return wrong("its port is not a number from 1 to 65535");
        }
        let origin = match scheme {
            "https" => format!("https://{authority}"),
            "http" => match this_machine(authority.host()) {
                Some(host) => format!("http://{host}{port}"),
                None => return Err(AddressError::Plaintext),
            },
            _ => return wrong("its scheme is not https"),
        };
        let rest = uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        Ok(Self { origin, rest })
    }

    /// Reads an address that has no path and no query.
    pub fn of_origin(text: &str) -> Result<String, AddressError> {
        let address = Self::parse(text)?;
        if address.rest.trim_matches('/').is_empty() {
            Ok(address.origin)
        } else {
            Err(AddressError::Malformed("it has a path; write https://HOST:PORT only"))
        }
    }

    /// Scheme, host and port, without a slash at the end.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The whole, in the form that requests have.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}{}", self.origin, self.rest)
    }
}

/// The host of an address, if it is this machine by its form alone. A dot at the end of `localhost` is dropped: it is the same name,
/// but with the dot a resolver could look for it elsewhere.
#[must_use]
pub fn this_machine(host: &str) -> Option<&str> {
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.eq_ignore_ascii_case("localhost") {
        return Some(name);
    }
    let ip: IpAddr = host.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    ip.is_loopback().then_some(host)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_is_private_goes_over_tls_or_stays_here() {
        for (address, becomes) in [
            ("https://bao.example.com:8200", Some("https://bao.example.com:8200")),
            ("https://bao.example.com//", Some("https://bao.example.com")),
            ("http://127.0.0.1:8200", Some("http://127.0.0.1:8200")),
            ("http://127.9.9.9/", Some("http://127.9.9.9")),
            ("http://[::1]:8200", Some("http://[::1]:8200")),
            ("http://localhost:8200", Some("http://localhost:8200")),
            ("http://LOCALHOST.:8200", Some("http://LOCALHOST:8200")),
            ("http://localhost..:8200", None),
            ("http://127.0.0.1.:8200", None),
            ("http://bao.example.com", None),
            ("http://10.0.0.1:8200", None),
            ("http://127.0.0.1.example.com", None),
            ("http://localhost.example.com", None),
            ("http://localhost@example.com", None),
            ("https://user:pw@bao.example.com", None),
            ("https://bao.example.com/v1", None),
            ("https://bao.example.com?x=y", None),
            ("https://bao.example.com:99999", None),
            ("https://bao.example.com:0", None),
            ("https://bao.example.com:", None),
            ("http://127.0.0.1:99999", None),
            ("http://[::1]:65536", None),
            ("ftp://127.0.0.1", None),
            ("bao.example.com:8200", None),
            ("", None),
        ] {
            assert_eq!(Address::of_origin(address).ok().as_deref(), becomes, "{address}");
        }
        assert_eq!(Address::parse("http://10.0.0.1:8200"), Err(AddressError::Plaintext));
        let hook = Address::parse("https://hooks.example:8443/a/b?c=d").unwrap();
        assert_eq!(hook.origin(), "https://hooks.example:8443");
        assert_eq!(hook.url(), "https://hooks.example:8443/a/b?c=d");
    }
}
