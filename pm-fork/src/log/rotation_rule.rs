//! When a file of pm-log's is rotated, and what its predecessors are called: as logrotate does, `FILE.1` is the newest of them.
//! `output_file` does it to a file that pm-log itself writes, `rotate_in_use` to one that others write; when an app's own logs
//! are rotated is decided in `supervise::own_logs`.

use super::format::Wall;

/// A line without an end may make a file so much larger than its limit; then it is broken.
const SLACK: u64 = 1 << 20;
/// Periods begin at midnight, and weeks on a Monday: 1970-01-01 was a Thursday.
const MONDAY_MS: u64 = 4 * 86_400_000;

/// When files are rotated, and how many are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rotation {
    /// A file is not larger than this many bytes, unless a single line is.
    pub(super) max_size: Option<u64>,
    /// The length of a period in milliseconds.
    pub(super) every: Option<u64>,
    /// How many rotated files stay.
    pub(super) keep: u32,
}

impl Rotation {
    /// The number of the period that a moment is in; 0 without periods.
    pub(super) fn period(&self, at: Wall) -> u64 {
        self.every.map_or(0, |every| (at.0 + (every - MONDAY_MS % every)) / every)
    }

    /// When the next period begins.
    pub(super) fn next(&self, now: Wall) -> Option<Wall> {
        let every = self.every?;
        Some(Wall(((self.period(now) + 1) * every).saturating_sub(every - MONDAY_MS % every)))
    }

    /// How much of `batch` goes into a file that has `size` bytes; 0: it has to be rotated first.
    ///
    /// Whole lines only; but a line that is longer than a file goes into one of its own, and one that has begun in this
    /// file (`in_line`) goes on in it.
    pub(super) fn fit(&self, size: u64, batch: &[u8], in_line: bool) -> usize {
        let Some(max) = self.max_size else { return batch.len() };
        let room = usize::try_from(max.saturating_sub(size)).unwrap_or(usize::MAX);
        if batch.len() <= room {
            return batch.len();
        }
        let whole = batch.get(..room).unwrap_or_default().iter().rposition(|byte| *byte == b'\n');
        match (whole, batch.iter().position(|byte| *byte == b'\n')) {
            (Some(at), _) => at + 1,
            (None, Some(at)) if in_line || size == 0 => at + 1,
            (None, None) if size == 0 || (in_line && size < max + SLACK) => batch.len(),
            _ => 0,
        }
    }

    /// What is done with the rotated files before the file itself becomes number 1: renames, to be done in this order,
    /// of a number to the next. Gaps are filled, and what would be one too many is written over.
    pub(super) fn shifts(&self, is_there: impl Fn(u32) -> bool) -> impl Iterator<Item = (u32, u32)> {
        let free = (1..self.keep).find(|n| !is_there(*n)).unwrap_or(self.keep.max(1));
        (1..free).rev().map(|n| (n, n + 1))
    }

