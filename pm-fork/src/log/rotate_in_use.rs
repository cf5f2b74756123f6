//! Rotates a file that others hold open and append to (`--rotate`): they cannot be told of a new one. When it is run for an
//! app's own logs, `supervise::own_logs` decides.
//!
//! What is to go is copied to a new file; then it is taken out of the old one's beginning, by FALLOC_FL_COLLAPSE_RANGE, which
//! is one step for everybody: what is appended meanwhile comes before it or behind it, and no byte is lost or doubled (copying
//! and truncating loses what comes in between). It takes whole blocks, so that the rest of a line may stay at the
//! beginning; it is blanked out. Where the file system cannot do that, the blocks are given back and the file begins with a
//! hole. The order is such that a process killed in between doubles lines, and loses none; two of us at one file take turns
//! (flock(2)), as a part that both have copied would be taken away twice.
//!
//! What is more than all files together may keep is taken away without a copy: a writer that is faster than the copies
//! would else fill the disk.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use pm_common::app::home::Site;
use pm_common::app::log_file;
use pm_common::cli::report::{self, Failure};
use rustix::fs::{FallocateFlags, FlockOperation, OFlags, SeekFrom, fallocate, fdatasync, flock, seek};
use rustix::io::Errno;

use super::options::Settings;
use super::predecessors::{self, numbered};
use super::rotation_rule::Rotation;

/// So much is looked through for the end of a line; a longer line is cut.
const LONGEST_LINE: u64 = 64 << 10;
/// The exit code where a disk is full: it may have room again soon.
pub(super) const FULL: u8 = 2;
/// What is copied to, until it has its name.
const UNNAMED: &str = "new";

/// How the beginning of a file is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Removal {
    /// What follows moves to the front.
    Collapse,
    /// A hole stays.
    Punch,
}

impl Removal {
    const fn flags(self) -> FallocateFlags {
        match self {
            Self::Collapse => FallocateFlags::COLLAPSE_RANGE,
            Self::Punch => FallocateFlags::PUNCH_HOLE.union(FallocateFlags::KEEP_SIZE),
        }
    }
}

/// What is to be taken from the beginning of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    /// Where its data begins: behind a hole.
    begin: u64,
    /// Where the last of its lines ends.
    end: u64,
    /// Up to there whole blocks are taken away; the rest is blanked out.
    cut: u64,
}

/// The size of a file as it counts: without what is a hole, or is kept behind its end.
pub(super) fn size(file: &File) -> io::Result<u64> {
    Ok(log_file::held(&file.metadata()?))
}

/// Rotates the files of a command line; one that is missing is small enough.
///
/// # Errors
/// 1: not all could be, which was said; 2: as a disk is full.
pub(super) fn run(settings: &Settings) -> Result<u8, Failure> {
    let (files, rotation) = settings.files();
    let mut code = 0;
    for path in files {
        match rotate(path, rotation) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let why = report::reason(&error);
                report::warning(format_args!("cannot rotate {}: {why}; it grows", path.display()));
                code = code.max(if is_full(&error) { FULL } else { 1 });
            }
            Err(_) | Ok(()) => {}
        }
    }
    Ok(code)
}

/// Rotates the file of this path as long as it is larger than the rotation's size.
///
/// # Errors
/// There is no room for the copy; the file system can do neither.
pub(super) fn rotate(path: &Path, rotation: Rotation) -> io::Result<()> {
    let site = Site::of_name(path)?;
    let file = site.open(OFlags::RDWR | OFlags::NONBLOCK, 0)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    flock(&file, FlockOperation::LockExclusive)?;
    let mut dropped = 0;
    let done = shorten(&site, path, &file, rotation, &mut dropped);
    if dropped > 0 {
        let at = path.display();
        report::warning(format_args!("{at} grows faster than it is rotated, the oldest {dropped} bytes were dropped"));
    }
    done
}

