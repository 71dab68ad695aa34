//! `remit init`.

use std::path::PathBuf;

use clap::Args;
use remit_lifecycle::{Home, InitOptions, InitPrincipal};
use remit_trust::principals::PrincipalKind;

use super::common::Done;
use crate::print::say;

#[derive(Args)]
#[command(
    after_help = "Example:\n  remit init --log me.example/journal --publisher publisher.pub --admin admin.key --human alice.pub --agent bot.pub\n\nA principal gets the name of its key file. NAME=FILE gives another name, NAME:GROUP,GROUP=FILE groups too."
)]
pub(crate) struct Init {
    /// The journal's name in its signed checkpoints. No other log may have it.
    #[arg(long, value_name = "NAME")]
    log: String,
    /// A public key whose actions may run here. May be repeated.
    #[arg(long, value_name = "FILE.pub")]
    publisher: Vec<PathBuf>,
    /// The key of the administrator, who signs the rules. With a private key (or an SSH public key, for the ssh-agent) they
    /// are signed at once.
    #[arg(long, value_name = "FILE")]
    admin: Option<PathBuf>,
    /// The public key of a person. May be repeated.
    #[arg(long, value_name = "[NAME[:GROUPS]=]FILE.pub")]
    human: Vec<String>,
    /// The public key of software that decides by itself what to propose. May be repeated.
    #[arg(long, value_name = "[NAME[:GROUPS]=]FILE.pub")]
    agent: Vec<String>,
    /// The public key of software that does what it was programmed to do. May be repeated.
    #[arg(long, value_name = "[NAME[:GROUPS]=]FILE.pub")]
    service: Vec<String>,
}

impl Init {
    pub(crate) fn run(self, home: &Home) -> Done {
        let kinds = [
            (PrincipalKind::Human, &self.human),
            (PrincipalKind::Agent, &self.agent),
            (PrincipalKind::Service, &self.service),
        ];
        let principals =
            kinds.into_iter().flat_map(|(kind, given)| given.iter().map(move |text| principal(kind, text)));
        let options = InitOptions {
            log: self.log.clone(),
            publishers: self.publisher.clone(),
            admin: self.admin.clone(),
            principals: principals.collect(),
        };
        let made = home.init(&options)?;
        say!("made      {}", home.path().display());
        say!("edit      {}", made.config.display());
        say!("log key   {}", made.log_key);
        if made.signed {
            say!("rules     signed and in force");
        } else {
            say!("rules     NOT IN FORCE: an administrator signs them (`remit rules sign --key admin.key`)");
        }
        say!("\nKeep a copy of the log key elsewhere: with it, anyone can check what this journal says.");
        Ok(0)
    }
}

fn principal(kind: PrincipalKind, text: &str) -> InitPrincipal {
    let (named, file) = text.split_once('=').unwrap_or(("", text));
    let (name, groups) = named.split_once(':').unwrap_or((named, ""));
    let file = PathBuf::from(file);
    let name = if name.is_empty() {
        file.file_stem().map(|stem| stem.to_string_lossy().to_lowercase()).unwrap_or_default()
    } else {
        name.to_owned()
    };
    let groups = groups.split(',').filter(|group| !group.is_empty()).map(ToOwned::to_owned).collect();
    InitPrincipal { name, kind, groups, key: file }
}
