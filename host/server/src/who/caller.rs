//! Sessions: a principal's key signs once that a key which the client made up may read in its name for a while. Whoever
//! holds that key then needs no more of the first, which may be on a hardware token. A session only reads and prepares: what
//! changes anything carries its own signature.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use remit_journal::{JournalError, Reader, RunFacts, RunSummary};
use remit_lifecycle::{Identity, Request, RequestState, Rules, Session, accept_session};
use remit_trust::dsse::Envelope;
use remit_trust::principals::PrincipalKind;
use schemars::JsonSchema;
use serde::Serialize;

use super::dpop::{self, Call, NotNoted, USED};
use super::session::Opened;
use crate::app::App;
use crate::problem::{Answer, Problem};
use crate::rate::Toll;

/// A session, as its client is told of it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "session")]
pub(crate) struct NewSession {
    /// The token, for `Authorization: DPoP`.
    access_token: String,
    /// `DPoP`: each call needs a proof by the session's key (RFC 9449).
    token_type: &'static str,
    /// For how many seconds it is good.
    expires_in: i64,
    /// The principal in whose name it reads.
    principal: String,
}

/// Opens a session for whoever signed this document.
pub(crate) fn open(app: &App, signed: &Envelope) -> Answer<NewSession> {
    let (by, session) = accept_session(&app.host, signed, &app.url)?;
    let now = Timestamp::now();
    let random = remit_trust::random()?;
    let token = URL_SAFE_NO_PAD.encode(random);
    let longest = session.at.saturating_add(Session::FOR).unwrap_or(now);
    let until = by.until().map_or(longest, |until| until.min(longest));
    let opened = Opened {
        principal: by.name().to_owned(),
        key: by.key.clone(),
        thumbprint: session.thumbprint,
        until,
    };
    if !app.sessions.keep(&token, opened, now) {
        let why = "there are as many sessions as this server keeps";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "failed::room", why).retry_after(60));
    }
    Ok(NewSession {
        access_token: token,
        token_type: "DPoP",
        expires_in: until.duration_since(now).as_secs(),
        principal: by.name().to_owned(),
    })
}

/// The principal that makes a call.
#[derive(Clone, Debug)]
pub(crate) struct Caller(pub(crate) Identity);

impl Caller {
    /// Whether it may read what is on record of a request. People see everything; software sees what it asked for or may start.
    pub(crate) fn sees(&self, request: &Request) -> bool {
        self.is_human()
            || request.requester == self.0.name()
            || request.triggers.iter().any(|name| name == self.0.name())
    }

    /// Whether it may read what is on record of a run: as for requests.
    pub(crate) fn sees_run(&self, run: &RunFacts) -> bool {
        self.is_human() || run.principal == self.0.name() || run.started_by.as_deref() == Some(self.0.name())
    }

    /// A request by its name, if it may see that. One that it may not see is not there.
    pub(crate) fn request(&self, reader: &Reader, rules: &Rules, name: &str) -> Answer<RequestState> {
        let id = self.only(name, reader.find_request(name))?;
        let case = RequestState::load(reader, rules, id)?;
        if self.sees(&case.request) {
            return Ok(case);
        }
        Err(JournalError::NoSuchRequest(name.escape_debug().take(80).collect()).into())
    }

    /// A run by its name: the same.
    pub(crate) fn run(&self, reader: &Reader, name: &str) -> Answer<RunSummary> {
        let summary = reader.summary(self.only(name, reader.find(name))?)?;
        if self.sees_run(&summary.facts()) {
            return Ok(summary);
        }
        Err(JournalError::NoSuchRun(name.escape_debug().take(80).collect()).into())
    }

    /// What was found by the beginning of a name. Software is not told which others begin like that: they may not be its own.
    fn only<T>(&self, name: &str, found: Result<T, JournalError>) -> Answer<T> {
        match found {
            Err(JournalError::AmbiguousRequest(..) | JournalError::AmbiguousRun(..)) if !self.is_human() => {
                let shown: String = name.escape_debug().take(80).collect();
                Err(Problem::usage(format!("several names begin with `{shown}`: say the whole name")))
            }
            found => Ok(found?),
        }
    }

    /// An error unless it is a person.
    pub(crate) fn is_person(&self) -> Answer<()> {
        if self.is_human() {
            return Ok(());
        }
        let why = format!("{} is software, and this is told to people only", self.0.name());
        Err(Problem::new(StatusCode::FORBIDDEN, "refused::reader", why))
    }

    fn is_human(&self) -> bool {
        self.0.principal.kind == PrincipalKind::Human
    }
}

const CHALLENGE: &str = "DPoP algs=\"ES256 EdDSA\"";
const BAD_PROOF: &str = "DPoP error=\"invalid_dpop_proof\", algs=\"ES256 EdDSA\"";
const BAD_TOKEN: &str = "DPoP error=\"invalid_token\", algs=\"ES256 EdDSA\"";

fn unproven(why: impl Into<String>, challenge: &'static str) -> Problem {
    refused("refused::session", why, challenge)
}

fn refused(code: &str, why: impl Into<String>, challenge: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, code, why)
        .help("open a session (POST /api/v1/sessions), then send its token and a DPoP proof with each call")
        .challenge(challenge)
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Answer<Self> {
        // A call from within this process, which knows who calls: see `crate::mcp`. Nobody outside can set this.
        if let Some(known) = parts.extensions.get::<Self>().cloned() {
            let Ok(toll) = Toll::from_request_parts(parts, app).await;
            toll.by_principal(app, known.0.name())?;
            return Ok(known);
        }
        let authorization = one(parts, AUTHORIZATION.as_str(), CHALLENGE)?;
        let Some(token) = authorization.strip_prefix("DPoP ") else {
            return Err(unproven("the Authorization header is not of the scheme DPoP", CHALLENGE));
        };
        let Some(session) = app.sessions.find(token, Timestamp::now()) else {
            let why = "this token is of no session of this server, or of one that has ended";
            return Err(refused("refused::unknown_session", why, BAD_TOKEN));
        };
        let proof = one(parts, "dpop", BAD_PROOF)?;
        let url = format!("{}{}", app.url, parts.uri.path());
        let call = Call { method: parts.method.as_str(), url: &url, token, thumbprint: &session.thumbprint };
        let not_accepted = |why| unproven(format!("this DPoP proof is not accepted: {why}"), BAD_PROOF);
        let proof = dpop::check(&proof, &call, &app.sessions.used).map_err(not_accepted)?;
        // Its key may have been revoked since, or its time may be over.
        let by = app.host.identify(&session.key)?;
        let Ok(toll) = Toll::from_request_parts(parts, app).await;
        toll.by_principal(app, by.name())?;
        app.sessions.used.note(proof, Timestamp::now()).map_err(|why| match why {
            NotNoted::Used => not_accepted(USED.to_owned()),
            NotNoted::Full => {
                let why = "as many calls were made within two minutes as this server can remember";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "failed::room", why).retry_after(60)
            }
        })?;
        Ok(Self(by))
    }
}

/// A header that is there exactly once.
fn one(parts: &Parts, name: &str, challenge: &'static str) -> Answer<String> {
    let mut all = parts.headers.get_all(name).iter();
    match (all.next().map(|value| value.to_str()), all.next()) {
        (Some(Ok(value)), None) => Ok(value.to_owned()),
        (None, _) => Err(unproven(format!("the {name} header is missing"), challenge)),
        _ => Err(unproven(format!("the {name} header is there more than once, or is no text"), challenge)),
    }
}
