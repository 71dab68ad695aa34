//! A request in words, for people who decide about it. The command line and the console print the same.

use std::collections::BTreeSet;

use jiff::Timestamp;
use remit_trust::issuers::Proof;
use serde_json::Value;

use crate::authority::AccessKind;
use crate::{Hours, Power, Powers, RequestView, RequestedAuthority, connectors, second};

impl RequestView {
    /// Who asked: the kind of principal, who operates it, and how it proved to be the one.
    #[must_use]
    pub fn requester_in_words(&self) -> String {
        let kind = self.requester_kind.map_or("no principal any more".to_owned(), |kind| kind.to_string());
        let proof = match self.proof {
            Proof::Key => "",
            Proof::Passkey => ", by a passkey",
            Proof::IdToken => ", by an ID token",
            Proof::Token => ", by a bearer token",
        };
        let operator = self.operator.as_ref().map(|name| format!(", operated by {name}")).unwrap_or_default();
        format!("{} ({kind}{operator}{proof})", self.request.requester)
    }

    /// What a person needs to know first, each with its name; without a name, it goes on from the one before.
    #[must_use]
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let request = &self.request;
        let mut rows: Vec<(&'static str, String)> = Vec::new();
        let digest = match &request.asks {
            RequestedAuthority::Run { action, .. } => format!("  {}", action.digest.short()),
            RequestedAuthority::Standing(_) => "  whenever needed (standing)".to_owned(),
        };
        rows.push(("action", format!("{}{digest}", request.action_words())));
        rows.push(("asked by", format!("{}: {}", self.requester_in_words(), request.reason)));
        rows.extend(request.incident.iter().map(|incident| ("incident", incident.clone())));
        if let RequestedAuthority::Run { input, .. } = &request.asks {
            rows.push(("input", input.to_string()));
        }
        for handle in request.sealed_inputs() {
            rows.push(("sealed", format!("{}: committed to as {}", handle.name(), handle.commitment())));
        }
        rows.extend(self.reach());
        if let RequestedAuthority::Standing(standing) = &request.asks {
            let hours: Vec<String> = standing.hours.iter().map(Hours::words).collect();
            rows.push(("hours", if hours.is_empty() { "always".to_owned() } else { hours.join(", ") }));
            let (runs, changes) = (standing.runs_per_hour, standing.changes_per_hour);
            rows.push(("budget", format!("{runs} run(s) and {changes} change(s) an hour")));
        }
        if let Some(budgets) = &self.budgets {
            rows.push(("", format!("runs: {}; changes: {}", budgets.runs, budgets.changes)));
        }
        for of in &request.connectors {
            rows.push(("through", format!("{}: {}", of.instance, connectors::words(of))));
        }
        rows.push(("may start", request.triggers.join(", ")));
        rows.extend(self.waits_for_room.iter().map(|why| ("not now", why.clone())));
        let to_second = |at: Timestamp| second(at).to_string();
        let runs =
            request.uses.map_or(String::new(), |uses| format!(", {} of {uses} run(s) used", self.started));
        rows.push(("until", format!("{}{runs}", to_second(request.not_after))));
        rows.push(("digest", self.digest.to_string()));
        let history = self.differs.iter().enumerate();
        rows.extend(history.map(|(n, line)| (if n == 0 { "history" } else { "" }, line.clone())));
        for given in &self.approvals {
            let counts = match (&given.kind, &given.why_not) {
                (_, Some(why)) => format!("{}: does not count, it {why}", given.principal),
                (kind, None) => {
                    format!(
                        "{} ({}), {}",
                        given.principal,
                        kind.as_deref().unwrap_or("-"),
                        to_second(given.at)
                    )
                }
            };
            rows.push(("approval", counts));
        }
        rows
    }

    /// What the request could change, and which changes cannot be undone.
    #[must_use]
    pub fn reach(&self) -> [(&'static str, String); 2] {
        let Self { request, powers, .. } = self;
        let most = |power: &&Power| matches!(power.does, AccessKind::Change | AccessKind::Irrevocable);
        let open = powers.unused().filter(most).map(|power| power.at_most).max();
        let changes = match (request.plan(), open) {
            (None, None) => "nothing".to_owned(),
            (None, Some(most)) => format!("up to {most} a run, any that a power below allows"),
            (Some(plan), open) => {
                let changes = plan.changes().count();
                let lost = plan.changes().filter(|step| step.undo.is_none()).count();
                let planned = match lost {
                    0 if changes == 0 => "nothing".to_owned(),
                    0 => format!("{changes}, each can be undone"),
                    lost => format!("{changes}, {lost} CANNOT BE UNDONE"),
                };
                match open {
                    None => planned,
                    Some(most) => format!("{planned}; ITS SCOPE IS WIDER THAN ITS PLAN: up to {most}"),
                }
            }
        };
        let touched: BTreeSet<&str> = powers
            .all
            .iter()
            .filter(|power| !matches!(power.does, AccessKind::Observe | AccessKind::Read))
            .map(|power| power.resource.as_str())
            .collect();
        let touches = if touched.is_empty() {
            "nothing".to_owned()
        } else {
            touched.into_iter().collect::<Vec<_>>().join(", ")
        };
        [("changes", changes), ("touches", touches)]
    }
}

impl Powers {
    /// How often one of these powers is used, in words.
    #[must_use]
    pub fn use_of(&self, power: &Power) -> String {
        match power.steps {
            0 if self.planned => format!("NOT USED BY THE PLAN, up to {}", power.at_most),
            0 => format!("up to {} a run", power.at_most),
            1 => "1 step of the plan".to_owned(),
            steps => format!("{steps} steps of the plan"),
        }
    }

    /// The limits of a run, in words.
    #[must_use]
    pub fn limits_in_words(&self) -> String {
        let limits = serde_json::to_value(&self.limits).unwrap_or_default();
        let limit = |(name, value): (&String, &Value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
            format!("{} {value}", name.replace('_', " "))
        };
        limits.as_object().into_iter().flatten().map(limit).collect::<Vec<_>>().join(", ")
    }
}
