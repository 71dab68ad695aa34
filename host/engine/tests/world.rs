//! A second world, that is not actions: other data in the store, other imports, another contract. Everything of the engine
//! serves it.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use remit_engine::{
    Cache, Candidate, ComponentError, Engine, Exceeded, Flaw, Halt, Inspect, Limit, Limits, MIB, Meter,
    Metered, Prepared, Publishers, Task, Used, World, examine, instantiated,
};
use remit_trust::{SignatureError, SigningKey, blob};
use serde::{Deserialize, Serialize};
use wasmtime::component::{Instance, InstancePre, Linker};

/// The world in text: it imports a counter of the host, and exports a function from a number to a number.
const CONTRACT: &str = r#"(component
    (import "test:host/counter@0.1.0" (instance (export "next" (func (result u32)))))
    (core module $m (func (export "f") (param i32) (result i32) unreachable))
    (core instance $i (instantiate $m))
    (func $f (param "n" u32) (result u32) (canon lift (core func $i "f")))
    (instance $x (export "call" (func $f)))
    (export "test:backend/operations@0.1.0" (instance $x)))"#;

/// A component of the world. What it does with `n`: 0 asks the host, 1 computes for ever, 2 grows its memory for ever, 3
/// recurses for ever, 4 crashes, 5 asks the host for an error, 6 waits for the host for ever.
const BACKEND: &str = r#"(component $backend
    (import "test:host/counter@0.1.0" (instance $host (export "next" (func (result u32)))))
    (core func $next (canon lower (func $host "next")))
    (core module $m
        (import "host" "next" (func $next (result i32)))
        (memory 1)
        (func $deep (param i32) (result i32) (i32.add (call $deep (local.get 0)) (i32.const 1)))
        (func (export "call") (param i32) (result i32)
            (if (i32.eq (local.get 0) (i32.const 1)) (then (loop (br 0))))
            (if (i32.eq (local.get 0) (i32.const 2)) (then (loop (drop (memory.grow (i32.const 16))) (br 0))))
            (if (i32.eq (local.get 0) (i32.const 3)) (then (drop (call $deep (i32.const 0)))))
            (if (i32.eq (local.get 0) (i32.const 4)) (then (unreachable)))
            (call $next)))
    (core instance $i (instantiate $m (with "host" (instance (export "next" (func $next))))))
    (func $f (param "n" u32) (result u32) (canon lift (core func $i "call")))
    (instance $x (export "call" (func $f)))
    (export "test:backend/operations@0.1.0" (instance $x)))"#;

const EXPORT: &str = "test:backend/operations@0.1.0";

/// What this world keeps of an examination.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Found {
    name: String,
    imports: Vec<String>,
    obstacle: Option<String>,
}

static INSPECT: Task = Task {
    name: "inspect-backend",
    purpose: "to inspect it",
    memory: 64 * MIB,
    seconds: 2,
    answer: MIB,
    announced: false,
    work: |bytes| {
        let contract = wat::parse_str(CONTRACT).unwrap().leak();
        let world = World {
            component: contract,
            contract: EXPORT,
            section: "test:backend",
            sections: None,
            serves: |import| (import == "test:host/counter@0.1.0").then(|| import.to_owned()),
        };
        let found = examine(bytes, &world)?;
        let obstacle = found.not_of_the_world.or(found.misfit).or(found.too_much).or(found.odd_export);
        let found = Found { name: found.name, imports: found.imports, obstacle };
        serde_json::to_vec(&found).map_err(|error| Flaw::Host(error.to_string()))
    },
};

impl Inspect for Found {
    const TASK: &'static Task = &INSPECT;
}

/// The data of a store of this world.
struct Counter {
    next: u32,
    /// What the host function does.
    answers: Answers,
}

enum Answers {
    Number,
    Error,
    Never,
}

#[derive(Debug, thiserror::Error)]
#[error("the host refuses")]
struct Refused;

