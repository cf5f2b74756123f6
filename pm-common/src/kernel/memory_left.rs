//! The memory that our control groups still have room for.

use std::fs;
use std::path::Path;

use super::cgroup::{self, Hierarchy, Version};

/// Bytes left until our cgroup, or the tightest of its ancestors, is full; `None` without a limit.
///
/// The cache of files counts as room: the kernel gives it up before it kills anybody.
pub fn left() -> Option<u64> {
    cgroup::of("memory").iter().filter_map(left_of).min()
}

fn left_of(hierarchy: &Hierarchy) -> Option<u64> {
    hierarchy.directories().filter_map(|directory| left_in(hierarchy.version, &directory)).min()
}

fn left_in(version: Version, directory: &Path) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(directory.join(name)).ok();
    // `max` is no number; the first version gives a number beyond all memory.
    let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
    let (limit, used, cached) = match version {
        Version::V2 => ("memory.max", "memory.current", ["inactive_file", "active_file", "slab_reclaimable"]),
        Version::V1 => (
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            ["total_inactive_file", "total_active_file", "total_slab_reclaimable"],
        ),
    };
    let (limit, used) = (number(limit)?, number(used)?);
    let cache = read("memory.stat").map_or(0, |stat| sum_of(&stat, &cached));
    Some(limit.saturating_sub(used.saturating_sub(cache)))
}

/// The sum of these fields of memory.stat, `NAME BYTES` a line.
fn sum_of(stat: &str, names: &[&str]) -> u64 {
    let fields = stat.lines().filter_map(|line| line.split_once(' ')).filter(|(name, _)| names.contains(name));
    fields.filter_map(|(_, bytes)| bytes.trim().parse::<u64>().ok()).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(directory).expect("made");
        files.iter().for_each(|(name, text)| fs::write(directory.join(name), text).expect("written"));
    }

    #[test]
    fn the_tightest_of_a_cgroup_and_its_ancestors_counts_less_its_cache() {
        let root = tempfile::tempdir().expect("a directory");
        let here = |version| Hierarchy { version, mount_point: root.path().to_owned(), below: "pod/app".into() };
        assert_eq!(left_of(&here(Version::V2)), None);
        write(&root.path().join("pod/app"), &[("memory.max", "max\n"), ("memory.current", "500\n")]);
        assert_eq!(left_of(&here(Version::V2)), None);
        write(&root.path().join("pod"), &[("memory.max", "1000\n"), ("memory.current", "900\n")]);
        assert_eq!(left_of(&here(Version::V2)), Some(100));
        let stat = "anon 400\ninactive_file 200\nactive_file 30\nslab_reclaimable 4\nfile 999\n";
        write(&root.path().join("pod"), &[("memory.stat", stat)]);
        assert_eq!(left_of(&here(Version::V2)), Some(334));
        write(&root.path().join("pod/app"), &[("memory.max", "510\n")]);
        assert_eq!(left_of(&here(Version::V2)), Some(10));
        write(root.path(), &[("memory.max", "10"), ("memory.current", "11")]);
        assert_eq!(left_of(&here(Version::V2)), Some(0), "over it");
        assert_eq!(left_of(&here(Version::V1)), None, "these are of the other version");
        let old = [
            ("memory.limit_in_bytes", "700\n"),
            ("memory.usage_in_bytes", "600\n"),
            ("memory.stat", "total_inactive_file 50"),
        ];
        write(&root.path().join("pod/app"), &old);
        assert_eq!(left_of(&here(Version::V1)), Some(150));
    }
}
