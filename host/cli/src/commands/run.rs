//! `remit run`.

use clap::Args;
use remit_journal::{RequestId, RunState};
use remit_lifecycle::{
    Error, Home, Host, Prepared, Request, RequestState, RunView, Start, Status, Trigger, prepare_start,
    submit_request, submit_start,
};
use remit_sandbox::Candidate;

use super::common::{Done, INPUT, input, notify, open_for};
use super::request::print_request;
use super::revert::print_steps;
use super::signing::{Mode, Signing, SigningResult};
use crate::print::{self, SlowNote, say};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  remit run req-01jd2m4k9x8s7t6v5w4y3z2a1b --key bot.key\n  remit run rotate-secret.wasm --input path=app/db --under req-01jd2m --reason 'INC-7' --key bot.key\n\nThe second runs under a standing scope. If its plan is outside that scope, it becomes a request."
)]
pub(crate) struct Run {
    /// The request, or the beginning of its name; with --under, the action.
    what: String,
    /// With --under: the input.
    #[arg(long, value_name = INPUT, requires = "under")]
    input: Vec<String>,
    /// The approved request for a standing scope.
    #[arg(long, value_name = "REQUEST", requires = "input")]
    under: Option<String>,
    /// With --under: the reason.
    #[arg(long, value_name = "TEXT", requires = "under")]
    reason: Option<String>,
    #[command(flatten)]
    signing: Signing,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Run {
    pub(crate) async fn run(self, home: &Home) -> Done {
        let what = match &self.under {
            None => None,
            Some(_) => {
                let candidate = home.candidate(self.what.as_ref())?;
                let input = input(&self.input, &candidate)?;
                Some((candidate, input))
            }
        };
        let what = what.as_ref().map(|(candidate, input)| (candidate, input));
        let kept = if what.is_none() { action_of(home, &self.what) } else { None };
        let host = open_for(home, what.map(|(candidate, _)| candidate).or(kept.as_ref())).await?;
        let mode = self.signing.mode(&host)?;
        let id = host.journal.reader()?.find_request(self.under.as_ref().unwrap_or(&self.what))?;
        let prepare = async |by: &_| prepare_start(&host, by, id, what, self.reason.as_deref());
        let is_it = |signed: &Trigger| {
            if signed.id == id { Ok(()) } else { Err(format!("it starts {}", signed.id)) }
        };
        let again = match &self.under {
            None => format!("remit run {id}"),
            Some(_) => format!("remit run {} --input … --under {id}", self.what),
        };
        let note = SlowNote::start("running");
        let SigningResult::Signed(signed) = mode.document(&host, &again, prepare, is_it).await? else {
            return Ok(0);
        };
        let done = match submit_start(&host, &signed, what).await {
            Ok(Start::Started(started)) => started.end().await,
            Ok(Start::Outside { request, why }) => {
                drop(note);
                return self.asked(&host, &mode, id, &request, &why).await;
            }
            Err(error) => Err(error),
        };
        notify(&host).await;
        let done = done?;
        drop(note);
        if self.json {
            print::json(&RunView::from(&done))?;
        } else {
            say!("{}  {}", done.run, done.state);
            if let Some(output) = &done.output {
                say!("output    {}", print::word(&output.to_string()));
            }
            if done.sealed {
                say!(
                    "output    sealed: the action was given a secret or content (`remit show {} --own-words`)",
                    done.run
                );
            }
            if let Some(reverted) = &done.reverted {
                print_steps(reverted, "undone");
            }
            let used = &done.consumed;
            say!(
                "used      {} ms, {} fuel, {} KiB memory, {} host calls, {} change(s)",
                used.wall_time,
                used.fuel,
                used.memory / 1024,
                used.calls.host_calls,
                used.calls.changes
            );
        }
        let Some(cause) = done.cause else { return Ok(0) };
        let code = print::error(&cause);
        Ok(if matches!(done.state, RunState::Held | RunState::InDoubt) {
            print::warn(&format!("       {}", super::recovery::next_step(done.run, done.state)));
            5
        } else {
            code
        })
    }

    /// Requests what a standing scope does not cover, instead of running it.
    async fn asked(
        &self,
        host: &Host,
        mode: &Mode<'_>,
        id: RequestId,
        request: &Prepared<Request>,
        why: &str,
    ) -> Done {
        let Mode::Sign(by) = mode else {
            let why = format!("it does not cover this: {why}");
            return Err(Box::new(Error::NotReady { id: id.to_string(), why }));
        };
        let signed = by.sign(request)?;
        let state = submit_request(host, &signed).await?;
        notify(host).await;
        print_request(host, &state, self.json)?;
        let next = match state.status(&*host.rules()?) {
            Status::Approved => "needs no approval: ",
            _ => "once it is approved, ",
        };
        print::warn(&format!(
            "error: {id} does not cover this: {}\n help: a request was made instead; {next}`remit run {}`",
            print::safe(why),
            state.request.id
        ));
        Ok(3)
    }
}

/// The action of a request, to compile it before the home is opened. Ignores errors here: they occur again when it is used.
fn action_of(home: &Home, request: &str) -> Option<Candidate> {
    let (reader, rules) = (home.reader().ok()?, home.rules().ok()?);
    let state = RequestState::load(&reader, &rules, reader.find_request(request).ok()?).ok()?;
    home.action_of(&state.request)
}
