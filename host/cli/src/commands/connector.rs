//! `remit connector`.

use clap::Subcommand;

use super::common::Done;
use super::test;

#[derive(Subcommand)]
pub(crate) enum Connector {
    /// Test a connector offline, with requests and answers that the tests have: `remit test` in its folder does the same.
    Test(Box<test::Test>),
}

impl Connector {
    pub(crate) async fn run(self) -> Done {
        match self {
            Self::Test(command) => command.run().await,
        }
    }
}
