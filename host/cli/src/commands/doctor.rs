//! `remit doctor`.

use clap::Args;
use remit_lifecycle::Home;

use super::Done;
use crate::print;

#[derive(Args)]
pub(crate) struct Doctor {
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(crate) async fn run(self, home: &Home) -> Done {
        let findings = remit_lifecycle::doctor(home).await;
        let well = findings.iter().all(|finding| finding.ok);
        if self.json {
            print::json(&findings)?;
        } else {
            let mut rows = Vec::new();
            for finding in &findings {
                let mark = if finding.ok { "ok" } else { "FIX" };
                rows.push(vec![mark.to_owned(), finding.what.clone(), finding.detail.clone()]);
                if let Some(fix) = &finding.fix {
                    rows.push(vec![String::new(), String::new(), format!("→ {fix}")]);
                }
            }
            print::table(0, &rows);
        }
        Ok(u8::from(!well))
    }
}
