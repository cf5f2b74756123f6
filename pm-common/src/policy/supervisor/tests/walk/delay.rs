//! Stops with a delay.

use super::*;

#[test]
fn cluster_with_a_stop_delay() {
    let menu = Menu { stop_delay: Span(2), reload: true, codes: &[Exit::Code(0), Exit::Code(127)], ..SLOW };
    walk_all("cluster, stop delay and reload", menu, 2, true, 7_000);
    walk_all("one slot, stop delay and reload", menu, 1, true, 200);
}

#[test]
fn pm_restart_with_a_stop_delay() {
    let menu = Menu { stop_delay: Span(2), reload: true, below: true, leftovers: true, backoff: Span(1), ..MENU };
    walk_all("pm-restart, stop delay", menu, 1, false, 2_000);
}
