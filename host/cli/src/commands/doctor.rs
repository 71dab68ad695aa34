//! `remit doctor`.

use clap::Args;
use remit_lifecycle::Home;

use super::common::Done;
use crate::print;

#[derive(Args)]
#[command(after_help = "Exits 1 if anything needs fixing.\n\nExample:\n  remit doctor --home /srv/remit")]
pub(crate) struct Doctor {
    /// Print JSON.
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
                let mut marks = [mark.to_owned(), finding.what.clone()];
                let fix = finding.fix.iter().map(|fix| format!("→ {fix}"));
                for text in finding.detail.lines().map(ToOwned::to_owned).chain(fix) {
                    let [mark, what] = std::mem::take(&mut marks);
                    rows.push(vec![mark, what, text]);
                }
            }
            print::table(0, &rows);
        }
        Ok(u8::from(!well))
    }
}
