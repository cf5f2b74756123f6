//! The journal: what a supervisor's successor must know, in memory that outlives it (memfd_create(2)).
//!
//! The one above holds the descriptor; we write in place. Nothing is synced: it need not survive the machine.

mod contents;
mod slots;

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::MemfdFlags;

pub use contents::{KeptRelease, State};
use slots::{Entry, HEADER};

/// Where the second slot begins, in bytes; only what is written takes memory.
const STRIDE: u64 = 16 << 20;

/// The memory, and what was written last.
#[derive(Debug)]
pub struct Journal {
    memory: OwnedFd,
    counter: u64,
    written: Option<State>,
}

impl Journal {
    /// A new one, of this name in /proc/PID/fd.
    ///
    /// # Errors
    /// Out of descriptors or memory.
    pub fn new(name: &str) -> io::Result<Self> {
        let memory = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)?;
        Ok(Self { memory, counter: 0, written: None })
    }

    /// A journal that somebody else has written, and what it says; `None`: nothing that can be read.
    #[must_use]
    pub fn open(memory: OwnedFd) -> (Self, Option<State>) {
        let slots = [0, 1].map(|slot| read(memory.as_fd(), slot * STRIDE).unwrap_or_default());
        let entry = slots::newest([&slots[0], &slots[1]]);
        let counter = entry.as_ref().map_or(0, |entry| entry.counter);
        let state = entry.and_then(|entry| State::parse(&entry.text));
        (Self { memory, counter, written: None }, state)
    }

    /// Writes this, unless it was written last.
    ///
    /// # Errors
    /// There is no memory, or it is too long; what was written last is still there.
    pub fn write(&mut self, state: &State) -> io::Result<()> {
        if self.written.as_ref() == Some(state) {
            return Ok(());
        }
        let entry = Entry { counter: self.counter + 1, text: state.to_json().to_string().into_bytes() };
        let bytes = entry.encode();
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > STRIDE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        write(self.memory.as_fd(), &bytes, entry.slot() * STRIDE)?;
        self.counter = entry.counter;
        self.written = Some(state.clone());
        Ok(())
    }

    /// The memory, to be kept by another.
    #[must_use]
    pub fn memory(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }
}

fn write(memory: BorrowedFd<'_>, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::pwrite(memory, bytes, at))?;
        bytes = bytes.get(written..).unwrap_or_default();
        at += u64::try_from(written).unwrap_or_default();
    }
    Ok(())
}

/// The slot at this place, as far as it was written; whoever gave us the memory may have put anything there.
fn read(memory: BorrowedFd<'_>, at: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; HEADER];
    fill(memory, &mut bytes, at)?;
    let most = usize::try_from(STRIDE).unwrap_or(usize::MAX);
    let length = slots::whole_length(&bytes).filter(|length| *length <= most).unwrap_or(0);
    bytes.resize(length, 0);
    fill(memory, &mut bytes, at)?;
    Ok(bytes)
}

/// Reads until the buffer is full or the file ends.
fn fill(memory: BorrowedFd<'_>, bytes: &mut [u8], at: u64) -> io::Result<()> {
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let from = at + u64::try_from(done).unwrap_or_default();
        let got = rustix::io::retry_on_intr(|| rustix::io::pread(memory, &mut *rest, from))?;
        if got == 0 {
            break;
        }
        done += got;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::supervisor::Carried;

    fn state(wanted: u32, text: &str) -> State {
        let release = KeptRelease {
            number: 0,
            logical: "/srv".into(),
            program: "/bin/true".into(),
            env: vec![("LONG".into(), text.into())],
            descriptor: "pm-release.0".to_owned(),
        };
        let machine = Carried { asked: 1, wanted, ..Carried::default() };
        State { argv: vec!["true".into()], first: None, machine, release, resolved: 1 }
    }

    fn reopened(journal: &Journal) -> Option<State> {
        Journal::open(journal.memory().try_clone_to_owned().expect("a descriptor")).1
    }

    #[test]
    fn the_newest_is_read_and_goes_on_from_there() {
        let mut journal = Journal::new("pm-test").expect("memory");
        assert_eq!(reopened(&journal), None, "nothing was written");
        for wanted in 1..20 {
            // Longer and shorter in turn, so that what is left of a longer one does no harm.
            let now = state(wanted, &"x".repeat(if wanted % 3 == 0 { 10_000 } else { 1 }));
            journal.write(&now).expect("written");
            assert_eq!(reopened(&journal), Some(now));
            if wanted % 5 == 0 {
                journal = Journal::open(journal.memory().try_clone_to_owned().expect("a descriptor")).0;
            }
        }
    }

    #[test]
    fn what_does_not_fit_leaves_what_was_there() {
        let mut journal = Journal::new("pm-test").expect("memory");
        journal.write(&state(1, "x")).expect("written");
        let most = usize::try_from(STRIDE).expect("it fits");
        assert!(journal.write(&state(2, &"x".repeat(most))).is_err());
        assert_eq!(reopened(&journal), Some(state(1, "x")));
    }

    #[test]
    fn any_file_may_be_given_to_us() {
        for text in [&b""[..], b"rubbish", &[0xff; 4096]] {
            let memory = rustix::fs::memfd_create("pm-test", MemfdFlags::CLOEXEC).expect("memory");
            write(memory.as_fd(), text, 0).expect("written");
            assert_eq!(Journal::open(memory).1, None);
        }
        let (pipe, _writer) = io::pipe().expect("a pipe");
        assert_eq!(Journal::open(pipe.into()).1, None, "no file at all");
    }
}
