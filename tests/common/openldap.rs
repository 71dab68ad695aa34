//! A real `OpenLDAP` server for a test: in a folder of its own, on free loopback ports, gone with the value.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

const SUFFIX: &str = "dc=example,dc=org";

pub struct OpenLdap {
    server: Option<Child>,
    program: PathBuf,
    dir: TempDir,
    pub port: u16,
    pub tls_port: u16,
}

const ENTRIES: &str = "
dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
o: Example

dn: cn=policy,dc=example,dc=org
objectClass: device
objectClass: pwdPolicy
pwdAttribute: userPassword
pwdLockout: TRUE
pwdMaxFailure: 3

dn: cn=toothless,dc=example,dc=org
objectClass: device
objectClass: pwdPolicy
pwdAttribute: userPassword

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit

dn: uid=remit,ou=people,dc=example,dc=org
objectClass: account
objectClass: simpleSecurityObject
userPassword: remits-own

dn: uid=alice,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
cn: Alice
sn: A
userPassword: the-password-of-alice

dn: uid=bob,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
cn: Bob
sn: B
userPassword: the-password-of-bob

dn: cn=odd \\28one\\29 *\\2C \\5C,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: mallory)(uid=*
sn: M
userPassword: the-password-of-mallory

dn: uid=loose,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
cn: Loose
sn: L
userPassword: the-password-of-loose
pwdPolicySubentry: cn=toothless,dc=example,dc=org
";

impl OpenLdap {
    pub fn start() -> Self {
        Self::with("")
    }

    /// With more entries: LDIF, with what the server itself writes otherwise.
    pub fn with(more: &str) -> Self {
        let program = std::env::var_os("REMIT_OPENLDAP")
            .expect("REMIT_OPENLDAP is not set: run the tests with `cargo xtask test`");
        let dir = TempDir::new().unwrap();
        let mut server = Self { server: None, program: program.into(), dir, port: 0, tls_port: 0 };
        fs::create_dir(server.path("db")).unwrap();
        certify(server.dir.path());
        let folder = server.dir.path().display().to_string();
        let schema = ["core", "cosine", "inetorgperson"];
        let schema = schema.map(|name| format!("include /etc/ldap/schema/{name}.schema\n")).concat();
        let config = format!(
            "{schema}
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
moduleload memberof
pidfile {folder}/pid
TLSCertificateFile {folder}/server.crt
TLSCertificateKeyFile {folder}/server.key
database mdb
maxsize 16777216
dbnosync
suffix {SUFFIX}
rootdn cn=root,{SUFFIX}
rootpw root-for-tests
directory {folder}/db
lastbind on
overlay ppolicy
ppolicy_default cn=policy,{SUFFIX}
overlay memberof
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact=uid=remit,ou=people,{SUFFIX} write by * read
"
        );
        fs::write(server.path("slapd.conf"), config).unwrap();
        fs::write(server.path("entries.ldif"), format!("{ENTRIES}{more}")).unwrap();
        let slapadd = server.program.with_file_name("slapadd");
        let mut add = Command::new(slapadd);
        add.args(["-q", "-f"]).arg(server.path("slapd.conf")).arg("-l").arg(server.path("entries.ldif"));
        let added = add.output().unwrap();
        assert!(added.status.success(), "slapadd: {}", String::from_utf8_lossy(&added.stderr));
        // The ports are free now; the rare loser of the race for them tries again.
        for _ in 0..5 {
            let ports = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
            let [port, tls_port] = ports.map(|port| port.local_addr().unwrap().port());
            (server.port, server.tls_port) = (port, tls_port);
            if server.up() {
                return server;
            }
        }
        panic!("no OpenLDAP server came up");
    }

    /// Starts the server, again if it was stopped; whether it answers.
    pub fn up(&mut self) -> bool {
        let urls = format!("ldap://127.0.0.1:{} ldaps://127.0.0.1:{}", self.port, self.tls_port);
        let mut server = Command::new(&self.program);
        // With `-d` it stays in the foreground.
        server.args(["-d", "0", "-h", &urls, "-f"]).arg(self.path("slapd.conf"));
        let server = server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        self.server = Some(server);
        let until = Instant::now() + Duration::from_secs(30);
        while Instant::now() < until {
            if [self.port, self.tls_port].iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok())
            {
                return true;
            }
            if self.server.as_mut().unwrap().try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
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

    /// One of the server's own clients.
    fn client(&self, program: &str, args: &[&str], stdin: &str) -> (i32, String) {
        let mut client = Command::new(program);
        client.args(["-x", "-H", &format!("ldap://127.0.0.1:{}", self.port)]).args(args);
        let mut client = client
            .env("LDAPNOINIT", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        client.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        let answer = client.wait_with_output().unwrap();
        let told = [answer.stdout, answer.stderr].concat();
        (answer.status.code().unwrap_or(-1), String::from_utf8(told).unwrap())
    }

    /// Whether somebody gets in with a password.
    pub fn lets_in(&self, dn: &str, password: &str) -> bool {
        match self.client("ldapwhoami", &["-D", dn, "-w", password], "") {
            (0, _) => true,
            (49, _) => false,
            (code, told) => panic!("ldapwhoami: {code}: {told}"),
        }
    }

    /// The values of an attribute, as whoever may do everything sees them.
    #[track_caller]
    pub fn values(&self, dn: &str, attribute: &str) -> Vec<String> {
        let root = ["-D", "cn=root,dc=example,dc=org", "-w", "root-for-tests", "-LLL", "-o", "ldif-wrap=no"];
        let (code, told) =
            self.client("ldapsearch", &[&root[..], &["-s", "base", "-b", dn, attribute]].concat(), "");
        assert_eq!(code, 0, "{told}");
        let start = format!("{attribute}: ");
        told.lines().filter_map(|line| line.strip_prefix(&start)).map(ToOwned::to_owned).collect()
    }

    /// Changes something as whoever may do everything: LDIF.
    #[track_caller]
    pub fn change(&self, ldif: &str) {
        let root = ["-D", "cn=root,dc=example,dc=org", "-w", "root-for-tests"];
        let (code, told) = self.client("ldapmodify", &root, ldif);
        assert_eq!(code, 0, "{ldif}: {told}");
    }

    /// The `[[accounts]]` entry of this server, with the password in `ldap.key` of the home.
    pub fn config(name: &str, address: &str, more: &str) -> String {
        format!(
            "\n[[accounts]]\nname = \"{name}\"\naddress = \"{address}\"\nbind_dn = \"uid=remit,ou=people,{SUFFIX}\"\n\
             password_file = \"ldap.key\"\ntimeout = \"3s\"\n{more}\n"
        )
    }

    /// The same for the people of it.
    pub fn people(name: &str, address: &str) -> String {
        let more = format!(
            "backend = \"openldap\"\nbase = \"ou=people,{SUFFIX}\"\npolicy = \"cn=policy,{SUFFIX}\"\n\
             filter = \"(|(objectClass=person)(objectClass=account))\""
        );
        Self::config(name, address, &more)
    }

    /// Without TLS, which is for this machine only.
    pub fn address(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }
}

/// A certificate for `localhost` by a CA of its own, in `ca.pem` of a folder.
pub fn certify(folder: &Path) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    fs::write(folder.join("ca.pem"), authority.self_signed(&key).unwrap().pem()).unwrap();
    let own = KeyPair::generate().unwrap();
    let issuer = Issuer::new(authority, key);
    let server = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&own, &issuer).unwrap();
    fs::write(folder.join("server.crt"), server.pem()).unwrap();
    fs::write(folder.join("server.key"), own.serialize_pem()).unwrap();
    // Who else may read the key is nobody: some servers insist.
    fs::set_permissions(folder.join("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
}

impl Drop for OpenLdap {
    fn drop(&mut self) {
        self.stop();
    }
}
