//! The imp has no key in the rules: it proves who it is by tokens of two issuers on this machine, each for a key that it makes
//! up. With one issuer the key counts for minutes, with the other it ends in the middle of a case.

use std::time::{Duration, Instant};

use super::model::Certified;
use crate::common::issuer::Issuer;

pub struct Jobs {
    issuer: Issuer,
    brief: Issuer,
    brief_for: Duration,
    certified: Option<Instant>,
    /// What is known of the end of the key that the imp has, if that is near.
    ends: Option<Certified>,
}

impl Jobs {
    /// `brief_for`: for how long the other issuer's tokens are worth a key.
    pub fn new(brief_for: Duration) -> Self {
        Self { issuer: Issuer::new(), brief: Issuer::new(), brief_for, certified: None, ends: None }
    }

    /// Rules in which the imp has identities in place of its key.
    pub fn in_rules(&self, principals: &str) -> String {
        let (before, imp) = principals.split_once("\"imp\"").expect("it is a principal");
        let (kind, key) = imp.split_once("[[principal.key]]\n").expect("it has a key");
        let (_, after) = key.split_once('\n').expect("in a file");
        let issuer = |name: &str, url: &str, more: &str| {
            format!(
                "[[issuer]]\nname = \"{name}\"\nkind = \"oidc\"\nurl = \"{url}\"\naudience = \"remit\"\n{more}"
            )
        };
        let ttl = format!("ttl = \"{}ms\"\n", self.brief_for.as_millis());
        let issuers = issuer("jobs", &self.issuer.url, "") + &issuer("brief", &self.brief.url, &ttl);
        let identity = |name: &str| format!("[[principal.identity]]\nissuer = \"{name}\"\nsub = \"imp\"\n");
        format!("{issuers}{before}\"imp\"{kind}{}{}{after}", identity("jobs"), identity("brief"))
    }

    /// As if nobody had exchanged a token yet.
    pub fn again(&mut self) {
        self.certified = None;
    }

    fn token(issuer: &Issuer) -> String {
        let mut claims = issuer.build();
        claims["sub"] = "imp".into();
        issuer.token(&claims)
    }

    /// A token for a new key, if the last one is soon worth nothing.
    pub fn due(&mut self) -> Option<String> {
        const WORTH: Duration = Duration::from_secs(4 * 60);
        if self.certified.is_some_and(|since| since.elapsed() < WORTH) {
            return None;
        }
        self.certified = Some(Instant::now());
        self.ends = None;
        Some(Self::token(&self.issuer))
    }

    /// A token for a key that soon ends.
    pub fn brief(&self) -> String {
        Self::token(&self.brief)
    }

    /// The imp has such a key now, for which the exchange began then.
    pub fn is_brief(&mut self, began: jiff::Timestamp) -> Certified {
        let ends = Certified::new(began, jiff::Timestamp::now(), self.brief_for);
        self.ends = Some(ends);
        self.again();
        ends
    }

    pub fn ends(&self) -> Option<Certified> {
        self.ends
    }
}
