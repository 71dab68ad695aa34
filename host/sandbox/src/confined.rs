//! Work on foreign bytes, in a process of its own that has a limit of memory and of time. The validator and the compiler of
//! WebAssembly, and the checker of schemas, take what time and memory the bytes make them take: some hundred bytes can
//! be made to take gigabytes. No count of anything in the bytes foretells that for every file, the system's limits hold for
//! every file.
//!
//! The process is this program again, started with one word that nobody else uses. It gets the bytes on its standard
//! input, answers on its standard output, and sees nothing of the environment. A program that has not called [`serve`]
//! first of all (a test, a benchmark) does the same work in its own process, without the limits.

use std::ffi::OsString;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use remit_manifest::{Mismatch, Schema};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, setrlimit};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine;
use crate::examine::{Flaw, examine};

/// The word by which the program knows that it is to do such work. An argument of no command looks like it.
const WORD: &str = "__confined";
/// How long a compiler may work before somebody is told that it does.
const NOTICEABLE: Duration = Duration::from_secs(1);
/// How many times longer it may take than it computes, on a machine that has much else to do.
const CROWDED: u32 = 4;
/// An unoptimised program takes several times as long for the same.
const PATIENCE: u32 = if cfg!(debug_assertions) { 6 } else { 1 };
const MIB: u64 = 1024 * 1024;

/// Called with the name of a file whose compiling takes a noticeable time.
pub type Announce = fn(&str);

static SERVED: OnceLock<Announce> = OnceLock::new();

/// What is done with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// [`examine`]s a component.
    Inspect,
    /// Compiles one that was inspected.
    Compile,
    /// Holds an input to a schema, both in JSON.
    Check,
}

struct Limits {
    /// Bytes of memory besides the work's own bytes.
    memory: u64,
    /// Of the processor, all threads together.
    time: Duration,
    /// Bytes of the answer.
    answer: u64,
}

impl Job {
    const ALL: [Self; 3] = [Self::Inspect, Self::Compile, Self::Check];

    fn name(self) -> &'static str {
        match self {
            Self::Inspect => "inspect",
            Self::Compile => "compile",
            Self::Check => "check",
        }
    }

    /// Chosen so that an inspection of the largest file, with what reads it, stays below 512 MiB and ten seconds.
    fn limits(self) -> Limits {
        let (memory, seconds, answer) = match self {
            Self::Inspect => (192 * MIB, 8, 64 * MIB),
            Self::Compile => (3072 * MIB, 900, 2048 * MIB),
            Self::Check => (128 * MIB, 3, MIB),
        };
        Limits { memory, time: Duration::from_secs(seconds) * PATIENCE, answer }
    }
}

/// To be called first of all in a program that works on foreign components. If the process was started to do such work, it
/// is done, and the program ends with the code; otherwise the work is done in processes of its own from now on.
pub fn serve(announce: Announce) -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != WORD) {
        let _ = SERVED.set(announce);
        return None;
    }
    Some(match answer(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever waits for the answer sees that there is none.
        Err(_) => ExitCode::FAILURE,
    })
}

/// The process that works.
fn answer(mut arguments: impl Iterator<Item = OsString>) -> std::io::Result<()> {
    let mut argument = || arguments.next().and_then(|argument| argument.into_string().ok());
    let wrong = || std::io::Error::from(ErrorKind::InvalidInput);
    let name = argument().ok_or_else(wrong)?;
    let job = Job::ALL.into_iter().find(|job| job.name() == name).ok_or_else(wrong)?;
    let size: u64 = argument().and_then(|size| size.parse().ok()).ok_or_else(wrong)?;
    confine(&job.limits(), size)?;
    // One byte more than there is: reading on shows the end without growing.
    let mut bytes = Vec::with_capacity(usize::try_from(size).map_err(|_| wrong())?.saturating_add(1));
    #[expect(clippy::disallowed_methods, reason = "the job, from the program that started this one")]
    std::io::stdin().lock().take(size).read_to_end(&mut bytes)?;
    let (kind, answer) = match work(job, &bytes) {
        Ok(answer) => (b'+', answer),
        Err(flaw) => (b'-', serde_json::to_vec(&flaw)?),
    };
    let mut out = std::io::stdout().lock();
    out.write_all(&[kind])?;
    out.write_all(&answer)?;
    out.flush()
}

/// Takes away from this process what it does not need.
fn confine(limits: &Limits, size: u64) -> std::io::Result<()> {
    // A signal at the first, the end at the second.
    let limit = |resource, first: u64, second: u64| {
        // Nobody may raise what was lowered before.
        let before = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let (current, maximum) = (Some(first.min(before)), Some(second.min(before)));
        setrlimit(resource, Rlimit { current, maximum })
    };
    // Memory that can be written; addresses alone cost nothing.
    let memory = limits.memory + size;
    limit(Resource::Data, memory, memory)?;
    limit(Resource::Cpu, limits.time.as_secs(), limits.time.as_secs() + 1)?;
    limit(Resource::Core, 0, 0)?;
    // Without whoever waits for it the work is for nobody.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}

/// The work itself.
fn work(job: Job, bytes: &[u8]) -> Result<Vec<u8>, Flaw> {
    let json = |answer: serde_json::Result<Vec<u8>>| answer.map_err(|error| Flaw::Host(error.to_string()));
    match job {
        Job::Inspect => json(serde_json::to_vec(&examine(bytes)?)),
        Job::Compile => engine::compile(bytes),
        Job::Check => {
            let order: Order<Value> =
                serde_json::from_slice(bytes).map_err(|error| Flaw::Host(error.to_string()))?;
            json(serde_json::to_vec(&mismatches(&order.schema, &order.input)?))
        }
    }
}

fn mismatches(schema: &Value, input: &Value) -> Result<Vec<Mismatch>, Flaw> {
    let schema = Schema::new(schema).map_err(|error| Flaw::Schema(error.to_string()))?;
    Ok(schema.check(input).err().unwrap_or_default())
}

#[derive(Serialize, Deserialize)]
struct Order<T> {
    schema: T,
    input: T,
}

/// Why an input cannot be held to a schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unchecked {
    /// The schema is none, or meets a limit with this input.
    #[error("{0}")]
    Schema(String),
    /// The host could not do it.
    #[error("{0}")]
    Host(String),
}