fn shorten(site: &Site, path: &Path, file: &File, rotation: Rotation, dropped: &mut u64) -> io::Result<()> {
    let max = rotation.max_size.unwrap_or(u64::MAX);
    loop {
        let size = size(file)?;
        if size <= max {
            return Ok(());
        }
        let most = max.saturating_mul(u64::from(rotation.keep) + 1);
        let done = if size > most.saturating_add(max) {
            drop_surplus(site, path, file, size - most, rotation).inspect(|_| *dropped += size - most)
        } else {
            match part(file, max)? {
                Some(part) => take_away(site, path, file, part, rotation).map(|()| true),
                None => Ok(false),
            }
        };
        match done {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) if is_full(&error) => drop_oldest(site, path, error)?,
            // Somebody has emptied it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(error),
        }
    }
}

/// Takes the oldest lines away that would be in none of the files once all was rotated, and what is older than they.
fn drop_surplus(site: &Site, path: &Path, file: &File, surplus: u64, rotation: Rotation) -> io::Result<bool> {
    let (name, unnamed) = (path.file_name().unwrap_or_default(), unnamed(path));
    let Some(part) = part_of(file, surplus)? else { return Ok(false) };
    let removal = copy(path, &unnamed, file, Part { end: part.begin, ..part });
    let _ = site.remove(&unnamed);
    let removal = removal?;
    predecessors::remove_surplus(site, name, &Rotation { keep: 0, ..rotation })?;
    remove(file, part, removal)?;
    Ok(true)
}

fn unnamed(path: &Path) -> OsString {
    numbered(path.file_name().unwrap_or_default(), UNNAMED)
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Makes room on a full disk: the newest lines are worth more than the oldest. Without any to be removed the error stays.
fn drop_oldest(site: &Site, path: &Path, error: io::Error) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default();
    let there = (1..).map(|n: u32| numbered(name, n)).take_while(|name| site.has(name));
    let Some(oldest) = there.last() else { return Err(error) };
    site.remove(&oldest)?;
    report::warning(format_args!("{}, removed {}", report::reason(&error), path.with_file_name(oldest).display()));
    Ok(())
}

/// The block of its file system, in bytes.
fn block(file: &File) -> io::Result<u64> {
    Ok(rustix::fs::fstatfs(file)?.f_bsize.unsigned_abs().max(512))
}

/// What is taken next: whole lines, as many as fit. `None`: nothing can be.
fn part(file: &File, max: u64) -> io::Result<Option<Part>> {
    part_of(file, max.saturating_sub(LONGEST_LINE.min(max / 4)))
}

/// The first of the lines, of up to so many bytes. `None`: no part can be taken.
fn part_of(file: &File, room: u64) -> io::Result<Option<Part>> {
    let (length, block) = (file.metadata()?.len(), block(file)?);
    let begin = match seek(file, SeekFrom::Data(0)) {
        Ok(begin) => begin,
        Err(Errno::NXIO) => return Ok(None),
        // Who knows no holes has none.
        Err(_) => 0,
    };
    let mut cut = (begin + room).min(length.saturating_sub(1)) / block * block;
    while cut > begin {
        if let Some(end) = end_of_line(file, cut, length)? {
            return Ok(Some(Part { begin, end, cut }));
        }
        // No line ends behind it yet.
        cut = if length - cut > LONGEST_LINE { return Ok(Some(Part { begin, end: cut, cut })) } else { cut - block };
    }
    Ok(None)
}

/// Where the line ends that the byte in front of `at` belongs to; `None`: it does not, so far.
fn end_of_line(file: &File, at: u64, length: u64) -> io::Result<Option<u64>> {
    let from = at.saturating_sub(1);
    let mut bytes = vec![0; usize::try_from((length - from).min(LONGEST_LINE)).unwrap_or(0)];
    file.read_exact_at(&mut bytes, from)?;
    Ok(bytes.iter().position(|byte| *byte == b'\n').map(|index| from + index as u64 + 1))
}

fn take_away(site: &Site, path: &Path, file: &File, part: Part, rotation: Rotation) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default();
    let there = |n: u32| site.has(&numbered(name, n));
    // The oldest goes first: on a full disk there may be no room for the copy else.
    let most = rotation.keep.max(1);
    if there(most) && (1..most).all(there) {
        site.remove(&numbered(name, most))?;
    }
    predecessors::remove_surplus(site, name, &rotation)?;
    let unnamed = unnamed(path);
    let copied = copy(path, &unnamed, file, part);
    let removal = copied.inspect_err(|_| _ = site.remove(&unnamed))?;
    if rotation.keep == 0 {
        site.remove(&unnamed)?;
    } else {
        predecessors::move_up(site, name, &unnamed, &rotation)?;
    }
    remove(file, part, removal)
}

