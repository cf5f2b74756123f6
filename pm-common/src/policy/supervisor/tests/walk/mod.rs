//! An exhaustive walk over what a small supervisor can meet: breadth first over the distinct states, every possible
//! event in each. `World` checks what must hold after every step.
//!
//! Every span is one or two nanoseconds (so short that the backoff has no jitter), so that the distinct states are few;
//! time moves only to the next deadline (an event between two deadlines decides nothing that one of its neighbours
//! does not).
//! Not followed further, so that the space is finite: states with more living workers than `most_living` (workers that
//! never die from KILL could pile up for ever), and more than three requests to stop. The walks that are `whole`
//! reach their own end; the others cover the states nearest to the start.

mod apart;
mod delay;
mod fingerprint;
mod stop_start;
mod ways_out;

use std::collections::{HashSet, VecDeque};

use self::fingerprint::fingerprint;
use self::ways_out::Ways;
use super::super::*;
use super::at;
use super::world::World;
use crate::policy::lag::Stall;
use crate::policy::rules::Restart;
use crate::policy::worker::{Loads, ReadyRule};

const ADDRESS: &str = "tcp:127.0.0.1:1";
const LIMIT: u64 = 100;

/// What a walk feeds beside starts, ends, readiness and stops.
#[derive(Debug, Clone, Copy)]
struct Menu {
    spawn_fails: bool,
    memory: bool,
    lag: bool,
    reload: bool,
    scale: bool,
    leftovers: bool,
    addresses: bool,
    /// An end before readiness may not be the worker's fault.
    excuses: bool,
    stop_delay: Span,
    /// Slots share their addresses also where the old worker ends first.
    shares: bool,
    /// Its policy has set times, which come whenever they like.
    set_times: bool,
    /// Its policy watches files, which change whenever they like.
    watches: bool,
    /// The worker may be a supervisor itself.
    below: bool,
    /// Ends other than code 1.
    codes: &'static [Exit],
    intensity: u32,
    stable: Span,
    backoff: Span,
    roll: RollRule,
    /// Within it a worker may be looked at, and say that it is loaded, where it is longer than the time alive.
    timeout: Span,
    /// Begin with every worker ready; else with every worker starting.
    from_ready: bool,
    most_living: usize,
    /// The walk ends here, with the states nearest to the start; how many were left over is printed.
    most_states: usize,
    /// It must reach its own end before that.
    whole: bool,
}

/// What a walk covered.
struct Covered {
    states: usize,
    transitions: usize,
    /// Not followed, because the walk was long enough.
    left: usize,
}

fn rules(menu: Menu) -> Rules {
    Rules {
        restart: if menu.codes.is_empty() { Restart::Always } else { Restart::OnFailure },
        backoff: (menu.backoff, menu.backoff),
        stable: menu.stable,
        intensity: menu.intensity,
        window: Span(2),
        grace: Span(1),
        stop_delay: menu.stop_delay,
        max_mem: menu.memory.then_some(LIMIT),
        mem_interval: Span(1),
        max_lag: menu.lag.then_some(Span(1)),
        cron: if menu.set_times { vec!["@daily".to_owned()] } else { Vec::new() },
        watch: if menu.watches { vec!["/srv".to_owned()] } else { Vec::new() },
        watch_delay: Span(1),
        ..Rules::default()
    }
}

fn shape(menu: Menu, workers: u32, overlap: bool) -> Shape {
    let ready = ReadyRule {
        evidence: ReadyBy::Listen,
        alive_after: Some(Span(1)),
        listen_time: Span(1),
        rest_after: Span(1),
        timeout: menu.timeout,
    };
    Shape {
        workers,
        most: if menu.below { 1 } else { MOST_WORKERS },
        overlap,
        shares: overlap || menu.shares,
        ready,
        roll: menu.roll,
    }
}

fn events(world: &World, menu: Menu) -> Vec<Event> {
    let mut all = vec![Event::Tick];
    for (id, worker) in world.known() {
        worker_events(id, worker, menu, &mut all);
    }
    if world.stops < 3 {
        all.push(Event::Stop(StopKind::Term, Asker::Terminal));
        all.extend(menu.below.then_some(Event::Stop(StopKind::Term, Asker::Above)));
    }
    all.extend(menu.below.then_some(Event::Stop(StopKind::Term, Asker::Other)));
    if menu.reload {
        all.push(Event::Asked(Request::Reload));
        let resolving = world.sup.roll_deadline().is_some();
        all.extend(resolving.then(|| Event::ResolveFailed("no such directory".to_string())));
        all.extend((resolving && menu.addresses).then_some(Event::Moves));
    }
    all.extend(menu.set_times.then_some(Event::SetTime));
    all.extend(menu.watches.then(|| Event::FileChanged { file: "app.js".to_owned(), gone: false }));
    if world.asks_for_room() {
        all.extend([Event::Room { left: Some(9), needs: 10 }, Event::Room { left: Some(20), needs: 10 }]);
    }
    if menu.scale {
        let put_off = world.sup.rolls.scale;
        all.extend((put_off >= 0).then_some(Event::Asked(Request::Fewer)));
        all.extend((world.sup.wanted < 2 && put_off < 1).then_some(Event::Asked(Request::More)));
    }
    all
}