/// Holds an input to a schema of a component; answers every place that is wrong, or the first ones if they are many.
pub fn check(schema: &Value, input: &Value) -> Result<Vec<Mismatch>, Unchecked> {
    let checked = || {
        // Most are so plain that a process of their own would take longer than the work.
        if remit_manifest::is_quick(schema, input) {
            return mismatches(schema, input);
        }
        let host = |error: serde_json::Error| Flaw::Host(error.to_string());
        let order = serde_json::to_vec(&Order { schema, input }).map_err(host)?;
        serde_json::from_slice(&done(Job::Check, &order, "")?).map_err(host)
    };
    checked().map_err(|flaw| match flaw {
        Flaw::Schema(why) | Flaw::TooComplex(why) => Unchecked::Schema(why),
        Flaw::Host(why) => Unchecked::Host(why),
        other => Unchecked::Host(format!("{other:?}")),
    })
}

/// Has the work done, within its limits. `shown` names the bytes to people.
pub(crate) fn done(job: Job, bytes: &[u8], shown: &str) -> Result<Vec<u8>, Flaw> {
    let Some(announce) = SERVED.get() else { return work(job, bytes) };
    let limits = job.limits();
    let mut child = start(job, bytes.len())?;
    let pid = Pid::from_child(&child);
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (over, end) = channel::<()>();
    let mut answer = Vec::new();
    let kill = || {
        // It is waited for only below: nobody else can have its number yet.
        let _ = kill_process(pid, Signal::KILL);
    };
    let watched = std::thread::scope(|scope| {
        let begin = || std::thread::Builder::new().name("remit-confined".to_owned());
        // A process that ends before it has read everything says so by its end.
        let feed = move || stdin.map(|mut stdin| stdin.write_all(bytes));
        let watch = move || {
            if job == Job::Compile && end.recv_timeout(NOTICEABLE) == Err(RecvTimeoutError::Timeout) {
                announce(shown);
            }
            let late = end.recv_timeout(limits.time * CROWDED) == Err(RecvTimeoutError::Timeout);
            if late {
                kill();
            }
            late
        };
        let started = begin().spawn_scoped(scope, feed).and_then(|_| begin().spawn_scoped(scope, watch));
        let watch = started.inspect_err(|_| kill())?;
        let read = stdout.map(|stdout| stdout.take(limits.answer + 1).read_to_end(&mut answer));
        if !matches!(read, Some(Ok(_))) || answer.len() as u64 > limits.answer {
            kill();
        }
        drop(over);
        Ok::<_, std::io::Error>(watch.join().unwrap_or(false))
    });
    let host = |error: std::io::Error| Flaw::Host(error.to_string());
    let status = child.wait().map_err(host)?;
    let late = watched.map_err(host)?;
    if answer.len() as u64 > limits.answer {
        return Err(Flaw::TooComplex(format!("the answer takes more than {} MiB", limits.answer / MIB)));
    }
    match answer.first() {
        Some(b'+') if status.success() => {
            answer.remove(0);
            Ok(answer)
        }
        Some(b'-') if status.success() => {
            Err(serde_json::from_slice(&answer[1..]).unwrap_or_else(|error| Flaw::Host(error.to_string())))
        }
        _ => Err(why(job, status, late)),
    }
}

fn start(job: Job, size: usize) -> Result<Child, Flaw> {
    // The program that runs, also when another one has its name by now.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("remit").args([WORD, job.name(), &size.to_string()]);
    command.env_clear();
    if let Some(libraries) = remit_text::env::var("LD_LIBRARY_PATH") {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    // The allocator would begin with a gigabyte of its own, before there is a limit.
    command.env("MIMALLOC_ARENA_RESERVE", "0");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().map_err(|error| Flaw::Host(format!("no process can be started to do it in: {error}")))
}

/// Why there is no answer.
fn why(job: Job, status: ExitStatus, late: bool) -> Flaw {
    let limits = job.limits();
    let doing = match job {
        Job::Inspect => "to inspect it",
        Job::Compile => "to compile it",
        Job::Check => "to check the input",
    };
    let signal = status.signal().and_then(Signal::from_named_raw);
    if signal == Some(Signal::XCPU) {
        let seconds = limits.time.as_secs();
        return Flaw::TooComplex(format!("{doing} takes more than {seconds} s of processor time"));
    }
    if late {
        let seconds = (limits.time * CROWDED).as_secs();
        return Flaw::TooComplex(format!("{doing} takes longer than {seconds} s"));
    }
    match (signal, status.code()) {
        // No memory, or no stack: Rust ends a process so.
        (Some(_), _) => {
            Flaw::TooComplex(format!("{doing} takes more than {} MiB of memory", limits.memory / MIB))
        }
        (None, Some(101)) => {
            Flaw::TooComplex(format!("{doing} ends in an error of Remit's own, which you should report"))
        }
        (None, code) => Flaw::Host(format!("the process {doing} ended with code {code:?}")),
    }
}
