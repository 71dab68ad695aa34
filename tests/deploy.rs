//! The server as a service of systemd: its unit, its readiness, and keys that are not in the home.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::World;

const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../server/systemd/remit.service");

fn analyze(args: &[&str]) -> (bool, String) {
    let output = Command::new("systemd-analyze")
        .args(args)
        .output()
        .expect("the tests need systemd-analyze (on Debian: systemd)");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn the_unit_is_valid_and_exposes_little() {
    let (fine, told) = analyze(&["security", "--offline=true", "--threshold=20", UNIT]);
    assert!(fine, "more than 2.0:\n{told}");
    // What the manual says of it. Other versions of systemd look at more, or weigh it otherwise.
    let manual = include_str!("../docs/deploy.md");
    let (before, after) = manual.split_once("`systemd-analyze security` of systemd ").unwrap();
    let (version, after) = after.split_once(" says ").unwrap();
    let (says, _) = after.split_once(')').unwrap();
    assert!(!before.contains("systemd-analyze security"), "once");
    if analyze(&["--version"]).1.starts_with(&format!("systemd {version} ")) {
        let found = told.split("exposure level for remit.service: ").nth(1).unwrap();
        assert_eq!(found.split(' ').next(), Some(says), "docs/deploy.md says {says}:\n{told}");
    }
    // Valid, with a program that is there.
    let folder = tempfile::TempDir::new().unwrap();
    let unit = folder.path().join("remit.service");
    let text = fs::read_to_string(UNIT).unwrap();
    fs::write(&unit, text.replace("/usr/local/bin/remit", env!("CARGO_BIN_EXE_remit"))).unwrap();
    let (fine, told) = analyze(&["verify", "--man=no", unit.to_str().unwrap()]);
    assert!(fine && !told.contains("remit.service:"), "{told}");
}

#[test]
fn systemd_is_told_and_keys_may_be_credentials() {
    let world = World::empty();
    let config = world.home().join("remit.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text + "\n[server]\nlisten = \"127.0.0.1:0\"\n").unwrap();
    // As LoadCredential= has them: files of a directory of their own, which only their user can read.
    let credentials = world.path("credentials");
    fs::create_dir(&credentials).unwrap();
    for key in ["log.key", "seal.key"] {
        let (kept, given) = (world.home().join(key), credentials.join(key));
        fs::rename(&kept, &given).unwrap();
        fs::set_permissions(&given, fs::Permissions::from_mode(0o400)).unwrap();
        symlink(&given, &kept).unwrap();
        // As newer versions of systemd have them: readable by an entry for the service's user alone, which looks as if the
        // group could read it.
        let user = rustix::process::geteuid().as_raw().to_le_bytes();
        let entry = |tag: u8, may: u8, id: [u8; 4]| [&[tag, 0, may, 0][..], &id].concat();
        let nobody = u32::MAX.to_le_bytes();
        let mut list = vec![2, 0, 0, 0];
        for (tag, may, id) in [(1, 4, nobody), (2, 4, user), (4, 0, nobody), (16, 4, nobody), (32, 0, nobody)]
        {
            list.extend(entry(tag, may, id));
        }
        let flags = rustix::fs::XattrFlags::empty();
        if rustix::fs::setxattr(&given, "system.posix_acl_access", &list, flags).is_ok() {
            assert_eq!(fs::metadata(&given).unwrap().permissions().mode() & 0o777, 0o440);
        }
    }
    let socket = world.path("notify");
    let systemd = UnixDatagram::bind(&socket).unwrap();
    systemd.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let heard = || {
        let mut told = [0; 256];
        let read = systemd.recv(&mut told).unwrap();
        String::from_utf8_lossy(&told[..read]).trim().to_owned()
    };
    let mut command = world.command(&["serve"]);
    command.env("NOTIFY_SOCKET", &socket).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = command.spawn().unwrap();
    assert_eq!(heard(), "READY=1");
    let pid = rustix::process::Pid::from_child(&server);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(heard(), "STOPPING=1");
    assert!(server.wait().unwrap().success());
    world.audit_is_sound();
}
