//! The notification socket, both ways.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use nix::sys::signal::Signal::{SIGHUP, SIGTERM};
use pm_tests::chain::Chain;
use pm_tests::scene::Scene;
use pm_tests::{proc, wait};

/// A worker that says, whenever a file "go" is there, this many times what changes nothing. A full socket makes it wait,
/// so all but the last few have been read when it takes the file away.
const FLOODS: &str = "import os, socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
while True:
    time.sleep(0.02)
    if os.environ['PM_SLOT'] == '0' and os.path.exists('go'):
        for n in range(2000):
            s.sendto(b'STATUS=%d' % n, '\\0' + os.environ['NOTIFY_SOCKET'][1:])
        os.remove('go')
";

fn flood(scene: &Scene, chain: &Chain) {
    let go = scene.file("go", "");
    chain.until("the flood", || (!go.exists()).then_some(()));
}

/// What does not change is not written, not even where the last writing failed.
#[test]
fn a_flood_of_notifications_costs_no_writing_of_the_status() {
    let scene = Scene::new();
    let floods = scene.file("floods.py", FLOODS);
    let chain = scene.start(&format!("pm-cluster --name app -n 1 --ready-after 10ms python3 {}", floods.display()));
    chain.line("ready workers=1/1");
    let directory = scene.dir().join("pm/app/status.d");
    let file = directory.join(format!("pm-cluster.{}", chain.pid()));
    let changed = || directory.metadata().expect("there").modified().expect("a time");
    // What was begun has been written.
    let rest = || {
        chain.until("rest", || {
            let before = changed();
            std::thread::sleep(Duration::from_millis(300));
            (changed() == before).then_some(before)
        })
    };
    chain.until("the status", || file.is_file().then_some(()));
    let quiet = rest();
    flood(&scene, &chain);
    assert_eq!(changed(), quiet);
    // Where the file should be, there is what it cannot replace.
    std::fs::remove_file(&file).and_then(|()| std::fs::create_dir(&file)).expect("our own directory");
    chain.signal(nix::sys::signal::Signal::SIGTTIN);
    chain.line("pm-stat may show an old state");
    chain.until("a second worker", || (proc::children(chain.pid()).len() == 2).then_some(()));
    let failed = rest();
    flood(&scene, &chain);
    assert_eq!(changed(), failed, "it was tried again");
    chain.stop();
}

/// What systemd would hear.
struct Manager {
    socket: UnixDatagram,
    heard: std::cell::RefCell<Vec<String>>,
}

impl Manager {
    fn new(scene: &mut Scene) -> Self {
        let path = scene.dir().join("manager");
        let socket = UnixDatagram::bind(&path).expect("our own directory");
        socket.set_read_timeout(Some(wait::DEADLINE)).expect("a timeout");
        scene.set("NOTIFY_SOCKET", path);
        Self { socket, heard: std::cell::RefCell::default() }
    }

    /// The lines from the last call on up to the first that begins with this, included.
    #[track_caller]
    fn up_to(&self, line: &str, chain: &Chain) -> Vec<String> {
        let mut heard = self.heard.borrow_mut();
        loop {
            if let Some(at) = heard.iter().position(|l| l.starts_with(line)) {
                return heard.drain(..=at).collect();
            }
            let mut buffer = [0; 4096];
            let n = self.socket.recv(&mut buffer);
            let n = n.unwrap_or_else(|e| panic!("no {line}: {e}; heard {heard:?}\n{}", chain.output()));
            heard.extend(String::from_utf8_lossy(&buffer[..n]).lines().map(str::to_owned));
        }
    }
}

fn monotonic_usec() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("a clock");
    u64::try_from(now.tv_sec() * 1_000_000 + now.tv_nsec() / 1_000).expect("after the boot")
}

/// Start, two reloads of which the second fails, stop: in this order, and each true when it is said.
fn tells_its_manager(line: &str, in_place: bool) {
    let mut scene = Scene::with_node(24);
    let manager = Manager::new(&mut scene);
    let app =
        scene.file("app.js", "if (require('fs').existsSync('broken')) throw 1; require(process.env.F + '/app.js')");
    scene.set("F", pm_tests::bins::fixtures());
    let chain = scene.start(&line.replace("APP", app.to_str().expect("UTF-8")));
    let start = manager.up_to("READY=1", &chain);
    assert!(!start.iter().any(|l| l.starts_with("RELOADING") || l.starts_with("STOPPING")), "{start:?}");
    chain.serving(1);
    for broken in [false, true] {
        if broken {
            let _ = scene.file("broken", "");
        }
        let before = monotonic_usec();
        chain.signal(SIGHUP);
        manager.up_to("RELOADING=1", &chain);
        let stamp = manager.up_to("MONOTONIC_USEC=", &chain).pop().expect("a line");
        let stamp: u64 = stamp["MONOTONIC_USEC=".len()..].parse().expect("a number");
        assert!((before..=monotonic_usec()).contains(&stamp), "{stamp}");
        let rest = manager.up_to("READY=1", &chain);
        assert!(!rest.iter().any(|l| l.starts_with("RELOADING") || l.starts_with("STOPPING")), "{rest:?}");
        // Known to people by the time that the end is: there is no other word for a reload that failed.
        let status = rest.iter().rfind(|l| l.starts_with("STATUS=")).expect("a status");
        assert_eq!(status.starts_with("STATUS=reload aborted: "), broken, "{status}");
        assert!(status.ends_with("workers ready"), "{status}");
        let result = if broken { "reload aborted" } else { "reloaded" };
        chain.line(result);
    }
    if !in_place {
        chain.serving(1);
    }
    chain.signal(SIGTERM);
    manager.up_to("STOPPING=1", &chain);
    assert_eq!(chain.ended(), Some(0), "{}", chain.output());
}

#[test]
fn a_cluster_tells_its_manager_of_start_reloads_and_stop() {
    tells_its_manager("pm-cluster -n 2 --soak 50ms node APP", false);
}

#[test]
fn a_chain_tells_its_manager_of_start_reloads_and_stop() {
    tells_its_manager("pm-restart pm-cluster -n 2 --soak 50ms node APP", false);
}

#[test]
fn a_plain_child_is_told_of_too() {
    tells_its_manager("pm-restart node APP", true);
}

#[test]
fn the_status_line_says_how_many_are_ready() {
    for line in ["pm-cluster -n 2 node $F/app.js", "pm-restart pm-cluster -n 2 node $F/app.js"] {
        let mut scene = Scene::with_node(24);
        let manager = Manager::new(&mut scene);
        let chain = scene.start(line);
        manager.up_to("STATUS=2 of 2 workers ready", &chain);
        let worker = *chain.serving(2).first().expect("two");
        proc::send(worker, nix::sys::signal::Signal::SIGKILL);
        manager.up_to("STATUS=1 of 2 workers ready", &chain);
        manager.up_to("STATUS=2 of 2 workers ready", &chain);
        chain.stop();
    }
}
