//! Writing a status file again and again where there is no more room: in place, into blocks that it has already.
//!
//! There are two files, the one that is shown and a hidden spare beside it, both with blocks for more than they hold
//! (fallocate(2)). A new state is written into the spare, and then the two exchange their names (renameat2(2),
//! RENAME_EXCHANGE): that takes no room, and a reader sees the one or the other. Who has opened the old one and is slow
//! may find it written anew: [`read_whole`] notices. Where the file system can do neither, each state is a new file.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::libc;
use rustix::fs::{CWD, FallocateFlags, RenameFlags};
use rustix::io::Errno;

use crate::app::home::{Folder, create_file};

/// Blocks are allocated in steps of so many bytes: a page, which is a block of most file systems.
const STEP: u64 = 4096;
/// How often a reader starts again because a file is written anew under its hands, or so it seems: one that is no state
/// begins like one that is half written.
const TRIES: u32 = 100;
/// How many times as much as the largest file may be read until one is read that was not written meanwhile.
const MOST_TIMES: u64 = 4;

/// What is known of the two files.
#[derive(Debug, Default)]
pub(super) struct Pair {
    /// The bytes that the shown one and the spare have blocks for; `None`: there is no spare.
    rooms: Option<(u64, u64)>,
    /// The file system cannot allocate, or cannot exchange.
    refused: bool,
    /// Counts what is written, so that no two states begin alike.
    serial: u64,
}

impl Pair {
    /// Replaces what the file at `path` says by lines of JSON, the first an object; `spare` is the other name.
    pub(super) fn write(&mut self, path: &Path, spare: &Path, text: &str) -> io::Result<()> {
        self.serial += 1;
        let text = with_serial(text, self.serial);
        if let Some((shown, room)) = self.rooms {
            match write_spare(spare, &text, room).and_then(|room| exchange(spare, path).map(|()| room)) {
                Ok(room) => {
                    self.rooms = Some((room, shown));
                    return Ok(());
                }
                Err(e) if is_refusal(&e) => self.refused = true,
                // Somebody has removed one of them: both are made anew.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
            self.rooms = None;
        }
        self.write_new(path, spare, &text)
    }

    /// Writes a new file beside the old one and puts it in its place, and makes a spare, if there is room for one.
    fn write_new(&mut self, path: &Path, spare: &Path, text: &str) -> io::Result<()> {
        let room = room_for(text);
        let mut file = create(spare)?;
        let allocated = if self.refused { Err(Errno::OPNOTSUPP.into()) } else { allocate(&file, room) };
        let written = file.write_all(text.as_bytes()).and_then(|()| std::fs::rename(spare, path));
        // Half a file would be in the way of the next.
        written.inspect_err(|_| _ = std::fs::remove_file(spare))?;
        self.refused |= allocated.as_ref().is_err_and(is_refusal);
        if allocated.is_ok() && create(spare).and_then(|file| allocate(&file, room)).is_ok() {
            self.rooms = Some((room, room));
        } else {
            // What could not be had is tried again with the next state.
            let _ = std::fs::remove_file(spare);
        }
        Ok(())
    }
}

/// The lines, the first with a number that no other state has: who reads it twice knows that nothing was written between.
fn with_serial(text: &str, serial: u64) -> String {
    let end = text.find('\n').unwrap_or(text.len()).saturating_sub(1);
    let (object, rest) = text.split_at(end);
    format!("{object},\"serial\":{serial}{rest}")
}

/// Room for the text and as much again, for workers and words to come.
const fn room_for(text: &str) -> u64 {
    (text.len() as u64 * 2).div_ceil(STEP) * STEP
}

/// Whether the file system, or the kernel, does not know what it was asked for.
fn is_refusal(error: &io::Error) -> bool {
    let refusals = [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| refusals.contains(&code))
}

fn create(path: &Path) -> io::Result<File> {
    match create_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().mode(0o700).create(path.parent().unwrap_or(path))?;
            create_file(path)
        }
        other => other,
    }
}

/// Beyond its end too: a file that shrank would give its blocks back.
fn allocate(file: &File, room: u64) -> io::Result<()> {
    Ok(rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, room)?)
}

/// Writes the text over what the spare holds; gives the bytes that it has blocks for by now.
fn write_spare(spare: &Path, text: &str, mut room: u64) -> io::Result<u64> {
    let file = OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(spare)?;
    if text.len() as u64 > room {
        room = room_for(text);
        allocate(&file, room)?;
    }
    let size = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let blanks = " ".repeat(size.saturating_sub(text.len()));
    let padded = format!("{}{blanks}\n", text.trim_end_matches('\n'));
    let (first, rest) = padded.as_bytes().split_at(1);
    // Without its first byte it is no state: who reads it meanwhile, sees that, and starts again.
    file.write_all_at(b" ", 0)?;
    file.write_all_at(rest, 1)?;
    file.write_all_at(first, 0)?;
    Ok(room)
}

fn exchange(spare: &Path, path: &Path) -> io::Result<()> {
    Ok(rustix::fs::renameat_with(CWD, spare, CWD, path, RenameFlags::EXCHANGE)?)
}

