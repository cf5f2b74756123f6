//! Servers that know nothing of us: how each is started, and which worker answers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use nix::sys::signal::Signal::SIGKILL;

use crate::chain::Chain;
use crate::http::{self, Connection, Miss};
use crate::load::{Load, Style};
use crate::scene::Scene;
use crate::{bins, proc, roll, stat};

/// The end of a Python server: it listens on the socket `ours`, and answers its pid, one client at a time.
pub const ANSWERS: &str = "\
ours.listen(128)
while True:
    client, _ = ours.accept()
    client.recv(4096)
    pid = str(os.getpid())
    head = 'HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: '
    client.sendall((head + str(len(pid)) + '\\r\\n\\r\\n' + pid).encode())
    client.close()
";

/// The command line of a Python server that does `before` (with `here()`, a new socket bound to an address), which leads to `ours`,
/// that listens.
#[must_use]
pub fn python(scene: &Scene, before: &str) -> String {
    let script = format!(
        "import os, socket, sys\n\
         port = int(os.environ['PORT'])\n\
         def here(host, share=False):\n\
         \x20   one = socket.socket()\n\
         \x20   one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n\
         \x20   if share:\n\
         \x20       one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n\
         \x20   one.bind((host, port))\n\
         \x20   return one\n\
         {before}\n\
         {ANSWERS}"
    );
    format!("/usr/bin/python3 {}", scene.file("ports.py", &script).display())
}

/// Where `scripts/test` built and fetched the servers.
///
/// # Panics
/// When they are not there.
#[must_use]
pub fn dir() -> PathBuf {
    let dir = bins::cache().parent().map(|cache| cache.join("any")).unwrap_or_default();
    assert!(dir.join("deny").is_file(), "{} is missing: run scripts/test, which builds it", dir.display());
    dir
}

/// A scene whose processes find the fixtures, and whose commands know `$A`, the directory of the servers.
#[must_use]
pub fn scene() -> Scene {
    scene_with_node(24)
}

/// The same with this major version of Node.
#[must_use]
pub fn scene_with_node(major: u32) -> Scene {
    let scene =
        Scene::with_node(major).with("PYTHONPATH", bins::fixtures().join("any")).with("PYTHONDONTWRITEBYTECODE", "1");
    scene.open_to_all();
    scene
}

/// Starts `before` and a server's command line behind it; `$A` is the directory of the servers, `$P` the port.
#[must_use]
pub fn start<'a>(scene: &'a Scene, before: &str, server: &str) -> Chain<'a> {
    let line = format!("{before} {server}");
    let any = dir();
    let (any, port) = (any.to_str().unwrap_or_default().to_owned(), scene.port.to_string());
    let words: Vec<String> =
        line.split_whitespace().map(|w| scene.expand(&w.replace("$A", &any).replace("$P", &port))).collect();
    scene.start_words(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The workers by slot: those that live and are not on their way out.
#[must_use]
pub fn workers(scene: &Scene) -> BTreeMap<u64, u32> {
    let lines = stat::workers(scene);
    let living = lines.iter().filter(|l| matches!(l.state(), "ready" | "starting"));
    living.filter_map(|l| Some((l.number("slot"), l.pid()?))).collect()
}

/// The slot that an answer came from: it says so, or it is the pid of a process below the slot's worker.
fn slot_of(answer: &str, workers: &BTreeMap<u64, u32>) -> Option<u64> {
    if let Some(slot) = answer.trim().strip_prefix("slot ") {
        return slot.parse().ok();
    }
    let mut pid: u32 = answer.trim().parse().ok()?;
    loop {
        if let Some((slot, _)) = workers.iter().find(|(_, worker)| **worker == pid) {
            return Some(*slot);
        }
        pid = proc::parent(pid).filter(|parent| *parent > 1)?;
    }
}

/// Waits until the workers of so many slots have answered.
///
/// # Panics
/// After the deadline.
#[track_caller]
pub fn serving(chain: &Chain, count: usize) -> BTreeMap<u64, u32> {
    let mut seen = BTreeSet::new();
    chain.until(&format!("{count} slots that answer"), || {
        let workers = workers(chain.scene);
        let open: Vec<_> = (0..8).map_while(|_| Connection::open(chain.scene.port).ok()).collect();
        for mut connection in open {
            let answer = connection.request("/", "close");
            seen.extend(answer.as_ref().ok().and_then(|answer| slot_of(answer, &workers)));
            // One that hangs waits for long: the deadline is looked at before the next.
            if matches!(answer, Err(Miss::Hung)) {
                break;
            }
        }
        // A server that names its slot may answer before its status says that it is up.
        (seen.len() >= count && workers.len() >= count).then_some(workers)
    })
}

/// Rolls so many workers twice under load, which loses nothing; those that answer then, each of which is new.
///
/// # Panics
/// When anything is lost, or somebody old answers.
#[track_caller]
pub fn rolls_well(chain: &Chain, count: usize) -> BTreeMap<u64, u32> {
    let first = serving(chain, count);
    let load = Load::start(chain.scene.port, 4, Style::OneShot);
    load.advance(5);
    for _ in 0..2 {
        roll::well(chain);
        load.advance(5);
    }
    let tally = load.end();
    assert!(tally.misses.is_empty(), "{:?}\n{}", tally.misses, chain.output());
    let second = serving(chain, count);
    assert!(second.values().all(|pid| !first.values().any(|old| old == pid)), "{first:?} {second:?}");
    second
}

/// Two workers lose nothing in rolls, and the crash of one of them refuses nobody; then all end in order.
///
/// # Panics
/// When it is not so.
#[track_caller]
pub fn rolls_and_crashes(chain: &Chain) {
    let killed = rolls_well(chain, 2)[&0];
    proc::send(killed, SIGKILL);
    chain.until("a successor", || workers(chain.scene).get(&0).is_some_and(|pid| *pid != killed).then_some(()));
    serving(chain, 2);
    chain.stop();
}

/// One answer, for servers that need a moment.
#[must_use]
pub fn answer(scene: &Scene) -> Option<String> {
    http::get(scene.port, "/").ok()
}
