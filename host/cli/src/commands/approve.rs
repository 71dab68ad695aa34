//! `remit approve` and `remit deny`.

use clap::Args;
use remit_lifecycle::{Approval, Decision, Home, prepare_decision, submit_decision};
use remit_trust::Digest;

use super::common::{Done, notify, open};
use super::request::print_request;
use super::signing::{Signing, SigningResult};

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
    pub(crate) async fn run(self, home: &Home) -> Done {
        let decision = Decision { approve: true, reason: self.reason, expect: self.digest };
        decide(home, &self.signing, &self.request, &decision, self.json).await
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
    pub(crate) async fn run(self, home: &Home) -> Done {
        let decision = Decision { approve: false, reason: self.reason.unwrap_or_default(), expect: None };
        decide(home, &self.signing, &self.request, &decision, self.json).await
    }
}

async fn decide(home: &Home, signing: &Signing, request: &str, decision: &Decision, json: bool) -> Done {
    let host = open(home).await?;
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
