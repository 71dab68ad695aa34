//! A real `PostgreSQL` server for a test: in a folder of its own, on a free loopback port, gone with the value.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

pub struct Postgres {
    server: Option<Child>,
    pub programs: PathBuf,
    /// The server does not run as root.
    user: Option<(u32, u32)>,
    dir: TempDir,
    pub port: u16,
}

impl Postgres {
    /// The role that may do everything, and its password.
    pub const ROOT: (&str, &str) = ("postgres", "root-for-tests");

    pub fn start() -> Self {
        let programs = std::env::var_os("REMIT_POSTGRES")
            .expect("REMIT_POSTGRES is not set: run the tests with `cargo xtask test`");
        let dir = TempDir::new().unwrap();
        let user = rustix::process::getuid().is_root().then(|| {
            let id = |flag| {
                let output = Command::new("id").args([flag, "postgres"]).output().unwrap();
                String::from_utf8(output.stdout).unwrap().trim().parse::<u32>().expect("a user `postgres`")
            };
            (id("-u"), id("-g"))
        });
        let mut postgres = Self { server: None, programs: programs.into(), user, dir, port: 0 };
        postgres.own("");
        postgres.write("password", Self::ROOT.1);
        let made = postgres
            .program("initdb")
            .args([
                "--no-sync",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--username=postgres",
            ])
            .args(["--pwfile=password", "--pgdata=data"])
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        postgres.certify();
        // The port is free now; the rare loser of the race for it tries again.
        for _ in 0..5 {
            postgres.port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if postgres.up() {
                return postgres;
            }
        }
        panic!("no PostgreSQL server came up");
    }

    /// Starts the server, again if it was stopped; whether it answers.
    pub fn up(&mut self) -> bool {
        let log = fs::File::create(self.path("log")).unwrap();
        let server = self
            .program("postgres")
            .args(["-D", "data", "-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "log_statement=ddl"])
            .args(["-c", "ssl=on", "-c", "ssl_cert_file=../server.crt", "-c", "ssl_key_file=../server.key"])
            .args(["-c", "shared_buffers=16MB"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.server = Some(server);
        let until = Instant::now() + Duration::from_secs(60);
        while Instant::now() < until {
            if self.as_root("SELECT 1").status.success() {
                return true;
            }
            if self.server.as_mut().unwrap().try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }

    pub fn stop(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        // The way down that the server calls immediate: its processes end with it.
        let pid = rustix::process::Pid::from_child(&server);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        let _ = server.wait();
    }

    /// A certificate for `localhost` by a CA of this server's own, in `ca.pem`.
    fn certify(&self) {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        self.write("ca.pem", authority.self_signed(&key).unwrap().pem());
        let own = KeyPair::generate().unwrap();
        let issuer = Issuer::new(authority, key);
        let server =
            CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&own, &issuer).unwrap();
        self.write("server.crt", server.pem());
        self.write("server.key", own.serialize_pem());
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
        self.own(name);
    }

    fn own(&self, name: &str) {
        if let Some((user, group)) = self.user {
            chown(self.path(name), Some(user), Some(group)).unwrap();
        }
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    /// A program, as a command that whoever runs the tests can give: it is run by the server's user.
    pub fn by_its_user(&self, program: &Path) -> Command {
        let mut command = match self.user {
            None => Command::new(program),
            Some((user, group)) => {
                let mut command = Command::new("setpriv");
                command.args([format!("--reuid={user}"), format!("--regid={group}")]);
                command.args(["--clear-groups", "--"]).arg(program);
                command
            }
        };
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    /// `PostgreSQL`'s own client, as any role.
    pub fn client(&self, who: (&str, &str), database: &str) -> Command {
        self.client_at(self.port, who, database)
    }

    /// The same, of what listens at another port.
    pub fn client_at(&self, port: u16, (role, password): (&str, &str), database: &str) -> Command {
        let mut command = self.program("psql");
        let address = format!("host=127.0.0.1 port={port} user={role} dbname={database}");
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", &address]).env("PGPASSWORD", password);
        command
    }

    fn as_root(&self, sql: &str) -> Output {
        self.client(Self::ROOT, "postgres").args(["-c", sql]).output().unwrap()
    }

    /// What the superuser is answered.
    #[track_caller]
    pub fn ask(&self, sql: &str) -> String {
        let answer = self.as_root(sql);
        assert!(answer.status.success(), "{sql}: {}", String::from_utf8_lossy(&answer.stderr));
        String::from_utf8(answer.stdout).unwrap().trim().to_owned()
    }

    /// Whether a role gets in with a password.
    pub fn lets_in(&self, role: &str, password: &str, database: &str) -> bool {
        self.client((role, password), database).args(["-c", "SELECT 1"]).output().unwrap().status.success()
    }

    /// What the server wrote into its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// What docs/configuration.md tells to grant, for the role `remit`.
    pub fn grant(&self) {
        let text = fs::read_to_string("../../docs/configuration.md").unwrap();
        let sql = text.split_once("```sql\n").unwrap().1.split_once("```").unwrap().0;
        self.ask(&sql.replace("the one in db.password", "remits-own"));
    }

    /// The `[[databases]]` entry of this server, with the password in `db.password` of the home.
    pub fn config(&self, name: &str, more: &str) -> String {
        format!(
            "\n[[databases]]\nname = \"{name}\"\nport = {}\nrole = \"remit\"\npassword_file = \"db.password\"\ntimeout = \"3s\"\n{more}\n",
            self.port
        )
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}
