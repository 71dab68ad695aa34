//! The public keys of the issuers that the rules name. They are fetched from the issuer only, without redirects, and kept for a
//! while.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use remit_trust::id_token::{IssuerKeys, Token};
use remit_trust::issuers::Issuer;
use tokio::sync::Mutex;
use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use crate::Error;

const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer that is read, in bytes.
const LONGEST: u64 = 256 * 1024;
/// How long keys are kept. What an issuer withdraws counts no longer than that.
const KEPT: Duration = Duration::from_secs(600);
/// How often at most they are fetched because a token names one that is not among them.
const AGAIN: Duration = Duration::from_secs(60);

/// The keys of one issuer, and when they were fetched.
type Kept = Arc<Mutex<Option<(Arc<IssuerKeys>, Instant)>>>;

/// The keys of all issuers.
#[derive(Debug, Default)]
pub(crate) struct KeyCache(std::sync::Mutex<HashMap<String, Kept>>);

impl KeyCache {
    /// The keys of an issuer. If the one that the token names is not among those that are kept, they are fetched again.
    pub(crate) async fn keys(&self, issuer: &Issuer, token: &Token) -> Result<Arc<IssuerKeys>, Error> {
        let failed = |why: String| Error::Issuer { issuer: issuer.name.clone(), why };
        // Of an issuer that was changed in the rules nothing is kept.
        let name = format!("{} {:?} {:?}", issuer.url, issuer.jwks, issuer.ca);
        let kept = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(name).or_default())
        };
        // Held while they are fetched, so that only one task fetches them.
        let mut kept = kept.lock().await;
        if let Some((keys, since)) = &*kept
            && since.elapsed() < KEPT
            && (token.has_key(keys) || since.elapsed() < AGAIN)
        {
            return Ok(Arc::clone(keys));
        }
        let issuer = issuer.clone();
        let fetched = tokio::task::spawn_blocking(move || fetch(&issuer)).await;
        let keys = Arc::new(fetched.map_err(|error| failed(error.to_string()))?.map_err(failed)?);
        *kept = Some((Arc::clone(&keys), Instant::now()));
        Ok(keys)
    }
}

fn fetch(issuer: &Issuer) -> Result<IssuerKeys, String> {
    let mut tls = TlsConfig::builder();
    if let Some(pem) = &issuer.ca {
        let items: Result<Vec<_>, _> = parse_pem(pem.as_bytes()).collect();
        let certificates: Vec<_> = items
            .map_err(|error| format!("its `ca`: {error}"))?
            .into_iter()
            .filter_map(|item| if let PemItem::Certificate(found) = item { Some(found) } else { None })
            .collect();
        if certificates.is_empty() {
            return Err("its `ca` has no certificate in PEM".to_owned());
        }
        tls = tls.root_certs(RootCerts::new_with_certs(&certificates));
    }
    let url = issuer.jwks.clone().unwrap_or_else(|| issuer.discovery());
    let mut config = Agent::config_builder();
    if url.starts_with("http:") {
        // What stays on this machine is not asked of a proxy, which could answer with keys of its own.
        config = config.proxy(None);
    }
    let agent = config
        .tls_config(tls.build())
        .http_status_as_error(false)
        .timeout_global(Some(TIMEOUT))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("remit/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent();
    let get = |url: &str| {
        let mut answer = agent.get(url).call().map_err(|error| format!("{url}: {error}"))?;
        let status = answer.status().as_u16();
        if status != 200 {
            return Err(format!("{url} answers with the status {status}"));
        }
        let text = answer.body_mut().with_config().limit(LONGEST).read_to_string();
        text.map_err(|error| format!("{url}: its answer cannot be read: {error}"))
    };
    let url = match &issuer.jwks {
        Some(_) => url,
        None => issuer.discovered(&get(&url)?)?,
    };
    IssuerKeys::parse(&get(&url)?).map_err(|why| format!("{url}: {why}"))
}
