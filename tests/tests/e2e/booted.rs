//! Below a systemd that was booted: the units of README.md as they stand, and each thing that systemd does with them.

use std::collections::BTreeSet;

use pm_tests::booted::Booted;
use pm_tests::http::{self, Connection};
use pm_tests::load::{Load, Style};
use pm_tests::scene::Scene;
use pm_tests::wait;

use crate::readme::block;

/// Where the app of the unit listens, in a network of the system's own.
const PORT: u16 = 3000;
const UNIT: &str = "/etc/systemd/system/app.service";

/// A booted system with the unit of README.md and an app in `/srv/app/one`, which `current` leads to.
fn with_the_unit(scene: &Scene) -> Booted<'_> {
    let booted = Booted::boot(scene);
    booted.write("/srv/app/one/app.js", "process.env.PORT = 3000; require('/opt/fixtures/app.js')");
    booted.ok("ln -s one /srv/app/current");
    booted.write(UNIT, &block("Type=notify"));
    booted.ok("systemctl daemon-reload");
    booted
}

/// Adds lines to the unit's section `[Service]`.
fn amend(booted: &Booted, name: &str, lines: &str) {
    booted.write(&format!("{UNIT}.d/{name}.conf"), &format!("[Service]\n{lines}\n"));
    booted.ok("systemctl daemon-reload");
}

/// The pids, as the system has them, that answer.
fn answering() -> BTreeSet<u32> {
    // Each goes to a worker at random: so many that none is left out.
    http::pids(PORT, 64).into_iter().collect()
}