fn worker_events(id: WorkerId, worker: &Worker, menu: Menu, all: &mut Vec<Event>) {
    if worker.exit.is_some() {
        all.push(Event::Gone(id));
        return;
    }
    let exit = Exit::Code(1);
    all.push(Event::Ended { id, exit, leftovers: false });
    all.extend(menu.leftovers.then_some(Event::Ended { id, exit, leftovers: true }));
    all.extend(menu.codes.iter().map(|exit| Event::Ended { id, exit: *exit, leftovers: false }));
    if world_waits(worker) {
        all.push(Event::Drained(id));
    }
    if let Life::Starting(_) = worker.life {
        let fails = menu.spawn_fails && worker.listening.is_empty() && !worker.supervises;
        all.extend(fails.then_some(Event::SpawnFailed(id, 125)));
        all.push(Event::SaidReady(id, ReadyBy::Notify));
    }
    if matches!(worker.life, Life::Starting(Due::Alive(_))) && menu.timeout > Span(1) {
        all.extend([true, false].map(|busy| Event::Looked { id, busy }));
        all.extend([Loads::Nothing, Loads::Server].map(|loads| Event::Booted(id, loads)));
    }
    if menu.addresses {
        let address = at(ADDRESS);
        all.push(match worker.listening.is_empty() {
            true => Event::Listening { id, address, fixed: true },
            false => Event::Closed { id, address },
        });
    }
    all.extend(
        (menu.excuses && worker.excuse != Excuse::Excused && worker.is_excusable()).then_some(Event::Excused(id)),
    );
    all.extend(menu.memory.then_some(Event::Memory(id, LIMIT + 1)));
    all.extend(menu.lag.then_some(Event::Lag { id, how: Stall::Queue, after: Span(1) }));
    if menu.below {
        all.extend([Event::Supervises(id), Event::GaveUp(id), Event::StopTakes(id, Span(1))]);
    }
}

/// It was asked to drain and has not answered.
fn world_waits(worker: &Worker) -> bool {
    matches!(worker.life, Life::Draining { told: StopSent::Never, .. })
}

/// How each state was reached, to print the way to a broken one.
type Trail = Vec<(usize, Option<Event>)>;

fn way(trail: &Trail, mut index: usize) -> String {
    let mut steps = Vec::new();
    while let Some((parent, Some(event))) = trail.get(index) {
        steps.push(format!("  {event:?}"));
        index = *parent;
    }
    steps.reverse();
    steps.join("\n")
}

#[allow(clippy::print_stdout, reason = "how much a walk covered is what a person wants to read")]
fn walk(name: &str, first: World, menu: Menu) -> Covered {
    let mut trail: Trail = vec![(0, None)];
    let mut seen = HashSet::from([fingerprint(&first)]);
    let mut front = VecDeque::from([(0_usize, first)]);
    let (mut transitions, mut crowded, mut left) = (0, 0, 0);
    let mut ways = Ways::default();
    while let Some((index, world)) = front.pop_front() {
        let broken = |what: &str, why: &str| -> ! { panic!("{name}: {what}: {why}; the way:\n{}", way(&trail, index)) };
        if let Err((what, why)) = ways.check(&world, index) {
            broken(what, &why);
        }
        if world.living.len() > menu.most_living {
            crowded += 1;
            continue;
        }
        if seen.len() > menu.most_states {
            left += 1;
            continue;
        }
        let mut found = Vec::new();
        for event in events(&world, menu) {
            match step(&world, &event) {
                Ok(next) => found.push((event, next)),
                Err(why) => broken(&format!("{event:?}"), &why),
            }
        }
        for (event, next) in found {
            transitions += 1;
            if next.finished.is_none() && seen.insert(fingerprint(&next)) {
                trail.push((index, Some(event)));
                front.push_back((trail.len() - 1, next));
            }
        }
    }
    let states = seen.len();
    println!("{name}: {states} states, {transitions} transitions, not followed: {crowded} crowded, {left} left over");
    Covered { states, transitions, left }
}

