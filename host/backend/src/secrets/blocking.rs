//! Stores whose calls block a thread, as the asynchronous stores that operations use.

use std::sync::Arc;

use remit_gate::{Authority, Failure, Resource};

use super::fields::Fields;
use super::store::{Act, BoxFuture, Identity, Metadata, Right, SecretStore, SecretView, Target, Turn};

/// A store whose calls block. Its methods mean what those of [`SecretView`] and [`SecretStore`] do.
pub trait Blocking: Send + Sync + 'static {
    /// The store's name in the log.
    const NAME: &'static str;

    fn metadata(&self, path: &str) -> Result<Metadata, Failure>;
    fn read(&self, path: &str, version: u64) -> Result<Fields, Failure>;
    fn right(&self, path: &str, act: Act) -> Result<Right, Failure>;
    fn check(&self, prefix: &str) -> Result<String, Failure>;
    fn put(
        &self,
        path: &str,
        identity: Option<&Identity>,
        expected_current: u64,
        fields: &Fields,
    ) -> Result<u64, Failure>;
    fn turn(&self, turn: Turn, path: &str, identity: Option<&Identity>, version: u64) -> Result<(), Failure>;
}

/// A blocking store, each of whose calls runs where it may block. Cheap to clone; all clones are the same store.
pub struct OnThreads<B>(pub(super) Arc<B>);

impl<B> Clone for OnThreads<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B: Blocking> OnThreads<B> {
    /// Runs `work` on a thread. It runs to its end even if its caller stops waiting.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&B) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let store = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || work(&store))
            .await
            .unwrap_or_else(|_| Err(Failure::Unavailable(format!("the call of {} did not finish", B::NAME))))
    }
}

impl<B: Blocking> SecretView for OnThreads<B> {
    fn metadata<'a>(&'a self, secret: &'a Resource) -> BoxFuture<'a, Metadata> {
        let path = secret.path().to_owned();
        Box::pin(self.run(move |store| store.metadata(&path)))
    }

    fn read<'a>(&'a self, secret: &'a Resource, version: u64) -> BoxFuture<'a, Fields> {
        let path = secret.path().to_owned();
        Box::pin(self.run(move |store| store.read(&path, version)))
    }

    fn right<'a>(&'a self, secret: &'a Resource, act: Act) -> BoxFuture<'a, Right> {
        let path = secret.path().to_owned();
        Box::pin(self.run(move |store| store.right(&path, act)))
    }

    fn check<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, String> {
        let prefix = prefix.to_owned();
        Box::pin(self.run(move |store| store.check(&prefix)))
    }
}

impl<B: Blocking> SecretStore for OnThreads<B> {
    fn put<'a>(
        &'a self,
        Target { secret, identity }: Target<'a>,
        fields: &'a Fields,
        expected_current: u64,
        by: Authority<'a>,
    ) -> BoxFuture<'a, u64> {
        tracing::info!(operation = by.operation(), %secret, expected_current, "{} writes a version", B::NAME);
        let (path, identity, fields) = (secret.path().to_owned(), identity.cloned(), fields.clone());
        Box::pin(self.run(move |store| store.put(&path, identity.as_ref(), expected_current, &fields)))
    }

    fn turn<'a>(
        &'a self,
        Target { secret, identity }: Target<'a>,
        version: u64,
        turn: Turn,
        by: Authority<'a>,
    ) -> BoxFuture<'a, ()> {
        tracing::info!(operation = by.operation(), %secret, version, ?turn, "{} changes a version", B::NAME);
        let (path, identity) = (secret.path().to_owned(), identity.cloned());
        Box::pin(self.run(move |store| store.turn(turn, &path, identity.as_ref(), version)))
    }
}
