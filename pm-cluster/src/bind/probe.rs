//! Which way of sharing a port this machine allows for programs that bind by themselves.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;

use pm_common::cli::report;
use pm_common::node::locate::find;
use pm_common::sys::fd_limit;
use pm_common::sys::self_test::{self, Trial};

use super::Fanout;

/// What was asked for with `--fanout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FanoutChoice {
    /// The best that there is.
    #[default]
    Auto,
    /// A lane for each worker.
    Lanes,
    /// One socket for all.
    Shared,
    /// Only sockets that are passed on at the start.
    Inherit,
    /// No way: the program sees to it.
    Off,
}

impl FanoutChoice {
    /// The value of the option; `None` if it is none.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "auto" => Self::Auto,
            "lanes" => Self::Lanes,
            "shared" => Self::Shared,
            "inherit" => Self::Inherit,
            "off" => Self::Off,
            _ => return None,
        })
    }
}

/// What is used, and what a person should know of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Choice {
    /// How binds are handled.
    pub fanout: Fanout,
    /// Why it is not the best way.
    pub why: Option<String>,
}

/// Tries what is allowed here and chooses.
///
/// # Errors
/// Something was lacking that may be there later (`fd_limit::is_want`): nothing is known yet.
pub fn choose(wanted: FanoutChoice, argv: &[OsString]) -> io::Result<Choice> {
    match wanted {
        FanoutChoice::Off | FanoutChoice::Inherit => Ok(Choice { fanout: Fanout::Off, why: None }),
        FanoutChoice::Auto | FanoutChoice::Lanes | FanoutChoice::Shared => match privileged(argv) {
            Some(why) => Ok(Choice { fanout: Fanout::Off, why: Some(why) }),
            None => choice_of(self_test::run()),
        },
    }
}

/// What holds for as long as we live, or what was lacking for a moment.
fn choice_of(trial: Trial) -> io::Result<Choice> {
    let chosen = choice(&trial);
    let Trial { watch, read, take, put } = trial;
    [watch, read, take, put].into_iter().filter_map(Result::err).find(fd_limit::is_want).map_or(Ok(chosen), Err)
}

fn choice(trial: &Trial) -> Choice {
    let none = |what: &str, error: &io::Error| {
        let why = format!("{what}: {}{}", report::reason(error), remark(error));
        Choice { fanout: Fanout::Off, why: Some(why) }
    };
    match trial {
        Trial { watch: Err(error), .. } => none("seccomp", error),
        Trial { read: Err(error), .. } => none("process_vm_readv", error),
        Trial { put: Err(error), .. } => none("SECCOMP_IOCTL_NOTIF_ADDFD", error),
        Trial { take: Err(error), .. } => {
            let why = format!("pidfd_getfd: {}", report::reason(error));
            Choice { fanout: Fanout::Made, why: Some(why) }
        }
        Trial { .. } => Choice { fanout: Fanout::Own, why: None },
    }
}

fn remark(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::ResourceBusy { " (a program above watches already)" } else { "" }
}

/// A program that gets privileges from its file would lose them: who is not root can watch only what gives those up.
fn privileged(argv: &[OsString]) -> Option<String> {
    let may_watch = rustix::thread::capabilities(None)
        .is_ok_and(|c| c.effective.contains(rustix::thread::CapabilitySet::SYS_ADMIN));
    let path = find(argv.first()?, std::env::var_os("PATH").as_deref())?;
    let mut room = [0; 64];
    let has = rustix::fs::getxattr(&path, "security.capability", &mut room[..]).is_ok_and(|n| n > 0);
    let text = || format!("{} gets capabilities from its file, and watching it would take them", path.display());
    (has && !may_watch).then(text)
}

/// What `--probe` prints.
#[must_use]
pub fn text() -> String {
    let trial = self_test::run();
    let mut text = String::new();
    let steps = [
        ("watch what a program binds", "seccomp", &trial.watch),
        ("read the address", "process_vm_readv", &trial.read),
        ("keep the program's socket", "pidfd_getfd", &trial.take),
        ("give it another", "SECCOMP_IOCTL_NOTIF_ADDFD", &trial.put),
    ];
    for (what, call, result) in steps {
        let said = result.as_ref().map_or_else(report::reason, |()| "yes".to_owned());
        let _ = writeln!(text, "{what:<28}{said} ({call})");
    }
    let word = match choice(&trial).fanout {
        Fanout::Own => "lanes: each worker's own socket",
        Fanout::Made => "lanes: sockets that pm-cluster makes",
        Fanout::Off => "none for programs that bind by themselves, only for Node.js",
    };
    let _ = writeln!(text, "{:<28}{word}", "--fanout auto");
    let told = self_test::trace().map_or_else(|error| format!("no, {}", report::reason(&error)), |()| "yes".to_owned());
    let _ = writeln!(text, "{:<28}{told} (ptrace)", "tell busy clients to go");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied() -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    #[test]
    fn what_is_missing_decides() {
        let all = || Trial { watch: Ok(()), read: Ok(()), take: Ok(()), put: Ok(()) };
        assert_eq!(choice(&all()), Choice { fanout: Fanout::Own, why: None });
        assert_eq!(choice(&Trial { take: denied(), ..all() }).fanout, Fanout::Made);
        for none in
            [Trial { watch: denied(), ..all() }, Trial { read: denied(), ..all() }, Trial { put: denied(), ..all() }]
        {
            assert_eq!(choice(&none).fanout, Fanout::Off);
        }
        let busy = Trial { watch: Err(io::Error::from_raw_os_error(16)), ..all() };
        assert!(choice(&busy).why.is_some_and(|why| why.ends_with("watches already)")));
    }

    #[test]
    fn what_is_lacking_for_a_moment_decides_nothing() {
        let all = || Trial { watch: Ok(()), read: Ok(()), take: Ok(()), put: Ok(()) };
        // ENOMEM, EAGAIN, ENFILE, EMFILE.
        for errno in [12, 11, 23, 24] {
            let lacks = || Err(io::Error::from_raw_os_error(errno));
            for trial in [
                Trial { watch: lacks(), read: lacks(), take: lacks(), put: lacks() },
                Trial { read: lacks(), ..all() },
                Trial { take: lacks(), ..all() },
                Trial { put: lacks(), ..all() },
            ] {
                assert_eq!(choice_of(trial).map_err(|e| e.raw_os_error()), Err(Some(errno)));
            }
        }
        let denied = choice_of(Trial { take: denied(), ..all() });
        assert!(denied.is_ok_and(|choice| choice.fanout == Fanout::Made));
    }
}
