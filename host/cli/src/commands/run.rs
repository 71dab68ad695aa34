//! `remit run`.

use clap::Args;
use remit_client::WantedStart;
use remit_journal::{RequestId, RunId, RunState};
use remit_lifecycle::{
    Class, Error, Home, Host, Input, Prepared, Request, RequestState, RequestView, RequestedAuthority,
    RunView, Start, Trigger, prepare_start, submit_request, submit_start,
};
use remit_sandbox::Candidate;
use serde::Deserialize;
use serde_json::json;

use super::common::{Done, INPUT, input, notify, open_for, read_action, usage};
use super::request::show;
use super::revert::print_steps;
use super::sealed::{Sealing, SecretInputs};
use super::signing::{Mode, Signing, SigningResult};
use crate::place::{Place, Server};
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
    #[command(flatten)]
    secret: SecretInputs,
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
    pub(crate) async fn run(self, place: &Place) -> Done {
        if let Some(server) = place.server()? {
            return self.at(&server).await;
        }
        let home = place.home()?;
        let what = match &self.under {
            None => None,
            Some(_) => {
                let candidate = home.candidate(self.what.as_ref())?;
                let input = input(&self.input, &candidate)?;
                Some((candidate, input))
            }
        };
        let kept = if what.is_none() { action_of(home, &self.what) } else { None };
        let action = what.as_ref().map(|(candidate, _)| candidate);
        let host = open_for(home, action.or(kept.as_ref())).await?;
        let mode = self.signing.mode(&host)?;
        let sealing = self.sealing(&host.rules()?.log)?;
        let what = match what {
            Some((candidate, input)) => Some((candidate, sealing.within(&input)?)),
            None => None,
        };
        let what = what.as_ref().map(|(candidate, input)| (candidate, input));
        let id = host.journal.reader()?.find_request(self.under.as_ref().unwrap_or(&self.what))?;
        let prepare = async |by: &_| {
            sealing.keep(&host, by)?;
            prepare_start(&host, by, id, what, self.reason.as_deref())
        };
        let is_it = |signed: &Trigger| {
            if signed.id == id { Ok(()) } else { Err(format!("it starts {}", signed.id)) }
        };
        let note = SlowNote::start("running");
        let SigningResult::Signed(signed) = mode.document(&host, &self.again(id), prepare, is_it).await?
        else {
            sealing.tell();
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
        self.told(&RunView::from(&done))?;
        let Some(cause) = done.cause else { return Ok(0) };
        let code = print::error(&cause);
        Ok(next_step(done.run, done.state).unwrap_or(code))
    }

    /// Reads the sealed inputs, for the journal `log`.
    fn sealing(&self, log: &str) -> Done<Sealing> {
        if self.secret.is_empty() {
            return Ok(Sealing::default());
        }
        if self.under.is_none() {
            let why = "a request has the input of its run, sealed or not".to_owned();
            return Err(usage(why, "leave --secret-input out, or give it with --under"));
        }
        if self.signing.is_submit() {
            let why = "what was signed has the handles of the sealed inputs already".to_owned();
            return Err(usage(why, "give the handles that --prepare printed: --input NAME=sealed:NAME:…"));
        }
        self.secret.read(log)
    }

    /// The command that submits the trigger, if it is signed elsewhere.
    fn again(&self, id: RequestId) -> String {
        match &self.under {
            None => format!("remit run {id}"),
            Some(_) => format!("remit run {} --input … --under {id}", self.what),
        }
    }

    /// The same through a server. The run goes on there, whatever becomes of this process.
    async fn at(&self, server: &Server) -> Done {
        #[derive(Deserialize)]
        struct Started {
            run: RunId,
        }
        let view = server.request(self.under.as_ref().unwrap_or(&self.what))?;
        let id = view.request.id;
        let sealing = self.sealing(&server.about().log)?;
        let (action, input) = match (&self.under, &view.request.asks) {
            (None, RequestedAuthority::Run { action, input, .. }) => (action.digest, Input::of(input)?),
            (None, RequestedAuthority::Standing(_)) => {
                let why = format!("{id} is a standing scope");
                return Err(usage(
                    why,
                    "also name the action and its input: `remit run ACTION --input … --under`",
                ));
            }
            (Some(_), _) => {
                let candidate = read_action(self.what.as_ref())?;
                let input = sealing.within(&input(&self.input, &candidate)?)?;
                server.upload(&candidate)?;
                sealing.upload(server)?;
                (candidate.digest(), input)
            }
        };
        let mut body = json!({"request": id, "reason": self.reason});
        let given = self.under.is_some().then(|| input.value()).transpose()?;
        if let Some(given) = &given {
            body["action"] = action.to_string().into();
            body["input"] = given.clone();
        }
        let wanted = WantedStart { id, request: view.digest, action, input: input.digest() };
        let is_it = |signed: &Trigger| {
            let same = wanted.is(signed) && (self.signing.is_submit() || signed.reason == self.reason);
            if same { Ok(()) } else { Err(format!("it starts something else than {id}")) }
        };
        let prepare = ("/api/v1/runs/prepare", &mut body);
        let SigningResult::Signed(signed) =
            self.signing.at_server(server, &self.again(id), prepare, is_it).await?
        else {
            sealing.tell();
            return Ok(0);
        };
        let _note = SlowNote::start("running");
        let body = json!({"document": signed, "input": given});
        let started: Started = match server.submit_or("/api/v1/runs", &body)? {
            Ok(started) => started,
            Err((why, instead)) => {
                let by = self.signing.holder_at(server)?;
                let request = server.received::<Request>(&instead, by.key())?;
                let is_it = match &request.document.asks {
                    RequestedAuthority::Run { action: asked, input: with, plan: Some(plan) } => {
                        (asked.digest, Some(with)) == (action, given.as_ref())
                            && request.document.scope == view.request.scope.least_for(plan)
                            && Some(&request.document.reason) == self.reason.as_ref()
                            && !request.document.break_glass
                    }
                    _ => false,
                };
                if !is_it {
                    return Err(server.altered("the request is not for this run".to_owned()));
                }
                let view = server.submit_about_request("/api/v1/requests", &by.sign(&request)?)?;
                return self.instead(&view, &why);
            }
        };
        server.wait(&format!("/api/v1/runs/{}/events", started.run))?;
        let (run, records) = server.run(&started.run.to_string())?;
        let Some(done) = RunView::of(run, &records) else {
            let why = format!("{run} goes on, and its end was not seen");
            return Err(usage(why, "`remit show` tells how it went on"));
        };
        self.told(&done)?;
        let Some(cause) = &done.cause else { return Ok(0) };
        print::warn(&format!(
            "error: {}\n help: `remit show {run}` tells the story of the run",
            print::safe(cause)
        ));
        let class = Class::of_code(done.code.as_deref().unwrap_or_default());
        Ok(next_step(run, done.state).unwrap_or(class.exit_code()))
    }

    /// Prints how a run ended, but not why.
    fn told(&self, done: &RunView) -> Done<()> {
        if self.json {
            return Ok(print::json(done)?);
        }
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
        Ok(())
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
        let view = RequestView::of(&*host.journal.reader()?, &*host.rules()?, &state)?;
        self.instead(&view, &format!("{id} does not cover this: {why}"))
    }

    /// Tells of a request that was made instead of a run.
    fn instead(&self, view: &RequestView, why: &str) -> Done {
        show(view, self.json)?;
        let next = if view.status == "approved" { "needs no approval: " } else { "once it is approved, " };
        print::warn(&format!(
            "error: {}\n help: a request was made instead; {next}`remit run {}`",
            print::safe(why),
            view.request.id
        ));
        Ok(3)
    }
}

/// Says what a person has to do about a run in this state, and returns the exit code; none if nobody has to.
fn next_step(run: RunId, state: RunState) -> Option<u8> {
    if !matches!(state, RunState::Held | RunState::InDoubt) {
        return None;
    }
    print::warn(&format!("       {}", super::recovery::next_step(run, state)));
    Some(5)
}

/// The action of a request, to compile it before the home is opened. Ignores errors here: they occur again when it is used.
fn action_of(home: &Home, request: &str) -> Option<Candidate> {
    let (reader, rules) = (home.reader().ok()?, home.rules().ok()?);
    let state = RequestState::load(&reader, &rules, reader.find_request(request).ok()?).ok()?;
    home.action_of(&state.request)
}
