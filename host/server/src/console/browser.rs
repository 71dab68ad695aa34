//! The sessions of browsers. A session only reads: whatever is decided is signed anew.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use remit_trust::{Digest, KeyId};

use crate::problem::{Answer, Problem};

/// The name of the cookie. The prefix makes browsers demand that it is for this host alone (RFC 6265bis, section 4.1.3).
const COOKIE_NAME: &str = "__Host-remit";
/// How long a session lasts without a call, and how long at most.
const IDLE: SignedDuration = SignedDuration::from_mins(30);
const LONGEST: SignedDuration = SignedDuration::from_hours(8);
/// How long a login may take from its first step to its last.
const LOGIN: SignedDuration = SignedDuration::from_mins(5);
/// How many sessions one key may have. One more ends the oldest.
const MOST_OF_ONE: usize = 10;
/// How many sessions and how many logins there may be at once.
const MOST: usize = 10_000;

/// Who has signed in.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// The id of the passkey.
    pub(crate) key: KeyId,
    /// What the browser calls the passkey.
    pub(crate) credential: String,
    began: Timestamp,
    used: Timestamp,
}

impl Session {
    fn is_over(&self, now: Timestamp) -> bool {
        now.duration_since(self.used) > IDLE || now.duration_since(self.began) > LONGEST
    }
}

/// The sessions of this server, and the logins that have begun. They end with it.
#[derive(Debug, Default)]
pub(crate) struct Browsers {
    /// By the digest of the token, so that what is in memory lets nobody in.
    sessions: Mutex<HashMap<Digest, Session>>,
    /// The logins that have begun, by the digest of what makes each the only one, until when.
    logins: Mutex<HashMap<Digest, Timestamp>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn new_token() -> Answer<String> {
    Ok(URL_SAFE_NO_PAD.encode(remit_trust::random()?))
}

fn no_room() -> Problem {
    let why = "as many people are signing in as this server lets at once";
    Problem::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, "failed::room", why).retry_after(60)
}

impl Browsers {
    /// Begins a login, which is finished once, soon, or not at all.
    pub(crate) fn begin(&self, now: Timestamp) -> Answer<String> {
        let mut logins = locked(&self.logins);
        if logins.len() >= MOST {
            logins.retain(|_, until| *until > now);
        }
        if logins.len() >= MOST {
            return Err(no_room());
        }
        let login = new_token()?;
        logins.insert(Digest::of(login.as_bytes()), now.saturating_add(LOGIN).unwrap_or(now));
        Ok(login)
    }

    /// Whether a login has begun and is not finished; it is finished now.
    pub(crate) fn take(&self, login: &str, now: Timestamp) -> bool {
        locked(&self.logins).remove(&Digest::of(login.as_bytes())).is_some_and(|until| until > now)
    }

    /// Opens a session with a token of its own, whatever the browser had before.
    pub(crate) fn open(&self, key: KeyId, credential: String, now: Timestamp) -> Answer<String> {
        let token = new_token()?;
        let mut sessions = locked(&self.sessions);
        sessions.retain(|_, session| !session.is_over(now));
        let of_one = |sessions: &HashMap<Digest, Session>| {
            let own = sessions.iter().filter(|(_, session)| session.key == key);
            let oldest = own.clone().min_by_key(|(_, session)| session.began).map(|(token, _)| *token);
            (own.count(), oldest)
        };
        if let (MOST_OF_ONE.., Some(oldest)) = of_one(&sessions) {
            sessions.remove(&oldest);
        }
        if sessions.len() >= MOST {
            return Err(no_room());
        }
        let session = Session { key, credential, began: now, used: now };
        sessions.insert(Digest::of(token.as_bytes()), session);
        Ok(token)
    }

    /// The session of a token, which is used now.
    pub(crate) fn find(&self, token: &str, now: Timestamp) -> Option<Session> {
        let mut sessions = locked(&self.sessions);
        let token = Digest::of(token.as_bytes());
        let session = sessions.get_mut(&token)?;
        if session.is_over(now) {
            sessions.remove(&token);
            return None;
        }
        session.used = now;
        Some(session.clone())
    }

    /// Ends a session.
    pub(crate) fn end(&self, token: &str) {
        locked(&self.sessions).remove(&Digest::of(token.as_bytes()));
    }
}

/// The token in a call's cookies; none if there is none, or more than one.
pub(crate) fn token(headers: &HeaderMap) -> Option<String> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = pairs.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut own = pairs.filter(|(name, _)| *name == COOKIE_NAME);
    match (own.next(), own.next()) {
        (Some((_, token)), None) => Some(token.to_owned()),
        _ => None,
    }
}

/// The header that gives a browser a token.
pub(crate) fn cookie(token: &str) -> String {
    format!("{COOKIE_NAME}={token}; Path=/; Secure; HttpOnly; SameSite=Strict")
}

/// The header that takes it away.
pub(crate) fn no_cookie() -> String {
    format!("{COOKIE_NAME}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn key(n: u8) -> KeyId {
        format!("{n:064x}").parse().unwrap()
    }

    #[test]
    fn a_session_ends_when_nobody_uses_it_and_ends_at_last() {
        let (all, now) = (Browsers::default(), Timestamp::now());
        let token = all.open(key(1), "c".to_owned(), now).unwrap();
        assert!(all.find("another", now).is_none());
        let mut at = now;
        while at + IDLE < now + LONGEST {
            at += IDLE;
            assert!(all.find(&token, at).is_some(), "{at}");
        }
        assert!(all.find(&token, now + LONGEST + SignedDuration::from_secs(1)).is_none());
        let token = all.open(key(1), "c".to_owned(), now).unwrap();
        assert!(all.find(&token, now + IDLE + SignedDuration::from_secs(1)).is_none());
        assert!(all.find(&token, now).is_none(), "it does not come back");
        let token = all.open(key(1), "c".to_owned(), now).unwrap();
        all.end(&token);
        assert!(all.find(&token, now).is_none());
    }

    #[test]
    fn a_login_is_finished_once_and_in_time() {
        let (all, now) = (Browsers::default(), Timestamp::now());
        let (one, two) = (all.begin(now).unwrap(), all.begin(now).unwrap());
        assert!(all.take(&one, now) && !all.take(&one, now) && !all.take("", now));
        assert!(!all.take(&two, now + LOGIN));
    }

    #[test]
    fn one_key_has_so_many_sessions_and_takes_nobody_else_s() {
        let (all, now) = (Browsers::default(), Timestamp::now());
        let other = all.open(key(2), "c".to_owned(), now).unwrap();
        let at = |n: usize| now + SignedDuration::from_secs(i64::try_from(n).unwrap());
        let mine: Vec<_> =
            (0..=MOST_OF_ONE).map(|n| all.open(key(1), "c".to_owned(), at(n)).unwrap()).collect();
        let open: Vec<_> = mine.iter().map(|token| all.find(token, now).is_some()).collect();
        assert_eq!(open.iter().filter(|open| **open).count(), MOST_OF_ONE);
        assert!(!open[0] && all.find(&other, now).is_some());
    }

    #[test]
    fn only_one_cookie_is_a_session() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.append(COOKIE, value.parse().unwrap());
            token(&headers)
        };
        assert_eq!(of("a=b; __Host-remit=xyz").as_deref(), Some("xyz"));
        assert_eq!(of("__Host-remit=xyz; __Host-remit=abc"), None);
        assert_eq!(of("remit=xyz"), None);
        assert!(cookie("xyz").starts_with("__Host-remit=xyz; Path=/; Secure; HttpOnly; SameSite=Strict"));
    }
}
