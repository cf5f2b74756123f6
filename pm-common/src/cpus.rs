//! How many workers: the CPUs that this process can really use, and what `-n` says about them.

use std::fs;
use std::num::NonZeroU64;
use std::path::{Component, Path, PathBuf};
use std::thread;

use crate::sys::affinity;

/// The most workers that can be asked for.
pub const MOST_WORKERS: u32 = 1024;

/// CPUs usable by this process: the smaller of its affinity mask and its cgroup's CPU quota rounded up; at least 1.
#[must_use]
pub fn usable() -> u32 {
    let allowed = affinity::allowed_cpus().or_else(parallelism).unwrap_or(1);
    quota().map_or(allowed, |quota| allowed.min(quota)).max(1)
}

fn parallelism() -> Option<u32> {
    thread::available_parallelism().ok().and_then(|n| u32::try_from(n.get()).ok())
}

/// The tightest CPU quota of our cgroup and its ancestors, of either version; `None` without one.
fn quota() -> Option<u32> {
    let cgroup = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    hierarchies(&cgroup, &mounts).iter().filter_map(Hierarchy::quota).min()
}

/// Where the cgroup of this process is found, in one hierarchy that can limit CPU time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    version: Version,
    mount_point: PathBuf,
    /// Below the mount point; empty: the mount point is our cgroup, or an ancestor whose children we cannot see.
    below: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Hierarchy {
    /// Ancestors count too: a limit on a pod holds for its containers.
    fn quota(&self) -> Option<u32> {
        let directories = self.below.ancestors().map(|below| self.mount_point.join(below));
        directories.filter_map(|directory| self.version.quota_in(&directory)).min()
    }
}

impl Version {
    fn quota_in(self, directory: &Path) -> Option<u32> {
        let read = |name: &str| fs::read_to_string(directory.join(name)).ok();
        match self {
            Self::V2 => cpu_max(&read("cpu.max")?),
            Self::V1 => cpus_of(&read("cpu.cfs_quota_us")?, &read("cpu.cfs_period_us")?),
        }
    }
}

/// `cpu.max`: `QUOTA PERIOD`, in microseconds, or `max PERIOD`.
fn cpu_max(text: &str) -> Option<u32> {
    let (quota, period) = text.trim().split_once(' ')?;
    cpus_of(quota, period)
}

/// Rounded up: half a CPU still runs one worker. `None` for no limit (`max`, `-1`) and for what is no number.
fn cpus_of(quota: &str, period: &str) -> Option<u32> {
    let quota: u64 = quota.trim().parse().ok()?;
    let period: NonZeroU64 = period.trim().parse().ok()?;
    Some(u32::try_from(quota.div_ceil(period.get())).unwrap_or(u32::MAX))
}

/// The hierarchies of `/proc/self/cgroup` that limit CPU time, located by `/proc/self/mountinfo`. In a hybrid set-up the
/// v2 hierarchy has no CPU controller: its files are then missing, which is no limit.
fn hierarchies(cgroup: &str, mounts: &str) -> Vec<Hierarchy> {
    let memberships = cgroup.lines().filter_map(membership);
    memberships.filter_map(|(version, path)| locate(version, path, mounts)).collect()
}

/// `HIERARCHY:CONTROLLERS:PATH` (cgroups(7)); only those that can limit CPU time.
fn membership(line: &str) -> Option<(Version, &str)> {
    let mut fields = line.splitn(3, ':');
    let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    match (number, controllers) {
        ("0", "") => Some((Version::V2, path)),
        _ if controllers.split(',').any(|one| one == "cpu") => Some((Version::V1, path)),
        _ => None,
    }
}

fn locate(version: Version, path: &str, mounts: &str) -> Option<Hierarchy> {
    let mount = mounts.lines().filter_map(Mount::parse).find(|mount| mount.version == version)?;
    // The root of the mount is a path in the same hierarchy: a container sees its own cgroup at the mount point while
    // /proc/self/cgroup may show the path from the host's root. A path outside of it (`/../x`) cannot be followed.
    let below = Path::new(path).strip_prefix(&mount.root).unwrap_or(Path::new(""));
    let followable = below.components().all(|part| matches!(part, Component::Normal(_)));
    let below = if followable { below.to_owned() } else { PathBuf::new() };
    Some(Hierarchy { version, mount_point: mount.point, below })
}

