//! The logs that are shown, and what is shown of them.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use pm_common::app::home::Home;
use pm_common::cli::escape::escaped;
use pm_common::cli::report::{self, Failure, Level, OrFail as _, reason};

use super::Asked;
use super::line_prefix::{self, Speaker};
use super::log_changes::{Changed, Watch};
use super::one_log::{CHUNK, OpenLog};
use crate::apps::flush;
use crate::log::output_file::write_all;

/// A log of an app.
#[derive(Debug)]
struct Shown {
    path: PathBuf,
    speaker: Speaker,
    /// The user whose file alone it may be.
    only_of: Option<u32>,
    /// The level of the line which has begun.
    level: Option<Level>,
    source: Option<OpenLog>,
}

/// All logs that are shown.
pub(super) struct Files<N> {
    asked: Asked,
    names: N,
    others_may_come: bool,
    logs: Vec<Shown>,
    /// The columns of the widest name.
    widest: usize,
    /// What was said of a log, or an app, once.
    said: BTreeSet<PathBuf>,
    looked: bool,
    buffer: Vec<u8>,
    out: Vec<u8>,
    /// Nobody reads any more what we write.
    pub(super) reader_gone: bool,
}

impl<N: FnMut() -> Vec<String>> Files<N> {
    pub(super) fn new(asked: Asked, names: N, others_may_come: bool) -> Self {
        Self {
            asked,
            names,
            others_may_come,
            logs: Vec::new(),
            widest: 0,
            said: BTreeSet::new(),
            looked: false,
            buffer: vec![0; CHUNK],
            out: Vec::new(),
            reader_gone: false,
        }
    }

    /// Whether there is no log, there or to come.
    pub(super) fn are_none(&self) -> bool {
        self.logs.is_empty()
    }

    /// Takes note of the files that were written.
    pub(super) fn written(&mut self, changed: &Changed) {
        for source in self.logs.iter_mut().filter_map(|log| log.source.as_mut()) {
            source.more |= source.watch.is_some_and(|watch| changed.files.contains(&watch));
        }
    }

    /// Looks which logs there are, and opens those that are new; the rest of those that are gone is shown.
    ///
    /// # Errors
    /// 125: they cannot be watched.
    pub(super) fn look(&mut self, home: &Home, watch: &mut Watch) -> Result<(), Failure> {
        let mut before = std::mem::take(&mut self.logs);
        let cannot = || "cannot follow the logs".to_owned();
        watch.directory(home.path(), None).or_fail(cannot)?;
        // A directory is an app's once something is in it.
        for name in home.apps().unwrap_or_default().iter().filter(|_| self.others_may_come) {
            watch.directory(&home.path().join(name), None).or_fail(cannot)?;
        }
        for name in (self.names)() {
            watch.directory(&home.path().join(&name), None).or_fail(cannot)?;
            for mut log in self.logs_of(home, &name) {
                watch_place(watch, &log).or_fail(cannot)?;
                if self.open(&mut log, &mut before) {
                    if let Some(source) = &mut log.source {
                        source.watch = watch.file(&source.file).or_fail(cannot)?;
                    }
                    self.logs.push(log);
                }
            }
        }
        watch.looked();
        before.iter_mut().for_each(|log| self.end(log));
        self.widest = self.logs.iter().map(|log| log.speaker.width()).max().unwrap_or(0);
        self.looked = true;
        Ok(())
    }

    /// Shows what was written, a chunk of each log; whether there may be more.
    pub(super) fn show(&mut self) -> bool {
        let mut more = false;
        for at in 0..self.logs.len() {
            while self.chunk(at) {
                // What is followed comes in turn, so that none waits for another.
                if self.asked.follow {
                    more = true;
                    break;
                }
            }
        }
        self.flush();
        more && !self.reader_gone
    }

    /// Shows a chunk of a log; whether there may be more.
    fn chunk(&mut self, at: usize) -> bool {
        let Some(log) = self.logs.get_mut(at) else { return false };
        let more = log.read(&self.asked, self.widest, &mut self.buffer, &mut self.out);
        if self.out.len() > CHUNK {
            self.flush();
        }
        more && !self.reader_gone
    }

    /// Shows the lines that have not ended.
    pub(super) fn finish(mut self) {
        let mut logs = std::mem::take(&mut self.logs);
        logs.iter_mut().for_each(|log| self.end(log));
        self.flush();
    }

