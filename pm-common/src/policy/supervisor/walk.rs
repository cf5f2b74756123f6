//! An exhaustive walk over what a small supervisor can meet: breadth first over the distinct states, every possible
//! event in each. `World` checks what must hold after every step.
//!
//! Times are whole seconds and every span is one or two of them, so that the distinct states are few; time moves only
//! to the next deadline (an event between two deadlines decides nothing that one of its neighbours does not).
//! Not followed further, so that the space is finite: states with more living workers than `most_living` (workers that
//! never die from KILL could pile up for ever), and more than three requests to stop. The walks that are `whole`
//! reach their own end; the others cover the states nearest to the start.

mod fingerprint;

use std::collections::{HashSet, VecDeque};

use self::fingerprint::fingerprint;
use super::world::World;
use super::*;
use crate::policy::rules::Restart;
use crate::policy::worker::ReadyRule;

const ADDRESS: &str = "tcp:127.0.0.1:1";
const LIMIT: u64 = 100;

/// What a walk feeds beside starts, ends, readiness and stops.
#[derive(Debug, Clone, Copy, Default)]
struct Menu {
    spawn_fails: bool,
    memory: bool,
    reload: bool,
    scale: bool,
    leftovers: bool,
    addresses: bool,
    /// The worker may be a supervisor itself.
    below: bool,
    /// Ends other than code 1.
    codes: &'static [Exit],
    intensity: u32,
    stable: Span,
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
        backoff: (Span::secs(1), Span::secs(1)),
        stable: menu.stable,
        intensity: menu.intensity,
        window: Span::secs(2),
        grace: Span::secs(1),
        max_mem: menu.memory.then_some(LIMIT),
        mem_interval: Span::secs(1),
        ..Rules::default()
    }
}

fn shape(workers: u32, overlap: bool) -> Shape {
    let ready = ReadyRule { evidence: ReadyBy::Listen, alive_after: Span::secs(1), timeout: Span::secs(1) };
    Shape { workers, overlap, ready, roll: RollRule { parallel: 1, soak: Span::secs(1), overlap: 1 } }
}

