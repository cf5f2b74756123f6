//! The terminal while `--top` has it: another screen, no echo, keys as they are pressed; and given back as it was,
//! whatever happens.

use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

use rustix::termios::{InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;
use signal_hook::low_level;

/// The other screen, no cursor, no wrapping of long lines; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[0m\x1b[?1049l";
/// What ends the program.
const DEADLY: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// How the terminal was before; `None`: it is as it was. A panic's hook needs it, and has nothing but this to find it.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// The terminal, ours. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Terminal {
    signals: SignalDelivery<UnixStream, SignalOnly>,
}

impl Terminal {
    /// Takes the terminal of stdin and stdout.
    ///
    /// # Errors
    /// One of them is no terminal, or it cannot be set.
    pub(crate) fn take() -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        let all = [SIGCONT, SIGTSTP, SIGWINCH].iter().chain(&DEADLY);
        let signals = SignalDelivery::with_pipe(read, write, SignalOnly, all)?;
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            leave();
            tell(panic);
        }));
        enter()?;
        Ok(Self { signals })
    }

    /// Readable when a signal has come.
    pub(crate) fn signals(&self) -> BorrowedFd<'_> {
        self.signals.get_read().as_fd()
    }

    /// Does what the signals that have come want: with a deadly one, it does not return.
    pub(crate) fn obey(&mut self) -> io::Result<()> {
        let caught: Vec<_> = self.signals.pending().collect();
        for signal in caught {
            if DEADLY.contains(&signal) {
                leave();
                // Whoever waits for us shall see by what we died.
                low_level::emulate_default_handler(signal)?;
            } else if signal == SIGTSTP {
                leave();
                low_level::raise(nix::libc::SIGSTOP)?;
                // From here on we are continued.
                enter()?;
            } else if signal == SIGCONT {
                // Stopped by a SIGSTOP, which cannot be caught: the shell may have set the terminal anew.
                enter()?;
            }
        }
        Ok(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        leave();
    }
}

/// Shows the lines, from the top; there are as many as the terminal has.
pub(crate) fn show(lines: &[String]) -> io::Result<()> {
    // Each row is cleared before it is written: behind one that is full, the cursor stands on its last character still.
    write(&format!("\x1b[H\x1b[2K{}", lines.join("\r\n\x1b[2K")))
}

fn enter() -> io::Result<()> {
    let now = rustix::termios::tcgetattr(rustix::stdio::stdin())?;
    let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut raw = now.clone();
    before.get_or_insert(now);
    // Signals of the keyboard stay: Ctrl-C and Ctrl-Z mean what they always mean. Ctrl-S would stop us in a write.
    raw.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::IEXTEN);
    raw.input_modes.remove(InputModes::IXON | InputModes::ICRNL);
    raw.special_codes[SpecialCodeIndex::VMIN] = 0;
    raw.special_codes[SpecialCodeIndex::VTIME] = 0;
    rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &raw)?;
    write(ENTER)
}

/// Gives the terminal back, once.
fn leave() {
    // Nobody else can hold it for long: there is one thread.
    let Ok(mut before) = BEFORE.try_lock() else { return };
    if let Some(before) = before.take() {
        let _ = write(LEAVE);
        let _ = rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &before);
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;
    use std::process::{Command, Stdio};

    use nix::pty::openpty;
    use rustix::termios::tcgetattr;

    use super::*;

    /// The name of the test below, for the command line of this program.
    const PANICS: &str = "top::raw_mode::tests::panics_on_its_terminal";

    #[test]
    #[ignore = "the test below runs it in a process and on a terminal of its own"]
    fn panics_on_its_terminal() {
        // Not dropped, as with `panic = "abort"`.
        std::mem::forget(Terminal::take().expect("a terminal"));
        assert!(!tcgetattr(rustix::stdio::stdin()).expect("a terminal").local_modes.contains(LocalModes::ICANON));
        panic!("on purpose");
    }

    #[test]
    fn a_panic_gives_the_terminal_back_before_it_says_why() {
        let pty = openpty(None, None).expect("a terminal");
        let end = || Stdio::from(pty.slave.try_clone().expect("a descriptor"));
        let mut command = Command::new(std::env::current_exe().expect("a test has a path"));
        command.args(["--ignored", "--exact", PANICS, "--nocapture"]).env("RUST_BACKTRACE", "0");
        let status = command.stdin(end()).stdout(end()).stderr(end()).status().expect("runs");
        assert!(!status.success());
        let modes = tcgetattr(&pty.slave).expect("a terminal").local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO), "{modes:?}");
        drop((command, pty.slave));
        let mut seen = Vec::new();
        // What was written before the other end closed can be read; then it is EIO.
        let _ = File::from(pty.master).read_to_end(&mut seen);
        let seen = String::from_utf8_lossy(&seen);
        let (entered, left, said) = (seen.find(ENTER), seen.find(LEAVE), seen.find("on purpose"));
        assert!(entered.is_some() && entered < left && left < said, "{seen}");
    }
}
