//! Workers that share an address, of which no two of one slot live at a time: the world checks that after every step.

use super::*;

/// The walks with more events go as far as this.
const NEAR: usize = 5_000;
const ENDS_FIRST: Menu = Menu { shares: true, reload: true, ..SLOW };

#[test]
fn one_slot() {
    walk_all("stop-start, one slot", Menu { memory: true, lag: true, ..ENDS_FIRST }, 1, false, 100);
}

#[test]
fn two_slots_and_leftovers() {
    let menu = Menu { spawn_fails: true, leftovers: true, most_states: NEAR, whole: false, ..ENDS_FIRST };
    walk_all("stop-start, two slots and leftovers", menu, 2, false, 2_000);
}

#[test]
fn two_slots_lag_and_memory() {
    let menu = Menu { memory: true, lag: true, most_states: NEAR, whole: false, ..ENDS_FIRST };
    walk_all("stop-start, two slots, lag and memory", menu, 2, false, 2_000);
}

#[test]
fn two_slots_of_everything() {
    let menu = Menu { lag: true, shares: true, most_states: NEAR, ..EVERYTHING };
    walk_all("stop-start, everything", menu, 2, false, NEAR);
}

#[test]
fn three_slots_by_twos() {
    let menu = Menu { memory: true, roll: BY_TWOS, most_living: 6, most_states: NEAR, whole: false, ..ENDS_FIRST };
    walk_all("stop-start, three slots, two at a time", menu, 3, false, NEAR);
}
