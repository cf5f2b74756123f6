//! Why workers end, and the words for it.

use std::fmt;

words! {
    /// Why a worker ended, or is being ended.
    Why {
        /// By itself, with exit code 0.
        Exit = "exit",
        /// By itself, otherwise.
        Crash = "crash",
        /// Killed, and the kernel's OOM killer struck at that time.
        Oom = "oom",
        /// The worker could not be started at all.
        Spawn = "spawn",
        /// The supervisor was told to stop.
        Stop = "stop",
        /// One worker fewer was asked for.
        Scale = "scale",
        /// Over the memory limit.
        Memory = "memory",
        /// Over the lag limit.
        Lag = "lag",
        /// Not ready in time.
        NotReady = "not ready",
        /// Started before it was known that servers below it bind by themselves, so that no other could share them.
        Unshared = "unshared",
        /// A reload was asked for.
        Reload = "reload",
        /// The supervisor gives up.
        GiveUp = "give up",
        /// The supervisor was killed, and its workers ended with it.
        Orphaned = "supervisor killed",
    }
}

impl Why {
    /// Whether the worker ended without having been asked to.
    #[must_use]
    pub const fn is_its_own(self) -> bool {
        matches!(self, Self::Exit | Self::Crash | Self::Oom | Self::Spawn)
    }

    /// Whether the supervisor ended the worker so that another takes its place, whatever the policy says of ends.
    #[must_use]
    pub const fn is_for_another(self) -> bool {
        matches!(self, Self::Memory | Self::Lag | Self::NotReady | Self::Unshared | Self::Reload)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
