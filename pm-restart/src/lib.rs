//! Keeps the rest of the chain running under a restart and memory policy, and hands that policy down.

mod options;

use std::ffi::OsString;

use pm_common::app::home::AppDir;
use pm_common::cli::options::Asked;
use pm_common::cli::policy_options::PM_POLICY;
use pm_common::cli::report::{Failure, OrFail as _, print};
use pm_common::cli::tables::PM_RESTART;
use pm_common::policy::supervisor::{Machine, RollRule, Shape};
use pm_common::policy::time::Span;
use pm_common::supervise::release::Origin;
use pm_common::supervise::store::MOST_KEPT;
use pm_common::supervise::{Alone, Driver, Outputs, Publisher, Scope, Setup, Succession, worker_env};
use pm_common::sys::listen_fds;

const FREE: &str = "cannot keep descriptors free";

/// How long a new program that serves nobody must live before a reload is done: as long as a start watches it.
const SOAK: Span = Span::secs(1);

/// Runs the tool with these arguments (without its name); gives the exit code.
///
/// # Errors
/// Bad usage, or the kernel refuses what a supervisor needs: exit code 125.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<u8, Failure> {
    let parsed = match PM_RESTART.parse(args)? {
        Asked::Print(text) => return print(&text),
        Asked::Run(parsed) => parsed,
    };
    let options = options::resolve(&parsed)?;
    let sockets = listen_fds::sockets();
    let count = sockets.len();
    let adapter = Alone::new(&parsed.rest, sockets, options.with_channel, false, &options.ready);
    let adapter = adapter.or_fail(|| FREE.to_owned())?;
    listen_fds::reserve(count + MOST_KEPT).or_fail(|| FREE.to_owned())?;
    let home = AppDir::enter(options.name.as_deref(), &parsed.rest, |key| std::env::var_os(key))?;
    pm_common::app::orphans::end_before_start(&home)?;
    let roll = RollRule { parallel: 1, soak: SOAK, overlap: 1, heeds_memory: false };
    let shape = Shape { workers: 1, most: 1, overlap: false, shares: false, ready: options.ready, roll };
    let mut base_env = worker_env::base();
    base_env.push((PM_POLICY.into(), serde_json::json!(options.rules).to_string().into()));
    base_env.extend(home.env_for_children().into_iter().map(|(key, value)| (key.into(), value)));
    Driver::begin(Setup {
        machine: Machine::new(options.rules, shape, pm_common::sys::random::seed()),
        adapter: adapter.of_app(home.dir()),
        origin: Origin::here(&parsed.rest, base_env, options.env_file.as_deref())?,
        argv: parsed.rest,
        scope: Scope::Tree,
        reads: true,
        outputs: Outputs::default(),
        publisher: Publisher::new("pm-restart", home),
        succession: Succession::default(),
        kind: "restart",
    })?
    .run()
}
