//! The signals to a supervisor, as events of one pipe.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use nix::libc;
use nix::sys::signal::Signal;
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::origin::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};

use crate::kernel::procfs::Proc;
use crate::policy::supervisor::{Request, StopKind};
use crate::sys::interrupt_message;

/// What a signal means to a supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caught {
    /// A child ended (or stopped): look.
    Child,
    /// Stop.
    Stop(StopKind, SignalSender),
    /// Reload, or scale by one.
    Asked(Request),
    /// A file was written ([`super::dnotify`]).
    Written,
}

/// Where a signal came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalSender {
    /// A key was pressed at the terminal.
    Terminal,
    /// The process of this number, 0 if it cannot be seen from here; `None`: the kernel does not say.
    Process(Option<i32>),
}

/// The signals that a supervisor handles. TSTP is ignored: a stopped supervisor would serve nobody.
const HANDLED: [i32; 9] = [
    libc::SIGCHLD,
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGHUP,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGIO,
];

/// Delivers the signals through a pipe that poll(2) can wait for.
#[derive(Debug)]
pub struct Signals {
    delivery: SignalDelivery<UnixStream, WithOrigin>,
}

impl Signals {
    /// Installs the handlers and unblocks what they handle: a caller may have left any of it blocked or ignored.
    ///
    /// # Errors
    /// No pipe, or sigaction(2) refused.
    pub fn install() -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        let delivery = SignalDelivery::with_pipe(read, write, WithOrigin::default(), HANDLED)?;
        super::process::ignore(libc::SIGTSTP)?;
        super::process::ignore(libc::SIGPIPE)?;
        // Re-executing ourselves comes later; until then a USR2 must not end the supervisor.
        super::process::ignore(libc::SIGUSR2)?;
        nix::sys::signal::SigSet::empty().thread_set_mask()?;
        Ok(Self { delivery })
    }

    /// What came since the last call, in order of arrival as far as the kernel tells.
    pub fn caught(&mut self) -> Vec<Caught> {
        self.delivery.pending().filter_map(|origin| meaning(&origin)).collect()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }
}

/// Ends this process with 130 at INT, and 143 at TERM or HUP, also as PID 1 and while a write waits for a reader. What
/// the caller has had ignored (nohup(1), `&` in a script) stays ignored.
///
/// # Errors
/// sigaction(2) refused.
pub fn end_in_order() -> io::Result<()> {
    let (mut proc, own) = (Proc::default(), std::process::id().cast_signed());
    for (signal, code) in [(libc::SIGINT, 130), (libc::SIGTERM, 143), (libc::SIGHUP, 143)] {
        if !proc.ignores(own, signal as u8) {
            let now = Arc::new(AtomicBool::new(true));
            signal_hook::flag::register_conditional_shutdown(signal, code, now)?;
        }
    }
    Ok(())
}

/// INT, TERM and HUP, held back while something is half done that would be worse left so. What the caller has had ignored
/// stays ignored; a program that is executed meanwhile gets all of them.
#[derive(Debug)]
pub struct HeldBack(());

/// The one that came while they were held back; 0: none.
static CAME: AtomicUsize = AtomicUsize::new(0);
static HANDLES: OnceLock<bool> = OnceLock::new();

impl HeldBack {
    /// Holds them back from now on, until [`Self::end`]. They may be held back again later; never twice at once.
    ///
    /// # Errors
    /// sigaction(2) refused.
    pub fn begin() -> io::Result<Self> {
        // Handlers stay for good, and those that came first are called first: each asks whether it is its turn.
        if !HANDLES.get_or_init(|| Self::handle().is_ok()) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        interrupt_message::HELD_BACK.store(true, Ordering::SeqCst);
        Ok(Self(()))
    }

    fn handle() -> io::Result<()> {
        let (mut proc, own) = (Proc::default(), std::process::id().cast_signed());
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            let action = move || match interrupt_message::HELD_BACK.load(Ordering::SeqCst) {
                true => CAME.store(signal.cast_unsigned() as usize, Ordering::SeqCst),
                false if signal == libc::SIGINT => interrupt_message::interrupted(),
                false => drop(signal_hook::low_level::emulate_default_handler(signal)),
            };
            if !proc.ignores(own, signal as u8) {
                // SAFETY: it loads and stores atomics, and calls what is meant for handlers.
                unsafe { signal_hook::low_level::register(signal, action) }?;
            }
        }
        Ok(())
    }

    /// Whether one has come meanwhile.
    #[must_use]
    pub fn has_come(&self) -> bool {
        CAME.load(Ordering::SeqCst) != 0
    }

    /// From now on each does what it does to a program that handles none; the one that came meanwhile, if one did.
    pub fn end(&self) -> Option<Signal> {
        interrupt_message::HELD_BACK.store(false, Ordering::SeqCst);
        Signal::try_from(CAME.swap(0, Ordering::SeqCst) as i32).ok()
    }
}

/// Ends this process by a signal, so that whoever waits for it sees by which.
pub fn end_by(signal: Signal) -> ! {
    let _ = signal_hook::low_level::emulate_default_handler(signal as i32);
    std::process::exit(128 + signal as i32)
}

/// A terminal sends HUP, TTIN and TTOU too (`SI_KERNEL`): only a process asks for a reload or another worker with
/// them, and a HUP of a terminal that goes away means stop.
fn meaning(origin: &Origin) -> Option<Caught> {
    let from_kernel = matches!(origin.cause, Cause::Kernel);
    let process = SignalSender::Process(origin.process.map(|process| process.pid));
    let sender = if from_kernel { SignalSender::Terminal } else { process };
    Some(match origin.signal {
        libc::SIGCHLD => Caught::Child,
        libc::SIGIO => Caught::Written,
        // Images with STOPSIGNAL SIGQUIT mean an end in order.
        libc::SIGTERM | libc::SIGQUIT => Caught::Stop(StopKind::Term, sender),
        libc::SIGINT => Caught::Stop(StopKind::Int, sender),
        // Nobody pressed a key: a terminal that goes away insists on nothing.
        libc::SIGHUP if from_kernel => Caught::Stop(StopKind::Term, process),
        libc::SIGHUP => Caught::Asked(Request::Reload),
        libc::SIGTTIN if !from_kernel => Caught::Asked(Request::More),
        libc::SIGTTOU if !from_kernel => Caught::Asked(Request::Fewer),
        _ => return None,
    })
}
