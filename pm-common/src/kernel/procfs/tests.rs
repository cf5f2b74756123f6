use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};

use super::*;

const NODE: &[u8] =
    b"4242 (node) S 4240 4240 77 34816 4240 4194304 7312 99 0 0 151 22 7 5 20 0 11 0 9876543 1090519040 13337 \
    18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n";

#[test]
fn the_fields_of_stat() {
    let stat = parse::stat(NODE).expect("parses");
    assert_eq!((stat.pid, stat.comm.as_bytes(), stat.state), (4242, &b"node"[..], b'S'));
    assert_eq!((stat.ppid, stat.pgrp, stat.session), (4240, 4240, 77));
    assert_eq!((stat.utime, stat.stime, stat.children_time, stat.cpu_ticks()), (151, 22, 12, 185));
    assert_eq!((stat.threads, stat.start_time, stat.rss_pages), (11, 9_876_543, 13_337));
}

#[test]
fn a_name_may_look_like_the_rest_of_the_line() {
    for name in ["a b", ") R 1 1 (", "(((", ")", "", "x\ny", "a) Z 9 9 9 9"] {
        let text = format!("7 ({name}) T 1 2 3 0 -1 0 0 0 0 0 1 2 3 4 20 0 1 0 5 6 7 8\n");
        let stat = parse::stat(text.as_bytes()).expect(name);
        assert_eq!((stat.pid, stat.state, stat.ppid, stat.start_time), (7, b'T', 1, 5), "{name}");
        assert_eq!(stat.comm.as_bytes(), name.as_bytes());
    }
}

#[test]
fn a_cut_or_foreign_stat_is_no_process() {
    assert_eq!(parse::stat(b""), None);
    assert_eq!(parse::stat(b"7 (x"), None);
    assert_eq!(parse::stat(b") 7 (x"), None);
    let whole = NODE.len();
    for cut in 0..whole {
        // No panic, and nothing is made up: with fewer than 24 fields there is no process.
        let cut_text = NODE.get(..cut).expect("in range");
        let fields = cut_text.split(|&b| b == b' ').count();
        assert!(parse::stat(cut_text).is_none() || fields >= 24, "{cut}");
    }
}

#[test]
fn children_and_pss() {
    assert_eq!(parse::numbers(b"12 345 6 ").collect::<Vec<_>>(), [12, 345, 6]);
    assert_eq!(parse::numbers(b"").count(), 0);
    let text = b"55d0-7ffd ---p 00000000 00:00 0    [rollup]\nRss:    884 kB\nPss:    385 kB\nPss_Dirty:  100 kB\n";
    assert_eq!(parse::pss(text), Some(385 * 1024));
    assert_eq!(parse::pss(b"Rss: 1 kB\n"), None);
}

/// A shell with a shell below it and a `cat` below that; all end when the pipe to `cat` is closed.
struct Family {
    root: Child,
    stdin: Option<ChildStdin>,
}

impl Family {
    fn new() -> Self {
        Self::of("sh -c 'cat; :' ; :")
    }

    /// The script shall have started its processes when it prints a line, or never print.
    fn of(script: &str) -> Self {
        let mut root = Command::new("sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh starts");
        let mut stdin = root.stdin.take();
        // What comes back through cat shows that all three run.
        std::io::Write::write_all(stdin.as_mut().expect("piped"), b"up\n").expect("written");
        let mut line = String::new();
        BufReader::new(root.stdout.take().expect("piped")).read_line(&mut line).expect("read");
        assert_eq!(line, "up\n");
        Self { root, stdin }
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.root.id()).expect("a pid")
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.root.wait();
    }
}

#[test]
fn a_tree_is_walked_with_and_without_the_kernels_lists() {
    let family = Family::new();
    let root = family.pid();
    for mut proc in [Proc::default(), Proc::scanning()] {
        let tree: Vec<_> = proc.tree(root, |_| true).to_vec();
        let names: Vec<_> = tree.iter().map(|s| s.comm.as_bytes()).collect();
        assert_eq!(names, [&b"sh"[..], b"sh", b"cat"]);
        assert!(tree.windows(2).all(|pair| matches!(pair, [parent, child] if child.ppid == parent.pid)), "{tree:?}");
        assert_eq!(proc.tree(root, |s| s.pid != root).len(), 2 - 1, "not below the root");
    }
}

