//! The CPU time that workers had used when they were last looked at, so that a load is that of now, and not the mean
//! since the start. One file, `$PM_HOME/.samples`; without it, nothing but that is lost.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use pm_common::app::home::{Folder, LARGEST_START, read_file};
use pm_common::app::status::Id;
use pm_common::kernel::procfs;
use pm_common::sys::clock;

/// The file, in the directory of all apps; the dot keeps it from being an app.
const FILE: &str = ".samples";
/// The first word of the file; then the boot that the times are of.
const FORM: &str = "pm-stat-samples-1";
/// CPU time is counted in ticks of 10 ms: in less than this, it is too few of them.
const SHORTEST_S: f64 = 0.5;
/// A sample older than this says nothing about now.
const LONGEST_S: f64 = 60.0;

/// What a process and all below it had used at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    /// Seconds since boot.
    pub(crate) at_s: f64,
    /// Seconds of CPU time.
    pub(crate) cpu_s: f64,
}

/// The samples of before, and those that the next look needs.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    before: BTreeMap<Id, Sample>,
    next: BTreeMap<Id, Sample>,
}

impl Samples {
    /// The load since the sample of before, in percent of one CPU; `None`: there is none that serves.
    pub(crate) fn percent(&mut self, key: Id, now: Sample) -> Option<f64> {
        let before = self.before.get(&key).copied();
        let age = before.map_or(f64::INFINITY, |b| now.at_s - b.at_s);
        // One that is too young is kept, or who looks often would never have one that is old enough.
        self.next.insert(key, before.filter(|_| (0.0..SHORTEST_S).contains(&age)).unwrap_or(now));
        let before = before.filter(|b| (SHORTEST_S..=LONGEST_S).contains(&age) && now.cpu_s >= b.cpu_s)?;
        Some(100.0 * (now.cpu_s - before.cpu_s) / age)
    }

    /// What was measured becomes what the next measurement is compared with; who was not measured is forgotten.
    pub(crate) fn turn(&mut self) {
        self.before = std::mem::take(&mut self.next);
    }

    /// The samples that the last run left in the directory of all apps.
    pub(crate) fn load(home: &Path) -> Self {
        let text = read_file(home, FILE, LARGEST_START).unwrap_or_default();
        Self { before: parse(&String::from_utf8_lossy(&text), &boot()), next: BTreeMap::new() }
    }

    /// Leaves them for the next run, if the directory is ours; that it cannot be written is nobody's trouble.
    pub(crate) fn store(mut self, place: &Path) {
        let ours = std::fs::metadata(place).is_ok_and(|m| m.uid() == rustix::process::geteuid().as_raw());
        if !ours || self.next.is_empty() {
            return;
        }
        // Those of apps that were not looked at this time.
        let now_s = clock::since_boot().as_secs_f64();
        self.before.retain(|_, sample| (0.0..=LONGEST_S).contains(&(now_s - sample.at_s)));
        self.before.extend(std::mem::take(&mut self.next));
        let text = text_of(&self.before, &boot());
        let _ = Folder::open_place(place).and_then(|folder| {
            // ext4 writes a file to the disk at once that takes the place of another, which costs more than all the rest.
            folder.remove(FILE)?;
            folder.replace(FILE, text.as_bytes())
        });
    }
}

fn boot() -> String {
    procfs::boot_id().unwrap_or_else(|| "-".to_owned())
}

fn text_of(samples: &BTreeMap<Id, Sample>, boot: &str) -> String {
    let line = |(key, s): (&Id, &Sample)| format!("{} {} {:.3} {:.2}\n", key.pid, key.start, s.at_s, s.cpu_s);
    format!("{FORM} {boot}\n{}", samples.iter().map(line).collect::<String>())
}