/// Takes the part out of the file.
fn remove(file: &File, part: Part, removal: Removal) -> io::Result<()> {
    // All of the line that is cut, so that no part of it is seen, whenever this ends; as a whole it is in the copy.
    if part.end > part.cut && file.metadata()?.len() >= part.end {
        let from = begin_of_line(file, part)?;
        let blanks = usize::try_from(part.end - from).unwrap_or(1).saturating_sub(1);
        file.write_all_at(&[vec![b' '; blanks], vec![b'\n']].concat(), from)?;
    }
    // What is to be written anyway is written now: whoever appends would wait for it in the next step.
    fdatasync(file)?;
    let (from, length) = match removal {
        Removal::Collapse => (0, part.cut),
        Removal::Punch => (part.begin, part.cut - part.begin),
    };
    match fallocate(file, removal.flags(), from, length) {
        // Somebody has emptied it meanwhile.
        Err(Errno::INVAL) if file.metadata()?.len() <= part.cut => Ok(()),
        done => Ok(done?),
    }
}

/// Where the line begins that is cut.
fn begin_of_line(file: &File, part: Part) -> io::Result<u64> {
    let from = part.begin.max(part.cut.saturating_sub(LONGEST_LINE));
    let mut bytes = vec![0; usize::try_from(part.cut - from).unwrap_or(0)];
    file.read_exact_at(&mut bytes, from)?;
    Ok(bytes.iter().rposition(|byte| *byte == b'\n').map_or(part.cut, |at| from + at as u64 + 1))
}

/// Copies the part to a new file, for whom the old one is for; says how it can be taken away.
fn copy(path: &Path, unnamed: &OsString, file: &File, part: Part) -> io::Result<Removal> {
    let site = Site::of_name(&path.with_file_name(unnamed))?;
    if site.has(unnamed) {
        // Of a rotation that was killed: all of it is in the file still.
        site.remove(unnamed)?;
    }
    let new = site.open(OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, 0o600)?;
    let removal = possible(&new, block(file)?, part.begin > 0)?;
    let old = file.metadata()?;
    let own = new.metadata()?;
    if (own.uid(), own.gid()) != (old.uid(), old.gid()) {
        // Only root may; for others the file is theirs.
        let _ = std::os::unix::fs::fchown(&new, Some(old.uid()), Some(old.gid()));
    }
    new.set_permissions(old.permissions())?;
    let mut at = part.begin;
    let mut buffer = vec![0; 1 << 20];
    while at < part.end {
        let most = usize::try_from(part.end - at).unwrap_or(usize::MAX).min(buffer.len());
        let piece = buffer.get_mut(..most).unwrap_or_default();
        file.read_exact_at(piece, at)?;
        new.write_all_at(piece, at - part.begin)?;
        at += most as u64;
    }
    // The machine may stop before the disk has it, and the old one is shorter then.
    fdatasync(&new)?;
    Ok(removal)
}

