//! Where a command acts: at a home, or through a server that a context names.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use remit_client::{About, Client, ClientError, Story, ToSign};
use remit_file::{Content, Kind};
use remit_journal::{Record, RunId, RunSummary};
use remit_lifecycle::{Document, Error, Explained, Home, Prepared, RequestView, RequestsView};
use remit_sandbox::Candidate;
use remit_text::uri_part;
use remit_trust::{Handle, KeyId, Opening, Signer, SigningKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::task::block_in_place;

use crate::commands::common::{Done, usage};
use crate::id_token::{Kept, Source};

/// Where a command acts.
pub(crate) enum Place {
    /// At a home, whose files this process reads and writes.
    Home(Home),
    /// Through the server of the context with this name.
    Context(String),
}

impl Place {
    /// The home, for a command that has to be where the home is.
    pub(crate) fn home(&self) -> Done<&Home> {
        match self {
            Self::Home(home) => Ok(home),
            Self::Context(name) => Err(usage(
                format!("this command works at a home only, and `{}` is a server", name.escape_debug()),
                "leave out --context (REMIT_CONTEXT), and run it where the home is",
            )),
        }
    }

    /// The server, if it is one.
    pub(crate) fn server(&self) -> Done<Option<Server>> {
        match self {
            Self::Home(_) => Ok(None),
            Self::Context(name) => Ok(Some(Contexts::load()?.connect(name)?)),
        }
    }
}

/// A server, and who one is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// The server's URL.
    pub(crate) url: String,
    /// The file of the principal's key; a public one, if the ssh-agent has the private one. None if an ID token proves who it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<PathBuf>,
    /// Where an ID token comes from; none with a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id_token: Option<Source>,
    /// What GitHub is asked to make the token for; if it is not named, the server's URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) audience: Option<String>,
    /// Certificates in PEM that are trusted in place of the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
    /// The name of the journal, as the server said when the context was added.
    pub(crate) log: String,
    /// The journal's public key, as the server said then.
    pub(crate) log_key: String,
}

/// Every context of this user, by name.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Contexts(pub(crate) BTreeMap<String, Context>);

impl Contexts {
    /// The file that they are kept in: `remit/contexts.toml` where this user's programs have their configuration.
    pub(crate) fn file() -> Done<PathBuf> {
        let own =
            remit_text::env::var("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let folder =
            own.or_else(|| remit_text::env::var("HOME").map(|home| Path::new(&home).join(".config")));
        folder
            .map(|folder| folder.join("remit/contexts.toml"))
            .ok_or_else(|| usage("HOME is not set, so there is no place for contexts".to_owned(), "set HOME"))
    }

    /// Reads them; none if there is no file.
    pub(crate) fn load() -> Done<Self> {
        let file = Self::file()?;
        // Who may write it decides where documents are sent.
        let text = match remit_file::trusted(&file, Kind::Configuration).and_then(Content::into_text) {
            Ok(text) => text,
            Err(error) if error.is_missing() => return Ok(Self::default()),
            Err(error) => return Err(Box::new(Error::from(error))),
        };
        remit_text::toml::read(&text).map_err(|mistake| {
            usage(format!("{}: {mistake}", file.display()), "correct it, or add its contexts again")
        })
    }

    /// Writes them.
    pub(crate) fn save(&self) -> Done<()> {
        let file = Self::file()?;
        let text = toml::to_string(self)
            .map_err(|error| usage(format!("the context cannot be written: {error}"), "name other files"))?;
        let write = || {
            file.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            remit_file::replace(&file, text.as_bytes()).map(drop)
        };
        write().map_err(|error| {
            Box::new(Error::from(remit_file::FileError::writing(&file, Kind::Output, &error))) as _
        })
    }

    fn connect(self, name: &str) -> Done<Server> {
        let Some(context) = self.0.get(name).cloned() else {
            return Err(usage(
                format!("there is no context `{}`", name.escape_debug()),
                "`remit context list` lists them, `remit context add` adds one",
            ));
        };
        let Some(source) = &context.id_token else { return Server::connect(context)?.checked() };
        let kept = Kept::of(&Self::file()?, name)?;
        let (url, log) = (context.url.clone(), context.log.clone());
        if kept.counts(&url, &log) {
            return Server::connect_as(context, Signer::load(kept.path())?, kept.path().to_owned())?
                .checked();
        }
        let made = SigningKey::generate()?;
        let (source, signer) =
            (source.clone(), Signer::from(SigningKey::from_pem(&made.to_pem(), "a new key")?));
        let audience = context.audience.clone().unwrap_or_else(|| url.clone());
        // The token goes to the server that was added, with that journal.
        let server = Server::connect_as(context, signer, kept.path().to_owned())?.checked()?;
        let token = source.token(&audience)?;
        let certified = block_in_place(|| server.client.certify(&token))?;
        kept.keep(&made, &url, &log, certified.until)?;
        Ok(server)
    }
}

/// The query of a URL.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(&'static str, String)>);

impl Query {
    /// A flag, if it is set.
    pub(crate) fn flag(&mut self, name: &'static str, set: bool) -> &mut Self {
        self.value(name, set.then_some("true"))
    }