/// One step; a tick goes to the deadline where there is one.
fn step(world: &World, event: &Event) -> Result<World, String> {
    let mut next = world.clone();
    if *event == Event::Tick && next.sup.deadline().is_some() {
        next.tick()?;
    } else {
        next.feed(event.clone())?;
    }
    // The jitter is not what is walked.
    next.sup.random = 1;
    Ok(next)
}

fn begun(menu: Menu, workers: u32, overlap: bool) -> World {
    let mut world = World::new(rules(menu), shape(menu, workers, overlap));
    world.feed(Event::Start).expect("a machine begins");
    for slot in (0..workers).filter(|_| menu.from_ready) {
        world.feed(Event::SaidReady(WorkerId { slot, generation: 1 }, ReadyBy::Notify)).expect("it can be ready");
    }
    if menu.from_ready {
        // Past the stable time.
        world.now = world.now + Span(1);
    }
    world
}

/// A walk that must cover at least this many states (so that it cannot become a walk through nothing).
fn walk_all(name: &str, menu: Menu, workers: u32, overlap: bool, least: usize) {
    let covered = walk(name, begun(menu, workers, overlap), menu);
    assert!(covered.states >= least, "{name} covered only {} states", covered.states);
    assert!(covered.left == 0 || !menu.whole, "{name} did not end: a bug makes ever new states");
    assert!(covered.transitions >= 2 * least, "{name} covered only {} transitions", covered.transitions);
}

const MENU: Menu = Menu {
    spawn_fails: false,
    memory: false,
    lag: false,
    reload: false,
    scale: false,
    leftovers: false,
    addresses: false,
    excuses: false,
    stop_delay: Span::ZERO,
    shares: false,
    set_times: false,
    watches: false,
    below: false,
    codes: &[],
    intensity: 2,
    stable: Span(1),
    backoff: Span(3),
    roll: RollRule { parallel: 1, soak: Span(1), overlap: 1, heeds_memory: false },
    timeout: Span(1),
    from_ready: false,
    most_living: 4,
    most_states: 40_000,
    whole: true,
};

#[test]
fn cluster_crashes() {
    walk_all("cluster, crashes", Menu { most_living: 5, ..MENU }, 3, true, 3_000);
}

#[test]
fn cluster_codes() {
    let menu = Menu { spawn_fails: true, codes: &[Exit::Code(0), Exit::Code(127)], intensity: 1, ..MENU };
    walk_all("cluster, exit codes", menu, 2, true, 200);
}

/// Their workers may all have ended by themselves, and nothing ends but by a stop.
#[test]
fn set_times() {
    let menu = Menu { set_times: true, codes: &[Exit::Code(0)], intensity: 1, most_states: CUT, whole: false, ..MENU };
    walk_all("cluster, set times", menu, 2, true, CUT);
    walk_all("pm-restart, set times", Menu { below: true, ..menu }, 1, false, 100);
}

#[test]
fn changed_files() {
    let menu = Menu { watches: true, codes: &[Exit::Code(0)], intensity: 1, most_states: CUT, whole: false, ..MENU };
    walk_all("cluster, changed files", menu, 2, true, CUT);
    walk_all("pm-restart, changed files", Menu { below: true, ..menu }, 1, false, 100);
}

#[test]
fn cluster_leftovers() {
    let menu = Menu { leftovers: true, most_living: 3, intensity: 1, ..MENU };
    walk_all("cluster, leftovers", menu, 2, true, 1_500);
}

/// Where all events together make too many states, the walk goes as far as this.
const CUT: usize = 15_000;

/// Where nothing fails quickly there is no backoff, and the states are few enough for more events.
const SLOW: Menu = Menu { intensity: 1, stable: Span::ZERO, backoff: Span(1), from_ready: true, ..MENU };

/// Of everything that befalls a cluster whose old workers end first.
const EVERYTHING: Menu = Menu {
    spawn_fails: true,
    memory: true,
    reload: true,
    scale: true,
    leftovers: true,
    addresses: true,
    excuses: true,
    codes: &[Exit::Code(0)],
    whole: false,
    ..SLOW
};

const BY_TWOS: RollRule = RollRule { parallel: 2, soak: Span(1), overlap: 2, heeds_memory: false };

#[test]
fn cluster_reload_and_scale() {
    let menu = Menu { reload: true, scale: true, most_states: CUT, whole: false, ..SLOW };
    walk_all("cluster, reload and scale", menu, 2, true, CUT);
}

