//! Runs N copies of a program behind one listening address, and replaces those that die.
//!
//! `command` is what was asked for, `sockets` what we hold; `node` speaks Node's cluster protocol, `bind` serves programs
//! that bind by themselves, `care` judges workers, `connection_close` tells clients to move on; `cluster` owns these. The state machine and the loop are pm-common's,
//! and so is what copies get that share nothing (`--apart`).

pub mod bind;
pub mod care;
mod cluster;
pub mod command;
mod connection_close;
pub mod node;
pub mod sockets;

use std::ffi::OsString;

use pm_common::app::home::AppDir;
use pm_common::cli::options::Asked;
use pm_common::cli::report::{Failure, OrFail as _, print};
use pm_common::cli::tables::PM_CLUSTER;
use pm_common::node::locate::{self, Node, base_name};
use pm_common::policy::supervisor::{MOST_WORKERS, Machine, Shape};
use pm_common::policy::worker::ReadyBy;
use pm_common::supervise::release::Origin;
use pm_common::supervise::{Adapter, Alone, Driver, Outputs, Publisher, Scope, Setup, Succession, worker_env};
use pm_common::sys::listen_fds::{self, Passed};

use bind::fanout::FanoutQuestion;
use bind::probe::{self, FanoutChoice};
use bind::{Binds, Fanout};
use cluster::Cluster;
use cluster::drain_settings::Settings;
use command::options::{self, Options};
use command::plan::{self, Decided};
use node::Primary;
use node::stop_handover::Ending;
use sockets::wanted::Declared;
use sockets::{Mode, Sockets};

const NO_ROOM: &str = "cannot keep descriptors free";

/// Runs the tool with these arguments (without its name); gives the exit code.
///
/// # Errors
/// Bad usage, or the kernel refuses what a supervisor needs: exit code 125.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<u8, Failure> {
    let mut args = args.into_iter().peekable();
    if args.next_if(|first| first == connection_close::ARGUMENT).is_some() {
        return Ok(connection_close::run(&args.collect::<Vec<_>>()));
    }
    let parsed = match PM_CLUSTER.parse(args)? {
        Asked::Print(text) => return print(&text),
        Asked::Run(parsed) => parsed,
    };
    if parsed.options.iter().any(|(option, _)| *option == "probe") {
        return print(&probe::text());
    }
    let succession = Succession::from_env(&parsed.rest);
    let options = options::resolve(&parsed)?;
    // What is tried below needs descriptors, and a low limit may be meant for others.
    pm_common::sys::fd_limit::raise_descriptors();
    if options.apart { apart(options, parsed.rest, succession) } else { cluster(options, parsed.rest, succession) }
}

/// Workers that share what they listen on.
fn cluster(options: Options, argv: Vec<OsString>, succession: Succession) -> Result<u8, Failure> {
    let sockets = listen_fds::sockets();
    let channel_number = listen_fds::place(options.listen.len()).or_fail(|| NO_ROOM.to_owned())?;
    listen_fds::reserve(options.listen.len()).or_fail(|| NO_ROOM.to_owned())?;
    let node = locate::node_of(&argv);
    let question = FanoutQuestion::new(&options, &argv, node);
    let learns = question.asks_for_all();
    let Decided { fanout, with_channel, open } = plan::decide(question)?;
    let home = enter(&options, &argv)?;
    let balance = options.balance.or((options.fanout == FanoutChoice::Shared).then_some(Mode::Shared));
    let mode = plan::mode(&argv, balance, std::env::var_os("NODE_CLUSTER_SCHED_POLICY").as_deref());
    plan::check_question(mode, options.health.as_ref())?;
    if options.sticky {
        // Any program has the channel where its binds are not looked at; only Node asks over it.
        let steers = (with_channel && node != Node::None)
            || open.is_some()
            || fanout != Fanout::Off
            || !options.listen.is_empty();
        plan::check_sticky(&argv, mode, steers, options.workers)?;
    }
    let settings = Settings {
        node,
        learns,
        with_channel,
        channel_number,
        preload: plan::preload(&argv, options.preload && (with_channel || open.is_some() || node == Node::Below)),
        linger: options.rules.linger(),
        rules: options.rules.clone(),
        health: options.health.clone(),
        sockets: listen_fds::variables(&sockets),
        // Bun takes no notice of NODE_OPTIONS.
        is_heard: argv.first().is_some_and(|program| base_name(program) != "bun"),
        argv: argv.clone(),
        tells_clients: options.close_rewrite,
    };
    let sockets =
        hold(Sockets::new(mode).sticking(options.sticky).ending_first(options.stop_start), &sockets, &options.listen)?;
    let (binds, primary) = (Binds::new(fanout, open), Primary::new(Ending::of(&options.rules), options.sticky));
    let adapter = Cluster::new(sockets, binds, primary, settings, options.rules.max_lag);
    supervise(options, argv, succession, home, adapter)
}

/// Copies that share nothing, and of which no two are in one slot.
fn apart(options: Options, argv: Vec<OsString>, succession: Succession) -> Result<u8, Failure> {
    let (by_message, stop_message) = (options.ready.evidence == ReadyBy::Message, options.rules.stop_message);
    let with_channel = locate::alone_with_channel(PM_CLUSTER.name, &argv, by_message, stop_message)?;
    let sockets = listen_fds::sockets();
    let count = sockets.len();
    let adapter = Alone::new(&argv, sockets, with_channel, true, &options.ready).or_fail(|| NO_ROOM.to_owned())?;
    listen_fds::reserve(count).or_fail(|| NO_ROOM.to_owned())?;
    let home = enter(&options, &argv)?;
    let adapter = adapter.of_app(home.dir());
    supervise(options, argv, succession, home, adapter)
}

fn enter(options: &Options, argv: &[OsString]) -> Result<AppDir, Failure> {
    let home = AppDir::enter(options.name.as_deref(), argv, |key| std::env::var_os(key))?;
    pm_common::app::orphans::end_before_start(&home)?;
    Ok(home)
}

fn supervise<A: Adapter>(
    options: Options,
    argv: Vec<OsString>,
    succession: Succession,
    home: AppDir,
    adapter: A,
) -> Result<u8, Failure> {
    let base = home.dir().map_or_else(std::env::current_dir, |dir| Ok(dir.to_owned()));
    let base = base.or_fail(|| "cannot tell the working directory".to_owned())?;
    let outputs = Outputs::new(options.out.as_deref(), options.err.as_deref(), &base);
    let shape = Shape {
        workers: options.workers,
        most: MOST_WORKERS,
        overlap: !options.apart && !options.stop_start,
        shares: !options.apart,
        roll: options.roll(),
        ready: options.ready,
    };
    Driver::begin(Setup {
        machine: Machine::new(options.rules, shape, pm_common::sys::random::seed()),
        adapter,
        origin: Origin::here(&argv, worker_env::base(), options.env_file.as_deref())?,
        argv,
        scope: Scope::Group,
        reads: options.apart,
        outputs,
        publisher: Publisher::new(PM_CLUSTER.name, home),
        succession,
        kind: "cluster",
    })?
    .run()
}

/// The sockets, those that were asked for among them.
fn hold(mut sockets: Sockets, passed: &[Passed], declared: &[Declared]) -> Result<Sockets, Failure> {
    sockets.started_with(passed);
    for what in declared {
        sockets.declare(what).or_fail(|| format!("cannot listen on {what}"))?;
    }
    Ok(sockets)
}
