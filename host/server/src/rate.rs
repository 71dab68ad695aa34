//! How often each may call: a bucket of points for each principal, which every call takes some of, and which fills again with time.
//! A bucket that is empty is its owner's own matter: nobody takes points out of another's.
//!
//! What counts is who proved to make a call: a session with a proof for this call, or a document that was signed just for it.
//! Anything else (a session that is about to be opened, a document that somebody sends once more) is counted for the address it
//! comes from, apart for each principal that it names.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use remit_lifecycle::{Document, RateConfig, SignedBy};
use remit_trust::Digest;

use crate::app::App;
use crate::error::ServeError;
use crate::problem::{Answer, Problem};

/// How many buckets of addresses are told apart. Above that, those that are not among them share one.
const ADDRESSES: usize = 10_000;
/// How many documents are known to have been counted. Above that, they are counted for the addresses they come from.
const DOCUMENTS: usize = 200_000;

/// In how many shares the names are that somebody signs in with.
const SHARES: u64 = 64;

/// What a call costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cost {
    /// Nothing: the same for everybody, and known already.
    Free,
    /// A look.
    Light,
    /// A document is prepared or taken, or more is computed than is read.
    Middle,
    /// A component is received, looked at, rehearsed or started: what takes a place among those that are worked on at once.
    Heavy,
}

impl Cost {
    pub(crate) fn points(self) -> u32 {
        match self {
            Self::Free => 0,
            Self::Light => 1,
            Self::Middle => 5,
            Self::Heavy => 20,
        }
    }
}

/// Whose bucket it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Owner {
    /// A principal that proved to make the call. There are as many as the rules name.
    Principal(String),
    /// Whoever calls from an address, and the principal that the call names, if there is such a one.
    Address(IpAddr, Option<String>),
    /// Whoever signs in from an address, with a name of this share.
    Login(IpAddr, u64),
    /// Whoever calls from an address that is not among those that are told apart.
    Others,
}

/// The buckets.
#[derive(Debug)]
pub(crate) struct Rates {
    /// How long it takes until there is another point.
    point: Duration,
    /// How long it takes until an empty bucket is full.
    full: Duration,
    taken: Mutex<Taken>,
    /// Puts names into shares, in a way that nobody outside knows.
    shares: RandomState,
}

#[derive(Debug, Default)]
struct Taken {
    /// When each bucket will be full. One that is full is not kept: it is as if nobody had ever called.
    full_at: HashMap<Owner, Instant>,
    /// The documents that were counted for who signed them, each until it is too old to be accepted.
    documents: HashMap<Digest, Instant>,
}

impl Rates {
    pub(crate) fn new(config: &RateConfig) -> Result<Self, ServeError> {
        let wrong = |why: String| ServeError::Config {
            why,
            help: "leave [server.rate] out, or give it a `per_minute` of at least 1 and a `burst` of at least 20: what a rehearsal costs",
        };
        if config.per_minute == 0 {
            return Err(wrong("`rate.per_minute` is 0: nobody could call".to_owned()));
        }
        if config.burst < Cost::Heavy.points() {
            return Err(wrong(format!("`rate.burst` is {}: nobody could rehearse", config.burst)));
        }
        let point = Duration::from_secs(60) / config.per_minute;
        let (taken, shares) = (Mutex::default(), RandomState::new());
        Ok(Self { point, full: point * config.burst, taken, shares })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the points of a call; how long it takes until there are enough, if there are not.
    fn take(&self, owner: Owner, cost: Cost, now: Instant) -> Result<(), Duration> {
        let mut taken = self.taken();
        let full_at = &mut taken.full_at;
        let owner = match owner {
            Owner::Address(..) | Owner::Login(..)
                if full_at.len() >= ADDRESSES && !full_at.contains_key(&owner) =>
            {
                full_at.retain(|_, full_at| *full_at > now);
                if full_at.len() < ADDRESSES { owner } else { Owner::Others }
            }
            owner => owner,
        };
        let before = full_at.get(&owner).map_or(now, |full_at| now.max(*full_at));
        let after = before + self.point * cost.points();
        match after.duration_since(now).checked_sub(self.full) {
            None | Some(Duration::ZERO) => {
                full_at.insert(owner, after);
                Ok(())
            }
            Some(missing) => Err(missing),
        }
    }

    fn share(&self, name: &str) -> u64 {
        self.shares.hash_one(name) % SHARES
    }

    /// Whether a document can be counted for who signed it: it was not yet.
    fn is_new(&self, document: Digest, now: Instant) -> bool {
        let documents = &mut self.taken().documents;
        if documents.len() >= DOCUMENTS {
            documents.retain(|_, until| *until > now);
        }
        documents.len() < DOCUMENTS && !documents.contains_key(&document)
    }

    /// Notes that a document was counted for who signed it.
    fn counted(&self, document: Digest, until: Instant) {
        self.taken().documents.insert(document, until);
    }
}

/// What a call costs, and where it comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Toll {
    pub(crate) cost: Cost,
    pub(crate) from: IpAddr,
}