    /// The rotated files that are too many, where fewer are kept than before.
    pub(super) fn surplus(&self, is_there: impl Fn(u32) -> bool) -> impl Iterator<Item = u32> {
        (self.keep + 1..).take_while(move |n| is_there(*n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const DAY: u64 = 86_400_000;

    fn sized(max: u64) -> Rotation {
        Rotation { max_size: Some(max), every: None, keep: 3 }
    }

    fn every(ms: u64) -> Rotation {
        Rotation { max_size: None, every: Some(ms), keep: 3 }
    }

    #[test]
    fn a_day_begins_at_midnight_and_a_week_on_monday() {
        let now = Wall(1_795_338_307_031);
        assert_eq!(every(DAY).next(now).map(Wall::rfc3339).as_deref(), Some("2026-11-23T00:00:00.000Z"));
        assert_eq!(every(7 * DAY).next(now).map(Wall::rfc3339).as_deref(), Some("2026-11-23T00:00:00.000Z"));
        assert_eq!(every(3_600_000).next(now).map(Wall::rfc3339).as_deref(), Some("2026-11-22T10:00:00.000Z"));
        assert_eq!(sized(1).next(now), None);
    }

    #[test]
    fn whole_lines_as_long_as_there_is_room() {
        let fit = |size, batch: &str, in_line| sized(10).fit(size, batch.as_bytes(), in_line);
        assert_eq!(fit(0, "aaa\nbbb\nccc\n", false), 8);
        assert_eq!(fit(8, "ccc\n", false), 0);
        assert_eq!(fit(6, "ccc\n", false), 4, "exactly full");
        assert_eq!(fit(0, "a line that is too long\nb\n", false), 24);
        assert_eq!(fit(3, "a line that is too long\n", false), 0);
        assert_eq!(fit(12, "the rest\nb\n", true), 9);
        assert_eq!(fit(12, "no end", true), 6);
        assert_eq!(fit(10 + SLACK, "no end", true), 0, "a line without an end is broken at last");
        assert_eq!(Rotation { max_size: None, ..sized(1) }.fit(1 << 40, b"x\n", false), 2);
    }

    fn rotated(rotation: Rotation, files: &mut BTreeMap<u32, u32>, new: u32) {
        let shifts: Vec<_> = rotation.shifts(|n| files.contains_key(&n)).collect();
        for (from, to) in shifts {
            let moved = files.remove(&from).expect("there");
            files.insert(to, moved);
        }
        files.insert(1, new);
        let surplus: Vec<_> = rotation.surplus(|n| files.contains_key(&n)).collect();
        surplus.iter().for_each(|n| _ = files.remove(n));
    }

    #[test]
    fn the_newest_are_kept() {
        let mut files = BTreeMap::new();
        (1..=6).for_each(|n| rotated(sized(1), &mut files, n));
        assert_eq!(files, BTreeMap::from([(1, 6), (2, 5), (3, 4)]));
        files.remove(&1);
        rotated(sized(1), &mut files, 7);
        assert_eq!(files, BTreeMap::from([(1, 7), (2, 5), (3, 4)]), "a gap is filled, and nothing lost");
        rotated(Rotation { keep: 1, ..sized(1) }, &mut files, 8);
        assert_eq!(files, BTreeMap::from([(1, 8)]), "and fewer are kept from now on");
    }

    proptest! {
        #[test]
        fn a_moment_is_before_the_next_period_and_not_long(every_ms in 1000..40 * DAY, at in 0..4_000_000_000_000_u64) {
            let (rotation, now) = (every(every_ms), Wall(at));
            let next = rotation.next(now).expect("there are periods");
            prop_assert!(next > now && next.0 - now.0 <= every_ms);
            prop_assert_eq!(rotation.period(next), rotation.period(now) + 1);
            prop_assert_eq!(rotation.period(Wall(next.0 - 1)), rotation.period(now));
        }

        /// However the lines are batched: every line is in one file, and no file is too large for more than one line.
        #[test]
        fn files_hold_whole_lines(lengths in prop::collection::vec(0..30_usize, 1..60), max in 1..40_u64, batch in 1..9_usize) {
            let lines: Vec<Vec<u8>> = lengths.iter().map(|n| [vec![b'x'; *n], vec![b'\n']].concat()).collect();
            let mut files: Vec<Vec<u8>> = vec![Vec::new()];
            for batch in lines.chunks(batch) {
                let mut rest = batch.concat();
                while !rest.is_empty() {
                    let file = files.last_mut().expect("one at least");
                    match sized(max).fit(file.len() as u64, &rest, false) {
                        0 => files.push(Vec::new()),
                        n => file.extend(rest.drain(..n)),
                    }
                }
            }
            prop_assert_eq!(files.concat(), lines.concat());
            for file in files {
                prop_assert!(file.ends_with(b"\n"));
                prop_assert!(file.len() as u64 <= max || file.iter().filter(|b| **b == b'\n').count() == 1);
            }
        }
    }
}
