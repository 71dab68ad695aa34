//! The secrets of a case, seen and set past Remit's operations.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use remit_backend::{Embedded, SecretView as _, VersionState};
use remit_gate::Resource;
use serde_json::{Value, json};

use crate::common::World;
use crate::common::bao::Bao;

pub const FIELD: &str = "api_key";

/// Where a case keeps its secrets.
pub enum Store<'a> {
    /// In its home.
    Embedded,
    /// On a server that all cases share, each worker's in a mount of its own.
    OpenBao { server: &'a Bao, mount: String },
}

impl Store<'_> {
    /// The values of a secret's versions, oldest first; fails if one of them is not enabled.
    pub fn values(&self, world: &World, secret: &str) -> Vec<String> {
        match self {
            Self::Embedded => embedded(world, secret),
            Self::OpenBao { server, mount } => {
                let (status, known) = request(server, "GET", &format!("{mount}/metadata/{secret}"), None);
                assert_eq!(status, 200, "{known}");
                let newest = known["data"]["current_version"].as_u64().unwrap();
                let read = |version| {
                    let place = format!("{mount}/data/{secret}?version={version}");
                    let (status, answer) = request(server, "GET", &place, None);
                    assert_eq!(status, 200, "{answer}");
                    answer["data"]["data"][FIELD].as_str().unwrap().to_owned()
                };
                (1..=newest).map(read).collect()
            }
        }
    }

    /// Makes a secret on the server what it was, version by version.
    pub fn restore(&self, secret: &str, values: &[String]) {
        let Self::OpenBao { server, mount } = self else { return };
        let (status, answer) = request(server, "DELETE", &format!("{mount}/metadata/{secret}"), None);
        assert_eq!(status, 204, "{answer}");
        for value in values {
            let body = json!({ "data": { FIELD: value } });
            let (status, answer) = request(server, "POST", &format!("{mount}/data/{secret}"), Some(&body));
            assert_eq!(status, 200, "{answer}");
        }
    }
}

fn embedded(world: &World, secret: &str) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = Embedded::open(&world.home().join("secrets.db")).unwrap();
        let resource = Resource::new("secret", secret).unwrap();
        let mut values = Vec::new();
        for version in store.metadata(&resource).await.unwrap().versions {
            assert_eq!(version.state, VersionState::Enabled, "version {} of {secret}", version.number);
            assert_eq!(version.number, values.len() as u64 + 1, "versions of {secret}");
            let fields = store.read(&resource, version.number).await.unwrap();
            values.push(fields.get(FIELD).unwrap().to_owned());
        }
        values
    })
}

/// One request to the server. (Its own client is a process for each: too slow for hundreds of cases.)
fn request(server: &Bao, method: &str, place: &str, body: Option<&Value>) -> (u16, Value) {
    let host = server.address.trim_start_matches("http://");
    let body = body.map(ToString::to_string).unwrap_or_default();
    let mut stream = TcpStream::connect(host).unwrap();
    // HTTP/1.0: the answer ends with the connection.
    let head = format!(
        "{method} /v1/{place} HTTP/1.0\r\nHost: {host}\r\nX-Vault-Token: {}\r\nContent-Length: {}\r\n\r\n",
        Bao::TOKEN,
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
    let json = answer.split_once("\r\n\r\n").and_then(|(_, json)| serde_json::from_str(json).ok());
    (status.unwrap_or_else(|| panic!("no answer in HTTP: {answer}")), json.unwrap_or(Value::Null))
}
