//! A booted systemd: the small Debian that `scripts/test` made, in a container of systemd's own, with our tools in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::Signal;

use crate::chain::Chain;
use crate::scene::Scene;
use crate::{any, bins, podman, proc, wait};

/// The tools that it has.
const TOOLS: [&str; 6] = ["pm", "pm-fork", "pm-log", "pm-restart", "pm-cluster", "pm-stat"];

/// Goes into a control group of its own in each hierarchy that systemd uses, so that two that boot do not share one.
const ENTER: &str = "for group in $GROUPS; do mkdir $group && echo 0 >$group/cgroup.procs || exit; done; exec \"$@\"";

/// A booted system; it goes with its test. From `boot` on, the test's thread is in its network: port 3000 of 127.0.0.1 is that
/// of the system.
#[derive(Debug)]
pub struct Booted<'a> {
    chain: Chain<'a>,
    first: u32,
    groups: Vec<PathBuf>,
}

impl<'a> Booted<'a> {
    /// Boots it, up to the point where units can be started.
    ///
    /// # Panics
    /// When it does not boot.
    #[must_use]
    pub fn boot(scene: &'a Scene) -> Self {
        let name = format!("pm-test-{}-{}", std::process::id(), scene.port);
        let groups: Vec<PathBuf> = hierarchies().iter().map(|dir| dir.join(&name)).collect();
        let text = |path: &PathBuf| path.display().to_string();
        let mut command = scene.command(&["sh", "-c", ENTER, "sh", "systemd-nspawn", "--quiet", "--boot"]);
        command.env("GROUPS", groups.iter().map(text).collect::<Vec<_>>().join(" "));
        command.arg(format!("--machine={name}")).args(["--register=no", "--keep-unit", "--console=pipe"]);
        // Without this its own filter has less than a machine.
        command.arg("--system-call-filter=pidfd_getfd");
        // What it writes is gone with it, and what it listens on is its own.
        command.arg(format!("--directory={}", podman::root())).args(["--volatile=overlay", "--private-network"]);
        let program = |from: PathBuf| format!("--bind-ro={}:/usr/local/bin/{}", from.display(), file_name(&from));
        command.args(TOOLS.map(|tool| program(bins::tools().join(tool)))).arg(program(bins::node(24).join("node")));
        for (from, to) in [(bins::fixtures(), "fixtures"), (any::dir(), "any")] {
            command.arg(format!("--bind-ro={}:/opt/{to}", from.display()));
        }
        let chain = Chain::spawn(scene, command);
        let leader = || proc::children(chain.pid()).into_iter().find(|pid| proc::name(*pid) == "systemd");
        let first = chain.until("its process 1", leader);
        let booted = Self { chain, first, groups };
        booted.chain.until("the boot", || {
            let state = String::from_utf8_lossy(&booted.run("systemctl is-system-running").stdout).into_owned();
            ["running", "degraded"].contains(&state.trim()).then_some(())
        });
        let net = std::fs::File::open(format!("/proc/{first}/ns/net")).expect("it lives");
        setns(net, CloneFlags::CLONE_NEWNET).expect("root may");
        let up = scene.command(&["ip", "link", "set", "lo", "up"]).status().expect("ip runs");
        assert!(up.success(), "no loopback");
        booted
    }

    /// A path of its, as the test sees it.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.first)).join(path.trim_start_matches('/'))
    }

    /// Writes a file, and the directories above.
    ///
    /// # Panics
    /// When it cannot.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("it is root's");
        std::fs::write(path, text).expect("it is root's");
    }

    /// Runs a shell line in it.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn run(&self, line: &str) -> Output {
        self.command(line).output().expect("nsenter runs")
    }

    /// The same, begun.
    #[must_use]
    pub fn start(&self, line: &str) -> Chain<'a> {
        Chain::spawn(self.chain.scene, self.command(line))
    }

    /// What a shell line prints that succeeds.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn ok(&self, line: &str) -> String {
        let output = self.run(line);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{line}: {said}\n{}", self.journal());
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// A property of a unit, as `systemctl show` has it.
    #[must_use]
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.ok(&format!("systemctl show --value -p {name} {unit}"))
    }

    /// What was logged, for messages.
    #[must_use]
    pub fn journal(&self) -> String {
        String::from_utf8_lossy(&self.run("journalctl --no-pager -n 60 -o cat").stdout).into_owned()
    }

    fn command(&self, line: &str) -> Command {
        let mut command = self.chain.scene.command(&["nsenter", "--all", "--target", &self.first.to_string()]);
        command.args(["sh", "-c", line]).env_remove("PM_HOME").env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command
    }
}

impl Drop for Booted<'_> {
    fn drop(&mut self) {
        proc::send(self.first, Signal::SIGKILL);
        let scene = self.chain.scene;
        let gone = wait::poll(|| {
            let _ = self.chain.running();
            scene.processes().is_empty().then_some(())
        });
        assert!(gone.is_some() || std::thread::panicking(), "left of it: {:?}", scene.processes());
        // A group is busy until the last of its processes has been reaped, the one that the test started among them: it may
        // have ended after it was last asked.
        for group in &self.groups {
            let removed = wait::poll(|| {
                let _ = self.chain.running();
                remove_groups(group);
                (!group.exists()).then_some(())
            });
            assert!(removed.is_some() || std::thread::panicking(), "cannot remove {}", group.display());
        }
    }
}

/// Where the hierarchies of control groups that systemd uses are mounted: the named one, and the second version's.
fn hierarchies() -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("/proc is mounted");
    let of_systemd = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        let named = fields[2] == "cgroup" && fields[3].split(',').any(|option| option == "name=systemd");
        (named || fields[2] == "cgroup2").then(|| PathBuf::from(fields[1]))
    };
    mounts.lines().filter_map(of_systemd).collect()
}

fn remove_groups(group: &Path) {
    for below in std::fs::read_dir(group).into_iter().flatten().flatten() {
        if below.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&below.path());
        }
    }
    let _ = std::fs::remove_dir(group);
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
