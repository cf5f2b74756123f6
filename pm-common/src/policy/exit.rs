//! How a process ended, and the exit codes that are our own.

use std::fmt;

/// A wait that timed out (timeout(1)'s code).
pub const EXIT_TIMED_OUT: u8 = 124;
/// Our own failure or bad usage (the code of env(1), nohup(1), timeout(1)).
pub const EXIT_OWN: u8 = 125;
/// The program was found but could not be executed.
pub const EXIT_NOT_EXECUTABLE: u8 = 126;
/// The program was not found.
pub const EXIT_NOT_FOUND: u8 = 127;

/// The end of a process, as waitid(2) tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// The process called exit with this code.
    Code(u8),
    /// This signal ended it.
    Signal(u8),
}

impl Exit {
    /// The code for our own exit: the program's, or 128+n for a death by signal n. Never 0 for a death by signal.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(n) => 128_u8.saturating_add(n),
        }
    }

    /// Whether a chain link said that it could not run what it was given (125, 126, 127): retrying is useless.
    #[must_use]
    pub const fn cannot_run(self) -> bool {
        matches!(self, Self::Code(125..=127))
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "code={code}"),
            Self::Signal(n) => match signal_name(*n) {
                Some(name) => write!(f, "signal={name}"),
                None => write!(f, "signal={n}"),
            },
        }
    }
}

/// The standard signals of Linux by number, without "SIG" (signal(7); the numbers of x86 and ARM).
const NAMES: [&str; 32] = [
    "", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
    "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH",
    "IO", "PWR", "SYS",
];

/// A signal's name without "SIG", for the standard ones.
#[must_use]
pub fn signal_name(number: u8) -> Option<&'static str> {
    NAMES.get(usize::from(number)).copied().filter(|name| !name.is_empty())
}

/// A signal's number by name (`TERM`, `SIGTERM`, any case) or by number (1 to 64).
#[must_use]
pub fn signal_number(text: &str) -> Option<u8> {
    if let Ok(number) = text.parse::<u8>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let index = NAMES.iter().position(|known| !known.is_empty() && *known == name)?;
    u8::try_from(index).ok()
}

/// The names of the signals, without SIG, in the order of their numbers.
pub fn signal_names() -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_by_signal_is_never_code_0() {
        assert_eq!(Exit::Signal(9).code(), 137);
        assert_eq!(Exit::Code(3).code(), 3);
        assert!((1..=64).all(|n| Exit::Signal(n).code() > 128));
    }

    #[test]
    fn names_and_numbers() {
        assert_eq!(signal_number("SIGTERM"), Some(15));
        assert_eq!(signal_number("int"), Some(2));
        assert_eq!(signal_number("9"), Some(9));
        for wrong in ["", "0", "65", "SIG", "TERMINATE", "-1"] {
            assert_eq!(signal_number(wrong), None, "{wrong}");
        }
        assert_eq!(signal_name(15), Some("TERM"));
        assert_eq!(Exit::Signal(9).to_string(), "signal=KILL");
    }
}
