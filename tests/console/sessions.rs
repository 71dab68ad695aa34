//! Who has signed in, what a session is good for, and for whom.

use serde_json::json;

use super::forged::refused;
use super::people::{Console, call};
use crate::common;

/// What a call outside of a browser is answered: the status, and the whole.
fn plain(console: &Console, head: &str) -> (u16, String) {
    let authority = console.url.split_once("://").unwrap().1;
    common::server::raw(authority, &format!("{head}\r\nHost: {authority}\r\nConnection: close\r\n\r\n"))
}

#[test]
fn a_session_reads_and_nobody_else_uses_it() {
    let console = Console::new();
    let ann = console.signed_in("ann");
    let cookies = ann.call("Network.getCookies", &json!({"urls": [console.url]}))["cookies"].clone();
    let cookie = &cookies[0];
    assert_eq!(cookies.as_array().unwrap().len(), 1);
    for (name, value) in [
        ("name", json!("__Host-remit")),
        ("path", json!("/")),
        ("httpOnly", json!(true)),
        ("secure", json!(true)),
        ("sameSite", json!("Strict")),
        ("session", json!(true)),
    ] {
        assert_eq!(cookie[name], value, "{cookie}");
    }
    let token = cookie["value"].as_str().unwrap().to_owned();
    let with = format!("Cookie: __Host-remit={token}");
    let page = "Accept: text/html";
    let get = |path: &str, headers: &str| plain(&console, &format!("GET {path} HTTP/1.1\r\n{headers}"));
    let (status, answer) = get("/console", &with);
    assert_eq!(status, 200);
    // Nobody shows it inside another page, and nothing of it comes from elsewhere.
    for header in [
        "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        "x-frame-options: DENY",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cache-control: no-store",
        "cross-origin-opener-policy: same-origin",
    ] {
        assert!(answer.contains(header), "{header} in {answer}");
    }
    // A session is for the console only, and a token is for the others only.
    assert_eq!(get("/api/v1/requests", &with).0, 401);
    assert_eq!(get("/console", &format!("{with}\r\nAuthorization: DPoP x")).0, 400);
    assert_eq!(get("/console", "Authorization: DPoP x").0, 400);
    assert_eq!(get("/console", &format!("{with}; __Host-remit=other\r\n{page}")).0, 303);
    assert_eq!(get("/console", page).0, 303);
    assert_eq!(get("/console/runs", "Accept: application/json").0, 401);
    // From another site, even with the cookie, nothing is done; a link from there begins at the login.
    let post = |headers: &str| {
        plain(
            &console,
            &format!(
                "POST /console/logout HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 0\r\n{headers}"
            ),
        )
    };
    assert_eq!(post(&format!("{with}\r\nOrigin: https://evil.example")).0, 403);
    assert_eq!(post(&format!("{with}\r\nOrigin: null\r\nSec-Fetch-Site: cross-site")).0, 403);
    assert_eq!(post(&with).0, 403);
    let (status, answer) = get("/console/runs", &format!("{page}\r\nSec-Fetch-Site: cross-site"));
    assert!(status == 200 && answer.contains("0;url=/console/runs"), "{answer}");
    assert_eq!(get("/console/runs", &with).0, 200, "the session goes on");

    // Whoever puts a session into a browser before somebody signs in has nothing of it afterwards.
    let eve = console.browser.tab();
    eve.call("Network.setCookie", &json!({"name": "__Host-remit", "value": "chosen-by-eve", "url": console.url, "path": "/", "secure": true, "httpOnly": true}));
    let ben = console.person("ben");
    ben.call("Network.setCookie", &json!({"name": "__Host-remit", "value": token, "url": console.url, "path": "/", "secure": true, "httpOnly": true}));
    console.sign_in(&ben, "ben");
    let now = ben.call("Network.getCookies", &json!({"urls": [console.url]}))["cookies"][0]["value"].clone();
    assert!(now != token.as_str() && now != "chosen-by-eve");
    eve.go(&console.at("/console"));
    eve.until("location.pathname === '/console/login'");

    // A login is finished once: what was sent is worth nothing a second time, nor in another's name.
    let dana = console.person("dana");
    dana.go(&console.at("/console/login"));
    dana.until("typeof sign === 'function'");
    let (status, prepared) = call(&dana, "/console/login/prepare", &json!({"name": "dana"}));
    assert_eq!(status, 200, "{prepared}");
    let answered = dana.eval(&format!("sign({prepared}, 'localhost')"));
    assert_eq!(call(&dana, "/console/login", &answered).0, 200);
    assert_eq!(refused(call(&dana, "/console/login", &answered)), (403, "refused::session".to_owned()));
    let (_, as_ann) = call(&dana, "/console/login/prepare", &json!({"name": "ann"}));
    let answered = dana.eval(&format!("sign({as_ann}, 'localhost')"));
    assert_eq!(refused(call(&dana, "/console/login", &answered)), (403, "refused::signature".to_owned()));
    // Nobody is told which names there are: not of one that is none, of software, or of somebody without a passkey.
    let (_, as_dana) = call(&dana, "/console/login/prepare", &json!({"name": "dana"}));
    let members = |prepared: &serde_json::Value| -> Vec<String> {
        let text = dana.text(&format!("atob({prepared}.payload)"));
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let own = prepared.as_object().unwrap().keys().chain(document.as_object().unwrap().keys());
        own.cloned().chain([document["thumbprint"].as_str().unwrap().len().to_string()]).collect()
    };
    for name in ["nobody", "bot", "alice", "../../x"] {
        let (status, prepared) = call(&dana, "/console/login/prepare", &json!({"name": name}));
        assert_eq!((status, members(&prepared)), (200, members(&as_dana)), "{name}");
        let answered = dana.eval(&format!("sign({prepared}, 'localhost')"));
        let (status, told) = call(&dana, "/console/login", &answered);
        let (_, prepared) = call(&dana, "/console/login/prepare", &json!({"name": "ann"}));
        let answered = dana.eval(&format!("sign({prepared}, 'localhost')"));
        let (of_ann, told_of_ann) = call(&dana, "/console/login", &answered);
        assert_eq!(
            (status, &told["code"], &told["help"]),
            (of_ann, &told_of_ann["code"], &told_of_ann["help"])
        );
        assert_eq!(
            told["detail"].as_str().unwrap().replace(name, "ann"),
            told_of_ann["detail"].as_str().unwrap()
        );
    }
    // Nor by an answer that is no signature at all.
    let broken = |name: &str| {
        let (_, prepared) = call(&dana, "/console/login/prepare", &json!({"name": name}));
        let mut answered = dana.eval(&format!("sign({prepared}, 'localhost')"));
        answered["signature"] = "AAAA".into();
        refused(call(&dana, "/console/login", &answered))
    };
    assert_eq!(broken("nobody"), broken("ann"));

    // Two tabs are one session, and leave together.
    ann.go(&console.at("/console"));
    let second = ann.another();
    second.go(&console.at("/console/runs"));
    second.shows("Runs");
    ann.click("form.who button");
    ann.until("location.pathname === '/console/login'");
    second.go(&console.at("/console/runs"));
    second.until("location.pathname === '/console/login'");
    assert_eq!(get("/console", &format!("{with}\r\n{page}")).0, 303, "the token is worth nothing any more");

    // A key that is taken away signs nobody in, and who was in is out.
    let key = console.world.remit(&["principals", "--json"]).exits(0).json();
    let key = key.as_array().unwrap().iter().find(|key| key["name"] == "ben").unwrap()["key"]
        .as_str()
        .unwrap()
        .to_owned();
    console.world.remit(&["revoke", "key", &key, "--reason", "lost", "--key", "alice.key"]).exits(0);
    ben.go(&console.at("/console/runs"));
    ben.until("location.pathname === '/console/login'");
}
