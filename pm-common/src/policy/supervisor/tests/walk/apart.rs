//! Several programs of which no two may live in one slot: the world checks that after every step.

use super::*;

/// The walks with more events go as far as this; to their own ends they have 5,000 to 13,000 states.
const NEAR: usize = 2_500;

#[test]
fn two_apart_reload_and_leftovers() {
    let menu = Menu { reload: true, spawn_fails: true, leftovers: true, ..SLOW };
    walk_all("two apart, reload and leftovers", menu, 2, false, 2_000);
}

#[test]
fn one_apart_excuses() {
    let menu = Menu { excuses: true, reload: true, leftovers: true, ..SLOW };
    walk_all("one apart, excuses and reload", menu, 1, false, 200);
}

#[test]
fn two_apart_of_everything() {
    let menu = Menu { most_states: NEAR, ..EVERYTHING };
    walk_all("two apart, everything", menu, 2, false, NEAR);
}

#[test]
fn three_apart_by_twos() {
    let menu = Menu { reload: true, roll: BY_TWOS, most_states: NEAR, whole: false, ..SLOW };
    walk_all("three apart, two at a time", menu, 3, false, NEAR);
}