    /// A value, if there is one.
    pub(crate) fn value(&mut self, name: &'static str, value: Option<&str>) -> &mut Self {
        self.0.extend(value.map(|value| (name, uri_part(value))));
        self
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(at, (name, value))| {
            write!(f, "{}{name}={value}", if at == 0 { '?' } else { '&' })
        })
    }
}

/// A server that answered.
pub(crate) struct Server {
    context: Context,
    client: Client,
    /// The file of the key that signs.
    key: PathBuf,
}

impl Server {
    /// Asks the server which home it has. Without a key, nothing more can be asked or done.
    pub(crate) fn connect(context: Context) -> Done<Self> {
        let (signer, key) = match &context.key {
            Some(key) => (Signer::load(key)?, key.clone()),
            None => (Signer::from(SigningKey::generate()?), PathBuf::new()),
        };
        Self::connect_as(context, signer, key)
    }

    /// The same with a key, and its file.
    fn connect_as(context: Context, signer: Signer, key: PathBuf) -> Done<Self> {
        let pem = match &context.ca_file {
            Some(file) => {
                Some(remit_file::given(file, Kind::Certificates).map_err(Error::from)?.into_bytes())
            }
            None => None,
        };
        let client =
            block_in_place(|| Client::connect(remit_client::agent(pem.as_deref())?, &context.url, signer))?;
        Ok(Self { context, client, key })
    }

    /// The server, if it has the journal that it had when the context was added.
    fn checked(self) -> Done<Self> {
        let About { log, log_key, .. } = self.client.about();
        if (log, log_key) != (&self.context.log, &self.context.log_key) {
            return Err(Box::new(ClientError::OtherHome {
                url: self.context.url.clone(),
                found: log.clone(),
                expected: self.context.log.clone(),
            }));
        }
        Ok(self)
    }

    pub(crate) fn about(&self) -> &About {
        self.client.about()
    }

    /// What calls it.
    pub(crate) fn into_client(self) -> Client {
        self.client
    }

    /// The file of the key that the context names, or that an ID token was exchanged for.
    pub(crate) fn key(&self) -> &Path {
        &self.key
    }

