//! Rolls: asked for with HUP, and watched in the status file of pm-cluster.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::chain::Chain;
use crate::scene::Scene;
use crate::stat;

/// What pm-cluster says about itself; `None` while it has no status file.
#[must_use]
pub fn supervisor(scene: &Scene) -> Option<Value> {
    let apps = fs::read_dir(scene.dir().join("pm")).ok()?.flatten();
    let files = apps.filter_map(|app| fs::read_dir(app.path().join("status.d")).ok()).flat_map(Iterator::flatten);
    let of_cluster = |name: &str| name.starts_with("pm-cluster.") && !name.ends_with('~');
    let file = files.filter(|f| f.file_name().to_str().is_some_and(of_cluster)).map(|f| f.path()).next()?;
    serde_json::from_str(fs::read_to_string(file).ok()?.lines().next()?).ok()
}

/// The state of the rolls.
///
/// # Panics
/// When there is no status file.
#[must_use]
#[track_caller]
pub fn state(chain: &Chain) -> Value {
    let line = chain.until("a status file", || supervisor(chain.scene));
    line["roll"].clone()
}

/// A number of the state.
#[must_use]
pub fn number(roll: &Value, name: &str) -> u64 {
    roll[name].as_u64().unwrap_or_else(|| panic!("no number {name} in {roll}"))
}

/// Asks for a roll and returns its number, once the supervisor has heard of it.
///
/// # Panics
/// When it does not hear.
#[track_caller]
pub fn ask(chain: &Chain) -> u64 {
    let before = number(&state(chain), "requested");
    chain.signal(Signal::SIGHUP);
    chain.until("the request to be heard", || (number(&state(chain), "requested") > before).then_some(before + 1))
}

/// Waits until the roll with this number, or one that includes it, has ended, and returns the state.
///
/// # Panics
/// When it does not end.
#[track_caller]
pub fn ended(chain: &Chain, which: u64) -> Value {
    chain
        .until(&format!("the end of roll {which}"), || Some(state(chain)).filter(|roll| number(roll, "ended") >= which))
}

/// Rolls, and returns the state after it, whatever came of it.
///
/// # Panics
/// When the roll does not end.
#[track_caller]
pub fn roll(chain: &Chain) -> Value {
    ended(chain, ask(chain))
}

/// Rolls, and waits until nothing of the old workers is left.
///
/// # Panics
/// When the roll is aborted.
#[track_caller]
pub fn well(chain: &Chain) {
    let roll = roll(chain);
    assert_eq!(roll["ok"], true, "{roll}\n{}", chain.output());
    drained(chain);
}

/// Waits until no worker is on its way out.
///
/// # Panics
/// After the deadline.
#[track_caller]
pub fn drained(chain: &Chain) {
    chain.until("the old workers to be gone", || {
        let workers = stat::workers(chain.scene);
        (!workers.is_empty() && workers.iter().all(|w| w.state() == "ready")).then_some(())
    });
}

/// Waits until the roll under way waits for this, and returns what it says.
///
/// # Panics
/// When it never does.
#[track_caller]
pub fn awaiting(chain: &Chain, what: &str) -> Value {
    chain.until(&format!("a roll that waits for {what}"), || {
        let running = state(chain)["running"].clone();
        running["awaiting"].as_str().is_some_and(|text| text.contains(what)).then_some(running)
    })
}