#[test]
fn children_of_another_thread_are_found() {
    let (to_test, from_thread) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        let family = Family::new();
        to_test.send(family.pid()).expect("the test waits");
        let _ = ended.recv();
    });
    let root = from_thread.recv().expect("a family");
    let me = std::process::id() as i32;
    for mut proc in [Proc::default(), Proc::scanning()] {
        assert!(proc.tree(me, |_| true).iter().any(|s| s.pid == root));
    }
    drop(end);
    thread.join().expect("ends");
}

fn rss(tree: &[Stat]) -> u64 {
    tree.iter().map(Stat::rss_bytes).sum()
}

#[test]
fn memory_of_a_tree() {
    let family = Family::new();
    let root = family.pid();
    let mut proc = Proc::default();
    let all = rss(proc.tree(root, |_| true));
    let pss = proc.tree_pss(root, |_| true);
    assert!(all > 3 * 100 * 1024, "three processes: {all}");
    assert!(pss > 0 && pss < all, "they share libc: {pss} of {all}");
    // PSS depends on who else shares libc just now, so the two are compared, not named.
    let under = proc.effective_memory(root, &[], u64::MAX).expect("alive");
    let over = proc.effective_memory(root, &[], 1).expect("alive");
    assert!(under > over + over / 4, "under the limit RSS is enough ({under}), over it PSS decides ({over})");
    let alone = proc.tree(root, |_| false).first().map(Stat::rss_bytes);
    assert!(alone < Some(all));
}

#[test]
fn memory_is_not_summed_across_a_cluster() {
    let there = tempfile::tempdir().expect("a directory");
    let cluster = there.path().join("pm-cluster");
    std::fs::copy("/bin/sh", &cluster).expect("copied");
    let family = Family::of(&format!("'{}' -c 'cat; :' ; :", cluster.display()));
    let mut proc = Proc::default();
    let all = rss(proc.tree(family.pid(), |_| true));
    let without = proc.tree(family.pid(), |s| !is_cluster(s)).to_vec();
    assert_eq!(without.len(), 2, "{without:?}");
    assert!(proc.effective_memory(family.pid(), &[], u64::MAX).expect("alive") < all);
}

#[test]
fn a_zombie_is_not_alive_and_weighs_nothing() {
    let mut child = Command::new("true").spawn().expect("starts");
    let pid = child.id() as i32;
    let start = start_time(pid).expect("not yet waited for");
    // WNOWAIT: wait until it has ended, and leave it a zombie.
    let id = rustix::process::WaitId::Pid(rustix::process::Pid::from_raw(pid).expect("a pid"));
    let options = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
    rustix::process::waitid(id, options).expect("ends");
    assert!(stat(pid).expect("a zombie has a stat").is_zombie());
    assert!(!is_alive(pid, start));
    assert_eq!(Proc::default().effective_memory(pid, &[], 1), None);
    child.wait().expect("reaped");
    assert_eq!(start_time(pid), None);
}

#[test]
fn this_process() {
    let me = std::process::id() as i32;
    let stat = stat(me).expect("running");
    assert_eq!(stat.ppid, nix::unistd::getppid().as_raw());
    assert!(is_alive(me, stat.start_time));
    assert!(!is_alive(me, stat.start_time + 1));
    assert!(is_ancestor(stat.ppid));
    assert!(!is_ancestor(me));
    let up = uptime(&stat);
    assert!((0.0..3600.0).contains(&up), "{up}");
}

/// As in a program whose first thread waits until the others have read what is to be loaded.
#[test]
fn a_process_runs_if_any_of_its_threads_does() {
    let looks = || {
        let mut proc = Proc::default();
        let own = proc.stat(std::process::id().cast_signed()).expect("this process");
        // Any thread but this one may be what the process is said to be at.
        proc.runs(&Stat { state: b'S', ..own })
    };
    assert!(std::thread::spawn(looks).join().expect("no panic"));
    let mut sleep = Command::new("sleep").arg("1000").spawn().expect("sleep");
    let mut proc = Proc::default();
    let pid = sleep.id().cast_signed();
    while proc.stat(pid).is_none_or(|stat| proc.runs(&stat)) {
        std::thread::yield_now();
    }
    sleep.kill().and_then(|()| sleep.wait()).expect("our child");
}
