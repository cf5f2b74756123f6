//! The kernel's OOM killer in a control group with a memory limit, of either version.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal::SIGKILL;
use pm_tests::scene::Scene;
use pm_tests::{proc, stat};

/// Grows without end once there is a file `grow`.
const GROWS: &str = "import os, time
while not os.path.exists('grow'):
    time.sleep(0.05)
kept = []
while True:
    kept.append(b'x' * (8 << 20))
";

/// A control group that holds 64 MB; it goes with its last process.
struct Limited(PathBuf);

impl Limited {
    /// `None`: none can be made here.
    fn new(name: &str) -> Option<Self> {
        let (v1, v2) = (Path::new("/sys/fs/cgroup/memory"), Path::new("/sys/fs/cgroup"));
        let (parent, limit) = if v1.is_dir() { (v1, "memory.limit_in_bytes") } else { (v2, "memory.max") };
        let made = Self(parent.join(name));
        fs::create_dir(&made.0).ok()?;
        fs::write(made.0.join(limit), "64M").ok()?;
        let _ = fs::write(made.0.join("memory.swap.max"), "0");
        Some(made)
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        let begin = Instant::now();
        while fs::remove_dir(&self.0).is_err() && self.0.is_dir() && begin.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
#[allow(clippy::print_stderr, reason = "what was not tried is said")]
fn its_kill_is_told_from_another() {
    let Some(limited) = Limited::new(&format!("pm-oom-{}", std::process::id())) else {
        eprintln!("no control group can be made here: not tried");
        return;
    };
    let scene = Scene::new();
    let script = scene.file("grows.py", GROWS);
    let command = format!(
        "echo $$ >{}/cgroup.procs && exec pm-cluster -n 1 --ready-after 100ms /usr/bin/python3 {}",
        limited.0.display(),
        script.display()
    );
    let chain = scene.start_words(&["sh", "-c", &command]);
    chain.line("ready workers=1/1");
    let worker = stat::workers(&scene)[0].pid().expect("a worker");
    proc::send(worker, SIGKILL);
    let line = chain.line("worker ended slot=0 generation=1");
    assert!(line.contains("signal=KILL why=crash restart=now") && !line.contains("OOM"), "{line}");
    let grow = scene.file("grow", "");
    let line = chain.line("worker ended slot=0 generation=2");
    fs::remove_file(grow).expect("removed");
    let told = "; the kernel's OOM killer struck in this control group just then: \
                raise its memory limit, or stay below it with --max-mem";
    assert!(line.contains("signal=KILL why=oom restart=") && line.ends_with(told), "{line}");
    chain.until("the status to say so", || {
        let workers = stat::workers(&scene);
        let last = &workers.first()?.0["last"];
        (last["why"] == "oom" && last["signal"] == "SIGKILL").then_some(())
    });
    chain.stop();
}
