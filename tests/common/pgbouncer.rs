//! A real `PgBouncer` in front of a test's `PostgreSQL` server, in its folder: it has the password of a role in a file, which it reads when
//! it is told to.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::postgres::Postgres;

pub struct PgBouncer {
    server: Child,
    pub port: u16,
    /// A program that returns when the file was read.
    pub reload: PathBuf,
    script: String,
}

impl PgBouncer {
    /// Who it lets in, and with which password: its own affair.
    const CLIENT: (&str, &str) = ("shop", "shops-own");

    /// Starts one that has its databases in `databases`, by the configuration's `%include`.
    pub fn start(postgres: &Postgres, databases: &Path) -> Self {
        let program = std::env::var_os("REMIT_PGBOUNCER")
            .expect("REMIT_PGBOUNCER is not set: run the tests with `cargo xtask test`");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let reload = postgres.path("reload");
        let (here, (name, password)) = (reload.parent().unwrap().display(), Self::CLIENT);
        postgres.write("userlist.txt", format!("\"{name}\" \"{password}\"\n"));
        postgres.write(
            "pgbouncer.ini",
            format!(
                "[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir = {here}\n\
                 auth_type = scram-sha-256\nauth_file = {here}/userlist.txt\nserver_login_retry = 1\nquery_wait_timeout = 3\n\
                 %include {}\n",
                databases.display()
            ),
        );
        let log = fs::File::create(postgres.path("pgbouncer.log")).unwrap();
        let mut server = postgres.by_its_user(program.as_ref());
        let server = server.args(["-q", "pgbouncer.ini"]).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        // Its console lets in who has its own user, by the Unix socket.
        let psql = postgres.by_its_user(&postgres.programs.join("psql"));
        let words = std::iter::once(psql.get_program()).chain(psql.get_args());
        let words: Vec<&str> = words.map(|word| word.to_str().unwrap()).collect();
        let tell =
            format!("{} -X -q -w -h {here} -p {port} -U pgbouncer -c RELOAD pgbouncer", words.join(" "));
        let script = format!("#!/bin/sh\ncd {here}\nRELOAD=\"{tell}\"\n");
        let bouncer = Self { server, port, reload, script };
        bouncer.reloads_by("exec $RELOAD");
        let limit = Instant::now() + Duration::from_secs(30);
        while !Command::new(&bouncer.reload).output().unwrap().status.success() {
            assert!(Instant::now() < limit, "PgBouncer did not come up within 30 s");
            std::thread::sleep(Duration::from_millis(20));
        }
        bouncer
    }

    /// What it takes to tell it: a script, in which `$RELOAD` is the command that does so.
    pub fn reloads_by(&self, script: &str) {
        fs::write(&self.reload, format!("{}{script}\n", self.script)).unwrap();
        fs::set_permissions(&self.reload, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Whether a program gets to its database.
    pub fn serves(&self, postgres: &Postgres, database: &str) -> bool {
        let mut client = postgres.client_at(self.port, Self::CLIENT, database);
        client.args(["-c", "SELECT 1"]).output().unwrap().status.success()
    }

    /// The same where it has to sign in anew for that.
    pub fn serves_anew(&self, postgres: &Postgres, role: &str, database: &str) -> bool {
        postgres.ask(&format!(
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE usename = '{role}'"
        ));
        // One may be given a connection whose end was not noticed yet, and a machine with much to do is slow.
        let limit = Instant::now() + Duration::from_secs(20);
        while !self.serves(postgres, database) {
            if Instant::now() > limit {
                return false;
            }
        }
        true
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
