//! Two network namespaces with a wire between them: one for a workload, one for whomever it talks with. Nothing of the machine's own
//! network is touched, and both are gone with the value.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

pub struct Wire {
    /// The name of the workload's namespace.
    pub inside: String,
    /// The name of the other one.
    pub outside: String,
}

/// A program in a namespace, which ends with the value.
pub struct Peer {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Wire {
    /// The workload's address.
    pub const HERE: &str = "10.77.0.1";
    /// The address of the other end.
    pub const THERE: &str = "10.77.0.2";
    /// The same of IPv6.
    pub const HERE_6: &str = "fd77::1";
    pub const THERE_6: &str = "fd77::2";

    pub fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = format!("{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let wire = Self { inside: format!("remit-in-{number}"), outside: format!("remit-out-{number}") };
        let Self { inside, outside } = &wire;
        ip(&["netns", "add", inside]);
        ip(&["netns", "add", outside]);
        ip(&[
            "link", "add", "eth0", "netns", inside, "type", "veth", "peer", "name", "eth0", "netns", outside,
        ]);
        for (name, address, address_6) in
            [(inside, Self::HERE, Self::HERE_6), (outside, Self::THERE, Self::THERE_6)]
        {
            ip(&["-n", name, "address", "add", &format!("{address}/24"), "dev", "eth0"]);
            // Nobody else could have the address: it can be used at once.
            ip(&["-n", name, "address", "add", &format!("{address_6}/64"), "dev", "eth0", "nodad"]);
            ip(&["-n", name, "link", "set", "eth0", "up"]);
            ip(&["-n", name, "link", "set", "lo", "up"]);
        }
        wire
    }

    /// A program in a namespace.
    pub fn command(namespace: &str, program: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{namespace}")).args(program);
        command
    }

    /// `nft` in the workload's namespace; what it says.
    #[track_caller]
    pub fn nft(&self, arguments: &[&str]) -> String {
        let nft = nft();
        let done = Self::command(&self.inside, &[&[&*nft], arguments].concat()).output().unwrap();
        assert!(done.status.success(), "nft {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    /// Whether a program of the workload can connect to the other end, run as `before` says: `setpriv` for another user, say.
    pub fn reaches(&self, before: &[&str], port: u16) -> bool {
        self.reaches_at(Self::THERE, before, port)
    }

    /// The same at one of its addresses.
    pub fn reaches_at(&self, there: &str, before: &[&str], port: u16) -> bool {
        let connect = format!("exec 3<>/dev/tcp/{there}/{port}");
        let bash = ["timeout", "2", "bash", "-c", &connect];
        let mut command = Self::command(&self.inside, &[before, &bash].concat());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    }

    /// Something at the other end that answers whoever connects to these ports.
    pub fn listens(&self, ports: &[&str]) -> Peer {
        self.listens_at(Self::THERE, ports)
    }

    /// The same at one of its addresses.
    pub fn listens_at(&self, there: &str, ports: &[&str]) -> Peer {
        Peer::new(&self.outside, &[&["listen", there], ports].concat(), "listens")
    }

    /// A session of the workload with the other end.
    pub fn session(&self, port: &str) -> Peer {
        self.session_at(Self::THERE, port)
    }

    /// The same at one of its addresses.
    pub fn session_at(&self, there: &str, port: &str) -> Peer {
        Peer::new(&self.inside, &["beat", there, port], "connected")
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for name in [&self.inside, &self.outside] {
            let _ = Command::new("ip").args(["netns", "delete", name]).status();
        }
    }
}

impl Peer {
    fn new(namespace: &str, arguments: &[&str], says: &str) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/network/peer.py");
        let mut command = Wire::command(namespace, &[&["python3", script], arguments].concat());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut peer = Self { child, said };
        assert_eq!(peer.line(), says);
        peer
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Waits for the end of a session; why it ended.
    pub fn ends(mut self) -> String {
        self.line()
    }

    /// Whether the session is not over.
    pub fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program `nft`.
pub fn nft() -> String {
    std::env::var("REMIT_NFT").expect("REMIT_NFT is not set: run the tests with `cargo xtask test`")
}

/// `ip` of iproute2.
#[track_caller]
pub fn ip(arguments: &[&str]) {
    let done = Command::new("ip").args(arguments).output().unwrap();
    assert!(
        done.status.success(),
        "ip {arguments:?}: {}; these tests need root",
        String::from_utf8_lossy(&done.stderr)
    );
}
