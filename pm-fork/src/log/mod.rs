//! pm-log: the process between an app and its log files, where lines need the time in front, or files rotation.
//!
//! As a link of a chain it starts a writer that is no descendant of the chain, and becomes the rest of the chain. As a
//! filter it is the writer itself. `lines`, `format` and `rotation` decide and are pure; `sink` owns a file; `writer`
//! is the loop.

use std::ffi::OsString;

use pm_common::cli::chain;
use pm_common::cli::options::{Asked, Tool, opt, switch};
use pm_common::cli::report::{self, Failure};

mod file;
mod format;
mod guard;
mod lines;
mod link;
mod rotation;
mod settings;
mod sink;
mod writer;

use settings::Settings;

/// The command line.
pub const TOOL: Tool = Tool {
    name: "pm-log",
    usage: "[options] [CHAIN...]",
    about: "Writes the lines of CHAIN, or of its input, to files that it rotates.",
    options: &[
        opt("out", "FILE", "where stdout goes [out.log of the app, else stdout]"),
        opt("err", "FILE", "where stderr goes [err.log of the app, else stderr]"),
        opt("both", "FILE", "where both go, beside these"),
        switch("time", "put the time (UTC) in front of each line"),
        switch("json", "write each line as a JSON object"),
        opt("max-size", "SIZE", "rotate a file before it is larger than this"),
        opt("every", "DURATION", "rotate at each new period: 1d is at midnight UTC"),
        opt("keep", "N", "rotated files that are kept: FILE.1 to FILE.N [10]"),
    ],
    examples: "pm-fork pm-log --time --max-size 10M pm-restart pm-cluster -n 0 node app.js\n",
    elsewhere: &[("--name", "say it to pm-fork, in front of pm-log")],
};

/// Runs the tool; the arguments are those after the program's name.
///
/// # Errors
/// 125: bad usage, a file cannot be opened; 126, 127: the chain's program cannot be executed.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<u8, Failure> {
    let parsed = match TOOL.parse(args)? {
        Asked::Run(parsed) => parsed,
        Asked::Print(text) => return report::print(&text),
    };
    let chain = parsed.rest.clone();
    chain::check(&TOOL, &chain)?;
    let settings = Settings::from_options(parsed, |name| std::env::var_os(name))?;
    if chain.is_empty() { link::filter(&settings) } else { link::chain(&settings, &chain) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_man_page_names_every_option() {
        assert_eq!(super::TOOL.undocumented(include_str!("../../../man/pm-log.1")), [""; 0]);
    }
}
