//! A store for one call: a place, the limits, and what the call came to.

use std::time::Instant;

use tokio::sync::{Semaphore, SemaphorePermit};
use wasmtime::{Store, Trap, UpdateDeadline, WasmBacktrace};

use crate::config::STACK;
use crate::engine::Engine;
use crate::meter::{Exceeded, Limit, Limiter, Meter};

/// What a store holds: a world's own data beside the engine's limits.
#[derive(Debug)]
pub struct Metered<T> {
    /// The data of the world that the component runs in.
    pub data: T,
    limiter: Limiter,
}

impl<T> AsMut<T> for Metered<T> {
    fn as_mut(&mut self) -> &mut T {
        &mut self.data
    }
}

/// A store with its limits set, for one call. It holds a place among the guests until it is dropped.
pub struct Session<'engine, T: 'static> {
    /// Where to instantiate and call.
    pub store: Store<Metered<T>>,
    /// Units of fuel that the store began with.
    fuel: u64,
    _place: Place<'engine>,
}

impl<T> std::fmt::Debug for Session<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session(..)")
    }
}

/// A place among the guests: only so many stores are open at once.
#[derive(Debug)]
pub struct Place<'engine> {
    engine: &'engine Engine,
    _permit: Option<SemaphorePermit<'engine>>,
}

impl Engine {
    /// Waits for a place. The run's clock stands still during the wait: it is caused by others.
    pub async fn place(&self, meter: &mut Meter) -> Place<'_> {
        self.place_among(&self.places, meter).await
    }

    /// The same for a store that another one waits for. There are places of their own for these: if all others were taken by
    /// guests that wait for one more, none would ever be free.
    pub async fn place_inside(&self, meter: &mut Meter) -> Place<'_> {
        self.place_among(&self.inside, meter).await
    }

    async fn place_among<'a>(&'a self, places: &'a Semaphore, meter: &mut Meter) -> Place<'a> {
        if let Ok(permit) = places.try_acquire() {
            return Place { engine: self, _permit: Some(permit) };
        }
        let since = Instant::now();
        // The semaphore is never closed, so this is never none.
        let permit = places.acquire().await.ok();
        meter.started += since.elapsed();
        Place { engine: self, _permit: permit }
    }
}

impl<'engine> Place<'engine> {
    /// Makes a store with what is left of the run's limits.
    ///
    /// `check` is called every few milliseconds that the guest computes; an error ends the call with [`Halt::Host`].
    pub fn open<T: Send + 'static>(
        self,
        meter: &Meter,
        data: T,
        mut check: impl FnMut() -> wasmtime::Result<()> + Send + Sync + 'static,
    ) -> wasmtime::Result<Session<'engine, T>> {
        let data = Metered { data, limiter: Limiter::new(meter.limits) };
        let mut store = Store::new(&self.engine.wasmtime, data);
        store.limiter(|data| &mut data.limiter);
        // How many bytes one host call may copy out of the guest: never more than its memory.
        store.set_hostcall_fuel(usize::try_from(meter.limits.memory).unwrap_or(usize::MAX));
        let fuel = meter.limits.fuel.saturating_sub(meter.used.fuel);
        store.set_fuel(fuel)?;
        store.set_epoch_deadline(1);
        let (deadline, late) = (meter.deadline(), meter.out_of_time());
        store.epoch_deadline_callback(move |_| {
            if Instant::now() >= deadline {
                return Err(wasmtime::Error::new(late.clone()));
            }
            check()?;
            Ok(UpdateDeadline::Yield(1))
        });
        Ok(Session { store, fuel, _place: self })
    }
}

impl<T> Session<'_, T> {
    /// Adds what the call used to the run's meter. To be called once, when the call has ended.
    pub fn settle(&self, meter: &mut Meter) {
        let left = self.store.get_fuel().unwrap_or(0);
        let limiter = &self.store.data().limiter;
        meter.used.fuel += self.fuel - left;
        meter.used.memory = meter.used.memory.max(limiter.memory);
        meter.used.table_elements = meter.used.table_elements.max(limiter.table_elements);
    }

    /// The world's own data, see [`Metered::data`].
    #[must_use]
    pub fn data(&self) -> &T {
        &self.store.data().data
    }

    /// The world's own data, to be changed, see [`Metered::data`].
    pub fn data_mut(&mut self) -> &mut T {
        &mut self.store.data_mut().data
    }
}

/// Why a call ended without a result.
#[derive(Debug)]
pub enum Halt {
    /// A limit of the engine was reached.
    Exceeded(Exceeded),
    /// The machine had no room for the instance, and no code of the guest ran: the reason.
    NotStarted(String),
    /// The guest crashed, for this reason.
    Trap(Trap),
    /// A host function or [`Place::open`]'s `check` ended it; or wasmtime did, for a reason that has no type.
    Host(wasmtime::Error),
}

impl Halt {
    /// Finds the cause of an error of a call: by type, never by text.
    #[must_use]
    pub fn of(error: wasmtime::Error, meter: &Meter) -> Self {
        if let Some(exceeded) = error.downcast_ref::<Exceeded>() {
            return Self::Exceeded(match exceeded.limit {
                // The time that it took until now.
                Limit::WallTime => meter.out_of_time(),
                _ => exceeded.clone(),
            });
        }
        if let Some(NoRoom(why)) = error.downcast_ref() {
            return Self::NotStarted(why.clone());
        }
        let over = |limit, allowed: u64| Exceeded { limit, used: allowed.saturating_add(1), allowed };
        match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => Self::Exceeded(over(Limit::Fuel, meter.limits.fuel)),
            Some(Trap::StackOverflow) => Self::Exceeded(over(Limit::Stack, STACK as u64)),
            Some(trap) => Self::Trap(*trap),
            None => Self::Host(error),
        }
    }
}

/// The machine could not make an instance.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NoRoom(String);

/// Marks an error of an instantiation that came before any code of the guest ran, so that [`Halt::of`] answers
/// [`Halt::NotStarted`]. A trap, a limit, and an error with a frame of the guest's code are the guest's, and so are
/// those that `is_ours` recognises as errors of the world's own host functions.
pub fn instantiated<R>(
    result: wasmtime::Result<R>,
    is_ours: impl FnOnce(&wasmtime::Error) -> bool,
) -> wasmtime::Result<R> {
    result.map_err(|error| {
        let ran =
            error.is::<Exceeded>() || error.is::<Trap>() || error.is::<WasmBacktrace>() || is_ours(&error);
        if ran { error } else { wasmtime::Error::new(NoRoom(format!("{error:#}"))) }
    })
}