fn parse(text: &str, boot: &str) -> BTreeMap<Id, Sample> {
    let mut lines = text.lines();
    // The times are those since boot, and so are the starts.
    if lines.next() != Some(format!("{FORM} {boot}").as_str()) {
        return BTreeMap::new();
    }
    lines.filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<(Id, Sample)> {
    let mut words = line.split(' ');
    let key = Id { pid: words.next()?.parse().ok()?, start: words.next()?.parse().ok()? };
    let sample = Sample { at_s: words.next()?.parse().ok()?, cpu_s: words.next()?.parse().ok()? };
    let whole = words.next().is_none() && sample.at_s.is_finite() && sample.cpu_s.is_finite();
    whole.then_some((key, sample))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const KEY: Id = Id { pid: 7, start: 70 };

    fn sample(at_s: f64, cpu_s: f64) -> Sample {
        Sample { at_s, cpu_s }
    }

    fn after(at_s: f64, cpu_s: f64) -> Samples {
        Samples { before: BTreeMap::from([(KEY, sample(at_s, cpu_s))]), next: BTreeMap::new() }
    }

    #[test]
    fn the_load_is_that_since_a_sample_of_the_last_minute() {
        assert_eq!(after(100.0, 5.0).percent(KEY, sample(102.0, 6.0)), Some(50.0));
        assert_eq!(after(100.0, 5.0).percent(KEY, sample(100.5, 5.0)), Some(0.0));
        assert_eq!(after(100.0, 5.0).percent(KEY, sample(160.0, 5.6)).map(f64::round), Some(1.0));
        for (now, why) in [
            (sample(100.4, 6.0), "too young"),
            (sample(160.1, 6.0), "too old"),
            (sample(99.0, 6.0), "of the future"),
            (sample(102.0, 4.0), "a process has left the tree"),
        ] {
            assert_eq!(after(100.0, 5.0).percent(KEY, now), None, "{why}");
        }
        assert_eq!(after(100.0, 5.0).percent(Id { start: 71, ..KEY }, sample(102.0, 6.0)), None, "another process");
    }

    #[test]
    fn who_looks_all_the_time_has_a_load_too() {
        let mut samples = after(100.0, 5.0);
        assert_eq!(samples.percent(KEY, sample(100.3, 5.3)), None);
        samples.turn();
        assert_eq!(samples.percent(KEY, sample(100.6, 5.3)).map(f64::round), Some(50.0));
        samples.turn();
        assert_eq!(samples.before.get(&KEY), Some(&sample(100.6, 5.3)));
    }

    #[test]
    fn a_file_of_another_boot_or_with_rubbish_is_no_harm() {
        let text = text_of(&after(1.5, 0.25).before, "b1");
        assert_eq!(text, "pm-stat-samples-1 b1\n7 70 1.500 0.25\n");
        assert_eq!(parse(&text, "b1").get(&KEY), Some(&sample(1.5, 0.25)));
        assert!(parse(&text, "b2").is_empty() && parse("", "b1").is_empty());
        let rubbish = "pm-stat-samples-1 b1\n\n7 70 x 1\n7 70 1\n7 70 nan inf\n7 70 1 1 1\n8 80 1 2\n";
        assert_eq!(parse(rubbish, "b1").len(), 1);
    }

    #[test]
    fn the_file_is_private_and_keeps_what_was_not_looked_at() {
        let home = tempfile::tempdir().expect("a directory");
        let now = clock::since_boot().as_secs_f64();
        let (other, old) = (Id { pid: 8, start: 80 }, Id { pid: 9, start: 90 });
        let mut samples = Samples::default();
        samples.before.insert(other, sample(now - 5.0, 1.0));
        samples.before.insert(old, sample(now - 61.0, 1.0));
        samples.percent(KEY, sample(now, 2.0));
        samples.store(home.path());
        let mode = std::fs::metadata(home.path().join(FILE)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut keys: Vec<_> = Samples::load(home.path()).before.into_keys().collect();
        keys.sort_unstable();
        assert_eq!(keys, [KEY, other]);
        assert_eq!(std::fs::read_dir(home.path()).expect("there").count(), 1, "nothing else is left");
        Samples::load(Path::new("/nonexistent")).store(Path::new("/nonexistent"));
    }
}
