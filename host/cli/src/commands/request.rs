//! `remit request`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::SignedDuration;
use remit_client::{WantedAuthority, WantedRequest};
use remit_file::{FileError, Kind};
use remit_lifecycle::{
    ActionSelector, Error, Home, Host, Hours, RequestOptions, RequestState, RequestView, StandingScope,
    prepare_run_request, prepare_standing_request, submit_request,
};
use serde_json::json;

use super::common::{Done, INPUT, input, notify, open_for, read_action, scope, usage, write};
use super::plan::print_plan;
use super::sealed::{Sealing, SecretInputs};
use super::signing::{Signing, SigningResult};
use crate::place::{Place, Server};
use crate::print::{self, SlowNote, say};

#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  remit request rotate-secret.wasm --input path=app/db --reason 'INC-7: leaked' --key bot.key\n  remit request show req-01jd2m4k9x8s7t6v5w4y3z2a1b\n  remit request rotate-secret.wasm --standing --scope night.toml --hours 'mon-fri 22:00-06:00' --for bot --ttl 168h --reason 'night shift' --key alice.key\n\nThe action is rehearsed. The request is for exactly the operations that the host observed."
)]
pub(crate) struct Request {
    #[command(subcommand)]
    about: Option<About>,
    #[command(flatten)]
    make: Make,
}

#[derive(Subcommand)]
enum About {
    /// Show a request and its status.
    Show(Show),
    /// Write the signed documents of a request, and the signatures by SSH keys, for ssh-keygen.
    Export(Export),
}

