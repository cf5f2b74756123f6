//! `pm logs`: the lines of all logs of the apps, each with the app in front, and those that come.

use pm_common::cli::report::Failure;

use crate::pm::call::Call;
use crate::pm::targets;

pub(crate) fn run(call: &Call) -> Result<u8, Failure> {
    let chosen = targets::or_all(call)?;
    Err(Failure::own(format!("not yet: logs of {}", chosen.names.join(", "))))
}
