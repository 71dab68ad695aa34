//! Tasks on foreign bytes, each in a process of its own with limits of memory and time. The validator and the compiler of
//! WebAssembly, and the checker of schemas, take as much time and memory as the bytes make them take: a few hundred bytes
//! can be made to take gigabytes. No count of anything in the bytes predicts that for every file; the system's limits hold
//! for every file.
//!
//! The process is this program again, started with one word that nobody else uses. It gets the bytes on its standard
//! input, answers on its standard output, and has an empty environment. A program that does not begin with [`crate::serve`] (a
//! test, a benchmark) performs the same tasks in its own process, without the limits.

use std::ffi::OsString;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, setrlimit};

use crate::flaw::Flaw;

/// The first argument of a process that performs a task. No command of a program looks like it.
const WORD: &str = "__confined";
/// How long an announced task may take before it is announced.
const NOTICEABLE: Duration = Duration::from_secs(1);
/// How many times its processor time a task may take on the clock, on a busy machine.
const CROWDED: u32 = 4;
/// An unoptimised program takes several times as long for the same task.
const UNOPTIMISED: u32 = if cfg!(debug_assertions) { 6 } else { 1 };
/// A mebibyte, for the limits of a [`Task`].
pub const MIB: u64 = 1024 * 1024;

/// Called with the name of a file when an announced task on it takes longer than a second.
pub type Announce = fn(&str);

static SERVED: OnceLock<Announce> = OnceLock::new();

/// One kind of task, and what it may use.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// Its name as an argument of the process; unique in the program.
    pub name: &'static str,
    /// What it does, as in "{purpose} takes more than 8 s": "to inspect it".
    pub purpose: &'static str,
    /// Bytes of writable memory, besides the task's input.
    pub memory: u64,
    /// Seconds of processor time in an optimised program, all threads together.
    pub seconds: u64,
    /// Bytes of the answer.
    pub answer: u64,
    /// Whether a person is told if the task takes long.
    pub announced: bool,
    /// The function from the task's input to its answer.
    pub work: fn(&[u8]) -> Result<Vec<u8>, Flaw>,
}

impl Task {
    fn time(&self) -> Duration {
        Duration::from_secs(self.seconds) * UNOPTIMISED
    }
}

/// See [`crate::serve`]; `tasks` are all tasks of the program.
pub(crate) fn serve(tasks: &[&Task], announce: Announce) -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != WORD) {
        let _ = SERVED.set(announce);
        return None;
    }
    Some(match answer(tasks, arguments) {
        Ok(()) => ExitCode::SUCCESS,
        // The process that waits sees that there is no answer.
        Err(_) => ExitCode::FAILURE,
    })
}

/// Performs the task that the arguments name, in the confined process.
fn answer(tasks: &[&Task], mut arguments: impl Iterator<Item = OsString>) -> std::io::Result<()> {
    let mut argument = || arguments.next().and_then(|argument| argument.into_string().ok());
    let wrong = || std::io::Error::from(ErrorKind::InvalidInput);
    let name = argument().ok_or_else(wrong)?;
    let task = tasks.iter().find(|task| task.name == name).ok_or_else(wrong)?;
    let size: u64 = argument().and_then(|size| size.parse().ok()).ok_or_else(wrong)?;
    confine(task, size)?;
    // One byte more than the input: the read that finds the end then needs no larger buffer.
    let mut bytes = Vec::with_capacity(usize::try_from(size).map_err(|_| wrong())?.saturating_add(1));
    #[expect(clippy::disallowed_methods, reason = "the task, from the program that started this one")]
    std::io::stdin().lock().take(size).read_to_end(&mut bytes)?;
    let (kind, answer) = match (task.work)(&bytes) {
        Ok(answer) => (b'+', answer),
        Err(flaw) => (b'-', serde_json::to_vec(&flaw)?),
    };
    let mut out = std::io::stdout().lock();
    out.write_all(&[kind])?;
    out.write_all(&answer)?;
    out.flush()
}

