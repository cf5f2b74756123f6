//! `pm-stat --top` on a terminal: what it shows, its keys, and that it gives the terminal back.

use std::io::Write as _;

use nix::sys::signal::Signal::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use nix::sys::termios::{LocalFlags, tcgetattr};
use pm_tests::chain::Chain;
use pm_tests::scene::Scene;
use pm_tests::{proc, stat, wait};

use crate::terminal::{Terminal, open};

/// The other screen, and back.
const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";

/// A chain with two workers that say something, and pm-stat on a terminal that shows them.
fn shown(scene: &Scene) -> (Chain<'_>, Terminal) {
    let chain = scene.start_words(&[
        "pm-fork",
        "--name",
        "talk",
        "pm-restart",
        "pm-cluster",
        "-n",
        "2",
        "sh",
        "-c",
        "echo said by a worker; echo and an error >&2; exec sleep 1000",
    ]);
    chain.until("two workers", || {
        (stat::workers(scene).iter().filter(|l| l.state() == "ready").count() == 2).then_some(())
    });
    let terminal = open(scene, &["pm-stat", "--top"]);
    terminal.hear("said by a worker", 1);
    terminal.hear("! and an error", 1);
    (chain, terminal)
}

/// Ends what pm-fork has put into the background.
fn stop(scene: &Scene) {
    let pid = std::fs::read_to_string(scene.dir().join("pm/talk/pid")).expect("it runs");
    proc::send(pid.trim().parse().expect("a number"), SIGTERM);
    wait::until("the end", || scene.processes().is_empty().then_some(()));
}

fn resize(terminal: &Terminal, columns: u16, rows: u16) {
    let size = rustix::termios::Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&terminal.master, size).expect("a terminal");
}

/// Whether the terminal echoes and waits for whole lines, as it did before.
fn is_cooked(terminal: &Terminal) -> bool {
    let flags = tcgetattr(&terminal.master).expect("a terminal").local_flags;
    flags.contains(LocalFlags::ICANON | LocalFlags::ECHO)
}

fn press(terminal: &mut Terminal, keys: &[u8]) {
    terminal.master.write_all(keys).expect("the terminal takes it");
}

#[test]
fn keys_sort_select_and_quit() {
    let scene = Scene::new();
    let (_chain, mut terminal) = shown(&scene);
    assert!(!is_cooked(&terminal));
    terminal.hear(ENTER, 1);
    terminal.hear("name▾", 1);
    for (key, header) in
        [(b"c", "cpu▾"), (b"m", "mem▾"), (b"u", "uptime▾"), (b"r", "↺▾"), (b"r", "↺▴"), (b"n", "name▾")]
    {
        press(&mut terminal, key);
        terminal.hear(header, if key == b"n" { 2 } else { 1 });
    }
    press(&mut terminal, b"\x1b[B");
    // Selected is the row of slot 1.
    let pid = stat::workers(&scene)[1].pid().expect("runs").to_string();
    terminal.hear_match("a marked row", |seen| {
        seen.split("\x1b[7m> ").skip(1).any(|row| row.split("\x1b[0m").next().is_some_and(|row| row.contains(&pid)))
    });
    press(&mut terminal, b"q");
    terminal.hear(LEAVE, 1);
    assert_eq!(terminal.code(), Some(0));
    assert!(is_cooked(&terminal));
    stop(&scene);
}

/// A second key does it, pm-fork's words are shown, and the screen goes on meanwhile.
#[test]
fn an_app_is_restarted_reloaded_and_stopped_by_two_keys() {
    let scene = Scene::new();
    let (_chain, mut terminal) = shown(&scene);
    let pids = || stat::workers(&scene).iter().filter_map(stat::Line::pid).collect::<Vec<_>>();
    let before = pids();
    press(&mut terminal, b"S");
    terminal.hear("stop talk? y: yes, any other key: no", 1);
    press(&mut terminal, b"n");
    press(&mut terminal, b"L");
    terminal.hear("reload talk? y: yes", 1);
    assert_eq!(pids(), before, "nothing was done by one key");
    press(&mut terminal, b"y");
    terminal.hear("reload talk: under way", 1);
    terminal.hear("reload talk: done", 1);
    // An old one may still be leaving.
    let new = |old: &[u32]| Some(pids()).filter(|now| now.len() == 2 && now.iter().all(|pid| !old.contains(pid)));
    let rolled = wait::until("new workers alone", || new(&before));
    press(&mut terminal, b"R");
    terminal.hear("restart talk? y: yes", 1);
    press(&mut terminal, b"y");
    terminal.hear("restart talk: done", 1);
    wait::until("new workers", || new(&rolled));
    press(&mut terminal, b"S");
    terminal.hear("stop talk? y: yes", 2);
    press(&mut terminal, b"y");
    terminal.hear("stop talk: done", 1);
    terminal.hear("1 app, 0 online, 1 stopped", 1);
    // What cannot be done says why, in the words of the tool.
    std::fs::remove_file(scene.dir().join("pm/talk/start.json")).expect("there");
    press(&mut terminal, b"R");
    terminal.hear("restart talk? y: yes", 2);
    press(&mut terminal, b"y");
    terminal.hear("restart talk: failed", 1);
    terminal.hear("pm-fork: fatal:", 1);
    press(&mut terminal, b"q");
    assert_eq!(terminal.code(), Some(0));
    assert!(is_cooked(&terminal) && scene.processes().is_empty());
}

