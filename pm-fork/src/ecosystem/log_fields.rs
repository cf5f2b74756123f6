//! Where the output goes, and what writes it down.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use pm_common::cli::options;
use pm_common::cli::policy_options::MOST_LOGS;
use serde_json::Value;

use super::{Machine, Reader, below};

/// The one form of time that is written.
const ISO: &str = "YYYY-MM-DDTHH:mm:ss";

/// The size above which a file is rotated, where none is given.
const MAX_SIZE: &str = "10M";

/// What `NULL` stands for.
const NOWHERE: &str = "/dev/null";

/// Where the output goes.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    pub(crate) out: Option<PathBuf>,
    pub(crate) err: Option<PathBuf>,
    /// Where both go beside these; it takes a writer.
    both: Option<PathBuf>,
    /// Options of the writer; without any, the program writes its files itself.
    writer: Vec<String>,
    /// Options of pm-restart, which rotates the files of the app's directory that the program writes itself.
    rotation: Vec<String>,
    /// Each slot has files of its own.
    by_slot: bool,
}

impl Logs {
    pub(crate) fn of(reader: &mut Reader<'_>, cwd: &Path) -> Result<Self, String> {
        if reader.bool("disable_logs")? == Some(true) {
            let nowhere = || Some(PathBuf::from(NOWHERE));
            return Ok(Self { out: nowhere(), err: nowhere(), ..Self::default() });
        }
        let mut both = both(reader, cwd)?;
        let (mut out, mut err) = (file(reader, "out_file", cwd)?, file(reader, "error_file", cwd)?);
        let mut writer = writer(reader)?;
        let asked = RotationFields::of(reader)?;
        let unnamed = |path: &Option<PathBuf>| path.as_ref().is_none_or(|path| path == Path::new(NOWHERE));
        if both.is_some() && unnamed(&out) && unnamed(&err) {
            // Two streams to one file need nobody in between.
            (out, err) = (both.clone(), both.take());
        }
        let mut by_slot = reader.bool("merge_logs")? == Some(false);
        if by_slot && !(writer.is_empty() && both.is_none()) {
            reader.warnings.push("merge_logs: one pm-log writes for all workers, into the same files".to_owned());
            by_slot = false;
        }
        // Files that the user has named are others' business, unless that is asked for; what is no file grows not.
        let named = |path: &Path| !path.starts_with("/dev");
        let own = out.is_none() && err.is_none() && both.is_none();
        let theirs = both.as_deref().into_iter().chain(out.as_deref()).chain(err.as_deref()).any(named);
        let needs_writer = theirs && asked.is_some_values() && !by_slot;
        let mut rotation = Vec::new();
        match needs_writer || both.is_some() || !writer.is_empty() {
            true if asked.on && (own || asked.is_some_values()) => writer.extend(asked.of_writer()),
            true => {}
            false => rotation = asked.of_restart(),
        }
        Ok(Self { out, err, both, writer, rotation, by_slot })
    }

    /// The options of a pm-cluster: the workers of each slot write to files of their own.
    pub(crate) fn of_workers(&self) -> Vec<OsString> {
        if !self.by_slot {
            return Vec::new();
        }
        let file = |option: &str, path: &Option<PathBuf>| {
            let path = path.clone().unwrap_or_else(|| PathBuf::from(format!("{option}.log")));
            [format!("--{option}").into(), with_slot(&path).into_os_string()]
        };
        [file("out", &self.out), file("err", &self.err)].concat()
    }

    /// The options of the pm-restart.
    pub(crate) fn of_restart(&self) -> Vec<String> {
        self.rotation.clone()
    }

    /// The writer, if one is needed.
    pub(crate) fn chain(&self, machine: &dyn Machine) -> Vec<OsString> {
        if self.writer.is_empty() && self.both.is_none() {
            return Vec::new();
        }
        let mut words = vec![machine.tool("pm-log")];
        words.extend(self.writer.iter().map(OsString::from));
        for (option, path) in [("--out", &self.out), ("--err", &self.err), ("--both", &self.both)] {
            words.extend(path.iter().flat_map(|path| [option.into(), path.clone().into_os_string()]));
        }
        words
    }
}