/// The pids, as the system has them, of the workers that are ready.
fn ready(booted: &Booted) -> BTreeSet<u32> {
    let look = booted.ok("PM_HOME=/var/lib/app pm-stat");
    let lines = look.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let ready = lines.filter(|line| line["state"] == "ready");
    ready.filter_map(|line| line["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())).collect()
}

/// Waits for a text in the journal: who keeps it hears of a line a moment after it was written.
#[track_caller]
fn logged(booted: &Booted, text: &str) {
    if wait::poll(|| booted.journal().contains(text).then_some(())).is_none() {
        panic!("no '{text}' in the journal\n{}", booted.journal());
    }
}

/// A reload by systemctl ends when all workers are new, and loses nothing.
#[track_caller]
fn reloads(booted: &Booted, unit: &str, clients: &[Style]) {
    let before = answering();
    let load = Load::of(PORT, "/", clients);
    load.advance(5);
    booted.ok(&format!("systemctl reload {unit}"));
    let after = answering();
    load.advance(5);
    let sum = load.end();
    assert!(sum.misses.is_empty(), "{:?} of {}\n{}", sum.misses, sum.ok, booted.journal());
    assert!(!before.is_empty() && after.is_disjoint(&before), "{before:?} {after:?}\n{}", booted.journal());
}

/// A stop finishes the request in hand, and is a success for systemd.
#[track_caller]
fn stops(booted: &Booted, unit: &str) {
    let mut slow = Connection::open(PORT).expect("serves");
    slow.send("/stream?1500", "close").expect("sent");
    slow.head(&mut Vec::new()).expect("it has begun");
    let stop = booted.start(&format!("systemctl stop {unit}"));
    let rest = slow.end();
    let whole = rest.as_ref().is_ok_and(|rest| rest.ends_with("\r\n0\r\n\r\n"));
    assert!(whole, "{rest:?}\n{}", booted.journal());
    assert_eq!(stop.wait().code(), Some(0));
    assert_eq!(booted.property(unit, "Result"), "success");
    assert_eq!(booted.property(unit, "ActiveState"), "inactive");
}

#[test]
fn the_unit_starts_reloads_refuses_a_bad_release_and_stops() {
    let scene = Scene::new();
    let booted = with_the_unit(&scene);
    booted.ok("systemctl start app");
    let workers = booted.ok("nproc").parse::<usize>().expect("a number");
    assert_eq!(ready(&booted).len(), workers, "ready when started");
    reloads(&booted, "app", &Style::crowd(8));
    booted.write("/srv/app/two/app.js", "throw new Error('not this one')");
    booted.ok("ln -sfn two /srv/app/current");
    let before = ready(&booted);
    let reload = booted.run("systemctl reload app");
    assert_eq!(reload.status.code(), Some(1), "{}", booted.journal());
    logged(&booted, "not this one");
    assert_eq!((ready(&booted), booted.property("app", "ActiveState")), (before.clone(), "active".to_owned()));
    let now = answering();
    assert!(!now.is_empty() && now.is_subset(&before), "{now:?} of {before:?}");
    stops(&booted, "app");
}

/// systemd's default tells all processes of the unit at once to end.
#[test]
fn a_stop_by_the_default_kill_mode_finishes_the_request_in_hand() {
    let scene = Scene::new();
    let booted = with_the_unit(&scene);
    amend(&booted, "kill", "KillMode=control-group");
    booted.ok("systemctl start app");
    stops(&booted, "app");
}

#[test]
fn a_supervisor_that_was_killed_is_started_again() {
    let scene = Scene::new();
    let booted = with_the_unit(&scene);
    booted.ok("systemctl start app");
    let (before, first) = (answering(), booted.property("app", "MainPID"));
    booted.ok(&format!("kill -9 {first}"));
    wait::until("other workers", || {
        let now = answering();
        (!now.is_empty() && now.is_disjoint(&before)).then_some(())
    });
    wait::until("another supervisor", || {
        let state = (booted.property("app", "ActiveState"), booted.property("app", "MainPID"));
        (state.0 == "active" && state.1 != first).then_some(())
    });
    assert_eq!(booted.property("app", "OOMPolicy"), "continue");
    stops(&booted, "app");
}

#[test]
fn a_unit_with_a_cluster_that_hangs_is_started_again() {
    let scene = Scene::new();
    let booted = with_the_unit(&scene);
    // Longer than a busy machine keeps a supervisor from telling that it lives.
    amend(&booted, "watchdog", "WatchdogSec=5s\nTimeoutAbortSec=1s");
    booted.ok("systemctl start app");
    booted.ok("kill -STOP $(pidof pm-cluster)");
    wait::until("another start", || (booted.property("app", "NRestarts") != "0").then_some(()));
    // Joins the start that goes on.
    booted.ok("systemctl start app");
    logged(&booted, "Watchdog timeout");
    stops(&booted, "app");
}

/// All of it at the same time, and each line is known to systemd.
fn hardened(scene: &Scene) -> Booted<'_> {
    let booted = with_the_unit(scene);
    booted.write(&format!("{UNIT}.d/hardening.conf"), &block("ProtectSystem=strict"));
    booted.ok("systemctl daemon-reload");
    let verdict = booted.run("systemd-analyze verify --man=no /etc/systemd/system/app.service");
    let said = String::from_utf8_lossy(&verdict.stderr).into_owned();
    assert!(verdict.status.success() && !said.contains("hardening.conf"), "{said}");
    booted
}

#[test]
fn a_hardened_unit_does_all_that_the_other_does() {
    let scene = Scene::new();
    let booted = hardened(&scene);
    amend(&booted, "watchdog", "WatchdogSec=6s");
    booted.ok("systemctl start app");
    let told = || booted.property("app", "WatchdogTimestampMonotonic");
    let first = told();
    wait::until("word for the watchdog", || (told() != first).then_some(()));
    reloads(&booted, "app", &Style::crowd(8));
    assert_eq!(booted.property("app", "NRestarts"), "0", "{}", booted.journal());
    stops(&booted, "app");
}

#[test]
fn a_hardened_unit_has_lanes_for_servers_that_bind_by_themselves() {
    let scene = Scene::new();
    let booted = hardened(&scene);
    amend(
        &booted,
        "go",
        "ExecStart=\nExecStart=pm-restart pm-cluster --name app -n 2 /opt/any/go-server\nEnvironment=PORT=3000",
    );
    amend(&booted, "probe", "ExecStartPre=pm-cluster --probe");
    booted.ok("systemctl start app");
    logged(&booted, "lanes: each worker's own socket");
    assert_eq!(answering().len(), 2, "{}", booted.journal());
    reloads(&booted, "app", &[Style::OneShot; 4]);
}

/// The socket is systemd's: it takes connections before the app runs, and while it is started anew.
#[test]
fn below_a_socket_unit_a_restart_refuses_nobody() {
    let scene = Scene::new();
    let booted = with_the_unit(&scene);
    booted.write("/etc/systemd/system/app.socket", &format!("[Socket]\nListenStream={PORT}\n"));
    booted.ok("systemctl daemon-reload && systemctl start app.socket");
    assert_eq!(booted.property("app", "ActiveState"), "inactive");
    let first = answering();
    assert!(!first.is_empty(), "{}", booted.journal());
    let load = Load::of(PORT, "/", &[Style::OneShot; 4]);
    load.advance(5);
    booted.ok("systemctl restart app");
    assert!(answering().is_disjoint(&first), "{}", booted.journal());
    load.advance(5);
    let sum = load.end();
    assert!(sum.misses.is_empty(), "{:?} of {}\n{}", sum.misses, sum.ok, booted.journal());
    reloads(&booted, "app", &[Style::OneShot; 4]);
}

/// What `pm save` saved is started by the unit of `pm startup`, reloaded, and stopped in order.
#[test]
fn saved_apps_come_back_by_the_unit_of_pm_startup() {
    let scene = Scene::new();
    let booted = with_the_unit(&scene);
    booted.ok("install -d -o www-data /var/lib/pm");
    let verbs = "cd /srv/app/current && pm start app.js -i 2 && pm save && pm kill";
    booted.ok(&format!("PM_HOME=/var/lib/pm setpriv --reuid=www-data --clear-groups sh -c '{verbs}'"));
    booted.ok("PM_HOME=/var/lib/pm pm startup -u www-data --hp /var/lib");
    assert_eq!(booted.ok("systemctl is-enabled pm-www-data"), "enabled");
    booted.ok("systemctl start pm-www-data");
    assert_eq!(answering().len(), 2, "{}", booted.journal());
    reloads(&booted, "pm-www-data", &Style::crowd(4));
    stops(&booted, "pm-www-data");
}
