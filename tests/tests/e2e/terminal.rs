//! Under a terminal: Ctrl-C stops in order, and so does a terminal that goes away.

use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use pm_tests::scene::Scene;
use pm_tests::wait;

/// A chain whose session has a terminal of its own; dropping the master is what closing a window does.
pub(crate) struct Terminal {
    pub(crate) master: File,
    pub(crate) child: Child,
    /// A character may come in pieces.
    bytes: RefCell<Vec<u8>>,
    seen: RefCell<String>,
}

pub(crate) fn open(scene: &Scene, words: &[&str]) -> Terminal {
    let pty = openpty(None, None).expect("a terminal");
    // A master in the chain's own hands would keep the terminal open for ever.
    for fd in [&pty.master, &pty.slave] {
        fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("a descriptor");
    }
    let mut command = scene.command(&[&["setsid", "--ctty"], words].concat());
    let slave = |fd: &OwnedFd| Stdio::from(fd.try_clone().expect("a descriptor"));
    command.stdin(slave(&pty.slave)).stdout(slave(&pty.slave)).stderr(slave(&pty.slave));
    let child = command.spawn().expect("setsid runs");
    Terminal { master: File::from(pty.master), child, bytes: RefCell::default(), seen: RefCell::default() }
}

/// The same from words between blanks.
fn open_line(scene: &Scene, line: &str) -> Terminal {
    let line = scene.expand(line);
    open(scene, &line.split(' ').collect::<Vec<_>>())
}

impl Terminal {
    /// Waits until the terminal has shown this text so often.
    pub(crate) fn hear(&self, text: &str, count: usize) {
        self.hear_match(text, |seen| seen.matches(text).count() >= count);
    }

    /// Waits until all that the terminal has shown is as wanted.
    pub(crate) fn hear_match(&self, what: &str, wanted: impl Fn(&str) -> bool) {
        let timeout = PollTimeout::try_from(wait::DEADLINE).expect("a timeout");
        while !wanted(&self.seen.borrow()) {
            let mut ready = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
            let events = poll(&mut ready, timeout).expect("a terminal can be polled");
            assert!(events > 0, "waited in vain for {what} on the terminal:\n{}", self.seen.borrow());
            let mut bytes = [0; 4096];
            let length = (&self.master).read(&mut bytes).unwrap_or_else(|e| panic!("{e}:\n{}", self.seen.borrow()));
            self.bytes.borrow_mut().extend_from_slice(&bytes[..length]);
            *self.seen.borrow_mut() = String::from_utf8_lossy(&self.bytes.borrow()).into_owned();
        }
    }

    /// All that the terminal has shown.
    pub(crate) fn seen(&self) -> String {
        self.seen.borrow().clone()
    }

    fn press_ctrl_c(&mut self) {
        self.master.write_all(b"\x03").expect("the terminal takes it");
    }

    pub(crate) fn code(&mut self) -> Option<i32> {
        wait::until("the end", || self.child.try_wait().expect("our own child")).code()
    }

    /// The signal that it died by.
    pub(crate) fn ended_by(&mut self) -> Option<i32> {
        wait::until("the end", || self.child.try_wait().expect("our own child")).signal()
    }
}

#[test]
fn ctrl_c_stops_in_order() {
    for line in ["pm-restart pm-cluster -n 2 node $F/app.js", "pm-cluster -n 2 node $F/app.js"] {
        let scene = Scene::with_node(24);
        let mut terminal = open_line(&scene, line);
        terminal.hear("listening", 2);
        terminal.press_ctrl_c();
        assert_eq!(terminal.code(), Some(130), "{line}");
        assert!(scene.processes().is_empty(), "{line}");
    }
}

/// A person who presses it twice means now, however fast.
#[test]
fn ctrl_c_twice_means_now() {
    for line in ["pm-restart --grace 1h pm-cluster -n 2 node $F/app.js", "pm-cluster --grace 1h -n 2 node $F/app.js"] {
        let scene = Scene::with_node(24).with("IGNORE", "SIGINT");
        let mut terminal = open_line(&scene, &line.replace("pm-cluster", "pm-cluster --stop-signal INT"));
        terminal.hear("listening", 2);
        terminal.press_ctrl_c();
        terminal.hear("ignored", 2);
        terminal.press_ctrl_c();
        assert_eq!(terminal.code(), Some(130), "{line}");
        assert!(scene.processes().is_empty(), "{line}");
    }
}

/// Workers are in the background for the terminal: one that reads it would be stopped, so they read /dev/null.
#[test]
fn workers_read_nothing_from_the_terminal() {
    let scene = Scene::new();
    let script = "read x || echo nothing-to-read; exec sleep 1000";
    let mut terminal = open(&scene, &["pm-restart", "pm-cluster", "-n", "1", "sh", "-c", script]);
    terminal.hear("nothing-to-read", 1);
    terminal.press_ctrl_c();
    assert_eq!(terminal.code(), Some(130));
}

/// With `stty tostop` a background write raises TTOU: it must not stop the supervisors, nor scale down.
#[test]
fn a_terminal_that_stops_background_writes_does_not_scale_down() {
    let scene = Scene::with_node(24);
    let script = scene.expand("stty tostop; exec pm-restart pm-cluster -n 2 node $F/app.js >out");
    let mut terminal = open(&scene, &["sh", "-c", &script]);
    let worker = wait::until("two workers", || {
        let pids: std::collections::BTreeSet<_> = pm_tests::http::pids(scene.port, 8).into_iter().collect();
        (pids.len() == 2).then(|| *pids.first().expect("two"))
    });
    // The death makes the supervisor say something, to this terminal.
    pm_tests::proc::send(worker, nix::sys::signal::Signal::SIGKILL);
    terminal.hear("pm-cluster: ", 1);
    wait::until("two workers again", || {
        let pids: std::collections::BTreeSet<_> = pm_tests::http::pids(scene.port, 8).into_iter().collect();
        (pids.len() == 2 && !pids.contains(&worker)).then_some(())
    });
    terminal.press_ctrl_c();
    assert_eq!(terminal.code(), Some(130));
}

#[test]
fn a_terminal_that_goes_away_stops_everything() {
    for line in ["pm-restart pm-cluster -n 2 node $F/app.js", "pm-cluster -n 2 node $F/app.js"] {
        let scene = Scene::with_node(24);
        let terminal = open_line(&scene, line);
        terminal.hear("listening", 2);
        let Terminal { master, mut child, .. } = terminal;
        drop(master);
        wait::until("the end", || child.try_wait().expect("our own child"));
        assert!(scene.processes().is_empty(), "{line}: {:?}", scene.processes());
    }
}
