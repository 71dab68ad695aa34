//! Sealed inputs: values that a principal gives to an action, which has only their handles. The home keeps each value sealed
//! until no run can need it any more.
//!
//! The input has the handle, and so everything that binds the input binds the commitment: request, approvals, trigger, journal.
//! Who may use a value is its owner alone, who gave it: nobody else's request can name it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use remit_engine::blocking;
use remit_file::Kind;
use remit_gate::SealedValues;
use remit_trust::{Digest, Handle, KeyId, Opening, Sealed, Sealer, ValueHandle};

use crate::{Error, Home, Host, Input, Request, RequestState, RequestedAuthority, Status};

/// How many values of one principal are kept at most.
const MOST: usize = 64;
/// How long a value is kept that no request names yet: longer than a prepared document may wait for its signature.
const UNNAMED: Duration = Duration::from_secs(2 * 60 * 60);

/// What a kept value is bound to: it opens under no other name, for no other principal, and in no other home.
fn context(log: &str, owner: &str, handle: &Handle) -> Vec<u8> {
    // The lengths keep two different rows of texts from being one.
    format!("remit-kept-sealed-input-v1 {} {log} {} {owner} {handle}", log.len(), owner.len()).into_bytes()
}

/// What the names of the files of a principal's values begin with, so that they can be counted. What a file is, its seal says.
fn prefix(owner: &str) -> String {
    format!("{}-", Digest::of(owner.as_bytes()).short())
}

impl Home {
    /// The folder that keeps the values of sealed inputs.
    fn sealed_inputs(&self) -> PathBuf {
        self.path().join("sealed")
    }

    fn sealed_input(&self, owner: &str, handle: &Handle) -> PathBuf {
        self.sealed_inputs().join(format!("{}{}", prefix(owner), handle.digits()))
    }

    /// The files of kept values.
    fn kept_inputs(&self) -> Result<Vec<remit_file::Entry>, Error> {
        match remit_file::list(&self.sealed_inputs(), Kind::Kept) {
            Err(error) if error.is_missing() => Ok(Vec::new()),
            listed => Ok(listed?),
        }
    }
}

fn refused(handle: &Handle, why: &str) -> Error {
    Error::SealedInput { name: handle.name().to_owned(), why: why.to_owned() }
}

/// Keeps a value for the principal with this key, who may then give its handle to actions; durable on return.
pub fn keep_sealed_input(host: &Host, by: &KeyId, handle: &Handle, opening: &Opening) -> Result<(), Error> {
    blocking(|| {
        let (rules, reader) = (host.rules()?, host.journal.reader()?);
        let by = rules.identify(&reader, by)?;
        by.stands(&reader)?;
        if !opening.opens(&rules.log, handle) {
            return Err(refused(handle, "is not the value that its handle commits to"));
        }
        let path = host.home.sealed_input(by.name(), handle);
        let own = prefix(by.name());
        let others = host.home.kept_inputs()?.into_iter().filter(|kept| kept.name.starts_with(&own));
        if others.filter(|kept| kept.path != path).count() >= MOST {
            let why = format!("is one too many: {} has {MOST} that wait to be used", by.name());
            return Err(refused(handle, &why));
        }
        let context = context(&rules.log, by.name(), handle);
        let sealed = host.keyring.host().seal(&context, &opening.to_bytes())?;
        remit_file::make_folder(&host.home.sealed_inputs())
            .and_then(|_| remit_file::replace(&path, sealed.as_bytes()))
            .map_err(|error| Error::kept(&path, &error))?;
        Ok(())
    })
}

/// Opens every sealed input of an input that `owner` gave. Refused if one is not there, or is not what its handle commits to.
pub(crate) fn open(host: &Host, owner: &str, input: &Input) -> Result<SealedValues, Error> {
    let handles = input.sealed()?;
    if handles.is_empty() {
        return Ok(SealedValues::new());
    }
    blocking(|| {
        let rules = host.rules()?;
        let log = &rules.log;
        let value = |handle: Handle| {
            let path = host.home.sealed_input(owner, &handle);
            let kept = match remit_file::trusted(&path, Kind::Kept) {
                Err(error) if error.is_missing() => {
                    return Err(refused(&handle, &format!("is not kept here for {owner}")));
                }
                kept => kept?.into_bytes(),
            };
            let opened = host.keyring.host().open(&context(log, owner, &handle), &Sealed::from_bytes(kept));
            let opening = opened.ok().and_then(|bytes| Opening::from_bytes(&bytes));
            match opening.filter(|opening| opening.opens(log, &handle)) {
                Some(opening) => Ok((ValueHandle::Input(handle), opening.into_value())),
                None => Err(refused(&handle, "was changed where it is kept")),
            }
        };
        handles.into_iter().map(value).collect()
    })
}

