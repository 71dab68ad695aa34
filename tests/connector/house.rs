//! A house with one lamp and an HTTP API.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

/// The lamp's path, and that of its lock.
const LAMP: &str = "/lamps/hall/door";
const LOCK: &str = "/lamps/hall/door/lock";

/// When the program that asks is killed: as request number `at` (from 0) arrives, or when it is done and not answered yet.
#[derive(Clone, Copy)]
pub struct Strike {
    pub at: usize,
    pub after: bool,
}

#[derive(Default)]
struct State {
    lit: bool,
    code: Option<String>,
    writes: usize,
    log: Vec<String>,
    /// The status of answers to writes, and whether they are done.
    answer: Option<(u16, bool)>,
    strike: Option<(Strike, usize, Arc<Mutex<Child>>)>,
    /// Requests wait; and whether one does.
    hold: Option<bool>,
}

pub struct House {
    pub address: String,
    state: Arc<Mutex<State>>,
}

impl House {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // Whoever asked may be gone: that ends its connection only.
                std::thread::spawn(move || drop(serve(&stream, &shared)));
            }
        });
        Self { address, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn is_lit(&self) -> bool {
        self.state().lit
    }

    /// The code of the lamp's lock.
    pub fn code(&self) -> Option<String> {
        self.state().code.clone()
    }

    pub fn set(&self, lit: bool) {
        self.state().lit = lit;
    }

    pub fn writes(&self) -> usize {
        self.state().writes
    }

    pub fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }

    /// Writes are done, and answered with this status.
    pub fn answer_writes_with(&self, status: u16) {
        self.state().answer = Some((status, true));
    }

    /// Writes are not done.
    pub fn refuse_writes(&self) {
        self.state().answer = Some((403, false));
    }

    /// Lets requests wait from now on.
    pub fn hold(&self) {
        self.state().hold = Some(false);
    }

    /// Returns when a request waits.
    pub fn await_request(&self) {
        while self.state().hold != Some(true) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Lets those that wait go on.
    pub fn release(&self) {
        self.state().hold = None;
    }

    /// Kills a program at one of its requests; whether it made so many.
    pub fn strike(&self, strike: Strike, child: Child) -> bool {
        let child = Arc::new(Mutex::new(child));
        {
            let mut state = self.state();
            state.strike = Some((strike, 0, Arc::clone(&child)));
        }
        loop {
            if child.lock().unwrap().try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let (_, asked, _) = self.state().strike.take().unwrap();
        asked > strike.at
    }
}

fn serve(stream: &TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut read = BufReader::new(stream);
    loop {
        let (mut head, mut line, mut length) = (Vec::new(), String::new(), 0);
        while read.read_line(&mut line)? > 2 {
            let lower = line.to_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            head.push(line.trim_end().to_owned());
            line.clear();
        }
        if head.is_empty() {
            return Ok(());
        }
        let mut body = vec![0; length];
        read.read_exact(&mut body)?;
        wait(state);
        let (status, answer) = answer(&mut state.lock().unwrap(), &head, &body);
        let answer = answer.to_string();
        let kind = "content-type: application/json\r\n";
        let head = format!("HTTP/1.1 {status} X\r\n{kind}content-length: {}\r\n\r\n{answer}", answer.len());
        (&mut &*stream).write_all(head.as_bytes())?;
    }
}

fn wait(state: &Mutex<State>) {
    loop {
        match &mut state.lock().unwrap().hold {
            None => return,
            Some(waits) => *waits = true,
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn answer(state: &mut State, head: &[String], body: &[u8]) -> (u16, Value) {
    let credential = head.iter().find(|line| line.to_lowercase().starts_with("authorization:"));
    state.log.push(format!("{} {}", head[0], credential.cloned().unwrap_or_default()));
    strike(state, false);
    let bearer = credential.and_then(|line| line.split("Bearer ").nth(1)).unwrap_or_default();
    let answer = done(state, &head[0], bearer, body);
    strike(state, true);
    if let Some((_, asked, _)) = &mut state.strike {
        *asked += 1;
    }
    answer
}

fn strike(state: &State, after: bool) {
    if let Some((strike, asked, child)) = &state.strike
        && strike.after == after
        && strike.at == *asked
    {
        child.lock().unwrap().kill().unwrap();
    }
}

fn done(state: &mut State, line: &str, bearer: &str, body: &[u8]) -> (u16, Value) {
    let mut line = line.split(' ');
    let (method, path) = (line.next().unwrap(), line.next().unwrap());
    match (method, path) {
        ("GET", LAMP) => (200, json!({ "lit": state.lit })),
        ("PUT", LAMP) => {
            let (status, is_done) = state.answer.unwrap_or((200, true));
            if is_done {
                state.writes += 1;
                state.lit = serde_json::from_slice::<Value>(body).unwrap()["lit"].as_bool().unwrap();
            }
            (status, json!({}))
        }
        ("GET", LOCK) => {
            (200, json!({ "locked": state.code.is_some(), "yours": state.code.as_deref() == Some(bearer) }))
        }
        ("PUT", LOCK) => {
            state.writes += 1;
            state.code =
                serde_json::from_slice::<Value>(body).unwrap()["code"].as_str().map(ToOwned::to_owned);
            (200, json!({}))
        }
        _ => (404, json!({})),
    }
}
