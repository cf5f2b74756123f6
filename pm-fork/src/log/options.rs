//! What the command line asks for, and the files that it names.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use pm_common::app::home;
use pm_common::cli::options::{self, Parsed};
use pm_common::cli::policy_options::MOST_LOGS;
use pm_common::cli::report::{Failure, OrFail as _, reason};

use super::format::{Format, Wall};
use super::output_file::{self, LogFile};
use super::rotation_rule::Rotation;
use super::sink::{Sink, Stream};

/// The rotated files that are kept, where nothing is said.
const KEEP: u32 = 10;

/// A file to write to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    path: PathBuf,
    /// In the app's own directory.
    private: bool,
}

/// What to do with lines.
#[derive(Debug)]
pub(super) struct Settings {
    out: Option<Place>,
    err: Option<Place>,
    /// For both streams, beside the others.
    both: Option<Place>,
    /// Each line goes to our own output, too, with this in front.
    echo: Option<Vec<u8>>,
    format: Format,
    rotation: Rotation,
}

/// The open files, and which of them are for which stream.
#[derive(Debug)]
pub(super) struct Sinks {
    pub(super) all: Vec<Sink>,
    pub(super) out: usize,
    pub(super) err: usize,
    both: Option<usize>,
    /// Our own outputs.
    echo: Option<[usize; 2]>,
}

impl Sinks {
    /// All that are for the stream.
    pub(super) fn of(&self, stream: Stream) -> Vec<usize> {
        let (own, echo) = match stream {
            Stream::Out => (self.out, self.echo.map(|[out, _]| out)),
            Stream::Err => (self.err, self.echo.map(|[_, err]| err)),
        };
        let mut all = vec![own];
        for sink in self.both.into_iter().chain(echo) {
            all.extend((!all.contains(&sink)).then_some(sink));
        }
        all
    }
}

impl Settings {
    /// What the options ask for; where they name no file, those in the app's directory (PM_DIR) are meant.
    pub(super) fn from_options(parsed: Parsed, env: impl Fn(&str) -> Option<OsString>) -> Result<Self, Failure> {
        let is_filter = parsed.rest.is_empty();
        let now = parsed.options.iter().any(|(option, _)| *option == "rotate");
        let own = env(home::DIR).map(PathBuf::from).filter(|dir| dir.is_absolute() && !is_filter);
        let own = |name: &str| own.as_ref().map(|dir| Place { path: dir.join(name), private: true });
        let app = env(home::APP).and_then(|name| name.into_string().ok());
        let app = app.or_else(|| (!is_filter).then(|| home::implied_name(&parsed.rest)));
        let rotation = Rotation { max_size: None, every: None, keep: KEEP };
        let mut settings =
            Self { out: own("out.log"), err: own("err.log"), both: None, echo: None, format: Format::Raw, rotation };
        let of_chain = parsed.options.iter().find(|(option, _)| is_filter && !now && ["err", "both"].contains(option));
        if let Some((option, _)) = of_chain {
            return Err(Failure::own(format!(
                "--{option} is for the stderr of a chain, and there is no chain; see pm-log --help"
            )));
        }
        let kept = parsed.options.iter().any(|(option, _)| *option == "keep");
        for (option, value) in &parsed.options {
            settings.set(option, value, app.as_deref())?;
        }
        settings.check(kept)?;
        if now && !(is_filter && settings.rotation.max_size.is_some()) {
            return Err(Failure::own("--rotate: with --max-size SIZE and --out FILE, and without a chain"));
        }
        Ok(settings)
    }

    fn set(&mut self, option: &str, value: &OsStr, app: Option<&str>) -> Result<(), Failure> {
        match option {
            "out" => self.out = Some(place(option, value)?),
            "err" => self.err = Some(place(option, value)?),
            "both" => self.both = Some(place(option, value)?),
            "echo" => self.echo = Some(value.as_encoded_bytes().to_vec()),
            "json" => self.format = Format::Json(app.map(str::to_owned)),
            "time" if self.format == Format::Raw => self.format = Format::Time,
            "max-size" => self.rotation.max_size = Some(options::log_size(option, value)?),
            "every" => self.rotation.every = Some(period(option, value)?),
            "keep" => self.rotation.keep = options::number(option, value, 0..=MOST_LOGS)? as u32,
            _ => {}
        }
        Ok(())
    }

    fn check(&self, kept: bool) -> Result<(), Failure> {
        let rotates = self.rotation.max_size.is_some() || self.rotation.every.is_some();
        if rotates && self.out.is_none() && self.err.is_none() && self.both.is_none() {
            return Err(Failure::own("there is no file to rotate: give --out, or use pm-fork in front"));
        }
        if self.echo.is_some() && self.out.is_none() && self.err.is_none() && self.both.is_none() {
            return Err(Failure::own("--echo without a file: the lines go to our own output anyway"));
        }
        if kept && !rotates {
            return Err(Failure::own("--keep without --max-size or --every: nothing is rotated"));
        }
        Ok(())
    }

    /// The files, and how they are rotated.
    pub(super) fn files(&self) -> (impl Iterator<Item = &Path>, Rotation) {
        let places = [&self.out, &self.err, &self.both].into_iter().flatten();
        (places.map(|place| place.path.as_path()), self.rotation)
    }

    /// Whether stdout, and stderr, go to a file that we have opened ourselves, and nowhere else.
    pub(super) const fn have_files(&self) -> (bool, bool) {
        let echo = self.echo.is_some();
        (self.out.is_some() && !echo, self.err.is_some() && !echo)
    }

