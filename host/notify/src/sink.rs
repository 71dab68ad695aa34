//! Where a notifier sends its events: a webhook, a command or a file.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use remit_program::{Broke, Program};
use remit_text::Address;
use ureq::Agent;

use crate::config::NotifyConfig;
use crate::error::NotifyError;
use crate::notice::Notice;
use crate::webhook::Secret;

/// The maximum size of an event in bytes; receivers refuse longer ones.
const LONGEST: usize = 16 * 1024;

#[derive(Debug)]
pub(crate) enum Sink {
    Webhook(Arc<Webhook>),
    Command(Vec<String>, Duration),
    File(PathBuf, Duration),
}

#[derive(Debug)]
pub(crate) struct Webhook {
    address: String,
    /// The part of the address that may be shown. Some addresses have a token in their path.
    shown: String,
    secret: Secret,
    agent: Agent,
}

impl Sink {
    pub(crate) fn open(
        config: &NotifyConfig,
        home: &Path,
        time_limit: Duration,
    ) -> Result<Self, NotifyError> {
        if config.name.is_empty() {
            return Err(config.wrong("it has no name"));
        }
        match (&config.webhook, config.command.as_slice(), &config.file) {
            (Some(address), [], None) => {
                let agent = Agent::config_builder()
                    .timeout_global(Some(time_limit))
                    // A proxy must not see an event for this machine.
                    .proxy(None)
                    // Events go to the configured address only.
                    .max_redirects(0)
                    .http_status_as_error(false)
                    .build();
                let (address, shown) = checked(config, address)?;
                let secret = secret(config, home)?;
                Ok(Self::Webhook(Arc::new(Webhook { address, shown, secret, agent: agent.into() })))
            }
            (None, [_, ..], None) if config.secret_file.is_none() => {
                Ok(Self::Command(config.command.clone(), time_limit))
            }
            (None, [], Some(file)) if config.secret_file.is_none() => {
                Ok(Self::File(home.join(file), time_limit))
            }
            _ => Err(config.wrong("set exactly one of `webhook` (with `secret_file`), `command` and `file`")),
        }
    }

    /// Sends the event once. An error is one sentence for a person.
    pub(crate) async fn send(&self, event: &Notice) -> Result<(), String> {
        let body = serde_json::to_string(event).map_err(|error| error.to_string())?;
        if body.len() > LONGEST {
            return Err(format!("an event of {} bytes is too long, {LONGEST} are allowed", body.len()));
        }
        match self {
            Self::Webhook(webhook) => {
                let (webhook, id) = (Arc::clone(webhook), event.id.clone());
                blocking(move || post(&webhook, &id, &body)).await
            }
            Self::Command(words, time_limit) => run(words, &body, *time_limit).await,
            Self::File(path, time_limit) => {
                let (path, time_limit) = (path.clone(), *time_limit);
                blocking(move || {
                    append(&path, &body, time_limit).map_err(|error| format!("{}: {error}", path.display()))
                })
                .await
            }
        }
    }
}

/// Runs what waits for the network or the disk on a thread of its own, so that no other task waits with it.
async fn blocking(send: impl FnOnce() -> Result<(), String> + Send + 'static) -> Result<(), String> {
    tokio::task::spawn_blocking(send).await.unwrap_or_else(|error| Err(error.to_string()))
}

/// Accepts HTTPS, and plain HTTP to this machine only: an event may tell of an intrusion. Returns the address and the part
/// of it that may be shown.
fn checked(config: &NotifyConfig, address: &str) -> Result<(String, String), NotifyError> {
    let address = Address::parse(address).map_err(|why| config.wrong(format!("`webhook`: {why}")))?;
    Ok((address.url(), address.origin().to_owned()))
}

fn secret(config: &NotifyConfig, home: &Path) -> Result<Secret, NotifyError> {
    let Some(file) = &config.secret_file else {
        return Err(config.wrong("a webhook needs `secret_file`, because its messages are signed"));
    };
    let path = home.join(file);
    let failed = |error: remit_file::FileError| config.wrong(error.to_string());
    let read = remit_file::trusted(&path, remit_file::Kind::Secret).map_err(failed)?;
    if let Some(mode) = read.exposed() {
        return Err(config.wrong(format!(
            "{} can be read by others (mode {mode:04o}); run `chmod 600` on it",
            path.display()
        )));
    }
    Secret::parse(read.text().map_err(failed)?).ok_or_else(|| {
        config.wrong(format!("{} does not contain `whsec_` and 24 to 64 bytes in base64", path.display()))
    })
}

fn post(to: &Webhook, id: &str, body: &str) -> Result<(), String> {
    let Webhook { address, shown, secret, agent } = to;
    // The time of this attempt, because receivers refuse old messages.
    let at = Timestamp::now();
    let answer = agent
        .post(address)
        .header("content-type", "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", at.as_second().to_string())
        .header("webhook-signature", secret.sign(id, at, body))
        .send(body);
    match answer {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("{shown} answered {}", answer.status())),
        Err(error) => Err(format!("{shown}: {error}")),
    }
}

async fn run(words: &[String], body: &str, time_limit: Duration) -> Result<(), String> {
    let [name, ..] = words else { return Err("no command".to_owned()) };
    let mut program = Program::new(words).reading(body);
    for kept in ["PATH", "HOME", "LANG"] {
        if let Some(value) = remit_text::env::var(kept) {
            program = program.with(kept, value);
        }
    }
    match program.run(time_limit).await {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{name} ended with {}", output.status)),
        Err(Broke::NotStarted(error) | Broke::Lost(error)) => Err(format!("{name}: {error}")),
        Err(Broke::Late(limit)) => Err(format!("{name} took longer than {} s", limit.as_secs())),
        Err(more @ Broke::TooMuch(_)) => Err(format!("{name}: {more}")),
    }
}

/// Appends a line that is on the disk on return.
fn append(path: &Path, body: &str, time_limit: Duration) -> std::io::Result<()> {
    let (mut file, new) = remit_file::append(path)?;
    // Several processes may append at once. The lock also covers removing a line that a full disk cut off.
    let since = Instant::now();
    while let Err(busy) = file.try_lock() {
        if since.elapsed() > time_limit {
            return Err(std::io::Error::other(busy.to_string()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let length = file.metadata()?.len();
    let written = file.write_all(format!("{body}\n").as_bytes()).and_then(|()| file.sync_data());
    if written.is_err() {
        // This fails on a device, which has no length.
        let _ = file.set_len(length);
    }
    if new {
        remit_file::sync_folder(path)?;
    }
    written
}
