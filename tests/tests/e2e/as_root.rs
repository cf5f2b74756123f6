//! What can be shown only as root: other users, and being process 1.

mod foreign;

use nix::sys::signal::Signal::{SIGINT, SIGKILL, SIGTERM};
use pm_tests::chain::Chain;
use pm_tests::front::Front;
use pm_tests::scene::Scene;
use pm_tests::{fork, http, proc};

use crate::links::replaces_workers_only;
use crate::readme::README;

mod led;
mod oom;
mod shared;
mod speakers;
mod thief;
mod want;

#[test]
fn a_cluster_of_another_user_is_held_to_the_policy() {
    let scene = Scene::with_node(24).with("LEAK", "40");
    scene.open_to_all();
    let line = "pm-restart --stable 1s --max-mem 150M setpriv --reuid=www-data --clear-groups \
                pm-cluster -n 2 node $E/leak.js";
    replaces_workers_only(&scene.start(line));
}

#[test]
fn workers_of_another_user_are_served_their_lanes() {
    let scene = Scene::with_node(24);
    scene.open_to_all();
    let chain = scene.start("pm-cluster -n 2 setpriv --reuid=www-data --clear-groups node $F/app.js");
    let pids = chain.serving(2);
    let user = proc::status(*pids.first().expect("two"), "Uid").expect("alive");
    assert!(!user.starts_with('0'), "{user}");
    chain.stop();
}

/// The stop waits for what it may not end, and says whom to ask.
#[test]
fn a_worker_that_became_another_user_is_named() {
    let scene = Scene::new();
    scene.open_to_all();
    let script = "cp \"$(command -v setpriv)\" root; chmod 4755 root; \
                  exec setpriv --reuid=www-data --clear-groups pm-restart --grace 100ms ./root --reuid=0 sleep 1000";
    let chain = scene.start_words(&["sh", "-c", script]);
    let worker = chain.until("the worker", || scene.process("sleep"));
    chain.signal(SIGTERM);
    chain.line("worker still there after the grace, told to end with KILL");
    let refusals = chain.messages("cannot signal");
    let text = format!("pid={worker}: Operation not permitted; it runs as another user, end it as that user");
    assert!(refusals.len() == 1 && refusals[0].ends_with(&text), "{refusals:?}");
    assert!(chain.running() && proc::alive(worker), "{}", chain.output());
    proc::send(worker, SIGKILL);
    assert_eq!(chain.ended(), Some(0), "{}", chain.output());
}

/// As Node itself would: the app's error event, with the code it knows.
#[test]
fn a_port_that_is_not_allowed_is_the_apps_error_event() {
    let scene = Scene::with_node(24).with("PORT", "81");
    scene.open_to_all();
    let script = scene.expand(
        "ip link set lo up; exec setpriv --reuid=www-data --clear-groups --bounding-set=-all --inh-caps=-all \
         pm-cluster -n 2 node $F/listen.js http",
    );
    let chain = scene.start_words(&["unshare", "--net", "sh", "-c", &script]);
    let errors = chain.hear("error", 2);
    assert!(errors.iter().all(|e| e["code"] == "EACCES"), "{errors:?}");
}

/// Starts a line as process 1 of a container's kind, and waits until it serves.
fn as_process_1<'a>(scene: &'a Scene, line: &str) -> (Chain<'a>, u32) {
    let chain = scene.start(&format!("unshare --pid --fork --mount-proc {line}"));
    chain.serving(1);
    let first = proc::children(chain.pid());
    assert_eq!(first.len(), 1, "unshare has one child");
    (chain, first[0])
}

const LINES: [&str; 3] =
    ["pm-restart pm-cluster -n 2 node $F/app.js", "pm-cluster -n 2 node $F/app.js", "pm-restart node $F/app.js"];

#[test]
fn process_1_stops_by_term_and_by_int() {
    for (signal, code) in [(SIGTERM, 0), (SIGINT, 130)] {
        for line in LINES {
            let scene = Scene::with_node(24);
            let (chain, first) = as_process_1(&scene, line);
            proc::send(first, signal);
            assert_eq!(chain.ended(), Some(code), "{line} {signal}\n{}", chain.output());
        }
    }
}

#[test]
fn process_1_ends_with_its_child() {
    let scene = Scene::with_node(24);
    let (chain, _) = as_process_1(&scene, "pm-restart --restart never pm-cluster -n 1 node $F/app.js");
    http::get(scene.port, "/die?23").expect("answers before it goes");
    assert_eq!(chain.ended(), Some(23), "{}", chain.output());
}

