//! The same with a server as the one that is killed: it carries out what a client asks for, or what it finds at its start. The client
//! never learns how that ended.
//!
//! A server takes longer to begin than a command, so that a few points of each scenario are struck; all of them with `CRASH_SERVED=all`.

use std::io::{BufRead as _, BufReader, Read as _};

use remit_client::Client;
use remit_trust::Signer;
use serde_json::json;

use super::*;
use crate::common::server::{signed, start};

/// How many cases of each scenario are enough where nobody asks for more.
const SAMPLE: usize = 6;

#[test]
fn crash_of_a_server_in_a_run() {
    Scenario::run("served/run", None).by_a_server().sweep(&KILLS);
}

#[test]
fn crash_of_a_server_in_a_revert() {
    Scenario::revert("served/revert", None).by_a_server().sweep(&KILLS);
}

#[test]
fn crash_of_a_server_in_a_recovery() {
    Scenario::recovery("served/recovery", None).by_a_server().sweep(&KILLS);
}

#[test]
fn crash_of_a_server_when_the_time_of_changes_is_up() {
    Scenario::restore("served/restore").by_a_server().sweep(&KILLS);
}

/// Some of the cases, the first and the last among them; all of them if there are few, or somebody wants that.
pub(super) fn some<T>(cases: VecDeque<T>) -> VecDeque<T> {
    if std::env::var("CRASH_SERVED").is_ok_and(|wanted| wanted == "all") || cases.len() <= SAMPLE {
        return cases;
    }
    let last = cases.len() - 1;
    let chosen: BTreeSet<usize> = (0..SAMPLE).map(|n| n * last / (SAMPLE - 1)).collect();
    cases.into_iter().enumerate().filter(|(at, _)| chosen.contains(at)).map(|(_, case)| case).collect()
}

impl Scenario<'_> {
    fn by_a_server(mut self) -> Self {
        let config = self.template.home().join("remit.toml");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(config, format!("{text}\n[server]\nlisten = \"127.0.0.1:0\"\n")).unwrap();
        self.served = true;
        self
    }

    /// Has a server do it, and stops it when that is done. `arm` puts the shim before it.
    pub(super) fn serve(&self, case: &Case<'_>, arm: impl FnOnce(&mut Command)) -> Struck {
        let mut command = case.command(&["serve".to_owned()]);
        arm(&mut command);
        let errors = case.world.path("server.log");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(fs::File::create(&errors).unwrap());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        // Killed before it serves, it says nothing.
        if let Some(url) = line.strip_prefix("serving") {
            // Whatever the client is answered: what counts is what is there afterwards.
            let _ = self.ask(case, url.trim());
            let pid = rustix::process::Pid::from_child(&child);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let began = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if began.elapsed() > HANGS {
                child.kill().unwrap();
                panic!("it hangs");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let status = child.wait().unwrap();
        out.read_to_string(&mut line).unwrap();
        let err = fs::read_to_string(errors).unwrap();
        Struck { signal: status.signal(), ran: Ran { code: status.code().unwrap_or(-1), out: line, err } }
    }

    /// Asks the server for what the command would do, and waits for its end.
    fn ask(&self, case: &Case<'_>, url: &str) -> Result<(), remit_client::ClientError> {
        let client = |name: &str| {
            let signer = Signer::load(&case.world.path(&format!("{name}.key"))).unwrap();
            Client::connect(ureq::Agent::new_with_defaults(), url, signer)
        };
        match self.asked {
            Asked::Run => {
                let bot = client("bot")?;
                let run = start(&bot, &case.world.request("g"))?["run"].as_str().unwrap().to_owned();
                let events = bot.follow(&format!("/api/v1/runs/{run}/events"))?;
                // They end with the run, or with the server.
                events.lines().take_while(Result::is_ok).for_each(drop);
            }
            Asked::Revert => {
                let order = json!({"reason": "not needed", "order": {"revert": {"run": self.command[1]}}});
                signed(&client("alice")?, "/api/v1/orders/prepare", &order, "/api/v1/orders")?;
            }
            // It does that before it serves.
            Asked::Recover => {}
        }
        Ok(())
    }
}
