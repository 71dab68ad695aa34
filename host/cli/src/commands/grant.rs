//! `remit grant`.

use std::path::PathBuf;

use clap::Args;
use jiff::SignedDuration;
use remit_gate::Scope;
use remit_journal::ActionRef;
use remit_lifecycle::{Error, Grant as Signed, GrantRequest, Input, PlanFile};
use remit_sandbox::{Candidate, Inspection};
use remit_trust::SigningKey;

use super::plan::steps;
use super::{Done, INPUT, input, read, write};
use crate::print::{self, say};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  remit grant --plan plan.json --key operator.key --reason 'INC-7: leaked' --out app.grant\n  remit grant --scope scope.toml --action A.wasm --input '{}' --key operator.key --reason 'INC-7' --out app.grant"
)]
pub(crate) struct Grant {
    /// Grant exactly this plan, as `remit plan --out` wrote it.
    #[arg(long, value_name = "FILE", required_unless_present = "scope", conflicts_with_all = ["action", "input"])]
    plan: Option<PathBuf>,
    /// Grant this scope; with --plan, instead of the plan's least scope.
    #[arg(long, value_name = "FILE")]
    scope: Option<PathBuf>,
    /// Without a plan: the action.
    #[arg(long, value_name = "FILE", required_unless_present = "plan")]
    action: Option<PathBuf>,
    /// Without a plan: what the action is given.
    #[arg(long, value_name = INPUT, required_unless_present = "plan")]
    input: Vec<String>,
    /// The operator's private key.
    #[arg(long, value_name = "FILE.key")]
    key: PathBuf,
    /// Why; it stands in the journal.
    #[arg(long)]
    reason: String,
    /// For how long from now, at most 24h.
    #[arg(long, default_value = "15m", value_name = "DURATION")]
    ttl: SignedDuration,
    /// How many runs.
    #[arg(long, default_value_t = 1, value_name = "N")]
    uses: u32,
    /// Where to write the grant.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Grant {
    pub(crate) fn run(self) -> Done {
        let scope = match &self.scope {
            Some(file) => Some(Scope::parse(&read(file)?, &file.display().to_string())?),
            None => None,
        };
        let (action, digest, plan) = match (&self.plan, &self.action) {
            (Some(file), _) => {
                let file = PlanFile::load(file)?;
                (file.action, Input::of(&file.input)?.digest(), Some(file.plan))
            }
            (None, Some(action)) => {
                let candidate = Candidate::read(action)?;
                let found = Inspection::of(&candidate)?;
                let input = input(&self.input, &candidate)?;
                input.check(&found)?;
                let action =
                    ActionRef { digest: candidate.digest(), name: found.name, version: found.version };
                (action, input.digest(), None)
            }
            _ => return Ok(2),
        };
        let scope = match (scope, &plan) {
            (Some(scope), _) => scope,
            (None, Some(plan)) => plan.least_scope(),
            (None, None) => return Ok(2),
        };
        let key = SigningKey::load(&self.key)?;
        let grant = Signed::new(GrantRequest {
            action,
            input: digest,
            scope,
            plan,
            reason: self.reason,
            ttl: self.ttl,
            uses: self.uses,
        })?;
        write(&self.out, &serde_json::to_string_pretty(&grant.sign(&key)?).map_err(Error::from)?)?;
        say!(
            "granted   {} {}  {}",
            print::word(&grant.action.name),
            print::word(&grant.action.version),
            grant.action.digest.short()
        );
        say!(
            "until     {}   {} run(s)",
            grant.not_after.round(jiff::Unit::Second).unwrap_or(grant.not_after),
            grant.uses
        );
        say!("by        {}", key.verifying_key().id().short());
        if let Some(plan) = &grant.plan {
            steps(plan);
        }
        say!("wrote     {}", self.out.display());
        Ok(0)
    }
}
