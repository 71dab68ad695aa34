//! AWS Signature Version 4, for the header `Authorization`:
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.

use remit_text::uri_part;
use remit_trust::{Digest, SecretText};
use ring::hmac;
use zeroize::Zeroizing;

/// What a request is signed with.
#[derive(Debug)]
pub struct Signer<'a> {
    /// The region of the service.
    pub region: &'a str,
    /// The name of the service. S3 alone wants the path as it is sent, and all others want it encoded once more.
    pub service: &'a str,
    /// The identifier of the access key.
    pub key: &'a str,
    /// The access key's secret.
    pub secret: &'a SecretText,
    /// `YYYYMMDDTHHMMSSZ`.
    pub time: &'a str,
}

impl Signer<'_> {
    /// The value of `Authorization`. `path` and `query` are as they are sent, `headers` all that are signed.
    #[must_use]
    pub fn authorization(
        &self,
        method: &str,
        path: &str,
        query: &str,
        headers: &[(String, SecretText)],
        body: &[u8],
    ) -> String {
        let mut headers: Vec<(&str, String)> =
            headers.iter().map(|(name, value)| (name.as_str(), single_spaced(value.expose()))).collect();
        // By name only: those of one name stay in their order.
        headers.sort_by_key(|(name, _)| *name);
        let mut names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        names.dedup();
        let names = names.join(";");
        let mut lines: Vec<Zeroizing<String>> = Vec::new();
        let mut last = "";
        for (name, value) in &headers {
            match lines.last_mut() {
                Some(line) if *name == last => line.extend([",", value]),
                _ => lines.push(Zeroizing::new(format!("{name}:{value}"))),
            }
            last = name;
        }
        let lines: Vec<&str> = lines.iter().map(|line| line.as_str()).collect();
        let canonical = Zeroizing::new(format!(
            "{method}\n{}\n{}\n{}\n\n{names}\n{}",
            if self.service == "s3" { path.to_owned() } else { canonical_path(path) },
            canonical_query(query),
            lines.join("\n"),
            hex_digest(body)
        ));
        let day = self.time.get(..8).unwrap_or_default();
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", self.time, hex_digest(canonical.as_bytes()));
        let mut first = Zeroizing::new(String::with_capacity(self.secret.expose().len() + 4));
        first.extend(["AWS4", self.secret.expose()]);
        let mut key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, first.as_bytes()), day.as_bytes());
        for part in [self.region, self.service, "aws4_request", &text] {
            key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()), part.as_bytes());
        }
        let signature = hex::encode(key.as_ref());
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            self.key
        )
    }
}

/// The SHA-256 of some bytes, as the header `x-amz-content-sha256` has it.
#[must_use]
pub fn hex_digest(bytes: &[u8]) -> String {
    hex::encode(Digest::of(bytes).as_bytes())
}

/// The path as it is sent, encoded once more.
fn canonical_path(path: &str) -> String {
    path.split('/').map(uri_part).collect::<Vec<_>>().join("/")
}

/// The pairs in order, each part encoded.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| (uri_part(&name), uri_part(&value)))
        .collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn single_spaced(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
