//! What the options and the program come to: how its binds are met, who is given a channel, how connections spread.

use std::ffi::{OsStr, OsString};

use pm_common::cli::report::Failure;
use pm_common::node::locate::base_name;
use pm_common::node::preload::Preload;
use pm_common::policy::steering::rendezvous::MOST_SLOTS;

use crate::bind::Fanout;
use crate::bind::fanout::FanoutQuestion;
use crate::care::health::Question;
use crate::sockets::Mode;

/// How the program's own binds are handled.
pub(crate) struct Decided {
    pub(crate) fanout: Fanout,
    pub(crate) with_channel: bool,
    /// Nothing could be found out: the question.
    pub(crate) open: Option<FanoutQuestion>,
}

/// How the program's own binds are handled; the question is kept where nothing can be found out just now.
pub(crate) fn decide(question: FanoutQuestion) -> Result<Decided, Failure> {
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

/// The drain script, unless it is not wanted; Deno does not listen with any script in NODE_OPTIONS.
pub(crate) fn preload(argv: &[OsString], wanted: bool) -> Preload {
    let program = argv.first().map(|program| base_name(program)).unwrap_or_default();
    if wanted && program != "deno" { Preload::place() } else { Preload::off() }
}

/// How connections are spread: as asked, else as Node's own variable says, else lanes. Deno never accepts on a
/// listener that it was handed, only connections.
pub(crate) fn mode(argv: &[OsString], asked: Option<Mode>, policy: Option<&OsStr>) -> Mode {
    let program = argv.first().map(|program| base_name(program)).unwrap_or_default();
    match (asked, policy.and_then(OsStr::to_str)) {
        _ if program == "deno" => Mode::RoundRobin,
        (Some(mode), _) => mode,
        (None, Some("rr")) => Mode::RoundRobin,
        (None, Some("none")) => Mode::Shared,
        (None, _) => Mode::Lanes,
    }
}

/// Where we accept, and pass connections to workers that are ready, a question to one that is not yet waits for ever.
pub(crate) fn check_question(mode: Mode, question: Option<&Question>) -> Result<(), Failure> {
    if mode == Mode::RoundRobin && matches!(question, Some(Question::Url(_))) {
        return Err(Failure::own(
            "--health reaches no new worker where connections go round (--balance rr, Deno); use --health-cmd with PM_PID",
        ));
    }
    Ok(())
}

/// What cannot be had is refused: clients stay with a worker where the kernel steers their connections to its lane.
/// `steers`: the program gets lanes in some way.
pub(crate) fn check_sticky(argv: &[OsString], mode: Mode, steers: bool, workers: u32) -> Result<(), Failure> {
    let deno = argv.first().is_some_and(|program| base_name(program) == "deno");
    let why = match mode {
        Mode::RoundRobin if deno => "Deno's connections go round",
        Mode::RoundRobin => "connections go round (--balance rr, NODE_CLUSTER_SCHED_POLICY=rr)",
        Mode::Shared => {
            "all workers share one socket (--balance shared, --fanout shared, NODE_CLUSTER_SCHED_POLICY=none)"
        }
        Mode::Lanes if !steers => "nobody sees what the program binds (--fanout off or inherit, or see --probe)",
        Mode::Lanes if workers > MOST_SLOTS => {
            return Err(Failure::own(format!("--sticky takes {MOST_SLOTS} workers at most, and -n is {workers}")));
        }
        Mode::Lanes => return Ok(()),
    };
    Err(Failure::own(format!("--sticky needs a lane for each worker, and here {why}")))
}
