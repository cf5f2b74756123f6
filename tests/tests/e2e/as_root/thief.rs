//! Another user takes the name of a notification socket, which anybody can read, once it is free: nobody speaks to it.

use std::io::{BufRead as _, BufReader, Lines};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{ChildStdout, Stdio};

use nix::sys::signal::Signal::{SIGHUP, SIGKILL, SIGTERM, SIGTTIN};
use pm_tests::scene::Scene;
use pm_tests::{any, proc};

use crate::speakers::{socket_of, worker};

/// The other user's process.
struct Thief {
    name: String,
    lines: Lines<BufReader<ChildStdout>>,
    child: std::process::Child,
}

impl Thief {
    /// It waits for the name.
    fn of(scene: &Scene, name: &str) -> Self {
        let script = scene.expand("$F/any/thief.py");
        let words = ["setpriv", "--reuid=nobody", "--clear-groups", "/usr/bin/python3", &script, name];
        let mut child = scene.command(&words).stdout(Stdio::piped()).spawn().expect("setpriv");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut thief = Self { name: name.to_owned(), lines, child };
        thief.prints("waits");
        thief
    }

    #[track_caller]
    fn prints(&mut self, word: &str) {
        assert_eq!(self.lines.next().and_then(Result::ok).as_deref(), Some(word));
    }

    /// Nothing was said to it before this.
    #[track_caller]
    fn heard_nothing(mut self) {
        let address = SocketAddr::from_abstract_name(&self.name[1..]).expect("a name");
        UnixDatagram::unbound().and_then(|end| end.send_to_addr(b"END", &address)).expect("it has the name");
        let heard: Vec<_> = self.lines.by_ref().map_while(Result::ok).collect();
        assert!(self.child.wait().expect("our child").success());
        assert_eq!(heard, Vec::<String>::new());
    }
}

/// Neither the state, nor the descriptors that a pm-cluster has kept for its successor.
#[test]
fn the_name_of_a_killed_supervisor_is_heard_nothing_under() {
    let scene = any::scene();
    let chain = worker(&scene, "pm-restart pm-cluster -n 1 --soak 0s --ready-after 50ms", "exec sleep 1000");
    chain.line("ready workers=1/1");
    let cluster = chain.until("the cluster", || scene.process("pm-cluster"));
    let mut thief = Thief::of(&scene, &socket_of(cluster));
    chain.signal(SIGKILL);
    thief.prints("bound");
    proc::send(cluster, SIGTTIN);
    chain.until("a second worker", || (any::workers(&scene).len() == 2).then_some(()));
    proc::send(cluster, SIGHUP);
    chain.line("reloaded");
    proc::send(cluster, SIGTERM);
    chain.until("its end", || (!proc::alive(cluster)).then_some(()));
    thief.heard_nothing();
}

/// It had the name before the supervisor below could look at it.
#[test]
fn the_name_that_was_taken_before_the_start_is_no_one_above_us() {
    let scene = any::scene().with("FDSTORE", "8");
    let mut thief = Thief::of(&scene, "@pm-0123456789abcdef0123456789abcdef");
    thief.prints("bound");
    let scene = scene.with("NOTIFY_SOCKET", thief.name.clone());
    let chain = worker(&scene, "pm-cluster -n 1 --ready-after 50ms", "exec sleep 1000");
    let line = chain.line("is another user's");
    assert!(line.contains("uid=65534"), "{line}");
    chain.line("ready workers=1/1");
    chain.signal(SIGHUP);
    chain.line("reloaded");
    thief.heard_nothing();
    assert_eq!(chain.messages("is another user's").len(), 1, "{}", chain.output());
    chain.stop();
}

/// A supervisor of another user that is above us is spoken to: `sudo`.
#[test]
fn a_supervisor_of_another_user_above_us_hears() {
    let scene = any::scene();
    // A set-user-ID program of root's, as sudo is one.
    let script = "cp \"$(command -v setpriv)\" root; chmod 4755 root; \
                  exec setpriv --reuid=www-data --clear-groups pm-restart ./root --reuid=0 pm-cluster -n 1 --ready-after 50ms sleep 1000";
    let chain = scene.start_words(&["sh", "-c", script]);
    chain.line("ready workers=1/1");
    let cluster = chain.until("the cluster", || scene.process("pm-cluster"));
    let user = proc::status(cluster, "Uid").expect("alive");
    assert!(user.starts_with('0'), "{user}");
    assert!(chain.messages("another user's").is_empty(), "{}", chain.output());
}
