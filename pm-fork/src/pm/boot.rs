//! What has to be said to the system once, by root: that saved apps come back after a boot, that logs are rotated.

use pm_common::cli::options::{Opt, opt, switch};
use pm_common::cli::report::Failure;

use crate::pm::call::Call;
use crate::pm::options::short;

/// The options of all three verbs.
pub(crate) const OPTIONS: &[Opt] = &[
    short('u', opt("user", "USER", "whose apps [who runs this, or sudo]")),
    opt("hp", "HOME", "the home of that user"),
    opt("service-name", "NAME", "of the unit [pm-USER]"),
    switch("wait-ip", "at boot, after the network is up"),
    switch("print", "write nothing, print what would be written"),
];

pub(crate) fn startup(_call: &Call) -> Result<u8, Failure> {
    Err(Failure::own("not yet"))
}

pub(crate) fn unstartup(_call: &Call) -> Result<u8, Failure> {
    Err(Failure::own("not yet"))
}

pub(crate) fn logrotate(_call: &Call) -> Result<u8, Failure> {
    Err(Failure::own("not yet"))
}
