//! `remit approve` and `remit deny`.

use clap::Args;
use remit_lifecycle::{Approval, Decision, prepare_decision, submit_decision};
use remit_trust::Digest;
use serde_json::json;

use super::common::{Done, notify, open};
use super::request::{print_request, show};
use super::signing::{Signing, SigningResult};
use crate::place::{Place, Server};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  remit approve req-01jd2m4k9x8s7t6v5w4y3z2a1b --key alice.key\n  remit approve 01jd2m --key ~/.ssh/id_ed25519.pub        the ssh-agent signs\n  remit approve 01jd2m --digest sha256:… --key alice.key  only if it is the request that you read"
)]
pub(crate) struct Approve {
    /// The request, or the beginning of its name.
    request: String,
    /// Approve only if the request has this digest.
    #[arg(long, value_name = "DIGEST")]
    digest: Option<Digest>,
    /// The reason, for the record.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    signing: Signing,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Approve {
    pub(crate) async fn run(self, place: &Place) -> Done {
        let decision = Decision { approve: true, reason: self.reason, expect: self.digest };
        decide(place, &self.signing, &self.request, &decision, self.json).await
    }
}

#[derive(Args)]
#[command(
    after_help = "Example:\n  remit deny req-01jd2m4k9x8s7t6v5w4y3z2a1b --reason 'wrong secret' --key alice.key"
)]
pub(crate) struct Deny {
    /// The request, or the beginning of its name.
    request: String,
    /// The reason, for the record.
    #[arg(long, value_name = "TEXT", required_unless_present = "signed")]
    reason: Option<String>,
    #[command(flatten)]
    signing: Signing,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Deny {
    pub(crate) async fn run(self, place: &Place) -> Done {
        let decision = Decision { approve: false, reason: self.reason.unwrap_or_default(), expect: None };
        decide(place, &self.signing, &self.request, &decision, self.json).await
    }
}

async fn decide(place: &Place, signing: &Signing, request: &str, decision: &Decision, json: bool) -> Done {
    if let Some(server) = place.server()? {
        return decide_at(&server, signing, request, decision, json).await;
    }
    let host = open(place.home()?).await?;
    let mode = signing.mode(&host)?;
    let id = host.journal.reader()?.find_request(request)?;
    let verb = if decision.approve { "approve" } else { "deny" };
    let prepare = async |by: &_| prepare_decision(&host, by, id, decision);
    let is_it = |signed: &Approval| match signed {
        signed if signed.id != id => Err(format!("it is about {}", signed.id)),
        signed if signed.approve != decision.approve => Err(format!("it does not {verb}")),
        _ => Ok(()),
    };
    let again = format!("remit {verb} {id}");
    let SigningResult::Signed(signed) = mode.document(&host, &again, prepare, is_it).await? else {
        return Ok(0);
    };
    let state = submit_decision(&host, &signed).await?;
    notify(&host).await;
    print_request(&host, &state, json)
}

/// The same through a server. The decision names the digest of what the server shows, computed here.
async fn decide_at(
    server: &Server,
    signing: &Signing,
    request: &str,
    decision: &Decision,
    as_json: bool,
) -> Done {
    let view = server.request(request)?;
    let (id, verb) = (view.request.id, if decision.approve { "approve" } else { "deny" });
    let mut body = json!({
        "approve": decision.approve,
        "reason": decision.reason,
        "digest": decision.expect.unwrap_or(view.digest).to_string(),
    });
    let is_it = |signed: &Approval| match signed {
        signed if signed.id != id => Err(format!("it is about {}", signed.id)),
        signed if signed.approve != decision.approve => Err(format!("it does not {verb}")),
        signed if signed.request != view.digest => {
            Err("it is about another request than is shown".to_owned())
        }
        signed if !signing.is_submit() && signed.reason != decision.reason => {
            Err("it gives another reason".to_owned())
        }
        _ => Ok(()),
    };
    let path = format!("/api/v1/requests/{id}/decisions/prepare");
    let again = format!("remit {verb} {id}");
    let SigningResult::Signed(signed) = signing.at_server(server, &again, (&path, &mut body), is_it).await?
    else {
        return Ok(0);
    };
    show(&server.submit_about_request("/api/v1/decisions", &signed)?, as_json)
}
