//! The one table of routes: what the router serves, what `OpenAPI` describes, and what is counted.

use axum::Extension;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, on};
use schemars::{Schema, SchemaGenerator};

use crate::api::docs::{PAGE, STYLE};
use crate::api::log::TILE;
use crate::api::{actions, docs, home, log, orders, plans, requests, runs, sealed, sessions};
use crate::app::App;
use crate::exchange::NOTE;
use crate::rate::Cost;

/// The largest body of a route that takes JSON.
pub(crate) const JSON: usize = 1024 * 1024;
/// The largest component.
pub(crate) const COMPONENT: usize = 128 * 1024 * 1024;

/// The largest value of a sealed input, with its key.
const VALUE: usize = remit_trust::Opening::MAX + 32;

/// Who may call a route.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anybody.
    Open,
    /// Whoever has a session, see [`crate::who`].
    Session,
    /// Anybody: the body is a document that a principal signed, and that is what counts.
    Signed,
}

/// The shape of a body or a query: JSON Schema.
pub(crate) type Shape = fn(&mut SchemaGenerator) -> Schema;

/// What an answer holds.
#[derive(Clone, Copy)]
pub(crate) enum Holds {
    /// JSON of a shape of this crate.
    Own(Shape),
    /// JSON of a shape of `docs/json/remit.schema.json`, by its name there.
    Documented(&'static str),
    /// Bytes or text of this media type.
    Raw(&'static str),
}

/// One route.
pub(crate) struct Route {
    /// Its name: the operation's id in `OpenAPI`, and what calls are counted by.
    pub(crate) id: &'static str,
    /// The HTTP method.
    pub(crate) method: Method,
    /// Its path, with parameters as `{name}`.
    pub(crate) path: &'static str,
    /// What it does, in one sentence.
    pub(crate) does: &'static str,
    /// Who may call it.
    pub(crate) access: Access,
    /// What a call of it costs.
    pub(crate) cost: Cost,
    /// What its query may hold.
    pub(crate) query: Option<Shape>,
    /// What its body holds.
    pub(crate) takes: Option<Holds>,
    /// The status of its answer, and what that holds.
    pub(crate) answers: (u16, Holds),
    /// What serves it.
    pub(crate) serve: fn(MethodFilter) -> MethodRouter<App>,
}

fn shape<T: schemars::JsonSchema>(of: &mut SchemaGenerator) -> Schema {
    of.subschema_for::<T>()
}

macro_rules! routes {
    ($($method:ident $path:literal $id:literal $access:ident $cost:ident, $does:literal;
        $(query $query:ty;)? $(takes $takes:expr;)? answers $status:literal $holds:expr; by $serve:path)+) => {
        /// Every route, in the order of the documentation.
        pub(crate) const ROUTES: &[Route] = &[$(Route {
            id: $id,
            method: Method::$method,
            path: $path,
            does: $does,
            access: Access::$access,
            cost: Cost::$cost,
            query: { let query: Option<Shape> = None; $(let _ = query; let query: Option<Shape> = Some(<$query as schemars::JsonSchema>::json_schema);)? query },
            takes: { let takes: Option<Holds> = None; $(let _ = takes; let takes = Some($takes);)? takes },
            answers: ($status, $holds),
            serve: |filter| on(filter, $serve),
        }),+];
    };
}

use Holds::{Documented, Own, Raw};

routes! {
    GET "/api/v1" "describe" Open Free, "Which home this is, and where."; answers 200 Own(shape::<home::About>); by home::about
    GET "/.well-known/oauth-protected-resource" "protected_resource" Open Free, "Which resource this server is, and who issues tokens for it (RFC 9728)."; answers 200 Own(shape::<home::ProtectedResource>); by home::protected_resource
    GET "/.well-known/oauth-protected-resource/mcp" "protected_resource_mcp" Open Free, "The same for /mcp."; answers 200 Own(shape::<home::ProtectedResource>); by home::protected_resource_mcp
    GET "/requests/{request}" "about_request" Open Free, "What a person does to decide about a request: its `approval_url`. It tells nothing of the request."; answers 200 Raw("text/plain"); by home::about_request
    GET "/healthz" "health" Open Free, "Whether the server answers at all."; answers 200 Raw("text/plain"); by home::health
    GET "/readyz" "ready" Open Free, "Whether the journal can be written and the rules are in force."; answers 200 Raw("text/plain"); by home::ready
    GET "/metrics" "metrics" Open Free, "Counters in Prometheus' text format: how many, never which."; answers 200 Raw("application/openmetrics-text"); by home::metrics
    GET "/api/v1/openapi.json" "openapi" Open Free, "This description, in OpenAPI 3.1."; answers 200 Raw("application/json"); by home::openapi
    GET "/api/v1/docs" "docs" Open Free, "This description as a page for people."; answers 200 Raw(PAGE); by docs::page
    GET "/api/v1/docs/style.css" "docs_style" Open Free, "The style of that page."; answers 200 Raw(STYLE); by docs::style
    GET "/api/v1/log/checkpoint" "checkpoint" Open Free, "The journal's newest signed checkpoint (c2sp.org/tlog-checkpoint)."; answers 200 Raw(NOTE); by log::checkpoint
    GET "/api/v1/log/tile/{*path}" "tile" Open Free, "Hashes of the journal's tree, or digests of its records (c2sp.org/tlog-tiles), which never change."; answers 200 Raw(TILE); by log::tile
    POST "/api/v1/sessions/prepare" "prepare_session" Open Light, "Makes the document that is signed to open a session."; takes Own(shape::<sessions::Prepare>); answers 200 Own(shape::<sessions::ToSign>); by sessions::prepare
    POST "/api/v1/sessions" "open_session" Signed Middle, "Opens a session: a key that the client made up reads in the name of the principal that signed it."; takes Own(shape::<sessions::Open>); answers 201 Own(shape::<crate::who::NewSession>); by sessions::open
    POST "/api/v1/certificates" "certify_key" Signed Middle, "Exchanges an ID token of a platform for a certificate of a key that the client made up: for a few minutes, what the key signs is the principal's."; takes Own(shape::<sessions::Certify>); answers 201 Own(shape::<sessions::CertifiedKey>); by sessions::certify
    GET "/api/v1/status" "status" Session Light, "How the host stands. For people."; answers 200 Documented("commands/status"); by home::status
    GET "/api/v1/principals" "list_principals" Session Light, "The principals, a line for each key and identity."; answers 200 Documented("commands/principals"); by home::principals
    GET "/api/v1/actions" "list_actions" Session Heavy, "The actions that are kept here, in the order of their digests."; query actions::Filter; answers 200 Own(shape::<actions::Page>); by actions::list
    PUT "/api/v1/actions/{digest}" "upload_action" Session Heavy, "Keeps an action that a trusted publisher signed; its signature is in the header Remit-Signature."; takes Raw("application/wasm"); answers 200 Own(shape::<actions::Kept>); by actions::upload
    GET "/api/v1/actions/{digest}" "inspect_action" Session Heavy, "What an action or a connector that is kept here could do, and who signed it."; answers 200 Documented("commands/inspect"); by actions::inspect
    GET "/api/v1/actions/{old}/diff/{new}" "diff_actions" Session Heavy, "What one action imports and the other does not, or what only one of two connectors can send."; answers 200 Documented("commands/inspect"); by actions::diff
    PUT "/api/v1/sealed-inputs/{handle}" "keep_sealed_input" Session Middle, "Keeps the value of a sealed input for the caller: a random key of 32 bytes, and the value. Its handle has the HMAC-SHA256 of journal, name and value under that key."; takes Raw("application/octet-stream"); answers 200 Own(shape::<sealed::Kept>); by sealed::keep
    POST "/api/v1/plans" "rehearse" Session Heavy, "Rehearses an action: looks are real, changes are simulated."; takes Own(shape::<plans::Rehearse>); answers 200 Documented("commands/plan"); by plans::rehearse
    GET "/api/v1/requests" "list_requests" Session Light, "Requests, newest first."; query requests::Filter; answers 200 Documented("commands/requests"); by requests::list
    POST "/api/v1/requests/prepare" "prepare_request" Session Heavy, "Makes the document that is signed to ask for authority. A run is rehearsed for its plan."; takes Own(shape::<requests::Prepare>); answers 200 Own(shape::<sessions::ToSign>); by requests::prepare
    POST "/api/v1/requests" "submit_request" Signed Heavy, "Takes a signed request and puts it on record. With the header Idempotency-Key, an open request of the same principal for the same is the answer instead (200)."; takes Own(shape::<sessions::Signed>); answers 201 Documented("a-request"); by requests::submit
    GET "/api/v1/requests/{request}" "show_request" Session Light, "A request and where it stands."; answers 200 Documented("a-request"); by requests::show
    GET "/api/v1/requests/{request}/explanation" "explain_request" Session Middle, "Which policies decide, what is missing, what each principal could do."; answers 200 Documented("commands/policy explain"); by requests::explain
    POST "/api/v1/requests/{request}/decisions/prepare" "prepare_decision" Session Middle, "Makes the document that is signed to approve or deny a request."; takes Own(shape::<requests::Decide>); answers 200 Own(shape::<sessions::ToSign>); by requests::prepare_decision
    POST "/api/v1/decisions" "submit_decision" Signed Middle, "Takes a signed approval or denial and puts it on record."; takes Own(shape::<sessions::Signed>); answers 201 Documented("a-request"); by requests::submit_decision
    POST "/api/v1/orders/prepare" "prepare_order" Session Middle, "Makes the document that is signed to revoke, freeze, unfreeze, review, revert, extend or resolve."; takes Own(shape::<orders::Prepare>); answers 200 Own(shape::<sessions::ToSign>); by orders::prepare
    POST "/api/v1/orders" "submit_order" Signed Middle, "Takes a signed order and does it."; takes Own(shape::<sessions::Signed>); answers 200 Own(shape::<orders::Done>); by orders::submit
    GET "/api/v1/runs" "list_runs" Session Light, "Runs, newest first."; query runs::Filter; answers 200 Own(shape::<runs::Page>); by runs::list
    POST "/api/v1/runs/prepare" "prepare_run" Session Middle, "Makes the document that is signed to start a run."; takes Own(shape::<runs::Prepare>); answers 200 Own(shape::<sessions::ToSign>); by runs::prepare
    POST "/api/v1/runs" "start_run" Signed Heavy, "Takes a signed trigger and starts the run, which goes on whether or not anybody waits for it."; takes Own(shape::<runs::Start>); answers 202 Own(shape::<runs::Started>); by runs::start
    GET "/api/v1/runs/{run}" "show_run" Session Light, "The story of a run, and its records."; answers 200 Documented("commands/show"); by runs::show
    GET "/api/v1/runs/{run}/events" "follow_run" Session Light, "The records of a run as they are written, as server-sent events; ends with the run."; answers 200 Raw("text/event-stream"); by runs::follow
    GET "/api/v1/runs/{run}/revert" "preview_revert" Session Middle, "What a revert would undo."; query runs::Going; answers 200 Documented("commands/revert"); by runs::preview
    GET "/api/v1/runs/{run}/proof" "prove_run" Session Middle, "A proof of what the run did, for someone who has only the log's public key."; answers 200 Raw("application/json"); by runs::prove
}

impl Route {
    /// How large its body may be.
    pub(crate) fn limit(&self) -> usize {
        match self.takes {
            Some(Raw("application/wasm")) => COMPONENT,
            Some(Raw(_)) => VALUE,
            _ => JSON,
        }
    }
}

/// The router of the table.
pub(crate) fn router(app: App) -> Router {
    let add = |router: Router<App>, route: &'static Route| {
        let Ok(filter) = MethodFilter::try_from(route.method.clone()) else { return router };
        let layers = (DefaultBodyLimit::max(route.limit()), Extension(route.cost));
        router.route(route.path, (route.serve)(filter).layer(layers))
    };
    ROUTES.iter().fold(Router::new(), add).with_state(app)
}
