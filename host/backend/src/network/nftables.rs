//! A place whose traffic the kernel of this machine filters, by `nft`.

use std::net::UdpSocket;

use remit_gate::{Authority, Failure, Pattern, PatternSet, Resource};
use remit_journal::RunId;

use super::config::NetworkConfig;
use super::connections::{Line, connections};
use super::exception::Exception;
use super::namespace::{Namespace, control_group, control_groups, holds_this_host, of_target};
use super::nft::{Nft, Within};
use super::place::{Connection, Cut, Draft, KIND, Traffic, TrafficView, apart, cut_already};
use super::rules::{self, Listed};
use super::target::Target;
use crate::BackendError;
use crate::secrets::BoxFuture;

/// This machine, or one network namespace of it.
#[derive(Debug)]
pub struct Nftables {
    name: String,
    netns: Option<String>,
    workloads: PatternSet,
    patterns: Vec<Pattern>,
    allow: Vec<Exception>,
    nft: Nft,
}

impl From<Listed> for Cut {
    fn from(listed: Listed) -> Self {
        Self { rules: listed.digest, run: listed.run, refused: listed.refused }
    }
}

impl Nftables {
    /// Makes one of its entry. Nothing is asked of the kernel.
    pub fn open(entry: &NetworkConfig) -> Result<Self, BackendError> {
        let patterns = entry.check()?;
        let mut workloads = PatternSet::default();
        for pattern in &patterns {
            workloads.insert(pattern);
        }
        let time_limit = entry.timeout.unsigned_abs();
        Ok(Self {
            name: entry.name.clone(),
            netns: entry.netns.clone(),
            workloads,
            patterns,
            allow: entry.allow.clone(),
            nft: Nft { program: entry.nft.clone(), time_limit },
        })
    }

    /// The namespace that the rules of a target are in.
    fn namespace(&self, target: &Target) -> Result<Namespace, Failure> {
        of_target(target, self.netns.as_deref())
    }

    /// Refuses what the operator did not list, and what would cut the host itself off. Nobody could take that back.
    fn permits(&self, target: &Target, namespace: &Namespace) -> Result<(), Failure> {
        let denied = |why: String| Err(Failure::Denied(format!("{target}: {why}")));
        let listed = Resource::new(KIND, &format!("{}/{target}", self.name));
        if !listed.is_ok_and(|resource| self.workloads.matches(&resource)) {
            return denied(format!("`workloads` of [[network]] {} does not list it", self.name));
        }
        let own = Namespace::own()?;
        match target {
            Target::Namespace(_) | Target::Process(_) => {
                // Who may not look at the first process has no way into its namespace by it either.
                let is_machine = Namespace::of(1).is_ok_and(|machine| machine.id == namespace.id);
                if namespace.id == own.id || is_machine {
                    return denied(
                        "that is the network namespace of this host, or of the whole machine".to_owned(),
                    );
                }
            }
            Target::Uid(uid) => {
                if *uid == rustix::process::geteuid().as_raw() && namespace.id == own.id {
                    return denied("this host runs as that user".to_owned());
                }
            }
            Target::Cgroup(path) => {
                if holds_this_host(path)? && namespace.id == own.id {
                    return denied("this host runs in that control group".to_owned());
                }
            }
            Target::Address(address) => {
                if address.is_loopback() || address.is_unspecified() || address.is_multicast() {
                    return denied("that is no address of one machine".to_owned());
                }
                // An address that a socket can be bound to is one of this namespace's own.
                if namespace.id == own.id && UdpSocket::bind((*address, 0)).is_ok() {
                    return denied("this host has that address itself".to_owned());
                }
            }
        }
        Ok(())
    }

    async fn listed(&self, namespace: &Namespace, table: &str) -> Result<Option<Listed>, Failure> {
        self.nft.list(Within::This(namespace), table).await
    }

    /// The namespace of a draft; none if it is gone.
    fn drafted(draft: &Draft) -> Result<Option<Namespace>, Failure> {
        Namespace::numbered(draft.namespace)
    }
}

impl TrafficView for Nftables {
    fn look<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Option<Cut>> {
        Box::pin(async move {
            let listed = self.listed(&self.namespace(target)?, &rules::table(target)).await?;
            Ok(listed.map(Into::into))
        })
    }