/// How this file system lets the beginning of a file be taken away: tried with the new file, which is empty still.
fn possible(new: &File, block: u64, has_hole: bool) -> io::Result<Removal> {
    new.set_len(3 * block)?;
    let can = |removal: Removal| fallocate(new, removal.flags(), 0, block).is_ok();
    let found = [Removal::Collapse, Removal::Punch].into_iter().find(|removal| can(*removal));
    new.set_len(0)?;
    match found {
        // What begins with a hole goes on so: its readers know where they are.
        Some(Removal::Collapse) if has_hole => Ok(Removal::Punch),
        Some(removal) => Ok(removal),
        None => Err(io::Error::other(
            "this file system can take nothing from the beginning of a file that is in use; put pm-log --max-size 10M in front",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROTATION: Rotation = Rotation { max_size: Some(64 << 10), every: None, keep: 3 };

    /// Numbered lines of different lengths.
    fn lines(from: usize, to: usize) -> String {
        (from..to).map(|n| format!("line {n} {}.\n", "x".repeat(n % 300))).collect()
    }

    fn all(path: &Path) -> String {
        let read = |path: &Path| std::fs::read(path).unwrap_or_default();
        let numbered = (1..=ROTATION.keep).rev().map(|n| read(&path.with_file_name(format!("log.{n}"))));
        let bytes: Vec<u8> = numbered.chain([read(path)]).flatten().filter(|byte| *byte != 0).collect();
        let text = String::from_utf8(bytes).expect("UTF-8");
        text.lines().filter(|line| !line.trim().is_empty()).map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn lines_are_whole_and_in_order_and_files_are_small() {
        // Once in the build's directory, and once where there is nothing but holes.
        for base in [std::env::temp_dir(), "/dev/shm".into()] {
            let place = tempfile::tempdir_in(&base).expect("a directory");
            let path = place.path().join("log");
            let mut written = String::new();
            for step in 0..20 {
                let more = lines(step * 100, (step + 1) * 100);
                let mut file = File::options().append(true).create(true).open(&path).expect("opened");
                io::Write::write_all(&mut file, more.as_bytes()).expect("written");
                written += &more;
                rotate(&path, ROTATION).expect("rotated");
                assert!(size(&file).expect("looked at") <= 64 << 10);
            }
            let kept = all(&path);
            assert!(written.ends_with(&kept) && kept.len() > 100 << 10, "{base:?}: {} bytes", kept.len());
            for n in 1..=3 {
                let rotated = std::fs::read(path.with_file_name(format!("log.{n}"))).expect("there");
                assert!(rotated.len() <= 64 << 10 && rotated.ends_with(b".\n"), "{base:?}: {n}");
            }
            assert!(!path.with_file_name("log.4").exists() && !path.with_file_name("log.new").exists());
        }
    }

    #[test]
    fn what_is_more_than_all_files_keep_is_dropped_without_a_copy() {
        for base in [std::env::temp_dir(), "/dev/shm".into()] {
            let place = tempfile::tempdir_in(&base).expect("a directory");
            let path = place.path().join("log");
            let written = lines(0, 20_000);
            std::fs::write(&path, &written).expect("written");
            let file = File::options().read(true).write(true).open(&path).expect("opened");
            let site = Site::of_name(&path).expect("a directory");
            let before = size(&file).expect("looked at");
            assert!(drop_surplus(&site, &path, &file, before - (256 << 10), ROTATION).expect("dropped"));
            let kept = all(&path);
            assert!(written.ends_with(&kept), "{base:?}: whole lines, the newest");
            assert!((200 << 10..=260 << 10).contains(&kept.len()), "{base:?}: {}", kept.len());
            rotate(&path, ROTATION).expect("rotated");
            assert!(all(&path).len() > 120 << 10 && written.ends_with(&all(&path)), "{base:?}");
        }
    }

    #[test]
    fn two_at_one_file_take_turns() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("log");
        let rotation = Rotation { keep: 1000, ..ROTATION };
        let written = lines(0, 20_000);
        std::fs::write(&path, &written).expect("written");
        std::thread::scope(|threads| {
            for _ in 0..3 {
                threads.spawn(|| rotate(&path, rotation).expect("rotated"));
            }
        });
        let numbers = (1..=1000).rev().map(|n| path.with_file_name(format!("log.{n}")));
        let bytes: Vec<u8> =
            numbers.chain([path.clone()]).filter_map(|file| std::fs::read(file).ok()).flatten().collect();
        let text = String::from_utf8(bytes).expect("UTF-8");
        let kept: String =
            text.lines().filter(|line| !line.trim().is_empty()).map(|line| format!("{line}\n")).collect();
        assert_eq!(kept.len(), written.len(), "nothing is lost or doubled");
        assert!(kept == written);
    }

    #[test]
    fn a_line_without_an_end_is_cut_at_last() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("log");
        std::fs::write(&path, "y".repeat(300 << 10)).expect("written");
        rotate(&path, ROTATION).expect("rotated");
        assert!(std::fs::metadata(&path).expect("there").len() <= 128 << 10);
        assert!(all(&path).trim_end().bytes().all(|byte| byte == b'y'), "no byte is another");
        std::fs::write(&path, "short\n").expect("written");
        rotate(&path, ROTATION).expect("nothing to do");
        assert_eq!(std::fs::read_to_string(&path).expect("there"), "short\n");
    }
}