/// Sets the limits of this process.
fn confine(task: &Task, size: u64) -> std::io::Result<()> {
    // The system sends a signal at the first, and kills at the second.
    let limit = |resource, first: u64, second: u64| {
        // A limit that was lowered before cannot be raised.
        let before = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let (current, maximum) = (Some(first.min(before)), Some(second.min(before)));
        setrlimit(resource, Rlimit { current, maximum })
    };
    // Writable memory; addresses alone cost nothing.
    let memory = task.memory + size;
    limit(Resource::Data, memory, memory)?;
    limit(Resource::Cpu, task.time().as_secs(), task.time().as_secs() + 1)?;
    limit(Resource::Core, 0, 0)?;
    // If the parent has ended, there is no reader for the answer.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}

/// Performs a task on `bytes`, within its limits. `shown` names the bytes to people.
pub fn perform(task: &Task, bytes: &[u8], shown: &str) -> Result<Vec<u8>, Flaw> {
    let Some(announce) = SERVED.get() else { return (task.work)(bytes) };
    let mut child = start(task, bytes.len())?;
    let pid = Pid::from_child(&child);
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (over, end) = channel::<()>();
    let mut answer = Vec::new();
    let kill = || {
        // The child is reaped only below, so its process number is still its own.
        let _ = kill_process(pid, Signal::KILL);
    };
    let watched = std::thread::scope(|scope| {
        let begin = || std::thread::Builder::new().name("remit-confined".to_owned());
        // If the child ends before it has read everything, its exit status tells why.
        let feed = move || stdin.map(|mut stdin| stdin.write_all(bytes));
        let watch = move || {
            if task.announced && end.recv_timeout(NOTICEABLE) == Err(RecvTimeoutError::Timeout) {
                announce(shown);
            }
            let late = end.recv_timeout(task.time() * CROWDED) == Err(RecvTimeoutError::Timeout);
            if late {
                kill();
            }
            late
        };
        let started = begin().spawn_scoped(scope, feed).and_then(|_| begin().spawn_scoped(scope, watch));
        let watch = started.inspect_err(|_| kill())?;
        let read = stdout.map(|stdout| stdout.take(task.answer + 1).read_to_end(&mut answer));
        if !matches!(read, Some(Ok(_))) || answer.len() as u64 > task.answer {
            kill();
        }
        drop(over);
        Ok::<_, std::io::Error>(watch.join().unwrap_or(false))
    });
    let host = |error: std::io::Error| Flaw::Host(error.to_string());
    let status = child.wait().map_err(host)?;
    let late = watched.map_err(host)?;
    if answer.len() as u64 > task.answer {
        return Err(Flaw::TooComplex(format!("the answer takes more than {} MiB", task.answer / MIB)));
    }
    match answer.first() {
        Some(b'+') if status.success() => {
            answer.remove(0);
            Ok(answer)
        }
        Some(b'-') if status.success() => {
            Err(serde_json::from_slice(&answer[1..]).unwrap_or_else(|error| Flaw::Host(error.to_string())))
        }
        _ => Err(why(task, status, late)),
    }
}

fn start(task: &Task, size: usize) -> Result<Child, Flaw> {
    // The program that runs, even if its file was replaced since.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("remit").args([WORD, task.name, &size.to_string()]);
    command.env_clear();
    if let Some(libraries) = remit_text::env::var("LD_LIBRARY_PATH") {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    // Otherwise the allocator reserves a gigabyte before the limit is set.
    command.env("MIMALLOC_ARENA_RESERVE", "0");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().map_err(|error| Flaw::Host(format!("no process can be started to do it in: {error}")))
}

/// Why the confined process gave no answer.
fn why(task: &Task, status: ExitStatus, late: bool) -> Flaw {
    let doing = task.purpose;
    let signal = status.signal().and_then(Signal::from_named_raw);
    if signal == Some(Signal::XCPU) {
        let seconds = task.time().as_secs();
        return Flaw::TooComplex(format!("{doing} takes more than {seconds} s of processor time"));
    }
    if late {
        let seconds = (task.time() * CROWDED).as_secs();
        return Flaw::TooComplex(format!("{doing} takes longer than {seconds} s"));
    }
    match (signal, status.code()) {
        // Out of memory or stack: Rust aborts the process.
        (Some(_), _) => {
            Flaw::TooComplex(format!("{doing} takes more than {} MiB of memory", task.memory / MIB))
        }
        (None, Some(101)) => Flaw::Host(format!("{doing} ended in an error of Remit's own")),
        (None, code) => Flaw::Host(format!("the process {doing} ended with code {code:?}")),
    }
}