struct Bench {
    dir: tempfile::TempDir,
    key: SigningKey,
    engine: Engine,
    prepared: Prepared<InstancePre<Metered<Counter>>>,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bench = Self {
            key: SigningKey::generate().unwrap(),
            engine: Engine::new(Some(cache(&dir))).unwrap(),
            prepared: Prepared::default(),
            dir,
        };
        bench.put("backend.wasm", BACKEND);
        bench
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let (path, bytes) = (self.dir.path().join(name), wat::parse_str(text).unwrap());
        fs::write(&path, &bytes).unwrap();
        fs::write(path.with_extension("wasm.sig"), blob::sign_blob(&self.key, &bytes).unwrap()).unwrap();
        path
    }

    fn candidate(&self) -> Candidate<Found> {
        self.engine.find(&self.dir.path().join("backend.wasm")).unwrap()
    }

    fn publishers(&self) -> Publishers {
        Publishers(vec![self.key.verifying_key()])
    }

    fn link(&self, candidate: &Candidate<Found>) -> Result<InstancePre<Metered<Counter>>, ComponentError> {
        let component = self.engine.compile(candidate)?;
        let mut linker = Linker::<Metered<Counter>>::new(self.engine.wasmtime());
        let mut counter = linker.instance("test:host/counter@0.1.0").unwrap();
        let next = counter.func_wrap_async("next", |mut store, (): ()| {
            let counter: &mut Counter = store.data_mut().as_mut();
            counter.next += 1;
            let next = match counter.answers {
                Answers::Number => Some(Ok((counter.next,))),
                Answers::Error => Some(Err(wasmtime::Error::new(Refused))),
                Answers::Never => None,
            };
            Box::new(async {
                match next {
                    Some(next) => next,
                    None => std::future::pending().await,
                }
            })
        });
        next.unwrap();
        Ok(linker.instantiate_pre(&component).unwrap())
    }

    async fn call(&self, meter: &mut Meter, n: u32, answers: Answers) -> Result<u32, Halt> {
        let pre = self.prepared.get(self.candidate().digest(), || self.link(&self.candidate())).unwrap();
        let data = Counter { next: 41, answers };
        let mut session = self.engine.place(meter).await.open(meter, data, || Ok(())).unwrap();
        let called = meter
            .until_deadline(async {
                let started = pre.instantiate_async(&mut session.store).await;
                let instance: Instance = instantiated(started, wasmtime::Error::is::<Refused>)?;
                let export = instance.get_export_index(&mut session.store, None, EXPORT).unwrap();
                let call = instance.get_export_index(&mut session.store, Some(&export), "call").unwrap();
                let call = instance.get_typed_func::<(u32,), (u32,)>(&mut session.store, call)?;
                Ok(call.call_async(&mut session.store, (n,)).await?.0)
            })
            .await;
        session.settle(meter);
        called.map_err(|error| Halt::of(error, meter))
    }
}

fn cache(dir: &tempfile::TempDir) -> Cache {
    Cache::open(&dir.path().join("cache"), &dir.path().join("cache.key")).unwrap()
}

fn limits() -> Limits {
    Limits { fuel: 1_000_000_000, wall_time: Duration::from_secs(60), memory: 4 * MIB, table_elements: 10 }
}

#[tokio::test]
async fn another_world_runs_through_the_cache() {
    let bench = Bench::new();
    let candidate = bench.candidate();
    let publisher = bench.prepared.publisher(&candidate, &bench.publishers()).unwrap();
    assert_eq!(publisher, bench.key.verifying_key().id());
    let found = candidate.inspection().unwrap();
    assert_eq!(
        (found.name.as_str(), &found.imports[..]),
        ("backend", &["test:host/counter@0.1.0".to_owned()][..])
    );
    assert_eq!(found.obstacle, None);

    let mut meter = Meter::start(limits());
    assert_eq!(bench.call(&mut meter, 0, Answers::Number).await.unwrap(), 42);
    let Used { fuel, memory, table_elements } = meter.used();
    assert!(fuel > 0, "the fuel is counted");
    assert_eq!((memory, table_elements), (64 * 1024, 0));
    // A second call of the same run adds to it.
    bench.call(&mut meter, 0, Answers::Number).await.unwrap();
    assert_eq!(meter.used(), Used { fuel: 2 * fuel, memory, table_elements });

    // The compiled code is kept with its seal, and loaded from there: without it, the bytes would be needed.
    let kept = fs::read_dir(bench.dir.path().join("cache")).unwrap().flatten();
    let endings: Vec<_> = kept.filter_map(|file| Some(file.path().extension()?.to_owned())).collect();
    assert!(endings.iter().any(|e| e == "cwasm") && endings.iter().any(|e| e == "seal"), "{endings:?}");
    let again = Engine::new(Some(cache(&bench.dir))).unwrap();
    let candidate: Candidate<Found> = again.find(&bench.dir.path().join("backend.wasm")).unwrap();
    fs::remove_file(bench.dir.path().join("backend.wasm")).unwrap();
    again.compile(&candidate).unwrap();
}

