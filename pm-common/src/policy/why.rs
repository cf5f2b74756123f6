//! Why workers end, and the words for it.

use std::fmt;

/// Why a worker ended, or is being ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// By itself, with exit code 0.
    Exit,
    /// By itself, otherwise.
    Crash,
    /// Killed, and the kernel's OOM killer struck at that time.
    Oom,
    /// The worker could not be started at all.
    Spawn,
    /// The supervisor was told to stop.
    Stop,
    /// One worker fewer was asked for.
    Scale,
    /// Over the memory limit.
    Memory,
    /// Over the lag limit.
    Lag,
    /// Not ready in time.
    NotReady,
    /// A reload was asked for.
    Reload,
    /// The supervisor gives up.
    GiveUp,
    /// The supervisor was killed, and its workers ended with it.
    Orphaned,
}

impl Why {
    const ALL: [Self; 12] = [
        Self::Oom,
        Self::Exit,
        Self::Crash,
        Self::Spawn,
        Self::Stop,
        Self::Scale,
        Self::Memory,
        Self::Lag,
        Self::NotReady,
        Self::Reload,
        Self::GiveUp,
        Self::Orphaned,
    ];

    /// The word of the status file and of messages.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Crash => "crash",
            Self::Oom => "oom",
            Self::Spawn => "spawn",
            Self::Stop => "stop",
            Self::Scale => "scale",
            Self::Memory => "memory",
            Self::Lag => "lag",
            Self::NotReady => "not ready",
            Self::Reload => "reload",
            Self::GiveUp => "give up",
            Self::Orphaned => "supervisor killed",
        }
    }

    /// Whether the worker ended without having been asked to.
    #[must_use]
    pub const fn is_its_own(self) -> bool {
        matches!(self, Self::Exit | Self::Crash | Self::Oom | Self::Spawn)
    }

    /// Whether the supervisor ended the worker so that another takes its place, whatever the policy says of ends.
    #[must_use]
    pub const fn is_for_another(self) -> bool {
        matches!(self, Self::Memory | Self::Lag | Self::NotReady | Self::Reload)
    }

    /// The reason with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.word() == word)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