#[test]
fn cluster_reload() {
    walk_all("cluster, reload", Menu { reload: true, spawn_fails: true, ..SLOW }, 2, true, 1_500);
}

#[test]
fn cluster_of_three_by_twos() {
    let menu = Menu { reload: true, roll: BY_TWOS, most_living: 6, most_states: CUT, whole: false, ..SLOW };
    walk_all("cluster of three, two at a time", menu, 3, true, CUT);
}

#[test]
fn cluster_without_a_soak() {
    let roll = RollRule { parallel: 2, soak: Span::ZERO, overlap: 9, heeds_memory: false };
    walk_all("cluster, no soak", Menu { reload: true, spawn_fails: true, roll, ..SLOW }, 2, true, 1_000);
}

#[test]
fn cluster_memory() {
    let menu = Menu { memory: true, reload: true, most_states: CUT, whole: false, ..SLOW };
    walk_all("cluster, memory and reload", menu, 2, true, CUT);
}

#[test]
fn cluster_lag() {
    let menu = Menu { lag: true, reload: true, most_states: CUT, whole: false, ..SLOW };
    walk_all("cluster, lag and reload", menu, 2, true, CUT);
}

#[test]
fn cluster_of_three_lag_and_memory_by_twos() {
    let menu = Menu {
        lag: true,
        memory: true,
        reload: true,
        roll: BY_TWOS,
        most_living: 6,
        most_states: CUT,
        whole: false,
        ..SLOW
    };
    walk_all("cluster of three, lag, memory and reload", menu, 3, true, CUT);
}

#[test]
fn one_slot_lag_memory_and_reload() {
    walk_all("one slot, lag, memory and reload", Menu { lag: true, memory: true, reload: true, ..SLOW }, 1, true, 300);
}

#[test]
fn cluster_addresses() {
    let menu = Menu { addresses: true, reload: true, most_states: CUT, whole: false, ..SLOW };
    walk_all("cluster, addresses and reload", menu, 2, true, CUT);
}

#[test]
fn cluster_of_three_in_little_memory() {
    let roll = RollRule { parallel: 2, soak: Span(1), overlap: 3, heeds_memory: true };
    let menu = Menu { reload: true, roll, most_living: 6, most_states: CUT, whole: false, ..SLOW };
    walk_all("cluster, little memory", menu, 3, true, CUT);
}

#[test]
fn cluster_excuses() {
    let menu = Menu { excuses: true, reload: true, leftovers: true, most_states: CUT, whole: false, ..SLOW };
    walk_all("cluster, excuses and reload", menu, 2, true, CUT);
}

#[test]
fn one_slot_excuses() {
    walk_all("one slot, excuses and reload", Menu { excuses: true, reload: true, ..SLOW }, 1, true, 100);
}

#[test]
fn one_slot_memory_and_reload() {
    walk_all("one slot, memory and reload", Menu { memory: true, reload: true, ..SLOW }, 1, true, 300);
}

/// One that only lives, one that is idle, and one that listens later than its successor starts.
#[test]
fn cluster_looks() {
    let menu = Menu { addresses: true, reload: true, timeout: Span(3), most_states: CUT, whole: false, ..MENU };
    walk_all("cluster, looks", menu, 2, true, CUT);
}

#[test]
fn one_slot_looks() {
    let menu = Menu { addresses: true, reload: true, timeout: Span(2), ..SLOW };
    walk_all("one slot, looks", menu, 1, true, 300);
}

#[test]
fn pm_restart_looks() {
    let menu = Menu { addresses: true, reload: true, below: true, timeout: Span(2), ..SLOW };
    walk_all("pm-restart, looks", menu, 1, false, 300);
}

#[test]
fn one_slot_addresses_and_reload() {
    walk_all("one slot, addresses and reload", Menu { addresses: true, reload: true, ..SLOW }, 1, true, 300);
}

#[test]
fn cluster_of_everything() {
    let menu = Menu {
        spawn_fails: true,
        memory: true,
        reload: true,
        scale: true,
        leftovers: true,
        addresses: true,
        most_states: CUT,
        whole: false,
        ..MENU
    };
    walk_all("cluster, everything", menu, 2, true, CUT);
}

#[test]
fn pm_restart_of_everything() {
    let menu = Menu {
        spawn_fails: true,
        memory: true,
        reload: true,
        scale: true,
        leftovers: true,
        // pm-restart's child is held to no address: none that it listens on is fixed.
        below: true,
        codes: &[Exit::Code(0), Exit::Code(127)],
        backoff: Span(1),
        ..MENU
    };
    walk_all("pm-restart, everything", menu, 1, false, 10_000);
}
