//! What README.md tells people to type, typed.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Output};

use pm_tests::chain::Chain;
use pm_tests::front::Front;
use pm_tests::scene::Scene;
use pm_tests::wait::{self, DEADLINE};
use pm_tests::{bins, http, stat};

pub(crate) const README: &str = include_str!("../../../README.md");

/// The commands in the second column of the row for this verb.
fn recipes(verb: &str) -> Vec<&'static str> {
    let row = README.lines().find(|line| line.starts_with(&format!("| `{verb}"))).expect(verb);
    let cell = row.split(" | ").nth(1).expect("a second column");
    cell.split('`').skip(1).step_by(2).collect()
}

/// The indented block that holds this text, without the indentation.
pub(crate) fn block(text: &str) -> String {
    let lines: Vec<&str> = README.lines().collect();
    let at = lines.iter().position(|line| line.starts_with("    ") && line.contains(text)).expect(text);
    let inside = |line: &&str| line.starts_with("    ") || line.is_empty();
    let before = lines[..at].iter().rev().take_while(|line| inside(line)).count();
    let block = lines[at - before..].iter().take_while(|line| inside(line));
    block.map(|line| line.strip_prefix("    ").unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn sh(scene: &Scene, line: &str) -> Output {
    scene.command(&["sh", "-c", line]).output().expect("sh")
}

#[track_caller]
fn succeeds(scene: &Scene, line: &str) -> String {
    let output = sh(scene, line);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{line}: {said}");
    said
}

/// The lines of the first block, and the chain of tools that each is said to be.
#[test]
fn the_path_of_a_newcomer() {
    let mut front = Front::new();
    let home = front.scene.dir().to_owned();
    front.scene.set("PM_HOME", "");
    front.scene.set("HOME", home);
    let scene = &front.scene;
    let lines = block("pm start app.js");
    let steps = lines.lines().map(|line| line.split("  #").next().unwrap_or_default().trim_end());
    let pm = scene.dir().join("front/pm").display().to_string();
    for step in steps.filter(|step| !step.starts_with("scripts/install") && !step.ends_with("startup")) {
        let typed = step.replacen("pm ", &format!("{pm} "), 1).replace("pm logs", "pm logs --nostream");
        succeeds(scene, &typed);
    }
    assert!(scene.dir().join(".pm/.saved").is_file() && lines.contains("pm startup"));
    // An old one may still be leaving.
    let new = |all: &Vec<stat::Line>| all.iter().all(|worker| worker.number("generation") == 2);
    let workers = wait::until("new workers alone", || Some(stat::workers(scene)).filter(new));
    for (verb, part) in [("scale", 0), ("reload", 0), ("list", 0), ("list", 1), ("save", 0), ("stop", 0), ("delete", 0)]
    {
        let recipe = recipes(&format!("pm {verb}"))[part].replace("\\|", "|");
        succeeds(scene, &recipe);
        if verb == "scale" {
            succeeds(scene, &format!("pm-stat --wait workers={} --timeout 60s app", workers.len() + 1));
        }
    }
    assert_eq!(sh(scene, "pm-stat app").status.code(), Some(1), "it is gone");
    succeeds(scene, recipes("pm start")[0]);
    succeeds(scene, "pm-fork --signal TERM app; pm-stat --wait stopped app");
}

/// The value of a line of the unit, with the paths of the test.
fn setting(scene: &Scene, unit: &str, name: &str) -> String {
    let value = unit.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).expect(name);
    scene.expand(&value.replace("/usr/local/bin/", "").replace("/srv/app", "$T"))
}

fn waits_for(manager: &UnixDatagram, what: &str) {
    manager.set_read_timeout(Some(DEADLINE)).expect("set");
    let mut buffer = [0; 4096];
    loop {
        let length = manager.recv(&mut buffer).expect(what);
        if String::from_utf8_lossy(&buffer[..length]).lines().any(|line| line == what) {
            return;
        }
    }
}

/// The test in the place of the service manager.
#[test]
fn the_unit_says_when_it_is_ready_and_its_reload_follows_the_link() {
    let mut scene = Scene::with_node(24);
    let socket = scene.dir().join("notify");
    let manager = UnixDatagram::bind(&socket).expect("bound");
    scene.set("NOTIFY_SOCKET", socket);
    for release in ["one", "two"] {
        let app = format!("require('http').createServer((q, r) => r.end('{release}')).listen(process.env.PORT)");
        std::fs::create_dir(scene.dir().join(release)).expect("made");
        std::fs::write(scene.dir().join(release).join("app.js"), app).expect("written");
    }
    symlink("one", scene.dir().join("current")).expect("linked");
    let unit = block("Type=notify");
    assert!(unit.contains("KillMode=mixed"), "else the workers get the stop signal in the middle of their work");
    let words = setting(&scene, &unit, "ExecStart");
    let mut command = scene.command(&words.split(' ').collect::<Vec<_>>());
    // A service manager knows no logical path but what the unit tells.
    let directory = scene.dir().join("current").canonicalize().expect("there");
    assert_eq!(Path::new(&setting(&scene, &unit, "WorkingDirectory")), scene.dir().join("current"));
    command.current_dir(directory).env("PWD", setting(&scene, &unit, "Environment=PWD"));
    let chain = Chain::spawn(&scene, command);
    waits_for(&manager, "READY=1");
    assert_eq!(http::get(scene.port, "/").expect("serves"), "one");
    std::fs::remove_file(scene.dir().join("current")).expect("unlinked");
    symlink("two", scene.dir().join("current")).expect("linked");
    // For systemd `$$` is a dollar.
    let mut reload = scene.command(&["sh", "-c", &setting(&scene, &unit, "ExecReload").replace("$$", "$")]);
    assert!(reload.env("MAINPID", chain.pid().to_string()).status().expect("runs").success());
    chain.line("info: reloaded ");
    assert_eq!(http::get(scene.port, "/").expect("serves"), "two");
    chain.stop();
}

#[test]
fn the_unit_passes_the_check_of_systemd() {
    let scene = Scene::new();
    let tools = format!("{}/", bins::tools().display());
    let unit = block("Type=notify").replace("/usr/local/bin/", &tools).replace("/srv/app/current", "/");
    let path = scene.dir().join("app.service");
    std::fs::write(&path, unit).expect("written");
    // Where there is no systemd there is nobody to ask.
    let Ok(output) = Command::new("systemd-analyze").arg("verify").arg(&path).output() else { return };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !said.contains("app.service:"), "{said}");
}

#[test]
fn the_recipe_for_logs_with_the_time() {
    let scene = Scene::with_node(24).with("PM_HOME", "");
    let _ = scene.file(
        "app.js",
        "require('http').createServer((q, r) => r.end()).listen(process.env.PORT, () => console.log('up'))",
    );
    succeeds(&scene, recipes("pm start --time")[0]);
    let log = scene.dir().join(".pm/app/out.log");
    let text = wait::until("the line", || std::fs::read_to_string(&log).ok().filter(|text| text.ends_with('\n')));
    assert!(text.starts_with("20") && text.ends_with("Z up\n"), "{text}");
    succeeds(&scene, recipes("pm stop")[0]);
}
