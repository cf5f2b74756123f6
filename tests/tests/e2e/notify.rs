//! The notification socket, both ways.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::sys::signal::Signal;
use pm_tests::proc;
use pm_tests::scene::Scene;

/// Says this many times to the supervisor of a worker what changes nothing. A full socket makes us wait, so all but
/// the last few have been read at the end.
fn flood(worker: u32, count: usize) {
    let environ = std::fs::read_to_string(format!("/proc/{worker}/environ")).expect("our own process");
    let name = environ.split('\0').find_map(|entry| entry.strip_prefix("NOTIFY_SOCKET=@")).expect("it was given one");
    let to = SocketAddr::from_abstract_name(name).expect("a name");
    let socket = UnixDatagram::unbound().expect("a socket");
    for n in 0..count {
        socket.send_to_addr(format!("STATUS={n}").as_bytes(), &to).expect("somebody reads");
    }
}

/// What does not change is not written, not even where the last writing failed.
#[test]
fn a_flood_of_notifications_costs_no_writing_of_the_status() {
    let scene = Scene::new();
    let chain = scene.start("pm-cluster --name app -n 1 --ready-after 10ms sleep 1000");
    chain.line("ready workers=1/1");
    let worker = chain.until("the worker", || scene.process("sleep"));
    let directory = scene.dir().join("pm/app/status.d");
    let file = directory.join(format!("pm-cluster.{}", chain.pid()));
    let changed = || directory.metadata().expect("there").modified().expect("a time");
    chain.until("the status", || file.is_file().then_some(()));
    let quiet = changed();
    flood(worker, 2_000);
    assert_eq!(changed(), quiet);
    // Where the file should be, there is what it cannot replace.
    std::fs::remove_file(&file).and_then(|()| std::fs::create_dir(&file)).expect("our own directory");
    chain.signal(Signal::SIGTTIN);
    chain.line("pm-stat may show an old state");
    chain.until("a second worker", || (proc::children(chain.pid()).len() == 2).then_some(()));
    chain.until("rest", || {
        let before = changed();
        std::thread::sleep(Duration::from_millis(300));
        (changed() == before).then_some(())
    });
    let failed = changed();
    flood(worker, 2_000);
    assert_eq!(changed(), failed, "it was tried again");
    chain.stop();
}
