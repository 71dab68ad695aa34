//! The imp has no key in the rules: it proves who it is by tokens of an issuer on this machine, each for a key that it makes
//! up and that counts for a few minutes.

use std::time::{Duration, Instant};

use crate::common::issuer::Issuer;

pub struct Jobs {
    issuer: Issuer,
    certified: Option<Instant>,
}

impl Jobs {
    pub fn new() -> Self {
        Self { issuer: Issuer::new(), certified: None }
    }

    /// Rules in which the imp has an identity in place of its key.
    pub fn in_rules(&self, principals: &str) -> String {
        let (before, imp) = principals.split_once("\"imp\"").expect("it is a principal");
        let (kind, key) = imp.split_once("[[principal.key]]\n").expect("it has a key");
        let (_, after) = key.split_once('\n').expect("in a file");
        let issuer = format!(
            "[[issuer]]\nname = \"jobs\"\nkind = \"oidc\"\nurl = \"{}\"\naudience = \"remit\"\n",
            self.issuer.url
        );
        let identity = "[[principal.identity]]\nissuer = \"jobs\"\nsub = \"imp\"\n";
        format!("{issuer}{before}\"imp\"{kind}{identity}{after}")
    }

    /// As if nobody had exchanged a token yet.
    pub fn again(&mut self) {
        self.certified = None;
    }

    /// A token for a new key, if the last one is soon worth nothing.
    pub fn due(&mut self) -> Option<String> {
        const WORTH: Duration = Duration::from_secs(4 * 60);
        if self.certified.is_some_and(|since| since.elapsed() < WORTH) {
            return None;
        }
        self.certified = Some(Instant::now());
        let mut claims = self.issuer.build();
        claims["sub"] = "imp".into();
        Some(self.issuer.token(&claims))
    }
}