/// The address that a connection comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl Toll {
    /// A call from this connection; one from nowhere shares the bucket of the address `::`.
    pub(crate) fn new(cost: Cost, peer: Option<Peer>) -> Self {
        let from = match peer.map(|peer| peer.0.to_canonical()) {
            // One subscriber has all of these.
            Some(IpAddr::V6(of)) => Ipv6Addr::from_bits(of.to_bits() & !u128::from(u64::MAX)).into(),
            Some(v4) => v4,
            None => Ipv6Addr::UNSPECIFIED.into(),
        };
        Self { cost, from }
    }

    /// Counts a call for a principal that proved to make it.
    pub(crate) fn by_principal(self, app: &App, name: &str) -> Answer<()> {
        self.count(app, Owner::Principal(name.to_owned()))
    }

    /// Counts a call that anybody can make, and that names a principal, or nobody who is known.
    pub(crate) fn by_anybody(self, app: &App, named: Option<String>) -> Answer<()> {
        self.count(app, Owner::Address(self.from, named))
    }

    /// Counts a step of signing in with a name, which may be nobody's. Names share buckets whether or not there is such a principal:
    /// an empty one does not tell.
    pub(crate) fn by_login(self, app: &App, name: &str) -> Answer<()> {
        self.count(app, Owner::Login(self.from, app.rates.share(name)))
    }

    /// Counts a document for who signed it, once. Documents are on record, where others read them: whoever sends one again need
    /// not be the one who signed it.
    pub(crate) fn by_document<D: Document>(self, app: &App, signed: &SignedBy) -> Answer<()> {
        let (name, now) = (signed.by.name(), Instant::now());
        if !app.rates.is_new(signed.digest, now) {
            return self.by_anybody(app, Some(name.to_owned()));
        }
        self.by_principal(app, name)?;
        app.rates.counted(signed.digest, now + D::GOOD_FOR.unsigned_abs());
        Ok(())
    }

    fn count(self, app: &App, owner: Owner) -> Answer<()> {
        let (who, whose) = match &owner {
            Owner::Principal(name) => ("principal", format!("{name} calls")),
            Owner::Address(..) | Owner::Login(..) | Owner::Others => {
                ("address", "calls that prove no principal come from this address".to_owned())
            }
        };
        app.rates.take(owner, self.cost, Instant::now()).map_err(|missing| {
            app.metrics.refused_rate(who);
            let seconds = u32::try_from(missing.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
            let why = format!("{whose} more often than this server lets");
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "failed::rate", why)
                .help(format!(
                    "try again in {seconds} s; an administrator sets the limit in [server.rate] of remit.toml"
                ))
                .retry_after(seconds)
        })
    }
}

impl FromRequestParts<App> for Toll {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Self::Rejection> {
        // Each route has its cost with it. Without one, it is the dearest. A call of this process itself comes from nowhere.
        let cost = parts.extensions.get().copied().unwrap_or(Cost::Heavy);
        Ok(Self::new(cost, parts.extensions.get().copied()))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn rates(per_minute: u32, burst: u32) -> Rates {
        Rates::new(&RateConfig { per_minute, burst }).unwrap()
    }

    fn address(n: u32) -> Owner {
        Owner::Address(IpAddr::V4(n.into()), None)
    }

    #[test]
    fn a_bucket_empties_and_fills_and_no_other_with_it() {
        let (rates, now) = (rates(60, 40), Instant::now());
        let bot = || Owner::Principal("bot".to_owned());
        rates.take(bot(), Cost::Heavy, now).unwrap();
        rates.take(bot(), Cost::Heavy, now).unwrap();
        // A refusal costs nothing: what is missing does not grow.
        for _ in 0..3 {
            assert_eq!(rates.take(bot(), Cost::Middle, now), Err(Duration::from_secs(5)));
        }
        rates.take(Owner::Principal("alice".to_owned()), Cost::Heavy, now).unwrap();
        rates.take(bot(), Cost::Free, now).unwrap();
        let later = now + Duration::from_secs(5);
        rates.take(bot(), Cost::Middle, later).unwrap();
        assert_eq!(rates.take(bot(), Cost::Light, later), Err(Duration::from_secs(1)));
        // However long nobody calls, it holds no more than it can.
        let next_day = later + Duration::from_secs(86_400);
        rates.take(bot(), Cost::Heavy, next_day).unwrap();
        rates.take(bot(), Cost::Heavy, next_day).unwrap();
        assert!(rates.take(bot(), Cost::Light, next_day).is_err());
    }

    #[test]
    fn addresses_without_end_neither_fill_the_memory_nor_empty_a_bucket_that_is_known() {
        let (rates, now) = (rates(60, 20), Instant::now());
        let most = u32::try_from(ADDRESSES).unwrap();
        rates.take(address(0), Cost::Heavy, now).unwrap();
        for n in 1..most + 30 {
            let _ = rates.take(address(n), Cost::Light, now);
        }
        assert_eq!(rates.taken().full_at.len(), ADDRESSES + 1);
        // Those that are too many share one; one that was there before is not forgotten, and a principal is none of them.
        assert!(rates.take(address(most + 100), Cost::Light, now).is_err());
        assert!(rates.take(address(0), Cost::Light, now).is_err());
        rates.take(address(1), Cost::Light, now).unwrap();
        rates.take(Owner::Principal("alice".to_owned()), Cost::Heavy, now).unwrap();
        // When they have gone, there is room again.
        let later = now + Duration::from_secs(60);
        rates.take(address(most + 100), Cost::Heavy, later).unwrap();
        assert_eq!(rates.taken().full_at.len(), 1);
    }

    #[test]
    fn a_limit_under_which_nobody_could_work_is_refused() {
        for (per_minute, burst) in [(0, 600), (60, 19), (60, 0)] {
            assert!(Rates::new(&RateConfig { per_minute, burst }).is_err(), "{per_minute} {burst}");
        }
    }

    #[test]
    fn an_address_of_ipv6_is_a_network_and_a_mapped_one_is_what_it_maps() {
        let of = |address: &str| Toll::new(Cost::Light, Some(Peer(address.parse().unwrap()))).from;
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.2"), of("192.0.2.1"));
    }
}
