//! The CPUs that the kernel lets this process run on.

/// CPUs in the affinity mask of the calling thread; `None` where the kernel's mask is wider than ours (more than 1024 CPUs).
#[must_use]
pub fn allowed_cpus() -> Option<u32> {
    rustix::thread::sched_getaffinity(None).ok().map(|set| set.count())
}
