//! The ways to tell.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ureq::Agent;

use crate::webhook::Secret;
use crate::{Event, NotifyConfig, NotifyError};

/// A receiver that does not answer in this time was not told.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) enum Way {
    Webhook { address: String, secret: Secret, agent: Agent },
    Command(Vec<String>),
    File(PathBuf),
}

impl Way {
    pub(crate) fn open(config: &NotifyConfig, home: &Path) -> Result<Self, NotifyError> {
        if config.name.is_empty() {
            return Err(config.wrong("it has no name"));
        }
        match (&config.webhook, config.command.as_slice(), &config.file) {
            (Some(address), [], None) => {
                let agent = Agent::config_builder()
                    .timeout_global(Some(PATIENCE))
                    // Whoever may answer for an address is who was configured.
                    .max_redirects(0)
                    .http_status_as_error(false)
                    .build();
                Ok(Self::Webhook {
                    address: checked(config, address)?,
                    secret: secret(config, home)?,
                    agent: agent.into(),
                })
            }
            (None, [_, ..], None) if config.secret_file.is_none() => {
                Ok(Self::Command(config.command.clone()))
            }
            (None, [], Some(file)) if config.secret_file.is_none() => Ok(Self::File(home.join(file))),
            _ => Err(config.wrong("set exactly one of `webhook` (with `secret_file`), `command` and `file`")),
        }
    }

    /// An error is a sentence for a person.
    pub(crate) fn tell(&self, event: &Event) -> Result<(), String> {
        let body = serde_json::to_string(event).map_err(|error| error.to_string())?;
        match self {
            Self::Webhook { address, secret, agent } => post(agent, address, secret, event, &body),
            Self::Command(words) => run(words, &body),
            Self::File(path) => append(path, &body).map_err(|error| format!("{}: {error}", path.display())),
        }
    }
}

/// HTTPS, or plain HTTP to this machine: an event says what was broken into.
fn checked(config: &NotifyConfig, address: &str) -> Result<String, NotifyError> {
    let uri: ureq::http::Uri =
        address.parse().map_err(|error| config.wrong(format!("`webhook` is no address: {error}")))?;
    let local = matches!(uri.host(), Some("127.0.0.1" | "localhost" | "[::1]"));
    match uri.scheme_str() {
        Some("https") => Ok(address.to_owned()),
        Some("http") if local => Ok(address.to_owned()),
        _ => Err(config.wrong("`webhook` must be https://, or http:// to this machine")),
    }
}

fn secret(config: &NotifyConfig, home: &Path) -> Result<Secret, NotifyError> {
    let Some(file) = &config.secret_file else {
        return Err(config.wrong("a webhook needs `secret_file`: its messages are signed"));
    };
    let path = home.join(file);
    let failed = |error: std::io::Error| config.wrong(format!("{}: {error}", path.display()));
    let mut from = fs::File::open(&path).map_err(failed)?;
    let mode = from.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(
            config.wrong(format!("{} can be read by others (mode {mode:04o}): chmod 600", path.display()))
        );
    }
    let mut text = String::new();
    from.read_to_string(&mut text).map_err(failed)?;
    Secret::parse(&text).ok_or_else(|| {
        config.wrong(format!("{} does not hold `whsec_` and base64 of 24 to 64 bytes", path.display()))
    })
}

fn post(agent: &Agent, address: &str, secret: &Secret, event: &Event, body: &str) -> Result<(), String> {
    // Of this attempt: receivers refuse old ones.
    let at = Timestamp::now();
    let answer = agent
        .post(address)
        .header("content-type", "application/json")
        .header("webhook-id", &event.id)
        .header("webhook-timestamp", at.as_second().to_string())
        .header("webhook-signature", secret.sign(&event.id, at, body))
        .send(body);
    match answer {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("{address} answered {}", answer.status())),
        Err(error) => Err(format!("{address}: {error}")),
    }
}

fn run(words: &[String], body: &str) -> Result<(), String> {
    let [program, arguments @ ..] = words else { return Err("no command".to_owned()) };
    let failed = |error: std::io::Error| format!("{program}: {error}");
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    // Less than a pipe holds: it cannot block on a program that does not read. One that closed it early may have
    // all it wants; its exit code tells.
    if let Some(mut input) = child.stdin.take() {
        let _ = input.write_all(body.as_bytes());
    }
    let since = Instant::now();
    loop {
        match child.try_wait().map_err(failed)? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(format!("{program} ended with {status}")),
            None if since.elapsed() >= PATIENCE => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{program} took longer than {} s", PATIENCE.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Durable on return.
fn append(path: &Path, body: &str) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    file.write_all(format!("{body}\n").as_bytes())?;
    file.sync_data()
}