/// `app-%s.log` for `app.log`; pm-cluster puts the slot there.
fn with_slot(path: &Path) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push("-%s");
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    // What is no file, such as /dev/null, is one for all.
    if path.starts_with("/dev") { path.to_owned() } else { path.with_file_name(name) }
}

/// The file for both streams.
fn both(reader: &mut Reader<'_>, cwd: &Path) -> Result<Option<PathBuf>, String> {
    match reader.app.get("log_file") {
        None | Some(Value::Bool(false)) => Ok(None),
        Some(Value::Bool(true)) => {
            reader.warnings.push("log_file: for one file with both outputs, give its path".to_owned());
            Ok(None)
        }
        Some(_) => file(reader, "log_file", cwd),
    }
}

fn file(reader: &Reader<'_>, field: &str, cwd: &Path) -> Result<Option<PathBuf>, String> {
    let path = reader.path(field)?.filter(|path| !path.is_empty());
    Ok(path.map(|path| if path == "NULL" { PathBuf::from(NOWHERE) } else { below(cwd, &path) }))
}

/// How the description has its files rotated.
#[derive(Debug)]
struct RotationFields {
    /// False: not at all.
    on: bool,
    size: Option<String>,
    keep: Option<u32>,
}

impl RotationFields {
    fn of(reader: &Reader<'_>) -> Result<Self, String> {
        let on = reader.bool("log_rotate")?;
        let size = reader.text("log_max_size")?.filter(|size| !size.is_empty());
        if let Some(wrong) = &size {
            options::log_size_of(wrong).map_err(|why| format!("log_max_size: '{wrong}': {why}"))?;
        }
        let keep = reader.number("log_keep")?;
        if let Some(wrong) = keep.filter(|keep| u64::from(*keep) > MOST_LOGS) {
            return Err(format!("log_keep: {wrong}: {MOST_LOGS} at most"));
        }
        // Who says `true` of files of his own means them.
        let size = size.or_else(|| on.filter(|on| *on).map(|_| MAX_SIZE.to_owned()));
        Ok(Self { on: on != Some(false), size, keep })
    }

    /// Whether something is asked for, beyond that it is as ever.
    const fn is_some_values(&self) -> bool {
        self.on && (self.size.is_some() || self.keep.is_some())
    }

    fn of_writer(&self) -> Vec<String> {
        let mut words = vec!["--max-size".to_owned(), self.size.clone().unwrap_or_else(|| MAX_SIZE.to_owned())];
        words.extend(self.keep.iter().flat_map(|keep| ["--keep".to_owned(), keep.to_string()]));
        words
    }

    fn of_restart(&self) -> Vec<String> {
        if !self.on {
            return ["--log-size", "none"].map(str::to_owned).to_vec();
        }
        let size =
            self.size.iter().filter(|size| *size != MAX_SIZE).flat_map(|size| ["--log-size".to_owned(), size.clone()]);
        let keep = self.keep.iter().flat_map(|keep| ["--log-keep".to_owned(), keep.to_string()]);
        size.chain(keep).collect()
    }
}

fn writer(reader: &mut Reader<'_>) -> Result<Vec<String>, String> {
    let format = match reader.app.get("log_date_format") {
        None | Some(Value::Bool(false)) => None,
        Some(Value::Bool(true)) => Some(ISO.to_owned()),
        Some(_) => reader.text("log_date_format")?.filter(|format| !format.is_empty()),
    };
    if format.as_ref().is_some_and(|format| !format.starts_with(ISO)) {
        reader.warnings.push(format!("log_date_format: not yet: the time is written as {ISO}"));
    }
    let mut options: Vec<String> = Vec::new();
    if reader.bool("time")? == Some(true) || format.is_some() {
        options.push("--time".to_owned());
    }
    match reader.text("log_type")?.as_deref() {
        Some("json") => options.push("--json".to_owned()),
        None | Some("raw" | "") => {}
        Some(other) => reader.warnings.push(format!("log_type: '{other}': only json is known")),
    }
    Ok(options)
}
