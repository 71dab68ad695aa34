//! What is not quite what was shown, signed or sent again: refused, and not on record.

use std::fs;

use serde_json::{Value, json};

use super::people::{Console, call, prepare, sign};
use crate::common::{self, World};

/// The status and the code of a problem.
pub fn refused((status, told): (u64, Value)) -> (u64, String) {
    (status, told["code"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn nothing_else_than_what_was_shown_is_signed_by_nobody_else() {
    let console = Console::new();
    let ann = console.signed_in("ann");
    let (request, other) = (console.ask("one"), console.ask("another"));
    ann.go(&console.at(&format!("/console/requests/{request}")));
    ann.until("typeof challenge === 'function'");
    let (approve, deny) = (prepare(&ann, &request, true), prepare(&ann, &request, false));
    let another = prepare(&ann, &other, true);
    let refused_for = |signed: &Value, code: &str, why: &str| {
        let (status, told) = call(&ann, "/console/sign", signed);
        assert_eq!((status, told["code"].as_str().unwrap()), (403, code), "{told}");
        assert!(told["detail"].as_str().unwrap().contains(why), "{why}: {told}");
    };
    let passkey = "refused::passkey";

    // Signed for one, submitted for the other: approve and deny, this request and that.
    refused_for(&sign(&ann, &approve, &deny), passkey, "made over something else");
    refused_for(&sign(&ann, &deny, &approve), passkey, "made over something else");
    refused_for(&sign(&ann, &approve, &another), passkey, "made over something else");
    let other_type = json!({"payloadType": "x", "payload": approve["payload"]});
    refused_for(&sign(&ann, &approve, &other_type), passkey, "made over something else");
    // A device that did not check who used it, one that nobody touched, one that signs something else.
    ann.authenticator("setResponseOverrideBits", json!({"isBadUV": true}));
    refused_for(&sign(&ann, &approve, &approve), passkey, "did not check who used it");
    ann.authenticator("setResponseOverrideBits", json!({"isBadUV": false, "isBadUP": true}));
    refused_for(&sign(&ann, &approve, &approve), "refused::presence", "nobody was present");
    ann.authenticator("setResponseOverrideBits", json!({"isBadUP": false, "isBogusSignature": true}));
    refused_for(&sign(&ann, &approve, &approve), "refused::signature_malformed", "not an ECDSA signature");
    ann.authenticator("setResponseOverrideBits", json!({"isBogusSignature": false}));
    // Another key of the same domain, which the rules do not name.
    let own = ann.authenticator("getCredentials", json!({}))["credentials"][0].clone();
    let stranger = console.browser.tab();
    stranger.go(&console.at("/console/enrol"));
    stranger.write("#name", "ann");
    stranger.click("#enrol button");
    stranger.shows("For your administrator");
    let theirs = stranger.authenticator("getCredentials", json!({}))["credentials"][0].clone();
    ann.authenticator("removeCredential", json!({"credentialId": own["credentialId"]}));
    let mut swapped = theirs;
    swapped["credentialId"] = own["credentialId"].clone();
    swapped["signCount"] = 1_000.into();
    ann.authenticator("addCredential", json!({"credential": swapped}));
    refused_for(&sign(&ann, &approve, &approve), "refused::signature", "no trusted key");
    ann.authenticator("removeCredential", json!({"credentialId": own["credentialId"]}));
    ann.authenticator("addCredential", json!({"credential": own}));

    // On another page of the same domain, which the rules do not name.
    let port = elsewhere();
    let origin = format!("http://localhost:{port}");
    let script = ann.text("document.querySelector('script').src");
    let source = ann.text(&format!("fetch({}).then((answer) => answer.text())", json!(script)));
    let [credential, back] = ["document.body.dataset.credential", "location.href"].map(|of| ann.text(of));
    let stolen = |origin: &str, rp: &str, credential: &str| {
        ann.go(origin);
        let data = format!(
            "document.body.dataset.rp = {}; document.body.dataset.credential = {};",
            json!(rp),
            json!(credential)
        );
        ann.eval(&format!("{source}\n{data} undefined"));
        let signed = sign(&ann, &approve, &approve);
        ann.go(&back);
        ann.until("typeof challenge === 'function'");
        signed
    };
    refused_for(&stolen(&origin, "localhost", &credential), passkey, &format!("on a page of {origin}"));
    // The very key, used for another domain on a page of that.
    let mut abroad = own.clone();
    abroad["rpId"] = "evil.localhost".into();
    abroad["credentialId"] = "YWJyb2Fk".into();
    ann.authenticator("addCredential", json!({"credential": abroad}));
    let evil = format!("http://evil.localhost:{port}");
    refused_for(
        &stolen(&evil, "evil.localhost", "YWJyb2Fk"),
        passkey,
        "made for another domain than localhost",
    );
    ann.authenticator("removeCredential", json!({"credentialId": "YWJyb2Fk"}));
    // By an address no browser uses a passkey, and the page says what to do.
    let by_address = console.browser.tab();
    by_address.go(&console.at("/console/login").replace("localhost", "127.0.0.1"));
    by_address.shows(&format!("Passkeys of this home sign at {}", console.url));
    by_address.write("#name", "ann");
    by_address.click("#login button");
    by_address.shows("No passkey signs on a page with this address");

    // None of that is on record; what is right is, once.
    let signed = sign(&ann, &approve, &approve);
    let (status, told) = call(&ann, "/console/sign", &signed);
    assert_eq!((status, &told["approvals"][0]["principal"]), (201, &"ann".into()), "{told}");
    assert_eq!(call(&ann, "/console/sign", &signed).0, 200, "it is answered as it stands");

    // A copy of the key, which counts from where it was copied.
    let held = ann.authenticator("getCredentials", json!({}))["credentials"][0].clone();
    let mut copied = held.clone();
    copied["signCount"] = 0.into();
    ann.authenticator("removeCredential", json!({"credentialId": held["credentialId"]}));
    ann.authenticator("addCredential", json!({"credential": copied}));
    let (status, told) = call(&ann, "/console/sign", &sign(&ann, &another, &another));
    assert_eq!((status, told["code"].as_str().unwrap()), (403, "refused::passkey-counter"), "{told}");
    let shown = console.world.remit(&["request", "show", &other, "--json"]).exits(0).json();
    assert_eq!(shown["approvals"], json!([]));

    // The first of them goes on counting from where it was.
    let mut first = held.clone();
    first["signCount"] = 1_000.into();
    ann.authenticator("removeCredential", json!({"credentialId": held["credentialId"]}));
    ann.authenticator("addCredential", json!({"credential": first}));

    // Policies see that somebody was checked, and whether the key can leave its device: an SSH key says neither.
    let only = |fact: &str| {
        let humans = "when { principal.kind == \"human\" }";
        let fact = format!("when {{ principal.kind == \"human\" && context.{fact} }}");
        console.world.policies(&common::POLICY.replace(humans, &fact));
        console.ask(&format!("for who has {fact}"))
    };
    let prepared = |request: &str| {
        let body = json!({"approve": true, "reason": "looked at it"});
        call(&ann, &format!("/console/prepare/decision/{request}"), &body)
    };
    let checked = only("userVerified");
    console.world.remit(&["approve", &checked, "--key", "alice.key"]).exits(3).says("ann may");
    let (status, decision) = prepared(&checked);
    assert_eq!((status, call(&ann, "/console/sign", &sign(&ann, &decision, &decision)).0), (200, 201));
    let bound = only("deviceBound");
    assert_eq!(refused(prepared(&bound)), (403, "refused::policy".to_owned()));
    // The rules say that it is: then a signature by a key that can be copied does not count.
    let principals = console.world.home().join("principals.toml");
    let text = fs::read_to_string(&principals).unwrap();
    fs::write(&principals, text + "device-bound = true\n").unwrap();
    let bound = only("deviceBound");
    let (status, decision) = prepared(&bound);
    assert_eq!(status, 200, "{decision}");
    let copies = |copies: bool| {
        let properties =
            json!({"credentialId": own["credentialId"], "backupEligibility": copies, "backupState": copies});
        ann.authenticator("setCredentialProperties", properties);
        sign(&ann, &decision, &decision)
    };
    refused_for(&copies(true), passkey, "the device says that it can be copied");
    let (status, told) = call(&ann, "/console/sign", &copies(false));
    assert_eq!((status, &told["status"]), (201, &"approved".into()), "{told}");

    // An order is no good in another home, although that one has the same person and key.
    let (status, order) =
        call(&ann, "/console/prepare/order", &json!({"reason": "a drill", "order": "freeze"}));
    assert_eq!(status, 200, "{order}");
    let (status, told) = call(&ann, "/console/sign", &sign(&ann, &order, &order));
    assert_eq!((status, &told["order"]), (200, &"freeze".into()), "{told}");
    let there = World::new();
    fs::remove_dir_all(there.home()).unwrap();
    let init =
        ["init", "--log", "other.example/journal", "--publisher", "publisher.pub", "--admin", "admin.key"];
    there
        .remit(&[&init[..], &["--human", "alice.pub", "--human", "bob.pub", "--agent", "bot.pub"]].concat())
        .exits(0);
    let rules = fs::read_to_string(console.world.home().join("principals.toml")).unwrap();
    let (passkeys, person) = (rules.find("[[").unwrap(), rules.rfind("[[principal]]").unwrap());
    let principals = there.home().join("principals.toml");
    let text = fs::read_to_string(&principals).unwrap();
    fs::write(&principals, format!("{}{text}\n{}", &rules[..passkeys], &rules[person..])).unwrap();
    there.policies(common::POLICY);
    there.write("order.json", frozen(&console).to_string());
    there
        .remit(&["freeze", "--signed", "order.json"])
        .exits(3)
        .says("it is for the journal test.example/journal");
    console.world.audit_is_sound();
}

/// The envelope of the newest order to freeze, as the journal has it.
fn frozen(console: &Console) -> Value {
    let out = console.world.remit(&["audit", "export", "--format", "jsonl"]).exits(0).out;
    let acts = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    acts.filter_map(|act| act["event"].get("frozen").cloned()).next_back().unwrap()["document"].clone()
}

/// A page of somebody else on this machine.
fn elsewhere() -> u16 {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let page = "<!DOCTYPE html><title>x</title><body>x";
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n";
            let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{page}", page.len());
        }
    });
    port
}