/// Info is no error, and the log stays where it was scrolled to.
#[test]
fn a_log_is_searched_and_scrolled() {
    let scene = Scene::new().with("TERM", "xterm");
    let (_chain, mut terminal) = shown(&scene);
    let logs = scene.dir().join("pm/talk");
    let lines: String = (0..500).map(|n| format!("line {n} of the log\n")).collect();
    std::fs::write(
        logs.join("err.log"),
        format!("{lines}pm-cluster: info: no trouble\npm-cluster: warning: trouble\n"),
    )
    .expect("written");
    terminal.hear("\x1b[31m! pm-cluster: warning: trouble", 1);
    terminal.hear("\x1b[2K  pm-cluster: info: no trouble", 1);
    press(&mut terminal, "/line 日".as_bytes());
    terminal.hear("search the log for: line 日_", 1);
    press(&mut terminal, b"\x7f42 \r");
    terminal.hear("\x1b[7m! line 42 of the log", 1);
    terminal.hear("/line 42   n above  N below  Esc ends the search", 1);
    // What is written meanwhile moves nothing.
    std::fs::write(logs.join("err.log"), "said later\n").expect("written");
    press(&mut terminal, b"\x1b[5~");
    terminal.hear("! line 32 of the log", 1);
    assert!(!terminal.seen().contains("said later"));
    press(&mut terminal, b"\x1b");
    terminal.hear("said later", 1);
    terminal.hear("host: load ", 1);
    press(&mut terminal, b"q");
    assert_eq!(terminal.code(), Some(0));
    stop(&scene);
}

#[test]
fn it_fits_any_size() {
    let scene = Scene::new();
    let (_chain, mut terminal) = shown(&scene);
    terminal.hear("q quit  ↑↓ select", 1);
    resize(&terminal, 40, 10);
    terminal.hear("q quit ↑↓ c m n u r sort", 1);
    resize(&terminal, 200, 60);
    terminal.hear("last restart", 1);
    press(&mut terminal, b"q");
    assert_eq!(terminal.code(), Some(0));
    stop(&scene);
}

#[test]
fn a_signal_ends_it_and_gives_the_terminal_back() {
    let scene = Scene::new();
    let (_chain, mut first) = shown(&scene);
    press(&mut first, b"q");
    assert_eq!(first.code(), Some(0));
    for signal in [SIGTERM, SIGINT, SIGHUP, SIGQUIT] {
        let mut terminal = open(&scene, &["pm-stat", "--top"]);
        terminal.hear("said by a worker", 1);
        proc::send(terminal.child.id(), signal);
        terminal.hear(LEAVE, 1);
        assert_eq!(terminal.ended_by(), Some(signal as i32));
        assert!(is_cooked(&terminal), "{signal}");
    }
    stop(&scene);
}

#[test]
fn a_stop_gives_the_terminal_back_until_it_goes_on() {
    let scene = Scene::new();
    let (_chain, mut terminal) = shown(&scene);
    proc::send(terminal.child.id(), SIGTSTP);
    terminal.hear(LEAVE, 1);
    wait::until("a stop", || (proc::state(terminal.child.id()) == Some('T')).then_some(()));
    assert!(is_cooked(&terminal));
    proc::send(terminal.child.id(), SIGCONT);
    terminal.hear(ENTER, 2);
    terminal.hear("said by a worker", 2);
    assert!(!is_cooked(&terminal));
    press(&mut terminal, b"q");
    assert_eq!(terminal.code(), Some(0));
    stop(&scene);
}

#[test]
fn a_table_fits_the_terminal_and_has_colours_there_alone() {
    let scene = Scene::new().with("TERM", "xterm").with("NO_COLOR", "");
    // Up for the whole ready timeout, it has shown that it serves nobody.
    let chain = scene.start("pm-restart --ready-timeout 1s --name a-name-of-some-length sleep 1000");
    chain.until("a worker", || stat::workers(&scene).into_iter().find(|l| l.0["ready_by"] == "idle"));
    let shown = |script: &str| {
        let mut terminal = open(&scene, &["sh", "-c", &format!("{script}; echo the-end")]);
        terminal.hear("the-end", 1);
        assert_eq!(terminal.code(), Some(0));
        terminal.seen()
    };
    let narrow = shown("stty cols 40; pm-stat --table");
    assert!(narrow.contains("\x1b[32monline") && narrow.contains("a-name-of-some"), "{narrow}");
    let plain = narrow.replace("\x1b[1m", "").replace("\x1b[32m", "").replace("\x1b[0m", "");
    assert!(plain.lines().all(|line| line.trim_end().chars().count() <= 40), "{plain}");
    assert!(!plain.contains("uptime"), "{plain}");
    assert!(shown("stty cols 120; pm-stat --table").contains("uptime"));
    for without in ["NO_COLOR=1 pm-stat --table", "TERM=dumb pm-stat --table", "pm-stat --table | cat"] {
        let text = shown(without);
        assert!(text.contains("online") && !text.contains('\x1b'), "{without}: {text}");
    }
    chain.stop();
}

/// Apps that come and go while it looks.
#[test]
fn what_is_shown_is_what_runs_now() {
    let scene = Scene::new();
    let mut terminal = open(&scene, &["pm-stat", "--top"]);
    terminal.hear("0 apps, 0 online", 1);
    let chain = scene.start("pm-restart --name late --ready-timeout 1s sleep 1000");
    terminal.hear("1 app, 1 online", 1);
    chain.signal(SIGTERM);
    terminal.hear("0 apps, 0 online", 2);
    chain.wait();
    press(&mut terminal, b"q");
    assert_eq!(terminal.code(), Some(0));
}