#[test]
fn process_1_reaps_orphans() {
    for line in LINES {
        let scene = Scene::with_node(24);
        let (chain, first) = as_process_1(&scene, line);
        for _ in 0..10 {
            http::get(scene.port, "/orphan").expect("serves");
        }
        let zombies = || {
            let children: Vec<u32> =
                proc::children(first).into_iter().flat_map(|p| [vec![p], proc::children(p)].concat()).collect();
            children.into_iter().filter(|pid| proc::state(*pid) == Some('Z')).count()
        };
        chain.until("no zombie to be left", || (zombies() == 0).then_some(()));
        proc::send(first, SIGTERM);
        assert_eq!(chain.ended(), Some(0), "{line}\n{}", chain.output());
    }
}

/// Nothing but the supervisor itself may end it: a killed worker is replaced in a container, too.
#[test]
fn process_1_replaces_its_workers() {
    let scene = Scene::with_node(24);
    let (chain, first) = as_process_1(&scene, LINES[0]);
    chain.hear("listening", 2);
    let cluster = proc::children(first)[0];
    proc::children(cluster).into_iter().for_each(|pid| proc::send(pid, SIGKILL));
    chain.hear("listening", 4);
    proc::send(first, SIGTERM);
    assert_eq!(chain.ended(), Some(0), "{}", chain.output());
}

/// The lines of a container that README.md gives: all of the chain runs as another user, and pm-stat sees it.
#[test]
fn the_container_of_the_readme_runs_as_another_user_and_is_seen() {
    let scene = Scene::with_node(24);
    scene.open_to_all();
    let home = scene.expand("$T/pm");
    let made = README.lines().find_map(|line| line.strip_prefix("    RUN ")).expect("RUN").replace("/run/pm", &home);
    assert!(scene.command(&["sh", "-c", &made]).status().expect("runs").success(), "{made}");
    let (_, entry) = README.split_once("ENTRYPOINT ").expect("ENTRYPOINT");
    let (entry, _) = entry.split_once(']').expect("the end of the array");
    let entry: Vec<String> = serde_json::from_str(&format!("{}]", entry.replace('\\', ""))).expect("JSON");
    let (chain, first) = as_process_1(&scene, &entry.join(" ").replace("app.js", "$F/app.js"));
    assert_eq!(proc::name(first), "pm-restart", "setpriv has become it");
    let user = proc::status(first, "Uid").expect("alive");
    assert!(!user.starts_with('0'), "{user}");
    let inside = |args: &str| {
        let line = format!("nsenter -t {first} -p -m pm-stat {args}");
        scene.command(&line.split(' ').collect::<Vec<_>>()).output().expect("nsenter")
    };
    assert!(inside("--wait ready --timeout 60s app").status.success(), "{}", chain.output());
    let said = String::from_utf8_lossy(&inside("app").stdout).into_owned();
    assert!(said.contains("\"state\":\"ready\"") && said.contains("\"slot\":0"), "{said}");
    proc::send(first, SIGTERM);
    assert_eq!(chain.ended(), Some(0), "{}", chain.output());
}

#[test]
fn a_description_with_a_uid_runs_as_that_user() {
    let scene = Scene::with_node(24);
    scene.open_to_all();
    let text = "require('http').createServer((q, r) => r.end(process.getuid() + ' ' + process.getgroups() + ' ' + \
                process.env.HOME)).listen(process.env.PORT)";
    let _ = scene.file("app.js", text);
    let www = nix::unistd::User::from_name("www-data").expect("a list of users").expect("a user");
    for mode in ["cluster", "fork"] {
        let line = format!("--set script=app.js --set uid=www-data --set exec_mode={mode} --set env=MODE={mode}");
        let _ = fork::run(&scene, &line).ok();
        let told = http::get(scene.port, "/").expect("serves");
        assert_eq!(told, format!("{} {} {}", www.uid, www.gid, www.dir.display()), "{mode}");
        fork::stop(&scene, "app");
    }
}