impl Request {
    /// Who gave the sealed inputs of a run under this request: its requester, who gave the input. Under a standing scope,
    /// whoever starts the run.
    pub(crate) fn owner_of_input<'a>(&'a self, starter: &'a str) -> &'a str {
        match self.asks {
            RequestedAuthority::Run { .. } => &self.requester,
            RequestedAuthority::Standing(_) => starter,
        }
    }

    /// The handles of the sealed inputs that it names.
    #[must_use]
    pub fn sealed_inputs(&self) -> Vec<Handle> {
        match &self.asks {
            RequestedAuthority::Run { input, .. } => Input::of(input).and_then(|input| input.sealed()),
            RequestedAuthority::Standing(_) => Ok(Vec::new()),
        }
        .unwrap_or_default()
    }
}

/// Removes the values that no run can need any more: those of requests that are closed, expired or used up, those that no
/// request has named for a while, and those that `started` has, the input of a run that has just started. A run that is under way
/// has read its values already.
///
/// An error is only logged: that a value is kept too long is no reason to let a repair wait, and the next call tries again.
pub(crate) fn clear(host: &Host, started: Option<&Input>) {
    if let Err(error) = blocking(|| try_clear(host, started)) {
        tracing::warn!(%error, "sealed inputs that are not needed any more could not be removed");
    }
}

fn try_clear(host: &Host, started: Option<&Input>) -> Result<(), Error> {
    let kept = host.home.kept_inputs()?;
    if kept.is_empty() {
        return Ok(());
    }
    let (open, mut closed) = named(host, &kept)?;
    if let Some(input) = started {
        closed.extend(input.sealed()?.iter().map(Handle::digits));
    }
    for file in kept {
        let digits = digits(&file);
        let is_old = || {
            let since = std::fs::metadata(&file.path).and_then(|meta| meta.modified());
            let age = since.ok().and_then(|since| SystemTime::now().duration_since(since).ok());
            age.is_some_and(|age| age > UNNAMED)
        };
        if open.contains(digits) || !(closed.contains(digits) || is_old()) {
            continue;
        }
        match std::fs::remove_file(&file.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::kept(&file.path, &error));
            }
            _ => tracing::info!(file = %file.path.display(), "a sealed input is not needed any more"),
        }
    }
    Ok(())
}

/// The commitment of a kept value, as its file is named.
fn digits(kept: &remit_file::Entry) -> &str {
    kept.name.rsplit('-').next().unwrap_or_default()
}

/// The commitments that requests name, of those that are kept: those that a run may still start under, and the others.
fn named(host: &Host, kept: &[remit_file::Entry]) -> Result<(BTreeSet<String>, BTreeSet<String>), Error> {
    let (reader, rules) = (host.journal.reader()?, host.rules()?);
    let kept: BTreeSet<&str> = kept.iter().map(digits).collect();
    let (mut open, mut closed) = (BTreeSet::new(), BTreeSet::new());
    for (id, stated) in host.stated(&reader)? {
        let named: Vec<String> = stated.sealed.iter().map(Handle::digits).collect();
        if !named.iter().any(|digits| kept.contains(&**digits)) {
            continue;
        }
        let Ok(state) = RequestState::load(&reader, &rules, id) else { continue };
        let is_open = matches!(state.status(&rules), Status::Waiting(_) | Status::Approved);
        if is_open { open.extend(named) } else { closed.extend(named) }
    }
    Ok((open, closed))
}

/// Seals every kept value that a request names under a new key of the host. One that cannot be opened is left, and is refused
/// when it is needed.
pub(crate) fn rekey(host: &Host, old: &Sealer, new: &Sealer) -> Result<(), Error> {
    let files = host.home.kept_inputs()?;
    if files.is_empty() {
        return Ok(());
    }
    let (reader, rules) = (host.journal.reader()?, host.rules()?);
    let mut owners = BTreeMap::new();
    for id in reader.requests()? {
        let Ok(state) = RequestState::load(&reader, &rules, id) else { continue };
        for handle in state.request.sealed_inputs() {
            owners.insert(
                host.home.sealed_input(&state.request.requester, &handle),
                (state.request.requester.clone(), handle),
            );
        }
    }
    for file in files {
        let Some((owner, handle)) = owners.get(&file.path) else { continue };
        let context = context(&rules.log, owner, handle);
        let kept = Sealed::from_bytes(remit_file::trusted(&file.path, Kind::Kept)?.into_bytes());
        let Ok(opened) = old.open(&context, &kept) else { continue };
        remit_file::replace(&file.path, new.seal(&context, &opened)?.as_bytes())
            .map_err(|error| Error::kept(&file.path, &error))?;
    }
    Ok(())
}
