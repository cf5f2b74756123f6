//! Where the control groups of this process are (cgroups(7)), of either version, and what they limit.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::procfs;

/// Where the cgroup of this process is found, in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// How its files are named and read.
    pub version: Version,
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// Below the mount point; empty: the mount point is our cgroup, or an ancestor whose children we cannot see.
    pub below: PathBuf,
}

/// The version of a hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy for each controller, or several.
    V1,
    /// The unified one.
    V2,
}

impl Hierarchy {
    /// The directories of our cgroup and its ancestors: a limit on a pod holds for its containers.
    pub fn directories(&self) -> impl Iterator<Item = PathBuf> {
        self.below.ancestors().map(|below| self.mount_point.join(below))
    }
}

/// The hierarchies that can limit this resource for us.
pub fn of(resource: &str) -> Vec<Hierarchy> {
    let read = |name: &str| procfs::text(&format!("self/{name}")).unwrap_or_default();
    hierarchies(resource, &read("cgroup"), &read("mountinfo"))
}

/// How many processes the kernel's OOM killer has ended in our cgroup so far (with v2: below it, too); `None`: it does
/// not say, as at the root of v2 and before Linux 4.13.
#[must_use]
pub fn oom_kills() -> Option<u64> {
    of("memory").iter().find_map(|hierarchy| oom_kills_in(hierarchy.version, &hierarchy.directories().next()?))
}

fn oom_kills_in(version: Version, directory: &Path) -> Option<u64> {
    let name = match version {
        Version::V1 => "memory.oom_control",
        Version::V2 => "memory.events",
    };
    let text = fs::read_to_string(directory.join(name)).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

/// The hierarchies of `/proc/self/cgroup` that can limit this `resource` (a controller's name), located by `/proc/self/mountinfo`. In a hybrid set-up the
/// v2 hierarchy may not have the controller: its files are then missing, which is no limit.
fn hierarchies(resource: &str, cgroup: &str, mounts: &str) -> Vec<Hierarchy> {
    let memberships = cgroup.lines().filter_map(|line| membership(resource, line));
    memberships.filter_map(|(version, path)| locate(resource, version, path, mounts)).collect()
}

/// `HIERARCHY:CONTROLLERS:PATH` (cgroups(7)); only those of the resource.
fn membership<'a>(resource: &str, line: &'a str) -> Option<(Version, &'a str)> {
    let mut fields = line.splitn(3, ':');
    let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    match (number, controllers) {
        ("0", "") => Some((Version::V2, path)),
        _ if controllers.split(',').any(|one| one == resource) => Some((Version::V1, path)),
        _ => None,
    }
}

fn locate(resource: &str, version: Version, path: &str, mounts: &str) -> Option<Hierarchy> {
    let mount =
        mounts.lines().filter_map(|line| Mount::parse(resource, line)).find(|mount| mount.version == version)?;
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
    fn parse(resource: &str, line: &str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (root, point) = (unescaped(left.next()?), unescaped(left.next()?));
        let mut right = right.split(' ');
        let version = match (right.next()?, right.nth(1)) {
            ("cgroup2", _) => Version::V2,
            ("cgroup", Some(options)) if options.split(',').any(|one| one == resource) => Version::V1,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn hierarchy(version: Version, mount_point: &str, below: &str) -> Hierarchy {
        Hierarchy { version, mount_point: mount_point.into(), below: below.into() }
    }

    const V2_MOUNT: &str = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn v2_on_a_host() {
        let found = hierarchies("cpu", "0::/user.slice/app.service\n", V2_MOUNT);
        assert_eq!(found, [hierarchy(Version::V2, "/sys/fs/cgroup", "user.slice/app.service")]);
    }

    #[test]
    fn v2_in_a_container_with_a_namespace_of_its_own() {
        assert_eq!(hierarchies("cpu", "0::/\n", V2_MOUNT), [hierarchy(Version::V2, "/sys/fs/cgroup", "")]);
    }

    #[test]
    fn v1_in_a_container_that_shows_the_hosts_path() {
        let cgroup = "11:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n";
        let mounts = "35 30 0:30 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n\
                      36 30 0:31 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n";
        assert_eq!(hierarchies("cpu", cgroup, mounts), [hierarchy(Version::V1, "/sys/fs/cgroup/cpu,cpuacct", "")]);
    }

    #[test]
    fn a_hybrid_has_both() {
        let cgroup = "4:cpu,cpuacct:/system.slice\n0::/system.slice/x\n";
        let mounts = "30 23 0:26 / /sys/fs/cgroup/unified rw shared:4 - cgroup2 cgroup2 rw\n\
                      33 23 0:29 / /sys/fs/cgroup/cpu\\040acct rw shared:9 master:1 - cgroup cgroup rw,cpu,cpuacct\n";
        let v1 = hierarchy(Version::V1, "/sys/fs/cgroup/cpu acct", "system.slice");
        let v2 = hierarchy(Version::V2, "/sys/fs/cgroup/unified", "system.slice/x");
        assert_eq!(hierarchies("cpu", cgroup, mounts), [v1, v2]);
    }

    #[test]
    fn a_path_outside_of_the_mount_is_not_followed() {
        for path in ["/../../etc", "/a/../b"] {
            let found = hierarchies("cpu", &format!("0::{path}\n"), V2_MOUNT);
            assert_eq!(found, [hierarchy(Version::V2, "/sys/fs/cgroup", "")]);
        }
    }

    #[test]
    fn both_versions_count_what_the_kernel_killed() {
        let directory = tempfile::tempdir().expect("a directory");
        let v2 = "low 0\nhigh 7\nmax 12\noom 4\noom_kill 3\noom_group_kill 1\n";
        fs::write(directory.path().join("memory.events"), v2).expect("written");
        fs::write(directory.path().join("memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n")
            .expect("written");
        assert_eq!(oom_kills_in(Version::V2, directory.path()), Some(3));
        assert_eq!(oom_kills_in(Version::V1, directory.path()), Some(5));
        fs::write(directory.path().join("memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\n").expect("written");
        assert_eq!(oom_kills_in(Version::V1, directory.path()), None, "before Linux 4.13");
        assert_eq!(oom_kills_in(Version::V2, Path::new("/nowhere")), None);
    }

    #[test]
    fn what_is_malformed_is_no_limit() {
        for text in ["", "0", "0:", "x", "4:cpuset:/a", "::", "\n\n"] {
            assert_eq!(hierarchies("cpu", text, V2_MOUNT), [], "{text:?}");
        }
        for mounts in ["", "29 23 0:26", "29 23 0:26 / /x rw - ", "29 23 0:26 / /x rw - ext4 /dev/a rw"] {
            assert_eq!(hierarchies("cpu", "0::/a\n", mounts), [], "{mounts:?}");
        }
    }
}