fn events(world: &World, menu: Menu) -> Vec<Event> {
    let mut all = vec![Event::Tick];
    for (id, worker) in world.known() {
        worker_events(id, worker, menu, &mut all);
    }
    if world.stops < 3 {
        all.push(Event::Stop(StopKind::Term));
    }
    if menu.reload {
        all.push(Event::Asked(Request::Reload));
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
    if menu.addresses {
        let address = ADDRESS.to_string();
        all.push(match worker.listening.is_empty() {
            true => Event::Listening { id, address, fixed: true },
            false => Event::Closed { id, address },
        });
    }
    all.extend(menu.memory.then_some(Event::Memory(id, LIMIT + 1)));
    if menu.below {
        all.extend([Event::Supervises(id), Event::GaveUp(id), Event::StopTakes(id, Span::secs(1))]);
    }
}

/// It was asked to drain and has not answered.
fn world_waits(worker: &Worker) -> bool {
    matches!(worker.life, Life::Draining { told: false, .. })
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
    while let Some((index, world)) = front.pop_front() {
        let broken = |what: &str, why: &str| -> ! { panic!("{name}: {what}: {why}; the way:\n{}", way(&trail, index)) };
        if let Err((what, why)) = check_ways_out(&world, index) {
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

/// From every state: a late event (in turn one of each kind) does nothing, and there are ways to the end.
fn check_ways_out(world: &World, turn: usize) -> Result<(), (&'static str, String)> {
    late_event(world, turn).map_err(|why| ("a late event", why))?;
    ends_when_asked(world.clone()).map_err(|why| ("stop, and all end", why))?;
    ends_when_killed(world.clone()).map_err(|why| ("stop, and nobody ends before KILL", why))?;
    detaches(world.clone()).map_err(|why| ("detach", why))
}

fn late_event(world: &World, turn: usize) -> Result<(), String> {
    let Some(id) = world.dead else { return Ok(()) };
    let event = match turn % 10 {
        0 => Event::Ended { id, exit: Exit::Code(1), leftovers: false },
        1 => Event::SpawnFailed(id, 127),
        2 => Event::Listening { id, address: ADDRESS.to_string(), fixed: true },
        3 => Event::SaidReady(id, ReadyBy::Notify),
        4 => Event::Memory(id, LIMIT + 1),
        5 => Event::Supervises(id),
        6 => Event::GaveUp(id),
        7 => Event::StopTakes(id, Span::secs(9)),
        8 => Event::Drained(id),
        _ => Event::Gone(id),
    };
    let mut same = world.clone();
    let actions = same.feed(event)?;
    match fingerprint(&same) == fingerprint(world) {
        true if actions.is_empty() => Ok(()),
        changed_nothing => Err(format!("state kept: {changed_nothing}, actions: {actions:?}")),
    }
}

fn ends_when_asked(mut world: World) -> Result<(), String> {
    world.feed(Event::Stop(StopKind::Term))?;
    let ids: Vec<WorkerId> = world.living.keys().copied().collect();
    for id in ids {
        let leader = world.living.get(&id).is_some_and(|p| p.leader);
        let end = Event::Ended { id, exit: Exit::Signal(15), leftovers: false };
        world.feed(if leader { end } else { Event::Gone(id) })?;
    }
    finished_with(&world, 0)
}

fn ends_when_killed(mut world: World) -> Result<(), String> {
    world.feed(Event::Stop(StopKind::Int))?;
    for _ in 0..16 {
        let killed = world.living.iter().find(|(_, p)| p.killed).map(|(id, p)| (*id, p.leader));
        match killed {
            Some((id, true)) => world.feed(Event::Ended { id, exit: Exit::Signal(9), leftovers: false })?,
            Some((id, false)) => world.feed(Event::Gone(id))?,
            None if world.finished.is_some() => break,
            None => world.tick()?,
        };
    }
    finished_with(&world, 130)
}

fn detaches(mut world: World) -> Result<(), String> {
    let actions = world.feed(Event::Detach)?;
    if actions
        .iter()
        .any(|a| matches!(a, Action::Stop(_) | Action::Drain(_) | Action::Kill(_) | Action::StopLeftovers(_)))
    {
        return Err(format!("touched the workers: {actions:?}"));
    }
    finished_with(&world, 0)
}

fn finished_with(world: &World, code: u8) -> Result<(), String> {
    if world.finished == Some(code) { Ok(()) } else { Err(format!("{:?}, not Finish({code})", world.finished)) }
}

fn begun(menu: Menu, workers: u32, overlap: bool) -> World {
    let mut world = World::new(rules(menu), shape(workers, overlap));
    world.feed(Event::Start).expect("a machine begins");
    for slot in (0..workers).filter(|_| menu.from_ready) {
        world.feed(Event::SaidReady(WorkerId { slot, generation: 1 }, ReadyBy::Notify)).expect("it can be ready");
    }
    if menu.from_ready {
        // Past the stable time.
        world.now = world.now + Span::secs(1);
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
    reload: false,
    scale: false,
    leftovers: false,
    addresses: false,
    below: false,
    codes: &[],
    intensity: 2,
    stable: Span::secs(1),
    from_ready: false,
    most_living: 4,
    most_states: 40_000,
    whole: true,
};

#[test]
fn cluster_crashes() {
    walk_all("cluster, crashes", MENU, 2, true, 2_000);
}

#[test]
fn cluster_codes() {
    let menu = Menu { spawn_fails: true, codes: &[Exit::Code(0), Exit::Code(127)], intensity: 1, ..MENU };
    walk_all("cluster, exit codes", menu, 2, true, 200);
}

#[test]
fn cluster_leftovers() {
    let menu = Menu { leftovers: true, most_living: 3, intensity: 1, ..MENU };
    walk_all("cluster, leftovers", menu, 2, true, 2_000);
}

/// Where all events together make too many states, the walk goes as far as this.
const CUT: usize = 15_000;

/// Where nothing fails quickly there is no backoff, and the states are few enough for more events.
const SLOW: Menu = Menu { intensity: 1, stable: Span::ZERO, from_ready: true, ..MENU };

#[test]
fn cluster_reload_and_scale() {
    walk_all("cluster, reload and scale", Menu { reload: true, scale: true, ..SLOW }, 2, true, 10_000);
}

#[test]
fn cluster_memory() {
    let menu = Menu { memory: true, reload: true, most_states: CUT, whole: false, ..SLOW };
    walk_all("cluster, memory and reload", menu, 2, true, CUT);
}

#[test]
fn cluster_addresses() {
    let menu = Menu { addresses: true, reload: true, most_states: CUT, whole: false, ..SLOW };
    walk_all("cluster, addresses and reload", menu, 2, true, CUT);
}

#[test]
fn one_slot_memory_and_reload() {
    walk_all("one slot, memory and reload", Menu { memory: true, reload: true, ..SLOW }, 1, true, 300);
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
        addresses: true,
        below: true,
        codes: &[Exit::Code(0), Exit::Code(127)],
        ..MENU
    };
    walk_all("pm-restart, everything", menu, 1, false, 20_000);
}
