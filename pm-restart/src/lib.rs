//! Keeps the rest of the chain running under a restart and memory policy, and hands that policy down.

mod channels;
mod options;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;

use pm_common::app::home::AppDir;
use pm_common::cli::options::Asked;
use pm_common::cli::policy_options::{PM_POLICY, to_json};
use pm_common::cli::report::{Failure, OrFail as _, print};
use pm_common::cli::tables::PM_RESTART;
use pm_common::policy::WorkerId;
use pm_common::policy::exit::Exit;
use pm_common::policy::supervisor::{Event, RollRule, Shape, Supervisor};
use pm_common::policy::time::Span;
use pm_common::supervise::release::{Origin, Release};
use pm_common::supervise::store::MOST_KEPT;
use pm_common::supervise::{
    Adapter, Outputs, Plan, Publisher, Scope, Setup, Source, Succession, Supervise, Turn, environment,
};
use pm_common::sys::passed::{self, Passed};

use channels::Channels;

const FREE: &str = "cannot keep descriptors free";

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
    let sockets = passed::sockets();
    let channels = Channels::new(options.with_channel, sockets.len()).or_fail(|| FREE.to_owned())?;
    passed::reserve(sockets.len() + MOST_KEPT).or_fail(|| FREE.to_owned())?;
    let home = AppDir::enter(options.name.as_deref(), &parsed.rest, |key| std::env::var_os(key))?;
    pm_common::app::orphans::end_before_start(&home)?;
    let roll = RollRule { parallel: 1, soak: Span::ZERO, overlap: 1, heeds_memory: false };
    let shape = Shape { workers: 1, overlap: false, ready: options.ready, roll };
    let mut base_env = environment::base();
    base_env.push((PM_POLICY.into(), to_json(&options.rules).to_string().into()));
    base_env.extend(home.env_for_children().into_iter().map(|(key, value)| (key.into(), value)));
    Supervise::begin(Setup {
        machine: Supervisor::new(options.rules, shape, pm_common::sys::random::seed()),
        adapter: Plain { sockets, channels },
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

/// What pm-restart adds to the loop: the sockets that it was started with, and Node's channel.
#[derive(Debug)]
struct Plain {
    /// What we were started with is the child's: LISTEN_PID alone has to be another.
    sockets: Vec<Passed>,
    channels: Channels,
}

impl Adapter for Plain {
    /// Whose channel it is.
    type Token = WorkerId;

    fn turn(_: WorkerId) -> Turn {
        Turn::Said
    }
    fn prepare(&mut self, id: WorkerId, _: &Release, plan: &mut Plan) -> io::Result<()> {
        if !self.sockets.is_empty() {
            let each = self.sockets.iter().map(|socket| socket.fd.try_clone_to_owned());
            plan.sockets = each.collect::<io::Result<_>>()?;
            plan.env.extend(passed::variables(&self.sockets));
        }
        self.channels.prepare(id, plan)
    }
    fn say_stop(&mut self, id: WorkerId) -> bool {
        self.channels.say_stop(id)
    }
    fn ended(&mut self, id: WorkerId, _: Option<Exit>) -> bool {
        self.channels.ended(id);
        false
    }
    fn sources<'a>(&'a self, out: &mut Vec<Source<'a, WorkerId>>) {
        self.channels.sources(out);
    }
    fn ready(&mut self, id: WorkerId, events: &mut VecDeque<Event>) {
        self.channels.read(id, events);
    }
}
