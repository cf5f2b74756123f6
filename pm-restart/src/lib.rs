//! Keeps the rest of the chain running under a restart and memory policy, and hands that policy down.

mod channels;
mod eyes;
mod options;

use std::collections::{BTreeMap, VecDeque};
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
use pm_common::policy::time::{Mono, Span};
use pm_common::supervise::release::{Origin, Release};
use pm_common::supervise::store::MOST_KEPT;
use pm_common::supervise::{
    Adapter, Listens, Outputs, Plan, Publisher, Scope, Setup, Source, Succession, Supervise, Turn, environment,
};
use pm_common::sys::clock;
use pm_common::sys::passed::{self, Passed};

use channels::Channels;
use eyes::Eyes;

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
    let says = options.ready.listen_time().is_some();
    let channels = Channels::new(options.with_channel, says, sockets.len(), &parsed.rest);
    let channels = channels.or_fail(|| FREE.to_owned())?;
    passed::reserve(sockets.len() + MOST_KEPT).or_fail(|| FREE.to_owned())?;
    let home = AppDir::enter(options.name.as_deref(), &parsed.rest, |key| std::env::var_os(key))?;
    pm_common::app::orphans::end_before_start(&home)?;
    let roll = RollRule { parallel: 1, soak: Span::ZERO, overlap: 1, heeds_memory: false };
    let shape = Shape { workers: 1, overlap: false, ready: options.ready, roll };
    let own = home.dir().map_or_else(Vec::new, |dir| dir.as_os_str().as_encoded_bytes().to_vec());
    let eyes = Eyes::new(own, shape.ready.longest());
    let mut base_env = environment::base();
    base_env.push((PM_POLICY.into(), to_json(&options.rules).to_string().into()));
    base_env.extend(home.env_for_children().into_iter().map(|(key, value)| (key.into(), value)));
    Supervise::begin(Setup {
        machine: Supervisor::new(options.rules, shape, pm_common::sys::random::seed()),
        adapter: Plain { sockets, channels, eyes },
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
    eyes: Eyes,
}

impl Adapter for Plain {
    /// Whose channel it is.
    type Token = WorkerId;

    fn turn(_: WorkerId) -> Turn {
        Turn::Said
    }
    fn prepare(&mut self, id: WorkerId, release: &Release, plan: &mut Plan) -> io::Result<()> {
        if !self.sockets.is_empty() {
            let each = self.sockets.iter().map(|socket| socket.fd.try_clone_to_owned());
            plan.sockets = each.collect::<io::Result<_>>()?;
            plan.env.extend(passed::variables(&self.sockets));
        }
        self.channels.prepare(id, release, plan)
    }
    fn started(&mut self, id: WorkerId, pid: i32) {
        self.eyes.started(id, pid);
    }
    fn say_stop(&mut self, id: WorkerId) -> bool {
        self.channels.say_stop(id)
    }
    fn ended(&mut self, id: WorkerId, exit: Option<Exit>) -> bool {
        self.eyes.ended(id);
        self.channels.ended(id, exit)
    }
    fn sources<'a>(&'a self, out: &mut Vec<Source<'a, WorkerId>>) {
        self.channels.sources(out);
    }
    fn ready(&mut self, id: WorkerId, events: &mut VecDeque<Event>) {
        self.channels.read(id, events);
        // Who has just been loaded may listen by now.
        self.eyes.look_soon(id, events);
    }
    fn look_where_it_listens(&mut self, id: WorkerId, events: &mut VecDeque<Event>) {
        self.eyes.look_soon(id, events);
    }
    fn deadline(&self) -> Option<Mono> {
        self.eyes.deadline()
    }
    fn settle(&mut self, events: &mut VecDeque<Event>) {
        self.eyes.look(clock::now(), events);
    }
    fn listening(&self) -> BTreeMap<WorkerId, Listens> {
        self.eyes.listening()
    }
}
