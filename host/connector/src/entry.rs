//! `[[connector]]` of `remit.toml`: which component serves under which name, where, and as whom.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;
use remit_gate::Resource;
use remit_text::{Address, Mistake, Table};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::address::Block;
use crate::origin::MAX_TIMEOUT;

/// One connector of the operator.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The name of the instance: the first segment of its resources' paths.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// The component: a file relative to the home, or a digest in the home's store.
    pub component: String,
    /// `https://HOST[:PORT]`; `http://` for this machine only.
    #[serde(deserialize_with = "origin")]
    pub origin: String,
    /// The blocks of private addresses that it may be at: `10.0.0.0/8`.
    #[serde(default, deserialize_with = "blocks")]
    pub allow_private: Vec<Block>,
    /// The CA that is trusted in place of the public ones, in PEM, relative to the home.
    pub ca_file: Option<PathBuf>,
    /// Whether reads that the description declares may be POST requests.
    #[serde(default)]
    pub post_reads: bool,
    /// What one phase of a call may take in all.
    #[serde(default = "default_timeout", deserialize_with = "timeout")]
    pub timeout: SignedDuration,
    /// What the connector is told as `config`: an object.
    #[serde(default, deserialize_with = "config")]
    pub config: Value,
    /// As whom requests are sent; without one, as nobody.
    pub credential: Option<CredentialConfig>,
}

/// `[connector.credential]`: one of the forms. Files are relative to the home, and read again for each request.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialConfig {
    /// A token in `Authorization: Bearer`, from this file.
    BearerFile(PathBuf),
    /// A user and a password, in `Authorization: Basic`.
    Basic(BasicConfig),
    /// A token in a header of its own.
    Header(HeaderConfig),
    /// OAuth 2.0 client credentials.
    Oauth(OauthConfig),
    /// An installation of a GitHub App.
    GithubApp(GithubAppConfig),
    /// AWS Signature Version 4.
    Aws(AwsConfig),
}

/// `basic = { user = "remit", password_file = "password" }`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicConfig {
    /// The name of the user.
    pub user: String,
    /// The file with the password.
    pub password_file: PathBuf,
}

/// `header = { name = "X-Vault-Token", file = "token" }`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderConfig {
    /// The name of the header.
    #[serde(deserialize_with = "header")]
    pub name: String,
    /// What stands before the token: `Token ` of `Authorization: Token …`.
    #[serde(default)]
    pub prefix: String,
    /// The file with the token.
    pub file: PathBuf,
}

/// `oauth = { token_url = "https://login.example/token", client_id = "remit", secret_file = "secret" }`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OauthConfig {
    /// Where tokens are made.
    #[serde(deserialize_with = "url")]
    pub token_url: String,
    /// Who asks.
    pub client_id: String,
    /// The file with the client's secret.
    pub secret_file: PathBuf,
    /// What is asked for.
    pub scope: Option<String>,
    /// For whom, where the server wants to know.
    pub audience: Option<String>,
    /// Whether the secret is sent in the body; otherwise, in `Authorization: Basic`.
    #[serde(default)]
    pub secret_in_body: bool,
}

/// `github_app = { app_id = 1, installation_id = 2, key_file = "app.pem", repositories = ["shop"] }`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GithubAppConfig {
    /// The number of the app, or its client identifier.
    pub app_id: Value,
    /// The number of the installation.
    pub installation_id: u64,
    /// The file with the app's private key, in PEM.
    pub key_file: PathBuf,
    /// The names of the repositories that a token may reach, without their owner.
    pub repositories: Vec<String>,
    /// What a token may do; without it, all that the installation may: `{ issues = "write" }`.
    #[serde(default)]
    pub permissions: BTreeMap<String, String>,
    /// What the API's paths begin with: `/api/v3` for a GitHub Enterprise Server.
    #[serde(default)]
    pub api: String,
}

/// `aws = { region = "eu-central-1", service = "iam", access_key_id = "AKIA…", secret_key_file = "secret" }`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsConfig {
    /// The region: `eu-central-1`.
    pub region: String,
    /// The service as signatures name it: `iam`, `secretsmanager`.
    #[serde(deserialize_with = "service")]
    pub service: String,
    /// The identifier of the access key.
    pub access_key_id: String,
    /// The file with the secret access key.
    pub secret_key_file: PathBuf,
    /// The file with the session's token, for a temporary key.
    pub session_token_file: Option<PathBuf>,
}

impl Entry {
    /// Reads an entry. A mistake shows its line.
    pub fn read(entry: Table<'_>) -> Result<Self, Mistake> {
        let mut read: Self = entry.rest("a connector")?;
        if read.config.is_null() {
            read.config = Value::Object(Map::new());
        }
        Ok(read)
    }
}

fn default_timeout() -> SignedDuration {
    SignedDuration::from_secs(30)
}

fn wrong<E: serde::de::Error>(why: impl std::fmt::Display) -> E {
    E::custom(why)
}

fn name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let name = String::deserialize(from)?;
    match Resource::new("connector", &name) {
        Ok(_) if !name.contains('/') => Ok(name),
        Ok(_) => Err(wrong("the name of a connector has no slash in it")),
        Err(error) => Err(wrong(format!("the name of a connector is part of resources: {}", error.why()))),
    }
}

fn origin<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Address::of_origin(&String::deserialize(from)?).map_err(wrong)
}

fn url<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(Address::parse(&String::deserialize(from)?).map_err(wrong)?.url())
}

fn blocks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Block>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts.iter().map(|text| text.parse().map_err(wrong)).collect()
}

fn timeout<'de, D: Deserializer<'de>>(from: D) -> Result<SignedDuration, D::Error> {
    let timeout = remit_text::duration::deserialize(from)?;
    let in_bounds = Duration::try_from(timeout).is_ok_and(|it| !it.is_zero() && it <= MAX_TIMEOUT);
    if in_bounds { Ok(timeout) } else { Err(wrong("the timeout must be over 0 and at most 5m")) }
}

fn header<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let name = String::deserialize(from)?.to_ascii_lowercase();
    let form = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !form {
        return Err(wrong("this is not the name of a header"));
    }
    if name != "authorization" && crate::request::is_of_the_host(&name) {
        return Err(wrong("this header is the connection's, and carries no credential"));
    }
    Ok(name)
}

fn config<'de, D: Deserializer<'de>>(from: D) -> Result<Value, D::Error> {
    let config = Value::Object(Map::deserialize(from)?);
    if let Err(error) = remit_text::json::canonical(&config) {
        return Err(wrong(error));
    }
    // A date becomes an object with this member.
    if config.to_string().contains("$__toml_private_datetime") {
        return Err(wrong("a date is no JSON: write it in quotes"));
    }
    Ok(config)
}

fn service<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let service = String::deserialize(from)?;
    if service == "s3" {
        return Err(wrong("S3 signs paths in another way, which is not supported"));
    }
    Ok(service)
}
