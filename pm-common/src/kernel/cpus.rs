//! How many workers: the CPUs that this process can really use, and what `-n` says about them.

use std::fs;
use std::num::NonZeroU64;
use std::path::Path;
use std::thread;

use crate::kernel::cgroup::{self, Hierarchy, Version};

/// The most workers that can be asked for.
pub const MOST_WORKERS: u32 = 1024;

/// CPUs usable by this process: the smaller of its affinity mask and its cgroup's CPU quota rounded up; at least 1.
#[must_use]
pub fn usable() -> u32 {
    let allowed = allowed().or_else(parallelism).unwrap_or(1);
    quota().map_or(allowed, |quota| allowed.min(quota)).max(1)
}

/// CPUs in the affinity mask of the calling thread; `None` where the kernel's mask is wider than ours (more than 1024 CPUs).
fn allowed() -> Option<u32> {
    rustix::thread::sched_getaffinity(None).ok().map(|set| set.count())
}

fn parallelism() -> Option<u32> {
    thread::available_parallelism().ok().and_then(|n| u32::try_from(n.get()).ok())
}

/// The tightest CPU quota of our cgroup and its ancestors, of either version; `None` without one.
fn quota() -> Option<u32> {
    cgroup::of("cpu").iter().filter_map(quota_of).min()
}

fn quota_of(hierarchy: &Hierarchy) -> Option<u32> {
    hierarchy.directories().filter_map(|directory| quota_in(hierarchy.version, &directory)).min()
}

fn quota_in(version: Version, directory: &Path) -> Option<u32> {
    let read = |name: &str| fs::read_to_string(directory.join(name)).ok();
    match version {
        Version::V2 => cpu_max(&read("cpu.max")?),
        Version::V1 => cpus_of(&read("cpu.cfs_quota_us")?, &read("cpu.cfs_period_us")?),
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
        assert_eq!(quota_of(&here), None);
        fs::write(inner.join("cpu.max"), "400000 100000\n").expect("written");
        assert_eq!(quota_of(&here), Some(4));
        fs::write(root.path().join("pod/cpu.max"), "150000 100000\n").expect("written");
        assert_eq!(quota_of(&here), Some(2));
        let old = Hierarchy { version: Version::V1, ..here };
        fs::write(inner.join("cpu.cfs_quota_us"), "300000\n").expect("written");
        assert_eq!(quota_of(&old), None, "a quota without a period is none");
        fs::write(inner.join("cpu.cfs_period_us"), "100000\n").expect("written");
        assert_eq!(quota_of(&old), Some(3));
    }

    #[test]
    fn this_process_can_use_a_cpu_and_not_more_than_it_may() {
        let allowed = allowed().expect("a mask of ordinary width");
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
