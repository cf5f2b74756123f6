//! Verbs that only say something.

use pm_common::cli::report::{self, Failure};

use crate::pm::call::Call;

pub(crate) fn ping(_: &Call) -> Result<u8, Failure> {
    report::print("{ msg: 'pong' }\n")
}

pub(crate) fn update(_: &Call) -> Result<u8, Failure> {
    report::info("nothing to update: there is no daemon; an app takes the new tools when it is restarted");
    Ok(0)
}

pub(crate) fn version(_: &Call) -> Result<u8, Failure> {
    report::print(concat!(env!("CARGO_PKG_VERSION"), "\n"))
}

/// pm-log looks for its files by itself, and what an app has open nobody can exchange.
pub(crate) fn reload_logs(_: &Call) -> Result<u8, Failure> {
    report::info("nothing to do: rotated files are found again with --time or --log-type json, else use copytruncate");
    Ok(0)
}
