//! A real domain of Active Directory for a test, played by Samba: in a folder of its own, and in a network namespace of its own, as
//! its ports cannot be chosen. Gone with the value. Needs root.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::openldap::certify;

const ADMINISTRATOR: &str = "CN=Administrator,CN=Users,DC=example,DC=org";
pub const PEOPLE: &str = "OU=people,DC=example,DC=org";

pub struct Samba {
    server: Option<Child>,
    dir: TempDir,
    /// The process whose network namespace the server is in.
    namespace: Arc<AtomicU32>,
    /// Ports of this machine at which the server is reached.
    pub port: u16,
    pub tls_port: u16,
}

impl Samba {
    pub fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let namespace = Arc::new(AtomicU32::new(0));
        let [port, tls_port] = [389, 636].map(|port| forwards(port, &namespace));
        let mut server = Self { server: None, dir, namespace, port, tls_port };
        certify(server.dir.path());
        for folder in ["private", "state", "cache", "lock", "run"] {
            fs::create_dir(server.path(folder)).unwrap();
        }
        server.configure("");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/accounts/domain.py");
        let made =
            samba("/usr/bin/python3").arg(script).arg(server.dir.path()).arg(right()).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        server.up();
        server
    }

    /// Writes the configuration, with more of it, for the next start.
    pub fn configure(&self, more: &str) {
        let folder = self.dir.path().display();
        let config = format!(
            "[global]
server role = active directory domain controller
realm = EXAMPLE.ORG
workgroup = EXAMPLE
netbios name = DC1
server services = ldap
dcerpc endpoint servers =
interfaces = lo
bind interfaces only = yes
private dir = {folder}/private
state directory = {folder}/state
cache directory = {folder}/cache
lock directory = {folder}/lock
pid directory = {folder}/run
ncalrpc dir = {folder}/run/ncalrpc
binddns dir = {folder}/bind-dns
ntp signd socket directory = {folder}/ntp
winbindd socket directory = {folder}/winbindd
log file = {folder}/log
tls certfile = {folder}/server.crt
tls keyfile = {folder}/server.key
tls cafile = {folder}/ca.pem
{more}
[netlogon]
path = {folder}/state/sysvol/example.org/scripts
[sysvol]
path = {folder}/state/sysvol
"
        );
        fs::write(self.path("smb.conf"), config).unwrap();
    }

    /// Starts the server, again if it was stopped.
    pub fn up(&mut self) {
        let starts = "ip link set lo up && exec samba --foreground --no-process-group --model=single --configfile=\"$1\"";
        // Each of these becomes the next one: the process is the server.
        let mut server = samba("unshare");
        server.args(["--net", "--", "sh", "-c", starts, "sh"]).arg(self.path("smb.conf"));
        let server = server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        self.namespace.store(server.id(), Ordering::SeqCst);
        let server = self.server.insert(server);
        let until = Instant::now() + Duration::from_secs(60);
        let network = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).ok();
        let (ours, theirs) = (network("self"), server.id().to_string());
        while network(&theirs) == ours || !connect(636, &self.namespace, "true").status().unwrap().success() {
            assert!(Instant::now() < until && server.try_wait().unwrap().is_none(), "no domain came up");
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A client of LDAP, as somebody: how it ended, and what it said.
    fn client(
        &self,
        program: &str,
        (name, password): (&str, &str),
        args: &[&str],
        stdin: &str,
    ) -> (i32, String) {
        let mut client = Command::new(program);
        client.args([
            "-x",
            "-H",
            &format!("ldaps://localhost:{}", self.tls_port),
            "-D",
            name,
            "-w",
            password,
        ]);
        // To this client `localhost` is the machine's own name, which is not in the certificate.
        client.args(args).env("LDAPTLS_REQCERT", "never");
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut client = client.spawn().unwrap();
        client.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        let answer = client.wait_with_output().unwrap();
        let told = [answer.stdout, answer.stderr].concat();
        (answer.status.code().unwrap_or(-1), String::from_utf8(told).unwrap())
    }

    fn administrator() -> (&'static str, &'static str) {
        (ADMINISTRATOR, "Password-of-Administrator-1")
    }

    /// Whether somebody gets in with a password.
    #[track_caller]
    pub fn lets_in_with(&self, name: &str, password: &str) -> bool {
        let who = format!("{name}@example.org");
        match self.client("ldapsearch", (&who, password), &["-s", "base", "-b", "", "1.1"], "") {
            (0, _) => true,
            (49, _) => false,
            (code, told) => panic!("ldapsearch: {code}: {told}"),
        }
    }

    /// Whether somebody gets in with the password that is theirs.
    #[track_caller]
    pub fn lets_in(&self, name: &str) -> bool {
        self.lets_in_with(name, &format!("Password-of-{name}-1"))
    }

    /// The value of an attribute, as whoever may do everything sees it; nothing if it has none.
    #[track_caller]
    pub fn value(&self, dn: &str, attribute: &str) -> String {
        let args = ["-LLL", "-o", "ldif-wrap=no", "-s", "base", "-b", dn, attribute];
        let (code, told) = self.client("ldapsearch", Self::administrator(), &args, "");
        assert_eq!(code, 0, "{told}");
        let start = format!("{attribute}: ");
        told.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_default().to_owned()
    }

    /// Changes something as whoever may do everything: LDIF.
    #[track_caller]
    pub fn change(&self, ldif: &str) {
        let (code, told) = self.client("ldapmodify", Self::administrator(), &[], ldif);
        assert_eq!(code, 0, "{ldif}: {told}");
    }

    /// Samba's own tool for administrators.
    #[track_caller]
    pub fn tool(&self, args: &[&str]) -> String {
        let mut tool = samba("/usr/bin/python3");
        tool.arg("/usr/bin/samba-tool").args(args).arg("-s").arg(self.path("smb.conf"));
        let done = tool.output().unwrap();
        assert!(done.status.success(), "samba-tool {args:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    /// The `[[accounts]]` entry of the accounts below a place, with the password in `ldap.key` of the home.
    pub fn config(name: &str, address: &str, base: &str, more: &str) -> String {
        format!(
            "\n[[accounts]]\nname = \"{name}\"\nbackend = \"active-directory\"\naddress = \"{address}\"\n\
             bind_dn = \"CN=remit,{PEOPLE}\"\npassword_file = \"ldap.key\"\nbase = \"{base}\"\n{more}\n"
        )
    }
}

impl Drop for Samba {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What docs/configuration.md tells to grant, and no more.
fn right() -> String {
    let text = fs::read_to_string("../../docs/configuration.md").unwrap();
    let (_, right) = text.split_once("--sddl=\"").unwrap();
    right.split_once('"').unwrap().0.to_owned()
}

/// One of Samba's programs, or another one that sees them.
fn samba(program: &str) -> Command {
    let run = std::env::var_os("REMIT_SAMBA")
        .expect("REMIT_SAMBA is not set: run the tests with `cargo xtask test`");
    let mut command = Command::new(run);
    command.arg(program);
    command
}

/// Connects to a port in the namespace of the server, as what is opened as 3, and does this.
fn connect(port: u16, namespace: &AtomicU32, then: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/proc/{}/ns/net", namespace.load(Ordering::SeqCst)));
    command.args(["bash", "-c", &format!("exec 3<>/dev/tcp/127.0.0.1/{port} && {then}")]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A port of this machine from which everything goes to one in the namespace. Ends with the test's process.
fn forwards(to: u16, namespace: &Arc<AtomicU32>) -> u16 {
    // Whichever side ends it ends the other one.
    const CARRY: &str = "{ cat <&0 >&3 & cat <&3 & wait -n; kill $(jobs -p); }";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let namespace = Arc::clone(namespace);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let answers = client.try_clone().unwrap();
            let mut carries = connect(to, &namespace, CARRY);
            let carries = carries.stdin(OwnedFd::from(client)).stdout(OwnedFd::from(answers)).spawn();
            let mut carries = carries.unwrap();
            thread::spawn(move || carries.wait());
        }
    });
    port
}