    /// Reads.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Done<T> {
        Ok(block_in_place(|| self.client.get(path))?)
    }

    /// The newest signed checkpoint of the journal.
    pub(crate) fn checkpoint(&self) -> Done<String> {
        Ok(block_in_place(|| self.client.text("/api/v1/log/checkpoint"))?)
    }

    /// Calls a route that needs a session.
    pub(crate) fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Done<T> {
        Ok(block_in_place(|| self.client.post(path, body))?)
    }

    /// Submits a signed document.
    pub(crate) fn submit<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Done<T> {
        Ok(block_in_place(|| self.client.submit(path, body))?)
    }

    /// Submits a signed document that is answered by a request.
    pub(crate) fn submit_about_request(&self, path: &str, body: &impl Serialize) -> Done<RequestView> {
        Ok(self.submit::<RequestView>(path, body)?.received()?)
    }

    /// A page of requests.
    pub(crate) fn requests(&self, query: &Query) -> Done<RequestsView> {
        let page: RequestsView = self.get(&format!("/api/v1/requests{query}"))?;
        let requests: Result<_, _> = page.requests.into_iter().map(RequestView::received).collect();
        Ok(RequestsView { requests: requests?, ..page })
    }

    /// Submits a signed document. Instead of an answer there may be another document that can be signed, and why.
    pub(crate) fn submit_or<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Done<Result<T, (String, ToSign)>> {
        match block_in_place(|| self.client.submit(path, body)) {
            Err(ClientError::Problem(problem)) if problem.prepared.is_some() => {
                let prepared = problem.prepared.unwrap_or_default();
                let prepared = serde_json::from_value(prepared).map_err(Error::from)?;
                Ok(Err((problem.detail, prepared)))
            }
            answered => Ok(Ok(answered?)),
        }
    }

    /// Uploads an action with its signature.
    pub(crate) fn upload(&self, action: &Candidate) -> Done<()> {
        let bytes = action.bytes().map_err(Error::from)?.to_vec();
        let digest = action.digest().to_string();
        block_in_place(|| self.client.upload(&digest, bytes, action.signature()))?;
        Ok(())
    }

    /// Lets the server keep the value of a sealed input.
    pub(crate) fn seal(&self, handle: &Handle, opening: &Opening) -> Done<()> {
        block_in_place(|| self.client.seal(handle, opening))?;
        Ok(())
    }

    /// A request, by its name, the beginning of its name, or `last`.
    pub(crate) fn request(&self, name: &str) -> Done<RequestView> {
        let newest = || -> Done<String> {
            let newest: RequestsView = self.get("/api/v1/requests?all=true&limit=1")?;
            let id = newest.requests.first().map(|newest| newest.request.id.to_string());
            id.ok_or_else(|| usage("there is no request yet".to_owned(), "make one: `remit request`"))
        };
        let name = if name == "last" { newest()? } else { uri_part(name) };
        let view: RequestView = self.get(&format!("/api/v1/requests/{name}"))?;
        Ok(view.received()?)
    }

    /// Which policies decide about a request.
    pub(crate) fn explained(&self, request: &str) -> Done<Explained> {
        self.get(&format!("/api/v1/requests/{}/explanation", uri_part(request)))
    }

    /// The records of a run, by its name, the beginning of its name, or `last`.
    pub(crate) fn run(&self, name: &str) -> Done<(RunId, Vec<(u64, Record)>)> {
        #[derive(Deserialize)]
        struct Newest {
            runs: Vec<RunSummary>,
        }
        let newest = || -> Done<String> {
            let newest: Newest = self.get("/api/v1/runs?limit=1")?;
            let id = newest.runs.first().map(|newest| newest.run.to_string());
            id.ok_or_else(|| usage("there is no run yet".to_owned(), "`remit run` starts one"))
        };
        let name = if name == "last" { newest()? } else { uri_part(name) };
        let Story { run, records } = self.get(&format!("/api/v1/runs/{name}"))?;
        Ok((run, records))
    }

    /// Waits until a stream of events ends.
    pub(crate) fn wait(&self, path: &str) -> Done<()> {
        block_in_place(|| {
            let mut events = self.client.follow(path)?;
            std::io::copy(&mut events, &mut std::io::sink()).map(drop).map_err(|error| {
                let url = self.context.url.clone();
                Box::new(ClientError::Unreachable { url, why: error.to_string() }) as _
            })
        })
    }

    /// Lets the server make a document, which is for the journal that it had when the context was added.
    pub(crate) fn prepare<D: Document>(&self, path: &str, body: &Value, by: &KeyId) -> Done<Prepared<D>> {
        self.received(&self.post(path, body)?, by)
    }

    /// What the server prepared, parsed.
    pub(crate) fn received<D: Document>(&self, to_sign: &ToSign, by: &KeyId) -> Done<Prepared<D>> {
        Ok(to_sign.received(by, &self.context.log)?)
    }

    /// The error for a document that is not what the server was asked for.
    #[expect(clippy::unused_self, reason = "only a server can be accused of it")]
    pub(crate) fn altered(&self, why: String) -> Box<dyn Diagnostic + Send + Sync> {
        Box::new(ClientError::Altered(why))
    }
}