    /// Opens the files; without one, an output is what we were given.
    pub(super) fn open(&self, now: Wall) -> Result<Sinks, Failure> {
        let mut all = vec![self.sink(self.out.as_ref(), output_file::duplicate(&rustix::stdio::stdout()), now)?];
        // One file for both has one writer, or each would rotate it away from the other.
        let shared = self.err.is_some() && self.err == self.out;
        if !shared {
            let sink = self.sink(self.err.as_ref(), output_file::duplicate(&rustix::stdio::stderr()), now)?;
            let same = self.err.is_some() && self.out.is_some() && all.iter().any(|out| sink.is(out));
            all.extend((!same).then_some(sink));
        }
        let err = all.len() - 1;
        let both = self.both.as_ref().map(|place| self.add(&mut all, place, now)).transpose()?;
        let echo = self.echo.as_ref().map(|label| self.add_echo(&mut all, label)).transpose()?;
        Ok(Sinks { all, out: 0, err, both, echo })
    }

    /// The numbers of the sinks that are our own outputs; one sink, if that is one file.
    fn add_echo(&self, all: &mut Vec<Sink>, label: &[u8]) -> Result<[usize; 2], Failure> {
        let format = self.format.labelled(label);
        let inherited = |given: std::io::Result<std::os::fd::OwnedFd>| {
            let fd = given.or_fail(|| "cannot use the output".to_owned())?;
            Ok(Sink::new(LogFile::inherited(fd, self.rotation), format.clone()))
        };
        let out = inherited(output_file::duplicate(&rustix::stdio::stdout()))?;
        let err = inherited(output_file::duplicate(&rustix::stdio::stderr()))?;
        let (first, same) = (all.len(), err.is(&out));
        all.push(out);
        all.extend((!same).then_some(err));
        Ok([first, if same { first } else { first + 1 }])
    }

    /// The number of the sink for this file, which may be there already.
    fn add(&self, all: &mut Vec<Sink>, place: &Place, now: Wall) -> Result<usize, Failure> {
        let sink = self.sink(Some(place), Err(std::io::ErrorKind::NotFound.into()), now)?;
        if let Some(known) = all.iter().position(|known| sink.is(known)) {
            return Ok(known);
        }
        all.push(sink);
        Ok(all.len() - 1)
    }

    fn sink(
        &self,
        place: Option<&Place>,
        given: std::io::Result<std::os::fd::OwnedFd>,
        now: Wall,
    ) -> Result<Sink, Failure> {
        let file = match place {
            Some(Place { path, private }) => LogFile::open(path, *private, self.rotation, now)
                .or_fail(|| format!("cannot append to {}", path.display()))?,
            None => LogFile::inherited(given.or_fail(|| "cannot use the output".to_owned())?, self.rotation),
        };
        Ok(Sink::new(file, self.format.clone()))
    }
}

/// The path, read from the caller's directory: the writer has another one.
fn place(option: &str, value: &OsStr) -> Result<Place, Failure> {
    let path = std::path::absolute(Path::new(value)).map_err(|e| options::bad(option, value, &reason(&e)))?;
    Ok(Place { path, private: false })
}

fn period(option: &str, value: &OsStr) -> Result<u64, Failure> {
    let every = options::duration(option, value)?.as_millis();
    if every < 1000 {
        return Err(options::bad(option, value, "less than a second"));
    }
    Ok(every)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pm_common::cli::options::Asked;

    fn settings(line: &str) -> Result<Settings, String> {
        let Ok(Asked::Run(parsed)) = pm_common::cli::tables::PM_LOG.parse(line.split_whitespace().map(OsString::from))
        else {
            panic!("{line}")
        };
        let env = |name: &str| (name == "PM_DIR").then(|| OsString::from("/pm/web"));
        Settings::from_options(parsed, env).map_err(|failure| failure.message)
    }

    #[test]
    fn a_chain_of_an_app_writes_to_the_apps_files() {
        let both = settings("node app.js").expect("good");
        let own = |name: &str| Some(Place { path: Path::new("/pm/web").join(name), private: true });
        assert_eq!((both.out, both.err), (own("out.log"), own("err.log")));
        assert_eq!(settings("--time").expect("a filter").out, None);
        let given = settings("--out /x node app.js").expect("good");
        assert_eq!(given.out, Some(Place { path: "/x".into(), private: false }));
    }

    #[test]
    fn formats_and_rotation() {
        let all = settings("--json --time --max-size 500k --every 1d --keep 3 node").expect("good");
        assert_eq!(all.format, Format::Json(Some("node".to_owned())));
        assert_eq!(all.rotation, Rotation { max_size: Some(500 << 10), every: Some(86_400_000), keep: 3 });
        assert_eq!(settings("--max-size 10M node").expect("good").rotation.max_size, Some(10 << 20));
    }

    #[test]
    fn what_cannot_be_is_refused_in_one_line() {
        for (line, said) in [
            ("--max-size 1M", "there is no file to rotate"),
            ("--keep 3 node", "nothing is rotated"),
            ("--echo x", "without a file"),
            ("--err /x", "there is no chain"),
            ("--both /x", "there is no chain"),
            ("--max-size 10 node", "such as 10M or 500K"),
            ("--max-size 1K node", "from 4K on"),
            ("--every 10ms node", "less than a second"),
            ("--every 1 node", "expected a duration"),
            ("--every 1s --keep 1001 node", "expected a whole number from 0 to 1000"),
        ] {
            let message = settings(line).expect_err(line);
            assert!(message.contains(said) && message.lines().count() == 1, "{line}: {message}");
        }
    }
}
