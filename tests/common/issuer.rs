//! An issuer of ID tokens as GitHub, GitLab and others have one, on this machine, which can also do wrong.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use serde_json::{Value, json};

/// What the issuer answers to a path: a status, a header, and a body.
pub type Answer = (u16, String, String);

/// An issuer. It ends with the test's process.
pub struct Issuer {
    pub url: String,
    key: RsaKeyPair,
    answers: Arc<Mutex<Vec<(&'static str, Answer)>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

const JWKS: &str = "/keys";
const DISCOVERY: &str = "/.well-known/openid-configuration";

fn make_key() -> Vec<u8> {
    let made = Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-outform", "DER"])
        .output()
        .unwrap();
    made.stdout
}

impl Issuer {
    pub fn new() -> Self {
        static KEY: OnceLock<Vec<u8>> = OnceLock::new();
        Self::with(KEY.get_or_init(make_key))
    }

    /// An issuer with a key of its own.
    pub fn other() -> Self {
        Self::with(&make_key())
    }

    fn with(key: &[u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers: Arc<Mutex<Vec<(&'static str, Answer)>>> = Arc::default();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (told, noted) = (Arc::clone(&answers), Arc::clone(&asked));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let _ = answer(client, &told, &noted);
            }
        });
        // Which of the two it is depends on the version of openssl.
        let key = RsaKeyPair::from_der(key).or_else(|_| RsaKeyPair::from_pkcs8(key)).unwrap();
        let issuer = Self { url, key, answers, asked };
        issuer.publish(json!([issuer.jwk("one")]));
        let discovery = json!({"issuer": issuer.url, "jwks_uri": format!("{}{JWKS}", issuer.url)});
        issuer.answer(DISCOVERY, (200, String::new(), discovery.to_string()));
        issuer
    }

    /// Answers so from now on.
    pub fn answer(&self, path: &'static str, answer: Answer) {
        let mut answers = self.answers.lock().unwrap();
        answers.retain(|(known, _)| *known != path);
        answers.push((path, answer));
    }

    /// Publishes these keys.
    pub fn publish(&self, keys: Value) {
        self.answer(JWKS, (200, String::new(), json!({"keys": keys}).to_string()));
    }

    pub fn answer_keys(&self, answer: Answer) {
        self.answer(JWKS, answer);
    }

    /// Which paths were asked for.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// The public key, with a name.
    pub fn jwk(&self, kid: &str) -> Value {
        let public = RsaPublicKeyComponents::<Vec<u8>>::from(self.key.public());
        let (n, e) = (encode(public.n), encode(public.e));
        json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": n, "e": e, "x5t": "AAAA"})
    }

    /// The bytes of the public key, as somebody would take them for a shared secret.
    pub fn public_bytes(&self) -> Vec<u8> {
        self.key.public_key().as_ref().to_vec()
    }

    pub fn sign(&self, text: &str, pss: bool) -> Vec<u8> {
        let mut signature = vec![0; self.key.public().modulus_len()];
        let padding: &dyn ring::signature::RsaEncoding =
            if pss { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
        self.key.sign(padding, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
        signature
    }

    /// A token with this header and these claims.
    pub fn token_of(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = self.sign(&signed, header["alg"] == "PS256");
        format!("{signed}.{}", encode(signature))
    }

    pub fn token(&self, claims: &Value) -> String {
        self.token_of(&json!({"typ": "JWT", "alg": "RS256", "kid": "one", "x5t": "AAAA"}), claims)
    }

    fn times(&self) -> Value {
        let now = Timestamp::now().as_second();
        let jti: [u8; 32] = remit_trust::random().unwrap();
        json!({"iss": self.url, "aud": "remit", "jti": encode(jti), "iat": now, "nbf": now, "exp": now + 300})
    }

    /// What GitHub says of a job.
    pub fn github(&self) -> Value {
        let mut claims = self.times();
        let job = json!({
            "sub": "repo:octo/shop:ref:refs/heads/main", "repository": "octo/shop", "repository_id": "74",
            "repository_owner": "octo", "repository_owner_id": "65", "repository_visibility": "private",
            "ref": "refs/heads/main", "ref_type": "branch", "event_name": "schedule", "actor": "octocat",
            "environment": "production", "run_id": "30433642", "run_attempt": "2", "runner_environment": "github-hosted",
            "job_workflow_ref": "octo/shop/.github/workflows/rotate.yml@refs/heads/main",
        });
        claims.as_object_mut().unwrap().extend(job.as_object().unwrap().clone());
        claims
    }

    /// What GitLab says of a job.
    pub fn gitlab(&self) -> Value {
        let mut claims = self.times();
        let job = json!({
            "sub": "project_path:shop/web:ref_type:branch:ref:main", "project_id": "22", "namespace_id": "72",
            "project_path": "shop/web", "namespace_path": "shop", "ref": "main", "ref_type": "branch",
            "ref_protected": "true", "pipeline_source": "schedule", "environment": "prod", "job_id": "302",
        });
        claims.as_object_mut().unwrap().extend(job.as_object().unwrap().clone());
        claims
    }

    /// What any other issuer says.
    pub fn build(&self) -> Value {
        let mut claims = self.times();
        claims.as_object_mut().unwrap().remove("nbf");
        claims["sub"] = "build-7".into();
        claims["admin"] = true.into();
        claims
    }
}

fn answer(
    mut client: TcpStream,
    answers: &Mutex<Vec<(&'static str, Answer)>>,
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(client.try_clone()?).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let found =
        answers.lock().unwrap().iter().find(|(known, _)| *known == path).map(|(_, answer)| answer.clone());
    asked.lock().unwrap().push(path);
    let (status, header, body) = found.unwrap_or((404, String::new(), String::new()));
    write!(
        client,
        "HTTP/1.1 {status} so\r\n{header}content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}