struct Mount {
    version: Version,
    root: PathBuf,
    point: PathBuf,
}

impl Mount {
    /// `ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAGS...] - TYPE SOURCE SUPER-OPTIONS` (proc_pid_mountinfo(5)).
    fn parse(line: &str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (root, point) = (unescaped(left.next()?), unescaped(left.next()?));
        let mut right = right.split(' ');
        let version = match (right.next()?, right.nth(1)) {
            ("cgroup2", _) => Version::V2,
            ("cgroup", Some(options)) if options.split(',').any(|one| one == "cpu") => Version::V1,
            _ => return None,
        };
        Some(Self { version, root, point })
    }
}

/// Blanks and backslashes stand as octal escapes in mountinfo.
fn unescaped(text: &str) -> PathBuf {
    let plain = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    PathBuf::from(plain.iter().fold(text.to_owned(), |text, (escape, plain)| text.replace(escape, plain)))
}

/// The number of workers that `-n TEXT` asks for: `0` and `max` are all usable CPUs, `-1` one fewer, and so on, never
/// under 1.
///
/// # Errors
/// A line for the user, for what is no whole number or more than [`MOST_WORKERS`].
pub fn parse_workers(text: &str, usable: u32) -> Result<u32, String> {
    let usable = usable.clamp(1, MOST_WORKERS);
    let complaint = || {
        let allowed = format!("a whole number up to {MOST_WORKERS}, 0 or max for all usable CPUs, -1 for one fewer");
        format!("-n {text}: not a number of workers: {allowed}")
    };
    if text == "max" {
        return Ok(usable);
    }
    if let Some(fewer) = text.strip_prefix('-') {
        if fewer.is_empty() || !fewer.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(complaint());
        }
        return Ok(fewer.parse().map_or(1, |fewer| usable.saturating_sub(fewer)).max(1));
    }
    match text.parse::<u32>() {
        Ok(0) => Ok(usable),
        Ok(count) if count <= MOST_WORKERS => Ok(count),
        _ => Err(complaint()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hierarchy(version: Version, mount_point: &str, below: &str) -> Hierarchy {
        Hierarchy { version, mount_point: mount_point.into(), below: below.into() }
    }

    const V2_MOUNT: &str = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn v2_on_a_host() {
        let found = hierarchies("0::/user.slice/app.service\n", V2_MOUNT);
        assert_eq!(found, [hierarchy(Version::V2, "/sys/fs/cgroup", "user.slice/app.service")]);
    }

    #[test]
    fn v2_in_a_container_with_a_namespace_of_its_own() {
        assert_eq!(hierarchies("0::/\n", V2_MOUNT), [hierarchy(Version::V2, "/sys/fs/cgroup", "")]);
    }

    #[test]
    fn v1_in_a_container_that_shows_the_hosts_path() {
        let cgroup = "11:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n";
        let mounts = "35 30 0:30 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n\
                      36 30 0:31 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n";
        assert_eq!(hierarchies(cgroup, mounts), [hierarchy(Version::V1, "/sys/fs/cgroup/cpu,cpuacct", "")]);
    }

    #[test]
    fn a_hybrid_has_both() {
        let cgroup = "4:cpu,cpuacct:/system.slice\n0::/system.slice/x\n";
        let mounts = "30 23 0:26 / /sys/fs/cgroup/unified rw shared:4 - cgroup2 cgroup2 rw\n\
                      33 23 0:29 / /sys/fs/cgroup/cpu\\040acct rw shared:9 master:1 - cgroup cgroup rw,cpu,cpuacct\n";
        let v1 = hierarchy(Version::V1, "/sys/fs/cgroup/cpu acct", "system.slice");
        let v2 = hierarchy(Version::V2, "/sys/fs/cgroup/unified", "system.slice/x");
        assert_eq!(hierarchies(cgroup, mounts), [v1, v2]);
    }

    #[test]
    fn a_path_outside_of_the_mount_is_not_followed() {
        for path in ["/../../etc", "/a/../b"] {
            let found = hierarchies(&format!("0::{path}\n"), V2_MOUNT);
            assert_eq!(found, [hierarchy(Version::V2, "/sys/fs/cgroup", "")]);
        }
    }

    #[test]
    fn what_is_malformed_is_no_limit() {
        for text in ["", "0", "0:", "x", "4:cpuset:/a", "::", "\n\n"] {
            assert_eq!(hierarchies(text, V2_MOUNT), [], "{text:?}");
        }
        for mounts in ["", "29 23 0:26", "29 23 0:26 / /x rw - ", "29 23 0:26 / /x rw - ext4 /dev/a rw"] {
            assert_eq!(hierarchies("0::/a\n", mounts), [], "{mounts:?}");
        }
    }

    #[test]
    fn a_quota_is_rounded_up() {
        assert_eq!(cpu_max("50000 100000\n"), Some(1));
        assert_eq!(cpu_max("100000 100000\n"), Some(1));
        assert_eq!(cpu_max("250000 100000\n"), Some(3));
        assert_eq!(cpus_of("400000\n", "100000\n"), Some(4));
        assert_eq!(cpu_max("18446744073709551615 1"), Some(u32::MAX));
    }

    #[test]
    fn no_quota_and_no_sense_are_no_limit() {
        for text in ["max 100000\n", "max", "", "100000", "a b", "100000 0", "-1 100000", "100000 -1"] {
            assert_eq!(cpu_max(text), None, "{text:?}");
        }
        assert_eq!(cpus_of("-1\n", "100000\n"), None);
    }

    #[test]
    fn the_tightest_of_a_cgroup_and_its_ancestors_counts() {
        let root = tempfile::tempdir().expect("a directory");
        let inner = root.path().join("pod/container");
        fs::create_dir_all(&inner).expect("made");
        let here =
            Hierarchy { version: Version::V2, mount_point: root.path().to_owned(), below: "pod/container".into() };
        assert_eq!(here.quota(), None);
        fs::write(inner.join("cpu.max"), "400000 100000\n").expect("written");
        assert_eq!(here.quota(), Some(4));
        fs::write(root.path().join("pod/cpu.max"), "150000 100000\n").expect("written");
        assert_eq!(here.quota(), Some(2));
        let old = Hierarchy { version: Version::V1, ..here };
        fs::write(inner.join("cpu.cfs_quota_us"), "300000\n").expect("written");
        assert_eq!(old.quota(), None, "a quota without a period is none");
        fs::write(inner.join("cpu.cfs_period_us"), "100000\n").expect("written");
        assert_eq!(old.quota(), Some(3));
    }

    #[test]
    fn this_process_can_use_a_cpu_and_not_more_than_it_may() {
        let allowed = affinity::allowed_cpus().expect("a mask of ordinary width");
        assert!((1..=allowed).contains(&usable()));
    }

    #[test]
    fn zero_and_max_are_all_and_a_minus_counts_down_to_one() {
        let cases = [("0", 4), ("max", 4), ("1", 1), ("9", 9), ("1024", 1024), ("-0", 4), ("-1", 3), ("-3", 1)];
        for (text, workers) in cases {
            assert_eq!(parse_workers(text, 4), Ok(workers), "{text}");
        }
        for text in ["-4", "-5", "-99999999999999999999999"] {
            assert_eq!(parse_workers(text, 4), Ok(1), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_of_workers_is_refused_with_the_remedy() {
        for text in ["foo", "1e9", "1025", "99999999999999", "", "-", "--1", "-x", "1.5", " 1", "Max", "-+1", "0x2"] {
            let complaint = parse_workers(text, 4).expect_err(text);
            assert!(complaint.starts_with(&format!("-n {text}: ")) && complaint.contains("max"), "{complaint}");
        }
    }
}
