//! Prepares, signs and submits in one process, which has the private key.

use remit_gate::Scope;
use remit_journal::{RequestId, RunId};
use remit_sandbox::Candidate;
use remit_trust::dsse::Envelope;
use remit_trust::{KeyId, Sign as _, Signer};

use crate::authority::{Document, Prepared};
use crate::revert::{Reverted, prepare_revert, revert};
use crate::run::{Finished, Started};
use crate::submit::{
    Decision, RequestOptions, Start, Target, prepare_decision, prepare_freeze, prepare_revoke,
    prepare_run_request, prepare_standing_request, prepare_start, submit_decision, submit_order,
    submit_request, submit_start,
};
use crate::{Actor, Error, Host, Input, RequestState, StandingScope};

/// A principal whose private key is in this process.
#[derive(Debug)]
pub struct KeyHolder {
    key: KeyId,
    signer: Signer,
}

impl From<Signer> for KeyHolder {
    fn from(signer: Signer) -> Self {
        Self { key: signer.verifying_key().id(), signer }
    }
}

/// The result of starting a run under a request.
#[derive(Debug)]
pub enum Under {
    /// A run was started.
    Started(Started),
    /// The run's plan is not inside the standing scope, so a request of its own was submitted.
    Asked {
        /// The request that was submitted.
        request: Box<RequestState>,
        /// Which part of the plan is not inside the scope.
        why: String,
    },
}

impl KeyHolder {
    /// The id of the principal's key.
    #[must_use]
    pub fn key(&self) -> &KeyId {
        &self.key
    }

    /// Signs a document that was prepared for this principal.
    pub fn sign<D: Document>(&self, prepared: &Prepared<D>) -> Result<Envelope, Error> {
        prepared.sign(&self.signer)
    }

    /// Prepares, signs and submits a request for a run.
    pub async fn request_run(
        &self,
        host: &Host,
        candidate: &Candidate,
        input: &Input,
        how: (Option<Scope>, bool),
        options: RequestOptions,
    ) -> Result<RequestState, Error> {
        let prepared = prepare_run_request(host, &self.key, candidate, input, how, options).await?;
        submit_request(host, &self.sign(&prepared)?).await
    }

    /// Prepares, signs and submits a request for a standing scope.
    pub async fn request_standing(
        &self,
        host: &Host,
        standing: StandingScope,
        scope: Scope,
        options: RequestOptions,
    ) -> Result<RequestState, Error> {
        let prepared = prepare_standing_request(host, &self.key, standing, scope, options)?;
        submit_request(host, &self.sign(&prepared)?).await
    }

    /// Approves or denies a request.
    pub async fn decide(
        &self,
        host: &Host,
        id: RequestId,
        decision: &Decision,
    ) -> Result<RequestState, Error> {
        submit_decision(host, &self.sign(&prepare_decision(host, &self.key, id, decision)?)?).await
    }

    /// Revokes authority. Returns the runs that stop.
    pub async fn revoke(&self, host: &Host, target: Target, reason: &str) -> Result<Vec<RunId>, Error> {
        let prepared = prepare_revoke(host, &self.key, target, reason)?;
        Ok(submit_order(host, &self.sign(&prepared)?).await?.stopping)
    }

    /// Freezes or unfreezes the host. Returns the runs that stop.
    pub async fn freeze(&self, host: &Host, frozen: bool, reason: &str) -> Result<Vec<RunId>, Error> {
        let prepared = prepare_freeze(host, &self.key, frozen, reason)?;
        Ok(submit_order(host, &self.sign(&prepared)?).await?.stopping)
    }

    /// Starts a run. For a standing scope, `what` and `reason` must be given.
    pub async fn start(
        &self,
        host: &Host,
        id: RequestId,
        what: Option<(&Candidate, &Input)>,
        reason: Option<&str>,
    ) -> Result<Under, Error> {
        let trigger = self.sign(&prepare_start(host, &self.key, id, what, reason)?)?;
        match submit_start(host, &trigger, what).await? {
            Start::Started(started) => Ok(Under::Started(started)),
            Start::Outside { request, why } => {
                let request = submit_request(host, &self.sign(&*request)?).await?;
                Ok(Under::Asked { request: Box::new(request), why })
            }
        }
    }

    /// Starts a run under a request for a run, and waits for its end. `given` may be set to check that it is what was
    /// requested.
    pub async fn execute(
        &self,
        host: &Host,
        id: RequestId,
        given: Option<(&Candidate, &Input)>,
    ) -> Result<Finished, Error> {
        match self.start(host, id, given, None).await? {
            Under::Started(started) => started.end().await,
            // Cannot happen: only a start under a standing scope can be outside, and that needs a reason.
            Under::Asked { why, .. } => Err(Error::NotReady { id: id.to_string(), why }),
        }
    }

    /// Undoes the changes of a run.
    pub async fn revert(&self, host: &Host, run: RunId) -> Result<Reverted, Error> {
        let order = self.sign(&prepare_revert(host, &self.key, run, false, None)?)?;
        revert(host, &Actor::Principal(Box::new(order)), run, false).await
    }
}