    /// Shows the rest of a log that nobody writes any more.
    fn end(&mut self, log: &mut Shown) {
        log.source.iter_mut().for_each(|source| source.more = true);
        while log.read(&self.asked, self.widest, &mut self.buffer, &mut self.out) {}
        log.finish(&self.asked, self.widest, &mut self.out);
    }

    /// The logs of an app that are asked for; why there are none is said once.
    fn logs_of(&mut self, home: &Home, name: &str) -> Vec<Shown> {
        let found = flush::of(home, name).unwrap_or_else(|failure| {
            if !self.looked {
                report::fatal(failure, &[]);
            }
            flush::AppLogs::default()
        });
        if found.none_written() && self.said.insert(name.into()) {
            let called = &found.called;
            report::info(format_args!(
                "app '{called}' was started in the foreground: what it writes goes there, and to no file"
            ));
        }
        let asked = |log: &&flush::Log| self.asked.stream.is_none_or(|stream| stream == log.stream);
        let log = |log: &flush::Log| Shown {
            path: log.path.clone(),
            speaker: Speaker {
                id: found.id.map(|id| id.to_string()),
                name: escaped(&found.called),
                slot: log.slot.clone(),
                is_err: log.stream == "err",
                json: found.json,
            },
            only_of: found.only_of,
            level: None,
            source: None,
        };
        if found.none_written() { Vec::new() } else { found.files.iter().filter(asked).map(log).collect() }
    }

    /// Opens a log, or goes on with what was open under this name or another; false: it is shown already.
    fn open(&mut self, log: &mut Shown, before: &mut Vec<Shown>) -> bool {
        let mut found = OpenLog::open(&log.path, log.only_of).unwrap_or_else(|error| {
            self.say(log, &error);
            None
        });
        let is = |other: &Shown| match (&other.source, &found) {
            (Some(open), Some(found)) => open.is(found),
            _ => other.path == log.path,
        };
        if self.logs.iter().any(is) {
            return false;
        }
        if let Some(at) = before.iter().position(is) {
            let known = before.swap_remove(at);
            (log.level, log.source) = (known.level, known.source.or(found));
            return true;
        }
        if let (Some(source), false) = (&mut found, self.looked)
            && let Err(error) = source.seek_last(self.asked.lines)
        {
            self.say(log, &error);
        }
        log.source = found;
        true
    }

    /// Says once why a log is not shown.
    fn say(&mut self, log: &Shown, error: &io::Error) {
        if self.said.insert(log.path.clone()) {
            let (name, path) = (&log.speaker.name, log.path.display());
            report::warning(format_args!("app '{name}': {path} is not shown: {}", reason(error)));
        }
    }

    /// Writes what is to be shown.
    fn flush(&mut self) {
        self.reader_gone = self.reader_gone || write_all(&rustix::stdio::stdout(), &self.out).is_err();
        self.out.clear();
    }
}

impl Shown {
    /// Reads a chunk, and shows its lines behind `out`; whether there may be more.
    fn read(&mut self, asked: &Asked, widest: usize, buffer: &mut [u8], out: &mut Vec<u8>) -> bool {
        let Some(source) = self.source.as_mut().filter(|source| source.more) else { return false };
        let (speaker, level) = (&self.speaker, &mut self.level);
        let read = source.read(buffer, |piece| line_prefix::append(&asked.form, speaker, widest, level, piece, out));
        source.more &= read.is_ok();
        source.more
    }

    fn finish(&mut self, asked: &Asked, widest: usize, out: &mut Vec<u8>) {
        let (speaker, level) = (&self.speaker, &mut self.level);
        let Some(source) = &mut self.source else { return };
        source.finish(|piece| line_prefix::append(&asked.form, speaker, widest, level, piece, out));
    }
}

/// Watches for a log in its directory, and in that which a link leads to.
fn watch_place(watch: &mut Watch, log: &Shown) -> io::Result<()> {
    let behind = log.only_of.is_none().then(|| log.path.canonicalize().ok()).flatten();
    for path in [Some(&log.path), behind.as_ref()].into_iter().flatten() {
        // A slot may get a file that it has not got yet.
        let name = path.file_name().filter(|_| log.speaker.slot.is_none());
        watch.directory(path.parent().unwrap_or(Path::new("/")), name)?;
    }
    Ok(())
}