/// The text of a status file as it was written, at most so many bytes; `None`: it cannot be read, or is not of who may
/// write here ([`Folder::open_file`]).
pub(super) fn read_whole(path: &Path, most: u64) -> Option<String> {
    let folder = Folder::open(path.parent()?).ok()?;
    let name = path.file_name()?.to_str()?;
    let mut left = most.saturating_mul(MOST_TIMES);
    for _ in 0..TRIES {
        let file = folder.open_file(name).ok()?;
        // Not the whole of a large file again and again that is none.
        if !begins_with(&file, "{") {
            continue;
        }
        // With room from the start, most files are one read; growing from nothing takes ten.
        let mut text = String::with_capacity(8192);
        let read = (&file).take(most.min(left)).read_to_string(&mut text);
        if read.is_ok() && begins_with(&file, text.lines().next().unwrap_or_default()) {
            return Some(text);
        }
        left = left.saturating_sub(text.len() as u64);
    }
    None
}

/// Whether the file begins with this object, still: it was not written anew while it was read.
fn begins_with(file: &File, object: &str) -> bool {
    let mut again = vec![0; object.len()];
    object.starts_with('{') && file.read_exact_at(&mut again, 0).is_ok() && again == object.as_bytes()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn place() -> (tempfile::TempDir, std::path::PathBuf, std::path::PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, spare) = (dir.path().join("shown"), dir.path().join("spare"));
        (dir, path, spare)
    }

    fn state(number: usize) -> String {
        // Longer and shorter ones in turn.
        let lines: String = (0..number % 7).map(|line| format!("{{\"of\":{number},\"line\":{line}}}\n")).collect();
        format!("{{\"of\":{number}}}\n{lines}")
    }

    #[test]
    fn what_is_written_in_place_is_read_with_nothing_of_what_stood_there() {
        let (_dir, path, spare) = place();
        let mut pair = Pair::default();
        let mut inodes = std::collections::BTreeSet::new();
        for number in 0..50 {
            pair.write(&path, &spare, &state(number)).expect("written");
            let text = read_whole(&path, 1 << 20).expect("read");
            let wanted = with_serial(&state(number), number as u64 + 1);
            assert_eq!(text.lines().map(str::trim_end).collect::<Vec<_>>(), wanted.lines().collect::<Vec<_>>());
            assert!(text.ends_with('\n'));
            inodes.insert(std::fs::metadata(&path).expect("there").ino());
        }
        assert!(pair.refused || inodes.len() == 2, "no new file: {inodes:?}");
    }

    #[test]
    fn one_that_was_removed_is_made_anew() {
        let (_dir, path, spare) = place();
        let mut pair = Pair::default();
        for (number, gone) in [&path, &spare, &path].into_iter().enumerate() {
            pair.write(&path, &spare, &state(number)).expect("written");
            std::fs::remove_file(gone).expect("there");
            pair.write(&path, &spare, &state(number + 10)).expect("written anew");
            assert!(read_whole(&path, 1 << 20).is_some_and(|text| text.contains(&(number + 10).to_string())));
        }
    }

    #[test]
    fn a_state_that_grows_gets_more_room() {
        let (_dir, path, spare) = place();
        let mut pair = Pair::default();
        for length in [10, 5000, 50_000, 20, 60_000] {
            let text = format!("{{}}\n{{\"x\":\"{}\"}}\n", "x".repeat(length));
            pair.write(&path, &spare, &text).expect("written");
            let read = read_whole(&path, 1 << 20).expect("read");
            assert_eq!(read.lines().nth(1).map(|line| line.trim_end().len()), Some(length + 8));
        }
    }

    /// Whoever reads while it is written sees one state, whole.
    #[test]
    fn no_reader_sees_half_of_a_state() {
        let (_dir, path, spare) = place();
        let mut pair = Pair::default();
        let long = |number: usize| {
            let line = format!("{{\"of\":{number}}}\n");
            line.repeat(2000)
        };
        pair.write(&path, &spare, &long(0)).expect("written");
        std::thread::scope(|scope| {
            let reader = || {
                for _ in 0..300 {
                    let text = read_whole(&path, 1 << 20).expect("there all the time");
                    let of = |line: &str| line.trim_end().trim_end_matches('}').split(',').next().map(str::to_owned);
                    let first = text.lines().next().and_then(of);
                    assert!(text.lines().all(|line| of(line) == first), "{first:?}");
                }
            };
            let readers = [scope.spawn(reader), scope.spawn(reader)];
            let mut number = 0;
            while readers.iter().any(|reader| !reader.is_finished()) {
                number += 1;
                pair.write(&path, &spare, &long(number)).expect("written");
            }
        });
    }

    #[test]
    fn no_link_is_followed_to_a_state_and_no_fifo_is_waited_for() {
        let (dir, path, spare) = place();
        Pair::default().write(&path, &spare, &state(1)).expect("written");
        let linked = tempfile::tempdir().expect("a directory");
        let (link, fifo) = (linked.path().join("link"), linked.path().join("fifo"));
        std::os::unix::fs::symlink(dir.path(), &link).expect("linked");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("made");
        assert!(read_whole(&path, 1 << 20).is_some());
        assert_eq!((read_whole(&link.join("shown"), 1 << 20), read_whole(&fifo, 1 << 20)), (None, None));
    }

    #[test]
    fn what_is_no_state_is_not_read_for_ever() {
        let (_dir, path, _) = place();
        assert_eq!(read_whole(&path, 100), None);
        for text in ["", "nonsense\n", " \"x\":1}\n", "\u{0}"] {
            std::fs::write(&path, text).expect("written");
            assert_eq!(read_whole(&path, 100), None, "{text:?}");
        }
    }
}