/// In a mount namespace of its own: the units of this machine are not seen, and not changed.
#[test]
fn pm_startup_makes_and_removes_a_unit_that_is_enabled() {
    let front = Front::new();
    let pm = front.scene.dir().join("front/pm").display().to_string();
    // The unit names the program itself, wherever the link to it goes.
    let program = std::fs::canonicalize(&pm).expect("a link to it");
    let lines = "set -e; mount --make-rprivate /; mount -t tmpfs none /etc/systemd/system\n\
        \"$0\" startup; cat /etc/systemd/system/pm-root.service\n\
        \"$0\" unstartup --print; test -L /etc/systemd/system/multi-user.target.wants/pm-root.service\n\
        \"$0\" unstartup; ! test -e /etc/systemd/system/pm-root.service\n\
        ! test -L /etc/systemd/system/multi-user.target.wants/pm-root.service";
    if !std::path::Path::new("/bin/systemctl").exists() {
        // Nobody to make units for.
        return;
    }
    let output = front.scene.command(&["unshare", "-m", "sh", "-c", lines, &pm]).output().expect("unshare");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(
        String::from_utf8_lossy(&output.stdout)
            .contains(&format!("ExecStart=\"{}\" --silent resurrect", program.display())),
        "{said}"
    );
}

#[test]
fn who_is_not_root_is_told_what_to_type_for_startup() {
    let front = Front::new();
    front.scene.open_to_all();
    let pm = front.scene.dir().join("front/pm").display().to_string();
    let line = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", &pm, "startup"];
    let output = front.scene.command(&line).output().expect("setpriv");
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let typed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(typed.starts_with("sudo env PATH=") && typed.contains(" -u nobody "), "{typed}");
}

/// Another user sees the queues, and not what the workers have open: 0 would be a lie.
#[test]
fn what_cannot_be_seen_is_not_0() {
    let scene = pm_tests::any::scene().with("ACCEPT", "1");
    let chain = pm_tests::any::start(&scene, "pm-cluster -n 1", "/usr/bin/python3 $F/any/accepts.py");
    chain.line("ready workers=1/1");
    let look = || {
        let script = "chmod -R a+rX pm; exec setpriv --reuid=www-data --clear-groups pm-stat";
        let output = scene.command(&["sh", "-c", script]).output().expect("pm-stat runs");
        // A status that is written anew just then is not to be read by others.
        let line: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        Some((line["connections"].as_u64(), line["queue"].as_u64()))
    };
    chain.until("nothing there, which anybody sees", || (look() == Some((Some(0), Some(0)))).then_some(()));
    let connect = || std::net::TcpStream::connect(("127.0.0.1", scene.port)).expect("connects");
    let _clients = [connect(), connect(), connect()];
    chain.until("one taken, two waiting", || (look() == Some((None, Some(2)))).then_some(()));
    chain.stop();
}

#[test]
fn a_unix_socket_is_given_to_an_owner_by_name() {
    use std::os::unix::fs::MetadataExt;
    let scene = pm_tests::any::scene();
    let line = "pm-cluster -n 1 --listen unix:$T/socket,mode=660,owner=www-data:nogroup";
    let chain = pm_tests::any::start(&scene, line, "/usr/bin/python3 $F/any/passed.py");
    chain.line("ready workers=1/1");
    let socket = std::fs::metadata(scene.dir().join("socket")).expect("bound");
    let id = |database: &str, name: &str| -> u32 {
        let output = scene.command(&["getent", database, name]).output().expect("getent runs");
        let entry = String::from_utf8(output.stdout).expect("UTF-8");
        entry.split(':').nth(2).and_then(|id| id.trim().parse().ok()).expect("known")
    };
    let wanted = (id("passwd", "www-data"), id("group", "nogroup"), 0o660);
    assert_eq!((socket.uid(), socket.gid(), socket.mode() & 0o777), wanted);
    chain.stop();
}

/// The kernel says "Too many open files", and of what is not said: it is the user's inotify instances.
#[test]
fn want_of_inotify_instances_is_called_that() {
    let scene = Scene::new();
    std::fs::create_dir_all(scene.dir().join("pm/app")).expect("our own directory");
    for words in ["--follow", "--wait ready app"] {
        let script = format!("echo 0 > /proc/sys/user/max_inotify_instances && exec timeout 20 pm-stat {words}");
        let output = scene.command(&["unshare", "--user", "--map-root-user", "sh", "-c", &script]).output();
        let output = output.expect("unshare");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("no inotify instance") && text.contains("fs.inotify.max_user_instances"), "{text}");
        assert_eq!(output.status.code(), Some(125), "{text}");
    }
}
