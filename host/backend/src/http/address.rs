//! Where a system is: `https://HOST[:PORT]`, or `http://` to this machine only.

use std::net::IpAddr;

use ureq::http::Uri;

use crate::error::BackendError;

/// The address in the form that requests have, without a slash at its end.
pub(super) fn checked(address: &str) -> Result<String, BackendError> {
    let wrong = |why| BackendError::setting("address", why);
    let uri: Uri = address.parse().map_err(|_| wrong("it is not a URL such as https://HOST:PORT"))?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(wrong("it has no scheme or no host; write https://HOST:PORT"));
    };
    if authority.as_str().contains('@') {
        return Err(wrong("it has a user or password in it; the token belongs in `token_file`"));
    }
    if !uri.path().trim_matches('/').is_empty() || uri.query().is_some() {
        return Err(wrong("it has a path; write https://HOST:PORT only"));
    }
    if authority.host().is_empty() {
        return Err(wrong("it has no host; write https://HOST:PORT"));
    }
    let port = &authority.as_str()[authority.host().len()..];
    // What is no port would be left out, and the token go to whoever listens on the scheme's own.
    if !port.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
        return Err(wrong("its port is not a number from 1 to 65535"));
    }
    match scheme {
        "https" => Ok(format!("https://{authority}")),
        "http" => match this_machine(authority.host()) {
            Some(host) => Ok(format!("http://{host}{port}")),
            None => Err(BackendError::Plaintext { address: address.to_owned() }),
        },
        _ => Err(wrong("its scheme is not https")),
    }
}

/// The host, if it is this machine by its form alone. A dot at the end of `localhost` is dropped: it is the same name,
/// but with the dot a resolver could look for it elsewhere.
fn this_machine(host: &str) -> Option<&str> {
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.eq_ignore_ascii_case("localhost") {
        return Some(name);
    }
    let ip: IpAddr = host.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    ip.is_loopback().then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_over_tls_or_stays_here() {
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
            assert_eq!(checked(address).ok().as_deref(), becomes, "{address}");
        }
        assert!(matches!(checked("http://10.0.0.1:8200"), Err(BackendError::Plaintext { .. })));
    }
}