#[tokio::test]
async fn its_calls_are_limited() {
    let bench = Bench::new();
    let over = |halted: Result<u32, Halt>, limit: Limit, used: u64, allowed: u64| match halted.unwrap_err() {
        Halt::Exceeded(exceeded) => assert_eq!(exceeded, Exceeded { limit, used, allowed }),
        other => panic!("{other:?}"),
    };
    let mut little = Meter::start(Limits { fuel: 10_000, ..limits() });
    over(bench.call(&mut little, 1, Answers::Number).await, Limit::Fuel, 10_001, 10_000);
    // Nothing is left of it for the next call.
    over(bench.call(&mut little, 0, Answers::Number).await, Limit::Fuel, 10_001, 10_000);

    let mut meter = Meter::start(limits());
    let memory = limits().memory;
    let grown = bench.call(&mut meter, 2, Answers::Number).await;
    over(grown, Limit::Memory, memory + 64 * 1024, memory);
    over(bench.call(&mut meter, 3, Answers::Number).await, Limit::Stack, 512 * 1024 + 1, 512 * 1024);

    // Whether it computes or waits.
    for (n, answers) in [(1, Answers::Number), (6, Answers::Never)] {
        let short = Duration::from_millis(50);
        let mut short = Meter::start(Limits { fuel: u64::MAX, wall_time: short, ..limits() });
        match bench.call(&mut short, n, answers).await.unwrap_err() {
            Halt::Exceeded(Exceeded { limit: Limit::WallTime, used, allowed: 50 }) => assert!(used > 50),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn its_other_ends_are_told_apart() {
    let bench = Bench::new();
    let mut meter = Meter::start(limits());
    let crashed = bench.call(&mut meter, 4, Answers::Number).await.unwrap_err();
    assert!(matches!(crashed, Halt::Trap(wasmtime::Trap::UnreachableCodeReached)), "{crashed:?}");
    match bench.call(&mut meter, 5, Answers::Error).await.unwrap_err() {
        Halt::Host(error) => assert!(error.is::<Refused>(), "{error:?}"),
        other => panic!("{other:?}"),
    }
    // The world ends a guest that computes.
    let pre = bench.link(&bench.candidate()).unwrap();
    let data = Counter { next: 0, answers: Answers::Number };
    let mut meter = Meter::start(Limits { fuel: u64::MAX, ..limits() });
    let place = bench.engine.place(&mut meter).await;
    let mut session = place.open(&meter, data, || Err(wasmtime::Error::new(Refused))).unwrap();
    let instance = pre.instantiate_async(&mut session.store).await.unwrap();
    let export = instance.get_export_index(&mut session.store, None, EXPORT).unwrap();
    let call = instance.get_export_index(&mut session.store, Some(&export), "call").unwrap();
    let call = instance.get_typed_func::<(u32,), (u32,)>(&mut session.store, call).unwrap();
    let ended = call.call_async(&mut session.store, (1,)).await.unwrap_err();
    assert!(ended.is::<Refused>(), "{ended:?}");
}

#[test]
fn who_signed_and_what_fits_is_checked() {
    let bench = Bench::new();
    let untrusted = Publishers(vec![SigningKey::generate().unwrap().verifying_key()]);
    let candidate = bench.candidate();
    bench.prepared.publisher(&candidate, &bench.publishers()).unwrap();
    // Although its signature was verified before.
    let refused = bench.prepared.publisher(&candidate, &untrusted).unwrap_err();
    assert!(
        matches!(refused, ComponentError::Publisher { source: SignatureError::Untrusted, .. }),
        "{refused}"
    );

    let obstacle = |text: &str| {
        let candidate = Candidate::<Found>::read(&bench.put("other.wasm", text)).unwrap();
        candidate.inspection().unwrap().obstacle.clone().unwrap_or_default()
    };
    assert_eq!(obstacle("(component)"), format!("it does not export {EXPORT}"));
    let other = BACKEND.replace("(param \"n\" u32)", "(param \"n\" s32)");
    assert!(obstacle(&other).contains("is not the contract"), "{}", obstacle(&other));
    let other = BACKEND.replacen("(func (result u32))", "(func (result s32))", 1);
    assert!(obstacle(&other).contains("type mismatch for import"), "{}", obstacle(&other));

    let module = Candidate::<Found>::read(&bench.put("module.wasm", "(module)")).unwrap();
    assert!(matches!(module.inspection(), Err(ComponentError::CoreModule { .. })));
}
