//! Runs N copies of a program behind one listening address, and replaces those that die.
//!
//! `command` is what was asked for, `sockets` what we hold; `node` speaks Node's cluster protocol, `bind` serves programs
//! that bind by themselves, `care` judges workers; `cluster` owns these. The state machine and the loop are pm-common's.

pub mod bind;
pub mod care;
mod cluster;
pub mod command;
pub mod node;
pub mod sockets;

use std::ffi::{OsStr, OsString};

use pm_common::app::home::AppDir;
use pm_common::cli::options::Asked;
use pm_common::cli::report::{Failure, OrFail as _, print};
use pm_common::cli::tables::PM_CLUSTER;
use pm_common::policy::steering::Spread;
use pm_common::policy::supervisor::{Shape, Supervisor};
use pm_common::policy::time::Span;
use pm_common::supervise::release::Origin;
use pm_common::supervise::{Outputs, Publisher, Scope, Setup, Succession, Supervise, environment};
use pm_common::sys::passed::{self, Passed};

use bind::fanout::FanoutQuestion;
use bind::probe::{self, FanoutChoice};
use bind::{Binds, Fanout};
use care::health::Question;
use cluster::Cluster;
use cluster::settings::Settings;
use command::options;
use node::Primary;
use pm_common::node::preload::Preload;
use pm_common::node::program::{self, Node, base_name};
use sockets::wanted::Declared;
use sockets::{Mode, Sockets};

/// Runs the tool with these arguments (without its name); gives the exit code.
///
/// # Errors
/// Bad usage, or the kernel refuses what a supervisor needs: exit code 125.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<u8, Failure> {
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
    pm_common::sys::limits::raise_descriptors();
    let sockets = passed::sockets();
    let channel_number = passed::place(options.listen.len()).or_fail(|| "cannot keep descriptors free".to_owned())?;
    passed::reserve(options.listen.len()).or_fail(|| "cannot keep descriptors free".to_owned())?;
    let node = program::node_of(&parsed.rest);
    let Decided { fanout, with_channel, open } = decide(FanoutQuestion::new(&options, &parsed.rest, node))?;
    let home = AppDir::enter(options.name.as_deref(), &parsed.rest, |key| std::env::var_os(key))?;
    pm_common::app::orphans::end_before_start(&home)?;
    let balance = options.balance.or((options.fanout == FanoutChoice::Shared).then_some(Mode::Shared));
    let mode = mode(&parsed.rest, balance, std::env::var_os("NODE_CLUSTER_SCHED_POLICY").as_deref());
    check_question(mode, options.health.as_ref())?;
    let stop_message = options.rules.stop_message;
    let settings = Settings {
        node,
        with_channel,
        channel_number,
        preload: preload(&parsed.rest, options.preload && (with_channel || open.is_some() || node == Node::Below)),
        linger: linger(options.rules.grace),
        grace: options.rules.grace,
        health: options.health.clone(),
        sockets: passed::variables(&sockets),
        // Bun takes no notice of NODE_OPTIONS.
        is_heard: parsed.rest.first().is_some_and(|program| base_name(program) != "bun"),
        argv: parsed.rest.clone(),
    };
    let (roll, max_lag) = (options.roll(), options.rules.max_lag);
    let base = home.dir().map_or_else(std::env::current_dir, |dir| Ok(dir.to_owned()));
    let base = base.or_fail(|| "cannot tell the working directory".to_owned())?;
    let outputs = Outputs::new(options.out.as_deref(), options.err.as_deref(), &base);
    let shape = Shape { workers: options.workers, overlap: true, ready: options.ready, roll };
    Supervise::begin(Setup {
        machine: Supervisor::new(options.rules, shape, pm_common::sys::random::seed()),
        adapter: Cluster::new(
            hold(mode, &sockets, &options.listen)?,
            Binds::new(fanout, open),
            Primary::new(stop_message),
            settings,
            max_lag,
        ),
        origin: Origin::here(&parsed.rest, environment::base(), options.env_file.as_deref())?,
        argv: parsed.rest,
        scope: Scope::Group,
        outputs,
        publisher: Publisher::new("pm-cluster", home),
        succession,
        kind: "cluster",
    })?
    .run()
}

/// Where we accept, and pass connections to workers that are ready, a question to one that is not yet waits for ever.
fn check_question(mode: Mode, question: Option<&Question>) -> Result<(), Failure> {
    if mode == Mode::RoundRobin && matches!(question, Some(Question::Url(_))) {
        return Err(Failure::own(
            "--health reaches no new worker where connections go round (--balance rr, Deno); use --health-cmd with PM_PID",
        ));
    }
    Ok(())
}

/// The sockets, those that were asked for among them.
fn hold(mode: Mode, passed: &[Passed], declared: &[Declared]) -> Result<Sockets, Failure> {
    let mut sockets = Sockets::new(mode, Spread::default());
    sockets.started_with(passed);
    for what in declared {
        sockets.declare(what).or_fail(|| format!("cannot listen on {what}"))?;
    }
    Ok(sockets)
}

/// How the program's own binds are handled.
struct Decided {
    fanout: Fanout,
    with_channel: bool,
    /// Nothing could be found out: the question.
    open: Option<FanoutQuestion>,
}

/// How the program's own binds are handled; the question is kept where nothing can be found out just now.
fn decide(question: FanoutQuestion) -> Result<Decided, Failure> {
    match question.answer() {
        Ok(answer) => {
            let (fanout, with_channel) = (answer.fanout, answer.with_channel);
            answer.say_or_refuse()?;
            Ok(Decided { fanout, with_channel, open: None })
        }
        // As if the best were possible, which each start of a worker finds out before anything else.
        Err(_) => {
            Ok(Decided { fanout: Fanout::Own, with_channel: question.with_channel(Fanout::Own), open: Some(question) })
        }
    }
}

/// The longest that idle connections linger: a client that would still use one does so within this time.
const LONGEST_LINGER: Span = Span::secs(6);

/// How long idle connections linger in a drain: they must be gone before the grace ends.
fn linger(grace: Span) -> Span {
    Span(grace.0 / 4 * 3).min(LONGEST_LINGER)
}

/// The drain script, unless it is not wanted; Deno does not listen with any script in NODE_OPTIONS.
fn preload(argv: &[OsString], wanted: bool) -> Preload {
    let program = argv.first().map(|program| base_name(program)).unwrap_or_default();
    if wanted && program != "deno" { Preload::place() } else { Preload::off() }
}

/// How connections are spread: as asked, else as Node's own variable says, else lanes. Deno never accepts on a
/// listener that it was handed, only connections.
fn mode(argv: &[OsString], asked: Option<Mode>, policy: Option<&OsStr>) -> Mode {
    let program = argv.first().map(|program| base_name(program)).unwrap_or_default();
    match (asked, policy.and_then(OsStr::to_str)) {
        _ if program == "deno" => Mode::RoundRobin,
        (Some(mode), _) => mode,
        (None, Some("rr")) => Mode::RoundRobin,
        (None, Some("none")) => Mode::Shared,
        (None, _) => Mode::Lanes,
    }
}
