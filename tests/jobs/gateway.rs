//! Between Remit and a real system: requests are counted, and something happens at one of them.

use std::process::Stdio;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};

use super::between::between;
use crate::common::{World, proxy};

/// What happens at a request: it is told the number of it, its first line, and how to ask the system. What it returns is the answer.
type Event = dyn Fn(usize, &str, &dyn Fn() -> Vec<u8>) -> Option<Vec<u8>> + Send + Sync;

/// The same, of what counts the requests.
type Asked = dyn Fn(&str, &dyn Fn() -> Vec<u8>) -> Option<Vec<u8>> + Send + Sync;

/// See above. At first nothing happens.
#[derive(Clone)]
pub struct Gateway {
    pub address: String,
    event: Arc<Mutex<Arc<Event>>>,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Gateway {
    pub fn before(system: &str) -> Self {
        Self::made(|event| proxy::between(system, event))
    }

    /// Before a directory, at this port of this machine.
    pub fn before_directory(port: u16) -> Self {
        Self::made(|event| between(port, event))
    }

    fn made(between: impl FnOnce(Box<Asked>) -> String) -> Self {
        let event: Arc<Mutex<Arc<Event>>> = Arc::new(Mutex::new(Arc::new(|_, _, ask| Some(ask()))));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (events, seen) = (Arc::clone(&event), Arc::clone(&lines));
        let address = between(Box::new(move |line: &str, ask: &dyn Fn() -> Vec<u8>| {
            let number = {
                let mut seen = seen.lock().unwrap();
                seen.push(line.to_owned());
                seen.len()
            };
            let event = Arc::clone(&events.lock().unwrap());
            event(number, line, ask)
        }));
        Self { address, event, lines }
    }

    /// From now on this happens. Requests are counted anew.
    pub fn does(
        &self,
        event: impl Fn(usize, &str, &dyn Fn() -> Vec<u8>) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) {
        *self.event.lock().unwrap() = Arc::new(event);
        self.lines.lock().unwrap().clear();
    }

    /// Somebody types this at the home when the system is sent the first request of these, before it has it.
    pub fn lets_type(&self, world: &World, args: &[&str], at: fn(&str) -> bool) {
        let command = Mutex::new(Some(world.command(args)));
        self.does(move |_, line, ask| {
            if at(line)
                && let Some(mut command) = command.lock().unwrap().take()
            {
                assert!(command.output().unwrap().status.success());
            }
            Some(ask())
        });
    }

    /// From now on nothing happens.
    pub fn passes(&self) {
        self.does(|_, _, ask| Some(ask()));
    }

    /// The first lines of the requests since then.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Runs a command that is killed when the system has done what the first request of these asks for, and its answer is lost.
    pub fn kills(&self, world: &World, args: &[&str], at: fn(&str) -> bool) {
        let victim = Arc::new(AtomicI32::new(0));
        let aim = Arc::clone(&victim);
        self.does(move |_, line, ask| {
            if !at(line) {
                return Some(ask());
            }
            ask();
            let pid = loop {
                if let Some(pid) = Pid::from_raw(aim.load(Ordering::SeqCst)) {
                    break pid;
                }
                std::thread::yield_now();
            };
            kill_process(pid, Signal::KILL).unwrap();
            None
        });
        let mut host = world.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        victim.store(host.id().try_into().unwrap(), Ordering::SeqCst);
        let status = host.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{args:?}");
        self.passes();
    }
}
