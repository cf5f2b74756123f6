//! Keeps the rest of the chain running under a restart and memory policy, and hands that policy down.

mod options;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;

use pm_common::home::AppDir;
use pm_common::options::Asked;
use pm_common::policy::WorkerId;
use pm_common::policy::exit::Exit;
use pm_common::policy::supervisor::{Event, RollRule, Shape, Supervisor};
use pm_common::policy::time::Span;
use pm_common::policy::worker::{ReadyBy, ReadyRule};
use pm_common::policy_options::{PM_POLICY, to_json};
use pm_common::release::{Origin, Release};
use pm_common::report::{Failure, OrFail as _, print};
use pm_common::supervise::store::MOST_KEPT;
use pm_common::supervise::{
    Adapter, AdapterToken, Outputs, Plan, Publisher, Scope, Setup, Source, Succession, Supervise, environment,
};
use pm_common::sys::passed::{self, Passed};

pub use options::TOOL;

/// A plain child that is alive this long counts as ready: there is nothing better to go by.
const ALIVE_AFTER: Span = Span::secs(1);
/// A child that shall say READY=1 (a supervisor) does so in its own time; others never wait this long.
const READY_TIMEOUT: Span = Span::secs(30);

/// Runs the tool with these arguments (without its name); gives the exit code.
///
/// # Errors
/// Bad usage, or the kernel refuses what a supervisor needs: exit code 125.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<u8, Failure> {
    let parsed = match TOOL.parse(args)? {
        Asked::Print(text) => return print(&text),
        Asked::Run(parsed) => parsed,
    };
    let options = options::resolve(&parsed)?;
    let sockets = passed::sockets();
    passed::reserve(sockets.len() + MOST_KEPT).or_fail(|| "cannot keep descriptors free".to_owned())?;
    let home = AppDir::enter(options.name.as_deref(), &parsed.rest, |key| std::env::var_os(key))?;
    pm_common::orphans::end_before_start(&home)?;
    let ready = ReadyRule { evidence: ReadyBy::Listen, alive_after: ALIVE_AFTER, timeout: READY_TIMEOUT };
    let roll = RollRule { parallel: 1, soak: Span::ZERO, overlap: 1, heeds_memory: false };
    let shape = Shape { workers: 1, overlap: false, ready, roll };
    let mut base_env = environment::base();
    base_env.push((PM_POLICY.into(), to_json(&options.rules).to_string().into()));
    base_env.extend(home.env_for_children().into_iter().map(|(key, value)| (key.into(), value)));
    Supervise::begin(Setup {
        machine: Supervisor::new(options.rules, shape, pm_common::sys::random::seed()),
        adapter: Plain { sockets },
        origin: Origin::here(&parsed.rest, base_env, options.env_file.as_deref())?,
        argv: parsed.rest,
        scope: Scope::Tree,
        outputs: Outputs::default(),
        publisher: Publisher::new("pm-restart", home),
        succession: Succession::default(),
        kind: "restart",
    })?
    .run()
}

/// pm-restart adds nothing of its own to the loop.
#[derive(Debug)]
struct Plain {
    /// What we were started with is the child's: LISTEN_PID alone has to be another.
    sockets: Vec<Passed>,
}

impl Adapter for Plain {
    fn prepare(&mut self, _: WorkerId, _: &Release, plan: &mut Plan) -> io::Result<()> {
        if !self.sockets.is_empty() {
            let each = self.sockets.iter().map(|socket| socket.fd.try_clone_to_owned());
            plan.sockets = each.collect::<io::Result<_>>()?;
            plan.env.extend(passed::variables(&self.sockets));
        }
        Ok(())
    }
    fn started(&mut self, _: WorkerId, _: i32) {}
    fn steer_in(&mut self, _: WorkerId) {}
    fn steer_off(&mut self, _: WorkerId) {}
    fn drain(&mut self, _: WorkerId, _: bool) -> bool {
        false
    }
    fn ended(&mut self, _: WorkerId, _: Option<Exit>) -> bool {
        false
    }
    fn release_slot(&mut self, _: u32) {}
    fn finish(&mut self) {}
    fn sources<'a>(&'a self, _: &mut Vec<Source<'a>>) {}
    fn ready(&mut self, _: AdapterToken, _: &mut VecDeque<Event>) {}
    fn settle(&mut self, _: &mut VecDeque<Event>) {}
}
