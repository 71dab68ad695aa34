//! As whom requests are sent: each form of credential, and what a server of tokens can do wrong.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "tests")]

use std::process::Command;
use std::sync::{Arc, OnceLock};

use crate::common::{Server, entry, failure, home, private, request, respond, revoke};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use remit_connector::{Description, Exchange, Origin, Phase};
use remit_gate::Failure;
use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde_json::{Value, json};
use tempfile::TempDir;

fn open(server: &Server, home: &TempDir, credential: &str) -> Arc<Origin> {
    let more = format!("allow_private = ['127.0.0.1/32']\n[connector.credential]\n{credential}\n");
    Arc::new(Origin::open(&entry(&server.address, &more), home.path()).unwrap())
}

fn read(origin: &Arc<Origin>) -> Result<u16, Failure> {
    let exchange = Exchange::new(
        crate::common::description(),
        Arc::clone(origin),
        Phase::Observe,
        revoke(),
        Arc::default(),
    )
    .unwrap();
    match exchange.send(request("GET", "files/a")) {
        Ok(response) => Ok(response.status),
        Err(_) => Err(failure(exchange.send(request("GET", "files/a")))),
    }
}

fn header<'a>(asked: &'a str, name: &str) -> Option<&'a str> {
    asked.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    })
}

#[test]
fn a_check_sends_the_one_read_with_the_credential() {
    let server = Server::answering(&[respond("200 OK", "{}"), respond("401 Unauthorized", "{}")]);
    let home = home();
    let check = "check = { send = 'GET /{config.tenant}/me', query = { a = 'b c' }, headers = { x-version = '2' } }\n";
    let description = Description::parse(&format!("{check}{}", crate::common::DESCRIPTION)).unwrap();
    let check = description.check().unwrap();
    let origin = Origin::open(&entry(&server.address, crate::common::LOCAL), home.path()).unwrap();
    assert_eq!((origin.check(check).unwrap(), origin.check(check).unwrap()), (200, 401));
    let asked = server.asked().remove(0);
    assert!(asked.starts_with("GET /blue/me?a=b%20c HTTP/1.1"), "{asked}");
    assert_eq!(header(&asked, "authorization").unwrap(), format!("Bearer {}", crate::common::TOKEN));
    assert_eq!(header(&asked, "x-version"), Some("2"));

    let without = "allow_private = ['127.0.0.1/32']\ncredential = { bearer_file = 'token' }\n";
    let origin = Origin::open(&entry(&server.address, without), home.path()).unwrap();
    let told = origin.check(check).unwrap_err().to_string();
    assert!(told.contains("the `config` of [[connector]] npm lacks"), "{told}");
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn files_are_read_for_each_request() {
    let server = Server::answering(&[respond("200 OK", "{}")]);
    let home = home();
    private(&home, "password", "p:ä ss");
    let bearer = open(&server, &home, "bearer_file = 'token'");
    let own = open(&server, &home, "header = { name = 'X-Vault-Token', file = 'token' }");
    let prefixed =
        open(&server, &home, "header = { name = 'Authorization', prefix = 'Token ', file = 'token' }");
    let basic = open(&server, &home, "basic = { user = 'remit', password_file = 'password' }");
    let last = |name: &str| header(server.asked().last().unwrap(), name).map(ToOwned::to_owned);
    read(&bearer).unwrap();
    assert_eq!(last("authorization").unwrap(), format!("Bearer {}", crate::common::TOKEN));
    private(&home, "token", "renewed\n");
    read(&bearer).unwrap();
    assert_eq!(last("authorization").unwrap(), "Bearer renewed");
    read(&own).unwrap();
    assert_eq!((last("x-vault-token").unwrap(), last("authorization")), ("renewed".to_owned(), None));
    read(&prefixed).unwrap();
    assert_eq!(last("authorization").unwrap(), "Token renewed");
    read(&basic).unwrap();
    assert_eq!(last("authorization").unwrap(), format!("Basic {}", STANDARD.encode("remit:p:ä ss")));
    // The connector cannot set the header of the credential.
    let exchange =
        Exchange::new(crate::common::description(), own, Phase::Observe, revoke(), Arc::default()).unwrap();
    let mut asking = request("GET", "files/a");
    asking.headers.push(("x-vault-token".to_owned(), "mine".to_owned()));
    assert!(
        crate::common::breach(exchange.send(asking)).to_string().contains("`x-vault-token` is the host's")
    );

    let asked = server.asked().len();
    std::fs::remove_file(home.path().join("token")).unwrap();
    assert!(
        matches!(read(&bearer), Err(Failure::Denied(told)) if told.contains("the host has no credential"))
    );
    assert_eq!(server.asked().len(), asked);
    for (file, text, why) in [("token", "two words", "does not hold a token"), ("none", "", "cannot be used")]
    {
        private(&home, "token", text);
        let more = format!("allow_private = ['127.0.0.1/32']\ncredential = {{ bearer_file = '{file}' }}");
        let told = Origin::open(&entry(&server.address, &more), home.path()).unwrap_err().to_string();
        assert!(told.starts_with("[[connector]] npm: ") && told.contains(why), "{told}");
    }
    private(&home, "token", "x");
    std::fs::set_permissions(home.path().join("token"), std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .unwrap();
    let more = "allow_private = ['127.0.0.1/32']\ncredential = { bearer_file = 'token' }";
    let told = Origin::open(&entry(&server.address, more), home.path()).unwrap_err().to_string();
    assert!(told.contains("can be read by everyone (mode 0644)"), "{told}");
}

#[test]
fn an_oauth_token_is_made_once_and_again_when_it_ends_or_is_refused() {
    let server = Server::answering(&[
        respond("200 OK", "{}"),
        respond("200 OK", "{}"),
        respond("401 No", "{}"),
        respond("200 OK", "{}"),
    ]);
    let made = Server::with(|count, _, stream| {
        let body =
            json!({"access_token": format!("made-{count}"), "token_type": "Bearer", "expires_in": 3600});
        stream.write_all(respond("200 OK", &body.to_string()).as_bytes()).unwrap();
    });
    let home = home();
    private(&home, "secret", "s&cret");
    let oauth = |url: &str, more: &str| {
        format!(
            "oauth = {{ token_url = '{url}', client_id = 'a:b', secret_file = 'secret', scope = 'read write'{more} }}"
        )
    };
    let origin = open(&server, &home, &oauth(&format!("{}/oauth/token?x=y", made.address), ""));
    read(&origin).unwrap();
    read(&origin).unwrap();
    assert_eq!(made.asked().len(), 1, "it is kept");
    // The third answer is a refusal: the token is made anew, and the read tried again.
    assert_eq!(read(&origin), Ok(200));
    let tokens: Vec<_> =
        server.asked().iter().map(|asked| header(asked, "authorization").unwrap().to_owned()).collect();
    assert_eq!(tokens, ["Bearer made-0", "Bearer made-0", "Bearer made-0", "Bearer made-1"]);
    let asked = &made.asked()[0];
    assert!(asked.starts_with("POST /oauth/token?x=y HTTP/1.1"), "{asked}");
    assert!(asked.ends_with("\r\n\r\ngrant_type=client_credentials&scope=read%20write"), "{asked}");
    assert_eq!(
        header(asked, "authorization").unwrap(),
        format!("Basic {}", STANDARD.encode("a%3Ab:s%26cret"))
    );
    let in_body = open(&server, &home, &oauth(&made.address, ", secret_in_body = true"));
    read(&in_body).unwrap();
    let asked = made.asked().pop().unwrap();
    assert!(asked.ends_with("&client_id=a%3Ab&client_secret=s%26cret"), "{asked}");
    assert_eq!(header(&asked, "authorization"), None);

    // A short life is not kept beyond it; and what is no token is told without what was said.
    let before = server.asked().len();
    for (status, body) in [
        ("400 No", "{\"error\":\"s&cret is wrong\"}"),
        ("302 Found", "{}"),
        ("200 OK", "made"),
        ("200 OK", "{\"access_token\":\"a b\",\"token_type\":\"bearer\"}"),
        ("200 OK", "{\"access_token\":\"ab\",\"token_type\":\"mac\"}"),
    ] {
        let wrong = Server::answering(&[respond(status, body)]);
        let told = read(&open(&server, &home, &oauth(&wrong.address, ""))).unwrap_err();
        assert!(matches!(&told, Failure::Denied(told) if !told.contains("cret")), "{told}");
    }
    let short = Server::answering(&[respond(
        "200 OK",
        "{\"access_token\":\"short\",\"token_type\":\"bearer\",\"expires_in\":20}",
    )]);
    let origin = open(&server, &home, &oauth(&short.address, ""));
    read(&origin).unwrap();
    read(&origin).unwrap();
    assert_eq!(short.asked().len(), 2);
    assert_eq!(server.asked().len(), before + 2);
    // The server of tokens is at an address of its own, which is checked too.
    let told = read(&open(&server, &home, &oauth("https://10.0.0.1/token", ""))).unwrap_err();
    assert!(told.to_string().contains("10.0.0.1 is private"), "{told}");
}

fn rsa() -> &'static (String, RsaKeyPair) {
    static KEY: OnceLock<(String, RsaKeyPair)> = OnceLock::new();
    KEY.get_or_init(|| {
        let make = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
        let made = Command::new("openssl").args(make).output().unwrap();
        let text = String::from_utf8(made.stdout).unwrap();
        let pem = pem::parse(&text).unwrap();
        (text, RsaKeyPair::from_pkcs8(pem.contents()).unwrap())
    })
}

#[test]
fn a_github_app_gets_a_token_for_the_entrys_repositories_alone() {
    let (text, key) = rsa();
    let answer = |repositories: &[&str]| {
        let named: Vec<_> =
            repositories.iter().map(|name| json!({"name": name, "full_name": format!("o/{name}")})).collect();
        let body = json!({"token": "ghs_made", "expires_at": "2100-01-01T00:00:00Z", "repositories": named});
        respond("201 Created", &body.to_string())
    };
    let server = Server::answering(&[answer(&["Shop"]), respond("200 OK", "{}")]);
    let home = home();
    private(&home, "app.pem", text);
    let app = "github_app = { app_id = 'Iv1.x', installation_id = 7, key_file = 'app.pem', repositories = ['shop', 'web'], permissions = { issues = 'write' }, api = '/api/v3' }";
    let origin = open(&server, &home, app);
    read(&origin).unwrap();
    read(&origin).unwrap();
    let asked = server.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked[0].starts_with("POST /api/v3/app/installations/7/access_tokens HTTP/1.1"), "{}", asked[0]);
    let wanted: Value = serde_json::from_str(asked[0].split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(wanted, json!({"repositories": ["shop", "web"], "permissions": {"issues": "write"}}));
    let jwt = header(&asked[0], "authorization").unwrap().strip_prefix("Bearer ").unwrap();
    let (signed, signature) = jwt.rsplit_once('.').unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
    public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let part = |at: usize| -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.split('.').nth(at).unwrap()).unwrap()).unwrap()
    };
    assert_eq!(part(0), json!({"alg": "RS256", "typ": "JWT"}));
    assert_eq!(
        (&part(1)["iss"], part(1)["exp"].as_i64().unwrap() - part(1)["iat"].as_i64().unwrap()),
        (&json!("Iv1.x"), 360)
    );
    assert_eq!(header(&asked[1], "authorization"), Some("Bearer ghs_made"));

    for wrong in [answer(&["shop", "other"]), answer(&[]), respond("200 OK", "{}"), respond("404 No", "{}")] {
        let server = Server::answering(&[wrong]);
        let told = read(&open(&server, &home, app)).unwrap_err();
        assert!(matches!(told, Failure::Denied(_)), "{told}");
    }
    private(&home, "app.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    let more = format!("allow_private = ['127.0.0.1/32']\n[connector.credential]\n{app}\n");
    let told = Origin::open(&entry(&server.address, &more), home.path()).unwrap_err().to_string();
    assert!(told.contains("does not hold an RSA private key"), "{told}");
}

#[test]
fn a_request_to_aws_is_signed_as_it_is_sent() {
    let server = Server::answering(&[respond("200 OK", "{}")]);
    let home = home();
    private(&home, "key", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    private(&home, "session", "session-token");
    let aws = "aws = { region = 'us-east-1', service = 'iam', access_key_id = 'AKIDEXAMPLE', secret_key_file = 'key', session_token_file = 'session' }";
    let origin = open(&server, &home, aws);
    read(&origin).unwrap();
    let asked = server.asked().pop().unwrap();
    let value = header(&asked, "authorization").unwrap();
    assert!(value.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{value}");
    assert!(
        value.contains("SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token, Signature="),
        "{value}"
    );
    assert_eq!(header(&asked, "x-amz-security-token"), Some("session-token"));
    assert_eq!(header(&asked, "host"), server.address.strip_prefix("http://"));
    let exchange =
        Exchange::new(crate::common::description(), origin, Phase::Observe, revoke(), Arc::default())
            .unwrap();
    let mut asking = request("GET", "files/a");
    asking.headers.push(("X-Amz-Date".to_owned(), "20150830T123600Z".to_owned()));
    crate::common::breach(exchange.send(asking));
}