    fn look_again<'a>(&'a self, draft: &'a Draft) -> BoxFuture<'a, Option<Cut>> {
        Box::pin(async move {
            let Some(namespace) = Self::drafted(draft)? else { return Ok(None) };
            Ok(self.listed(&namespace, &draft.table).await?.map(Into::into))
        })
    }

    fn draft<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Draft> {
        Box::pin(async move {
            let namespace = self.namespace(target)?;
            self.permits(target, &namespace)?;
            let cgroup = match target {
                Target::Cgroup(path) => Some(control_group(path)?),
                _ => None,
            };
            let below = control_groups().unwrap_or_default();
            let tried = self.nft.tried(&rules::text(target, below, &self.allow, &RunId::new())).await?;
            Ok(Draft {
                namespace: namespace.id,
                cgroup,
                table: rules::table(target),
                allow: self.allow.iter().map(ToString::to_string).collect(),
                rules: tried.digest,
            })
        })
    }

    fn connections<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Vec<Connection>> {
        Box::pin(async move {
            let namespace = self.namespace(target)?;
            let files = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
            let text = self.nft.read(Within::This(&namespace), &files).await?;
            let of_target = |line: &Line| match target {
                Target::Uid(uid) => line.uid == *uid,
                Target::Address(address) => line.local.ip() == *address || line.remote.ip() == *address,
                Target::Namespace(_) | Target::Process(_) => true,
                Target::Cgroup(_) => false,
            };
            if matches!(target, Target::Cgroup(_)) {
                return Err(Failure::Invalid(format!(
                    "{target}: the kernel does not say which connections a control group has"
                )));
            }
            let text = String::from_utf8_lossy(&text);
            Ok(connections(Line::all(&text).filter(Line::is_with_others).filter(of_target)))
        })
    }

    fn check(&self) -> BoxFuture<'_, String> {
        Box::pin(async move {
            let version = self.nft.version().await?;
            let namespace = match &self.netns {
                Some(name) => Namespace::named(name)?,
                None => Namespace::own()?,
            };
            // Each way that a cut needs, with a target that is nobody's.
            let nobody = Target::Uid(u32::MAX - 1);
            self.listed(&namespace, &rules::table(&nobody)).await?;
            self.nft.tried(&rules::text(&nobody, "", &self.allow, &RunId::new())).await?;
            let groups = if control_groups().is_some() { "" } else { "; no control groups of version 2" };
            let listed: Vec<_> = self.patterns.iter().map(Pattern::path).collect();
            Ok(format!("{version}; may be cut: {}{groups}", listed.join(", ")))
        })
    }
}

impl Traffic for Nftables {
    fn cut<'a>(
        &'a self,
        target: &'a Target,
        draft: &'a Draft,
        run: RunId,
        _: Authority<'a>,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let namespace = self.namespace(target)?;
            let cgroup = match target {
                Target::Cgroup(path) => Some(control_group(path)?),
                _ => None,
            };
            if namespace.id != draft.namespace || cgroup != draft.cgroup {
                return Err(Failure::Conflict(format!(
                    "{target} is another one now than when it was looked at"
                )));
            }
            let below = control_groups().unwrap_or_default();
            let text = rules::text(target, below, &self.allow, &run);
            match self.nft.make(Within::This(&namespace), &text).await {
                Err(Failure::Conflict(why)) => match self.listed(&namespace, &draft.table).await? {
                    Some(listed) => Err(cut_already(target, &listed.into())),
                    None => Err(Failure::Conflict(why)),
                },
                // `nft` says no more than that it failed. What is there says whether it has.
                Err(failure) if failure.is_definite() => match self.listed(&namespace, &draft.table).await {
                    Ok(None) => Err(failure),
                    Ok(Some(_)) | Err(_) => Err(Failure::Unavailable(failure.to_string())),
                },
                made => made,
            }
        })
    }

    fn restore<'a>(&'a self, draft: &'a Draft, run: RunId, _: Authority<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let gone = || Failure::Conflict(format!("the table {} is gone already", draft.table));
            let namespace = Self::drafted(draft)?.ok_or_else(gone)?;
            let listed = self.listed(&namespace, &draft.table).await?.ok_or_else(gone)?;
            let handle = listed.handle;
            match apart(&listed.into(), draft, run) {
                Some(why) => Err(Failure::Conflict(why)),
                None => self.nft.delete(Within::This(&namespace), handle).await,
            }
        })
    }
}
