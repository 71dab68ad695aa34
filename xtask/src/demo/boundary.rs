//! The end of the demo: from here on one process has the home, and everybody else has a key and a URL.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::{Stage, words};
use crate::shell;

/// Another Unix user than root, who owns nothing: `nobody` of every Linux.
const NOBODY: u32 = 65_534;

const ASK: &str = "request rotate-secret.wasm --input path=prod/payments/stripe --reason 'INC-8: leaked again' --context prod";

/// `remit serve`. It ends with the demo, however that ends.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(stage: &Stage<'_>) -> Result<Self> {
        let config = stage.dir.join("home/remit.toml");
        let text = std::fs::read_to_string(&config)?;
        // At a port that is free, so that the demo disturbs nothing.
        std::fs::write(&config, format!("{text}\n[server]\nlisten = \"127.0.0.1:0\"\n"))?;
        println!("\n$ remit serve");
        let serve =
            stage.command(&["serve".to_owned()]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut server = Self { child: serve, url: String::new() };
        let mut line = String::new();
        let out = server.child.stdout.take().context("`remit serve` has no output")?;
        BufReader::new(out).read_line(&mut line)?;
        let url = line.strip_prefix("serving").context("`remit serve` does not serve")?;
        url.trim().clone_into(&mut server.url);
        print!("{line}");
        Ok(server)
    }

    /// Asks it to stop, and waits until it did.
    fn stop(mut self) -> Result<()> {
        shell::run(Command::new("kill").args(["-TERM", &self.child.id().to_string()]))?;
        let status = self.child.wait()?;
        ensure!(status.success(), "`remit serve` ended with {status}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Somebody with a place of their own, where a key is and nothing of the home.
struct Party {
    name: &'static str,
    remit: PathBuf,
    place: PathBuf,
    /// The user that they are; the one who plays the demo, if none is set.
    user: Option<u32>,
}

impl Party {
    fn new(
        name: &'static str,
        files: &[&str],
        stage: &Stage<'_>,
        outside: &Path,
        user: Option<u32>,
    ) -> Result<Self> {
        let place = outside.join(name);
        std::fs::create_dir(&place)?;
        for file in files {
            std::fs::rename(stage.dir.join(file), place.join(file))
                .or_else(|_| std::fs::copy(stage.dir.join(file), place.join(file)).map(drop))?;
            chown(place.join(file), user, user)?;
        }
        chown(&place, user, user)?;
        Ok(Self { name, remit: outside.join("remit"), place, user })
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(&self.remit);
        command.args(words(line)).current_dir(&self.place).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
            .env("HOME", &self.place)
            .env("XDG_CONFIG_HOME", self.place.join("config"))
            .env("NO_COLOR", "1");
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    fn play(&self, line: &str, exit: i32) -> Result<()> {
        println!("\n{}$ remit {line}", self.name);
        let status = self.command(line).stdin(Stdio::null()).status()?;
        let name = self.name;
        ensure!(
            status.code() == Some(exit),
            "{name}: `remit {line}`: expected exit code {exit}, got {status}"
        );
        Ok(())
    }

    /// The last name with this beginning that a command tells, in a row with this word.
    fn finds(&self, line: &str, beginning: &str, row: &str) -> Result<String> {
        let told = shell::output(&mut self.command(line))?;
        let line = told.lines().rfind(|line| line.starts_with(beginning) && line.contains(row));
        let name = line.and_then(|line| line.split_whitespace().next());
        name.map(ToOwned::to_owned).with_context(|| format!("no {beginning}… in what was told:\n{told}"))
    }
}

/// Plays it, in the home that the story left.
pub(super) fn play(stage: &Stage<'_>) -> Result<()> {
    let is_root = std::fs::metadata("/proc/self")?.uid() == 0;
    let user = is_root.then_some(NOBODY);
    let outside = tempfile::tempdir()?;
    let open = || std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(outside.path(), open())?;
    // Where another user can start it.
    std::fs::copy(&stage.remit, outside.path().join("remit"))?;
    std::fs::set_permissions(outside.path().join("remit"), open())?;
    let action = ["bot.key", "bot.pub", "rotate-secret.wasm", "rotate-secret.wasm.sig"];
    let bot = Party::new("bot", &action, stage, outside.path(), user)?;
    let alice = Party::new("alice", &["alice.key", "alice.pub"], stage, outside.path(), None)?;

    scene("Now the power moves inside: one process has the home, others have a key and a URL");
    let server = Server::start(stage)?;
    scene("The bot is somewhere else, and there is no home for it");
    if is_root {
        println!("(It is another Unix user: {NOBODY}.)");
        bot.play(&format!("status --home {}", stage.dir.join("home").display()), 2)?;
    } else {
        println!(
            "(As root, this demo also makes it another Unix user, who cannot read the home. Here it is you.)"
        );
    }
    bot.play(&format!("context add prod {} --key bot.key", server.url), 0)?;
    scene(
        "It asks through the server, with the same commands. Its key never leaves it. It cannot approve here either",
    );
    bot.play(ASK, 0)?;
    let request = bot.finds("requests --context prod", "req-", "")?;
    bot.play(&format!("approve {request} --context prod"), 3)?;
    scene("Alice is at a third place, with her own key. What she signs is checked there before she signs it");
    alice.play(&format!("context add prod {} --key alice.key", server.url), 0)?;
    alice.play("requests --context prod", 0)?;
    alice.play(&format!("approve {request} --reason 'looked at the plan' --context prod"), 0)?;
    scene("The bot starts it, and the server carries it out with credentials that the bot never sees");
    bot.play(&format!("run {request} --context prod"), 0)?;
    let run = alice.finds("runs --context prod", "run-", "succeeded")?;
    scene("Alice takes it back, from where she is");
    alice.play(&format!("revert {run} --reason 'a drill' --context prod"), 0)?;
    server.stop()?;
    scene("And all of it is in the journal at home");
    stage.play("audit verify", 0)
}

fn scene(title: &str) {
    println!("\n── {title} ──");
}