#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
struct Make {
    /// The action (.wasm).
    #[arg(required_unless_present = "signed", conflicts_with = "signed")]
    action: Option<PathBuf>,
    /// The input: JSON, @FILE, - for standard input, or KEY=VALUE for each key.
    #[arg(long, value_name = INPUT)]
    input: Vec<String>,
    #[command(flatten)]
    secret: SecretInputs,
    /// The reason, for the record.
    #[arg(long, value_name = "TEXT", required_unless_present = "signed")]
    reason: Option<String>,
    /// The incident that it belongs to.
    #[arg(long, value_name = "ID")]
    incident: Option<String>,
    /// How long it is valid from now on: at most 24h, a standing scope at most 30d.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = remit_text::duration::parse)]
    ttl: SignedDuration,
    /// How many runs may start under it.
    #[arg(long, value_name = "N", default_value_t = 1)]
    uses: u32,
    /// Who may start a run: only those named here [default: the requester]. May be repeated.
    #[arg(long = "for", value_name = "NAME")]
    triggers: Vec<String>,
    /// Request this scope instead of the least one that covers the plan.
    #[arg(long, value_name = "FILE")]
    scope: Option<PathBuf>,
    /// Request any change inside the scope, rehearsed or not.
    #[arg(long, requires = "scope", conflicts_with = "standing")]
    without_plan: bool,
    /// Request to go without the usual policies: the [break-glass] quorum approves, and somebody else must review the run.
    #[arg(long, conflicts_with = "standing")]
    break_glass: bool,
    /// Request authority ahead of need: for any run of this action inside the scope.
    #[arg(long, requires = "scope", conflicts_with_all = ["uses", "input", "given"])]
    standing: bool,
    /// With --standing: any version in this range by the same publisher, instead of exactly this component.
    #[arg(long, value_name = "RANGE", requires = "standing")]
    versions: Option<semver::VersionReq>,
    /// With --standing: runs may start only at these times, in UTC. May be repeated.
    #[arg(long, value_name = "'mon-fri 22:00-06:00'", requires = "standing")]
    hours: Vec<Hours>,
    /// With --standing: how many runs may start within an hour.
    #[arg(long, value_name = "N", default_value_t = 10, requires = "standing")]
    runs_per_hour: u32,
    /// With --standing: how many changes all runs together may make within an hour.
    #[arg(long, value_name = "N", default_value_t = 10, requires = "standing")]
    changes_per_hour: u64,
    #[command(flatten)]
    signing: Signing,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Show {
    /// The request, or the beginning of its name; `last` for the newest.
    request: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Export {
    /// The request, or the beginning of its name.
    request: String,
    /// The folder to write to: NAME.signed for each document, NAME.sig for each signature by an SSH key.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Request {
    pub(crate) async fn run(self, place: &Place) -> Done {
        match (self.about, place.server()?) {
            (None, None) => Box::pin(self.make.run(place.home()?)).await,
            (None, Some(server)) => self.make.run_at(&server).await,
            (Some(About::Show(show)), None) => {
                let home = place.home()?;
                let (rules, reader) = (home.rules()?, home.reader()?);
                let id = match (&*show.request, reader.requests()?.pop()) {
                    ("last", Some(last)) => last,
                    (name, _) => reader.find_request(name)?,
                };
                let state = RequestState::load(&reader, &rules, id)?;
                self::show(&RequestView::of(&reader, &rules, &state)?, show.json)
            }
            (Some(About::Show(show)), Some(server)) => self::show(&server.request(&show.request)?, show.json),
            (Some(About::Export(export)), _) => {
                let home = place.home()?;
                let (rules, reader) = (home.rules()?, home.reader()?);
                let state = RequestState::load(&reader, &rules, reader.find_request(&export.request)?)?;
                let signed = state.for_ssh_keygen()?;
                std::fs::create_dir_all(&export.out)
                    .map_err(|error| Error::from(FileError::writing(&export.out, Kind::Output, &error)))?;
                for (name, text) in signed {
                    let path = export.out.join(name);
                    write(&path, text)?;
                    say!("wrote     {}", path.display());
                }
                Ok(0)
            }
        }
    }
}

impl Make {
    async fn run(self, home: &Home) -> Done {
        let candidate = self.action.as_ref().map(|action| home.candidate(action)).transpose()?;
        let scope = scope(self.scope.as_deref())?;
        // The action of a standing scope is not rehearsed.
        let rehearsed = candidate.as_ref().filter(|_| !self.standing);
        let host = open_for(home, rehearsed).await?;
        let mode = self.signing.mode(&host)?;
        let input = match &candidate {
            Some(candidate) if !self.standing => {
                if self.input.is_empty() {
                    return Err(usage("no --input is given".to_owned(), "say what the action is given"));
                }
                Some(input(&self.input, candidate)?)
            }
            _ => None,
        };
        let sealing =
            if input.is_some() { self.secret.read(&host.rules()?.log)? } else { Sealing::default() };
        let input = input.map(|input| sealing.within(&input)).transpose()?;
        let standing = match &candidate {
            Some(candidate) if self.standing => Some(StandingScope {
                action: ActionSelector::of(&host.setup()?.publishers, candidate, self.versions.as_ref())?,
                hours: self.hours.clone(),
                runs_per_hour: self.runs_per_hour,
                changes_per_hour: self.changes_per_hour,
            }),
            _ => None,
        };
        let prepare = async |by: &_| {
            let options = self.options();
            sealing.keep(&host, by)?;
            match (candidate, input, standing, scope) {
                (_, _, Some(standing), Some(scope)) => {
                    prepare_standing_request(&host, by, standing, scope, options)
                }
                (Some(candidate), Some(input), _, scope) => {
                    let _note = SlowNote::start("rehearsing");
                    let how = (scope, self.without_plan);
                    prepare_run_request(&host, by, &candidate, &input, how, options).await
                }
                // clap demands an action, and a scope for --standing.
                _ => Err(Error::RequestOption { why: "no action is named".to_owned() }),
            }
        };
        let is_it = |_: &remit_lifecycle::Request| Ok(());
        let SigningResult::Signed(signed) = mode.document(&host, "remit request", prepare, is_it).await?
        else {
            return Ok(0);
        };
        let state = submit_request(&host, &signed).await?;
        notify(&host).await;
        print_request(&host, &state, self.json)
    }

    /// The same through a server. The action is uploaded first.
    async fn run_at(self, server: &Server) -> Done {
        let candidate = self.action.as_ref().map(|action| read_action(action)).transpose()?;
        let scope = scope(self.scope.as_deref())?;
        let mut body = json!({
            "reason": self.reason,
            "incident": self.incident,
            "ttl": format!("{:#}", self.ttl),
            "triggers": self.triggers,
            "break_glass": self.break_glass,
            "without_plan": self.without_plan,
            "scope": scope,
        });
        let mut given = None;
        let mut sealing = Sealing::default();
        if let Some(candidate) = &candidate {
            body["action"] = candidate.digest().to_string().into();
            if self.standing {
                let hours: Vec<String> = self.hours.iter().map(ToString::to_string).collect();
                body["standing"] = json!({
                    "versions": self.versions,
                    "hours": hours,
                    "runs_per_hour": self.runs_per_hour,
                    "changes_per_hour": self.changes_per_hour,
                });
            } else {
                if self.input.is_empty() {
                    return Err(usage("no --input is given".to_owned(), "say what the action is given"));
                }
                sealing = self.secret.read(&server.about().log)?;
                let input = sealing.within(&input(&self.input, candidate)?)?.value()?;
                body["uses"] = self.uses.into();
                body["input"] = input.clone();
                given = Some((candidate.digest(), input));
            }
            server.upload(candidate)?;
            sealing.upload(server)?;
        }
        let wanted = WantedRequest {
            asks: match &given {
                Some((action, input)) => {
                    WantedAuthority::Run { action: *action, input, without_plan: self.without_plan }
                }
                None => WantedAuthority::Standing {
                    hours: &self.hours,
                    runs_per_hour: self.runs_per_hour,
                    changes_per_hour: self.changes_per_hour,
                },
            },
            scope: scope.as_ref(),
            reason: self.reason.as_deref().unwrap_or_default(),
            incident: self.incident.as_deref(),
            triggers: &self.triggers,
            ttl: self.ttl,
            uses: self.uses,
            break_glass: self.break_glass,
        };
        let is_it = |made: &remit_lifecycle::Request| match wanted.differs(made) {
            // What was signed elsewhere was looked at there.
            Some(what) if !self.signing.is_submit() => {
                Err(format!("in the request, {what} would be another"))
            }
            _ => Ok(()),
        };
        let note = SlowNote::start("rehearsing");
        let prepare = ("/api/v1/requests/prepare", &mut body);
        let SigningResult::Signed(signed) =
            self.signing.at_server(server, "remit request", prepare, is_it).await?
        else {
            return Ok(0);
        };
        drop(note);
        self::show(&server.submit_about_request("/api/v1/requests", &signed)?, self.json)
    }

    fn options(&self) -> RequestOptions {
        RequestOptions {
            reason: self.reason.clone().unwrap_or_default(),
            incident: self.incident.clone(),
            ttl: self.ttl,
            uses: (!self.standing).then_some(self.uses),
            triggers: self.triggers.clone(),
            break_glass: self.break_glass,
        }
    }
}

/// Prints a request, with all that a person needs to decide about it.
pub(super) fn print_request(host: &Host, state: &RequestState, as_json: bool) -> Done {
    show(&RequestView::of(&*host.journal.reader()?, &*host.rules()?, state)?, as_json)
}

/// Prints the view of a request.
pub(super) fn show(view: &RequestView, as_json: bool) -> Done {
    if as_json {
        print::json(view)?;
        return Ok(0);
    }
    let request = &view.request;
    say!("{}  {}", request.id, print::word(&view.headline()));
    if request.break_glass {
        say!("  BREAK-GLASS: goes without the usual policy");
    }
    for (name, text) in view.facts() {
        say!("  {name:<10} {}", print::word(&text));
    }
    print_powers(view);
    if let Some(plan) = request.plan() {
        print_plan(plan);
    }
    if view.status == "waiting" {
        say!("  remit approve {}  or  remit deny {} --reason …", request.id, request.id);
    }
    Ok(0)
}

/// Prints every power that it would give, the strongest first, and the limits of a run.
fn print_powers(view: &RequestView) {
    let mut rows = vec![["power", "on", "by", "use"].map(ToOwned::to_owned).to_vec()];
    rows.extend(view.powers.all.iter().rev().map(|power| {
        let (does, on) = (power.does.to_string(), power.resource.to_string());
        vec![does, on, power.capability.clone(), view.powers.use_of(power)]
    }));
    if rows.len() > 1 {
        print::table(2, &rows);
    }
    say!("  {:<10} {}", "limits", print::word(&view.powers.limits_in_words()));
    for (when, what) in view.request.scope.terms() {
        say!("  {when:<10} {what}");
    }
}
