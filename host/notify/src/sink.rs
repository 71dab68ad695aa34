//! The ways to tell.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ureq::Agent;

use crate::webhook::Secret;
use crate::{Event, NotifyConfig, NotifyError};

/// The most bytes of an event: receivers refuse long ones.
const LONGEST: usize = 16 * 1024;

#[derive(Debug)]
pub(crate) enum Way {
    Webhook(Box<Webhook>),
    Command(Vec<String>, Duration),
    File(PathBuf, Duration),
}

#[derive(Debug)]
pub(crate) struct Webhook {
    address: String,
    /// What of the address may be shown: some hold a token in their path.
    shown: String,
    secret: Secret,
    agent: Agent,
}

impl Way {
    pub(crate) fn open(config: &NotifyConfig, home: &Path, patience: Duration) -> Result<Self, NotifyError> {
        if config.name.is_empty() {
            return Err(config.wrong("it has no name"));
        }
        match (&config.webhook, config.command.as_slice(), &config.file) {
            (Some(address), [], None) => {
                let agent = Agent::config_builder()
                    .timeout_global(Some(patience))
                    // An event for this machine stays on it.
                    .proxy(None)
                    // Whoever may answer for an address is who was configured.
                    .max_redirects(0)
                    .http_status_as_error(false)
                    .build();
                let (address, shown) = checked(config, address)?;
                let secret = secret(config, home)?;
                Ok(Self::Webhook(Box::new(Webhook { address, shown, secret, agent: agent.into() })))
            }
            (None, [_, ..], None) if config.secret_file.is_none() => {
                Ok(Self::Command(config.command.clone(), patience))
            }
            (None, [], Some(file)) if config.secret_file.is_none() => {
                Ok(Self::File(home.join(file), patience))
            }
            _ => Err(config.wrong("set exactly one of `webhook` (with `secret_file`), `command` and `file`")),
        }
    }

    /// An error is a sentence for a person.
    pub(crate) fn tell(&self, event: &Event) -> Result<(), String> {
        let body = serde_json::to_string(event).map_err(|error| error.to_string())?;
        if body.len() > LONGEST {
            return Err(format!("an event of {} bytes is too long", body.len()));
        }
        match self {
            Self::Webhook(webhook) => post(webhook, event, &body),
            Self::Command(words, patience) => run(words, &body, *patience),
            Self::File(path, patience) => {
                append(path, &body, *patience).map_err(|error| format!("{}: {error}", path.display()))
            }
        }
    }
}

/// HTTPS, or plain HTTP to this machine: an event says what was broken into.
fn checked(config: &NotifyConfig, address: &str) -> Result<(String, String), NotifyError> {
    let uri: ureq::http::Uri =
        address.parse().map_err(|error| config.wrong(format!("`webhook` is no address: {error}")))?;
    let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
    if authority.contains('@') {
        return Err(config.wrong("`webhook` holds a password: the messages are signed, none is needed"));
    }
    let shown = format!("{}://{authority}", uri.scheme_str().unwrap_or_default());
    let local = matches!(uri.host(), Some("127.0.0.1" | "localhost" | "[::1]"));
    match uri.scheme_str() {
        Some("https") => Ok((address.to_owned(), shown)),
        Some("http") if local => Ok((address.to_owned(), shown)),
        _ => Err(config.wrong("`webhook` must be https://, or http:// to this machine")),
    }
}

fn secret(config: &NotifyConfig, home: &Path) -> Result<Secret, NotifyError> {
    let Some(file) = &config.secret_file else {
        return Err(config.wrong("a webhook needs `secret_file`: its messages are signed"));
    };
    let path = home.join(file);
    let failed = |error: remit_file::FileError| config.wrong(error.to_string());
    let read = remit_file::trusted(&path, remit_file::Kind::Secret).map_err(failed)?;
    if let Some(mode) = read.exposed() {
        return Err(
            config.wrong(format!("{} can be read by others (mode {mode:04o}): chmod 600", path.display()))
        );
    }
    Secret::parse(read.text().map_err(failed)?).ok_or_else(|| {
        config.wrong(format!("{} does not hold `whsec_` and base64 of 24 to 64 bytes", path.display()))
    })
}

fn post(to: &Webhook, event: &Event, body: &str) -> Result<(), String> {
    let Webhook { address, shown, secret, agent } = to;
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
        Ok(answer) => Err(format!("{shown} answered {}", answer.status())),
        Err(error) => Err(format!("{shown}: {error}")),
    }
}

fn run(words: &[String], body: &str, patience: Duration) -> Result<(), String> {
    let [program, arguments @ ..] = words else { return Err("no command".to_owned()) };
    let failed = |error: std::io::Error| format!("{program}: {error}");
    let mut child = Command::new(program)
        .args(arguments)
        // What the host was given for its own work, tokens among it, is none of theirs.
        .env_clear()
        .envs(
            std::env::vars_os().filter(|(name, _)| ["PATH", "HOME", "LANG"].iter().any(|kept| name == kept)),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let since = Instant::now();
    // Beside us: a program that does not read it keeps nobody. One that closed it early may have all it wants; its
    // exit code tells.
    if let Some(mut input) = child.stdin.take() {
        let body = body.to_owned();
        std::thread::spawn(move || {
            let _ = input.write_all(body.as_bytes());
        });
    }
    loop {
        match child.try_wait().map_err(failed)? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(format!("{program} ended with {status}")),
            None if since.elapsed() >= patience => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{program} took longer than {} s", patience.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Durable on return.
fn append(path: &Path, body: &str, patience: Duration) -> std::io::Result<()> {
    let (mut file, new) = remit_file::append(path)?;
    // Several processes may tell at once; and what a full disk cut off must not spoil the next line.
    let since = Instant::now();
    while let Err(busy) = file.try_lock() {
        if since.elapsed() > patience {
            return Err(std::io::Error::other(busy.to_string()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let length = file.metadata()?.len();
    let written = file.write_all(format!("{body}\n").as_bytes()).and_then(|()| file.sync_data());
    if written.is_err() {
        // A device has no length to go back to.
        let _ = file.set_len(length);
    }
    if new {
        remit_file::sync_folder(path)?;
    }
    written
}
