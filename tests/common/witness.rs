//! A real witness of transparency logs (c2sp.org/tlog-witness) for a test, gone with the value.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

pub struct Witness {
    dir: TempDir,
    server: Option<Child>,
    pub key: String,
    pub url: String,
}

impl Witness {
    /// One that knows the log with this name and key.
    pub fn of(name: &str, log: &str, log_key: &str) -> Self {
        let mut witness =
            Self { dir: TempDir::new().unwrap(), server: None, key: String::new(), url: String::new() };
        let init = ["init", "--name", name, "--listen", "127.0.0.1:0"];
        witness.does(&init).trim().clone_into(&mut witness.key);
        witness.does(&["add-log", "--origin", log, "--vkey", log_key]);
        let mut server = witness
            .command(&["serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
        let line = lines.by_ref().map(Result::unwrap).find(|line| line.contains("listening on ")).unwrap();
        let url = line.split("listening on ").nth(1).unwrap().split_whitespace().next().unwrap();
        url.clone_into(&mut witness.url);
        // Its log goes on; nobody may stop reading it.
        std::thread::spawn(move || lines.for_each(drop));
        witness.server = Some(server);
        witness
    }

    /// The `[[witness]]` entry of a configuration.
    pub fn config(&self) -> String {
        format!("\n[[witness]]\nurl = \"{}\"\nkey = \"{}\"\n", self.url, self.key)
    }

    fn does(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let binary = std::env::var_os("REMIT_WITNESS").map(PathBuf::from);
        let mut command =
            Command::new(binary.expect("REMIT_WITNESS is not set: run the tests with `cargo xtask test`"));
        command.arg(args[0]).arg("--config").arg(self.dir.path().join("witness.json")).args(&args[1..]);
        command
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}
