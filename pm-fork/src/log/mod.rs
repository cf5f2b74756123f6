//! pm-log: the process between an app and its log files, where lines need the time in front, or files rotation.
//!
//! As a link of a chain it starts a writer that is no descendant of the chain, and becomes the rest of the chain. As a
//! filter it is the writer itself. `lines`, `format` and `rotation` decide and are pure; `sink` owns a file; `writer`
//! is the loop. `rotate_in_use` rotates what others write.

use std::ffi::OsString;

use pm_common::cli::chain;
use pm_common::cli::options::Asked;
use pm_common::cli::report::{self, Failure};
use pm_common::cli::tables::PM_LOG;

pub(crate) mod format;
mod guard;
pub(crate) mod lines;
mod link;
mod options;
pub(crate) mod output_file;
mod predecessors;
mod rotate_in_use;
mod rotation_rule;
mod sink;
mod writer;

use options::Settings;

/// Runs the tool; the arguments are those after the program's name.
///
/// # Errors
/// 125: bad usage, a file cannot be opened; 126, 127: the chain's program cannot be executed.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<u8, Failure> {
    let parsed = match PM_LOG.parse(args)? {
        Asked::Run(parsed) => parsed,
        Asked::Print(text) => return report::print(&text),
    };
    let chain = parsed.rest.clone();
    let rotates = parsed.options.iter().any(|(option, _)| *option == "rotate");
    chain::check(&PM_LOG, &chain)?;
    let settings = Settings::from_options(parsed, |name| std::env::var_os(name))?;
    if rotates {
        return rotate_in_use::run(&settings);
    }
    if chain.is_empty() { link::filter(&settings) } else { link::chain(&settings, &chain) }
}
