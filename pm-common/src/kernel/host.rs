//! What the machine has to do, and what memory it has left.

use super::{cpus, procfs};

/// The machine at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Host {
    /// How many tasks wanted a CPU, on the mean of the last minute.
    pub load: f64,
    /// The CPUs that we may use.
    pub cpus: u32,
    /// Its memory in bytes.
    pub total: u64,
    /// What of it can be had without swapping, in bytes.
    pub available: u64,
}

impl Host {
    /// `None`: /proc does not say.
    #[must_use]
    pub fn look() -> Option<Self> {
        let load = procfs::text("loadavg")?;
        let memory = procfs::text("meminfo")?;
        let bytes = |key: &str| {
            let line = memory.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
            line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
        };
        let total = bytes("MemTotal")?;
        let available = bytes("MemAvailable")?.min(total);
        Some(Self { load: load.split(' ').next()?.parse().ok()?, cpus: cpus::usable(), total, available })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_memory_and_a_load() {
        let host = Host::look().expect("Linux");
        assert!(host.load >= 0.0 && host.cpus > 0 && host.total > 1 << 24 && host.available > 0, "{host:?}");
    }
}
