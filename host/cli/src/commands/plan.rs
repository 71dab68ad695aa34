//! `remit plan`.

use std::path::PathBuf;

use clap::Args;
use remit_file::Wrote;
use remit_gate::Plan as Steps;
use remit_lifecycle::{Error, Home, PlanFile};
use serde_json::json;

use super::common::{Done, INPUT, input, open_for, read_action, scope, usage, write};
use super::listing::called;
use super::sealed::SecretInputs;
use super::signing::Key;
use crate::place::{Place, Server};
use crate::print::{self, SlowNote, say};

#[derive(Args)]
#[command(
    after_help = "Reads are real, changes are simulated, secrets are made up. The plan is what the host observed.\n\nExample:\n  remit plan rotate-secret.wasm --input '{\"path\":\"app/db\"}' --key alice.key --emit-scope scope.toml"
)]
pub(crate) struct Plan {
    /// The action (.wasm).
    action: PathBuf,
    /// The input: JSON, @FILE, - for standard input, or KEY=VALUE for each key.
    #[arg(long, value_name = INPUT, required = true)]
    input: Vec<String>,
    #[command(flatten)]
    secret: SecretInputs,
    /// Rehearse inside this scope [default: all that the action imports].
    #[arg(long, value_name = "FILE")]
    scope: Option<PathBuf>,
    /// The reason that the action is given. To the action, a rehearsal looks like a run.
    #[arg(long, value_name = "TEXT", default_value = "plan")]
    reason: String,
    #[command(flatten)]
    key: Key,
    /// Write the plan to FILE.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write the least scope that covers the plan to FILE.
    #[arg(long, value_name = "FILE")]
    emit_scope: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Plan {
    async fn here(&self, home: &Home) -> Done<PlanFile> {
        let candidate = home.candidate(&self.action)?;
        let input = input(&self.input, &candidate)?;
        let scope = scope(self.scope.as_deref())?;
        let host = open_for(home, Some(&candidate)).await?;
        let by = self.key.holder(&host)?;
        let sealing = self.secret.read(&host.rules()?.log)?;
        let input = sealing.within(&input)?;
        sealing.keep(&host, by.key())?;
        let _note = SlowNote::start("rehearsing");
        let what = (&candidate, &input);
        Ok(remit_lifecycle::rehearse(&host, by.key(), what, scope, &self.reason).await?)
    }

    /// The same through a server. The action is uploaded first.
    fn at(&self, server: &Server) -> Done<PlanFile> {
        let candidate = read_action(&self.action)?;
        let sealing = self.secret.read(&server.about().log)?;
        let input = sealing.within(&input(&self.input, &candidate)?)?.value()?;
        let scope = scope(self.scope.as_deref())?;
        server.upload(&candidate)?;
        sealing.upload(server)?;
        let _note = SlowNote::start("rehearsing");
        let action = candidate.digest().to_string();
        let body = json!({"action": action, "input": input, "scope": scope, "reason": self.reason});
        server.post("/api/v1/plans", &body)
    }

    pub(crate) async fn run(self, place: &Place) -> Done {
        let plan = match place.server()? {
            Some(server) => self.at(&server)?,
            None => self.here(place.home()?).await?,
        };
        let mut wrote = Vec::new();
        if let Some(out) = &self.out {
            wrote.push(("plan", out, write(out, serde_json::to_string_pretty(&plan).map_err(Error::from)?)?));
        }
        if let Some(out) = &self.emit_scope {
            let scope = plan.plan.least_scope().to_toml();
            let help = "this is a defect of Remit; report it";
            let scope =
                scope.map_err(|error| usage(format!("the scope cannot be written: {error}"), help))?;
            wrote.push(("scope", out, write(out, scope)?));
        }
        if self.json {
            print::json(&plan)?;
            return Ok(0);
        }
        say!(
            "{} {}  {}",
            print::word(&plan.action.name),
            print::word(&plan.action.version),
            plan.action.digest.short()
        );
        print_plan(&plan.plan);
        for (what, file, wrote) in wrote {
            if wrote == Wrote::File {
                say!("wrote {what}  {}", file.display());
            }
        }
        Ok(0)
    }
}

/// Prints the steps of a plan.
pub(crate) fn print_plan(plan: &Steps) {
    if plan.steps.is_empty() {
        say!("  touches nothing");
        return;
    }
    let mut rows = vec![["#", "effect", "operation", "resource", "undo"].map(ToOwned::to_owned).to_vec()];
    for (number, step) in plan.steps.iter().enumerate() {
        let undo = match (&step.undo, &step.irrevocable_because) {
            (Some(undo), _) => undo.clone(),
            (None, Some(why)) => format!("NONE: {why}"),
            (None, None) => "-".to_owned(),
        };
        let (operation, with) = called(&step.operation, &step.arguments);
        rows.push(vec![
            (number + 1).to_string(),
            if step.content { "reads content".to_owned() } else { step.effect.to_string() },
            if step.phase == remit_gate::Phase::Run {
                operation
            } else {
                format!("{operation} ({})", step.phase)
            },
            step.resource.to_string(),
            undo,
            with,
        ]);
    }
    print::table(2, &rows);
    for (number, step) in plan.steps.iter().enumerate() {
        if let Some(caution) = &step.caution {
            say!("  {}: {}", number + 1, print::word(caution));
        }
    }
}
