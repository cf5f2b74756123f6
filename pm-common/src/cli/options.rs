//! Options: one table per tool gives the parser, `--help`, and the check that the man page names them all.
//!
//! POSIX order: parsing stops at the first argument that is no option, so that `pm-cluster -n 4 node -r x app.js`
//! leaves `-r` to node.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;

use lexopt::Arg;

use crate::cli::nearest::nearest;
use crate::cli::report::Failure;
use crate::policy::time::Span;

/// One option of a tool.
#[derive(Debug)]
pub struct Opt {
    /// The short letter, if it has one.
    pub short: Option<char>,
    /// The long name, without dashes.
    pub long: &'static str,
    /// What to call the value in the help; `None` for a switch.
    pub value: Option<&'static str>,
    /// One line for `--help`, the default in it.
    pub help: &'static str,
    /// What the value may be, where its word does not say it: `always|never`, `SIG|message`. Words in capitals stand for
    /// something; FILE, DIR, SIG and APP for what a shell can complete.
    pub may_be: Option<&'static str>,
    /// `--help` has no more than its name: the manual tells it.
    pub rare: bool,
}

/// An option with a value.
#[must_use]
pub const fn opt(long: &'static str, value: &'static str, help: &'static str) -> Opt {
    Opt { value: Some(value), ..switch(long, help) }
}

/// An option that is there or not.
#[must_use]
pub const fn switch(long: &'static str, help: &'static str) -> Opt {
    Opt { short: None, long, value: None, help, may_be: None, rare: false }
}

impl Opt {
    /// The option with a short letter, too.
    #[must_use]
    pub const fn short(self, letter: char) -> Self {
        Self { short: Some(letter), ..self }
    }

    /// Says the forms that the option's value may have, for completions and refusals.
    #[must_use]
    pub const fn one_of(self, forms: &'static str) -> Self {
        Self { may_be: Some(forms), ..self }
    }

    /// Has `--help` name the option only: the manual tells of it.
    #[must_use]
    pub const fn rare(self) -> Self {
        Self { rare: true, ..self }
    }

    /// What its value may be; `None`: it has none.
    #[must_use]
    pub fn forms(&self) -> Option<&'static str> {
        self.may_be.or(self.value)
    }

    fn is(&self, arg: &Arg<'_>) -> bool {
        match *arg {
            Arg::Short(letter) => self.short == Some(letter),
            Arg::Long(name) => self.long == name,
            Arg::Value(_) => false,
        }
    }
}

/// A tool, as its command line sees it.
#[derive(Debug)]
pub struct Tool {
    /// The program's name.
    pub name: &'static str,
    /// The arguments after the name, for the usage line.
    pub usage: &'static str,
    /// One sentence.
    pub about: &'static str,
    /// All options but `--help` and `--version`, which every tool has.
    pub options: &'static [Opt],
    /// What `--help` ends with: an example or two.
    pub examples: &'static str,
    /// Options that people take for ours (`--max-mem`, `-i`), and what to do instead.
    pub elsewhere: &'static [(&'static str, &'static str)],
}

/// A parsed command line.
#[derive(Debug, Default)]
pub struct Parsed {
    /// The options in the order given, by long name; a switch has an empty value.
    pub options: Vec<(&'static str, OsString)>,
    /// How many words of the command line each of them is: `-n4` is one, `-n 4` two.
    pub words: Vec<usize>,
    /// The first argument that is no option, and all after it.
    pub rest: Vec<OsString>,
}

/// What a command line asks for.
#[derive(Debug)]
pub enum Asked {
    /// To run.
    Run(Parsed),
    /// `--help` or `--version`: this text to stdout, and exit 0.
    Print(String),
}

impl Tool {
    /// Parses the arguments (without the program's name).
    ///
    /// # Errors
    /// One clear line, exit code 125: an unknown option, a missing value.
    pub fn parse(&self, args: impl IntoIterator<Item = OsString>) -> Result<Asked, Failure> {
        let mut parser = lexopt::Parser::from_args(args);
        parser.set_short_equals(false);
        let mut parsed = Parsed::default();
        let words_left = |parser: &mut lexopt::Parser| parser.try_raw_args().map_or(0, |left| left.as_slice().len());
        loop {
            let before = words_left(&mut parser);
            let option = match parser.next().map_err(|e| self.usage_failure(&e))? {
                None => return Ok(Asked::Run(parsed)),
                Some(Arg::Short('h') | Arg::Long("help")) => return Ok(Asked::Print(self.help())),
                Some(Arg::Short('V') | Arg::Long("version")) => return Ok(Asked::Print(self.version())),
                Some(Arg::Value(first)) => {
                    parsed.rest.push(first);
                    parsed.rest.extend(parser.raw_args().map_err(|e| self.usage_failure(&e))?);
                    return Ok(Asked::Run(parsed));
                }
                Some(arg) => self.options.iter().find(|option| option.is(&arg)).ok_or_else(|| self.unknown(&arg))?,
            };
            let value = match option.value {
                Some(_) => parser.value().map_err(|e| self.usage_failure(&e))?,
                None => OsString::new(),
            };
            parsed.options.push((option.long, value));
            parsed.words.push(before.saturating_sub(words_left(&mut parser)));
        }
    }

    fn unknown(&self, arg: &Arg<'_>) -> Failure {
        let given = match arg {
            Arg::Short(letter) => format!("-{letter}"),
            Arg::Long(name) => format!("--{name}"),
            Arg::Value(value) => value.to_string_lossy().into_owned(),
        };
        let own = || self.options.iter().map(|option| option.long).chain(["help", "version"]);
        let near = || nearest(given.strip_prefix("--")?, own());
        match (self.elsewhere.iter().find(|(option, _)| *option == given), near()) {
            (Some((_, instead)), _) => Failure::own(format!("invalid option '{given}': {instead}")),
            (None, Some(near)) => Failure::own(format!("invalid option '{given}': did you mean --{near}?")),
            (None, None) => Failure::own(format!("invalid option '{given}'; see {} --help", self.name)),
        }
    }

    fn usage_failure(&self, error: &lexopt::Error) -> Failure {
        Failure::own(format!("{error}; see {} --help", self.name))
    }

    fn version(&self) -> String {
        format!("{} {}\n", self.name, env!("CARGO_PKG_VERSION"))
    }

    /// The text of `--help`: it fits a screen of 80 columns and 24 lines.
    #[must_use]
    pub fn help(&self) -> String {
        let help = switch("help", "this text; -V, --version: the version").short('h');
        let (rare, mut told): (Vec<&Opt>, Vec<&Opt>) = self.options.iter().partition(|option| option.rare);
        told.push(&help);
        let mut text = format!("usage: {} {}\n{}\n\n", self.name, self.usage, self.about);
        text += &(listed(&told) + &named(&format!("and, in man {}:", self.name), &rare));
        if !self.examples.is_empty() {
            let _ = write!(text, "\n{}", self.examples);
        }
        text
    }
}

/// A line for each option: its letter, its name, its value, and what it does.
#[must_use]
pub fn listed(options: &[&Opt]) -> String {
    let left = |option: &Opt| {
        let short = option.short.map_or_else(|| "    ".to_owned(), |letter| format!("-{letter}, "));
        format!("  {short}--{}{}", option.long, option.value.map_or_else(String::new, |value| format!(" {value}")))
    };
    let width = options.iter().map(|option| left(option).len()).max().unwrap_or(0);
    options.iter().map(|option| format!("{:width$}  {}\n", left(option), option.help)).collect()
}

/// The names of the options that `--help` only names, in lines of less than 80 columns; `lead`: where more is said of them.
#[must_use]
pub fn named(lead: &str, options: &[&Opt]) -> String {
    let Some((last, others)) = options.split_last() else { return String::new() };
    let mut lines = vec![format!("  {lead}")];
    for (option, end) in others.iter().map(|option| (option, ",")).chain([(last, "")]) {
        let word = format!(" --{}{end}", option.long);
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < 80 => line.push_str(&word),
            _ => lines.push(format!("   {word}")),
        }
    }
    lines.join("\n") + "\n"
}

/// An option's value as text.
///
/// # Errors
/// Not UTF-8: exit code 125.
pub fn text<'a>(option: &str, value: &'a OsStr) -> Result<&'a str, Failure> {
    value.to_str().ok_or_else(|| bad(option, value, "not valid UTF-8"))
}

/// A duration such as `8s`, `100ms`, `2m`; a bare number is refused, its unit would be a guess.
///
/// # Errors
/// One clear line, exit code 125.
pub fn duration(option: &str, value: &OsStr) -> Result<Span, Failure> {
    let wrong = || bad(option, value, "expected a duration such as 8s, 100ms or 2m");
    let parsed = match text(option, value)? {
        "0" => std::time::Duration::ZERO,
        other => humantime::parse_duration(other).map_err(|_| wrong())?,
    };
    Span::from_duration(parsed).ok_or_else(|| bad(option, value, "longer than a year"))
}

/// A duration, or `never`.
///
/// # Errors
/// One clear line, exit code 125.
pub fn patience(option: &str, value: &OsStr) -> Result<Option<Span>, Failure> {
    if value == "never" { Ok(None) } else { duration(option, value).map(Some) }
}

/// The smallest size: below, the unit was forgotten.
const SMALLEST: u64 = 1 << 20;

/// A size in bytes: `512M`, `64K`, `2G` (powers of 1024), or plain bytes.
///
/// # Errors
/// One clear line, exit code 125; less than a megabyte is refused: `512` was meant to be `512M`.
pub fn size(option: &str, value: &OsStr) -> Result<u64, Failure> {
    size_of(text(option, value)?).map_err(|why| bad(option, value, why))
}

/// A size in bytes, of text that is no option's.
///
/// # Errors
/// What was expected.
pub fn size_of(given: &str) -> Result<u64, &'static str> {
    let wrong = "expected a size such as 512M (K, M, G; bytes without)";
    let upper = given.to_ascii_uppercase();
    let digits = upper.trim_end_matches("IB").trim_end_matches('B');
    let (digits, unit) = match digits.strip_suffix(['K', 'M', 'G']) {
        Some(head) => (head, digits.as_bytes().last().copied()),
        None => (digits, None),
    };
    let shift = match unit {
        Some(b'K') => 10,
        Some(b'M') => 20,
        Some(b'G') => 30,
        _ => 0,
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong);
    }
    let number: u64 = digits.parse().map_err(|_| wrong)?;
    match number.checked_mul(1 << shift) {
        Some(bytes) if bytes >= SMALLEST => Ok(bytes),
        Some(bytes) if bytes > 0 => Err("less than 1M, which no program can do with; 512M is meant?"),
        _ => Err(wrong),
    }
}

/// The smallest size of a log: less holds not even the lines of one start.
const SMALLEST_LOG: u64 = 4 << 10;

/// A size of a log file in bytes, which may be smaller than a program: `10M`, `500K`.
///
/// # Errors
/// One clear line, exit code 125.
pub fn log_size(option: &str, value: &OsStr) -> Result<u64, Failure> {
    log_size_of(text(option, value)?).map_err(|why| bad(option, value, why))
}

/// A size of a log file, of text that is no option's.
///
/// # Errors
/// What was expected.
pub fn log_size_of(text: &str) -> Result<u64, &'static str> {
    if let Some(kilo) = text.strip_suffix(['k', 'K']).and_then(|digits| digits.parse::<u64>().ok()) {
        let bytes = kilo.checked_mul(1 << 10).filter(|bytes| *bytes >= SMALLEST_LOG);
        return bytes.ok_or("expected a size from 4K on");
    }
    size_of(text).map_err(|_| "expected a size with its unit, such as 10M or 500K")
}

/// A whole number within a range.
///
/// # Errors
/// One clear line, exit code 125.
pub fn number(option: &str, value: &OsStr, range: std::ops::RangeInclusive<u64>) -> Result<u64, Failure> {
    let wrong = || bad(option, value, &format!("expected a whole number from {} to {}", range.start(), range.end()));
    let parsed: u64 = text(option, value)?.parse().map_err(|_| wrong())?;
    if range.contains(&parsed) { Ok(parsed) } else { Err(wrong()) }
}

/// The failure for an option's bad value: `bad value 'banana' for --grace: expected a duration such as 8s`.
#[must_use]
pub fn bad(option: &str, value: &OsStr, why: &str) -> Failure {
    Failure::own(format!("bad value '{}' for --{option}: {why}", value.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOL: Tool = Tool {
        name: "t",
        usage: "[options] PROG",
        about: "About.",
        options: &[opt("workers", "N", "how many").short('n')],
        examples: "",
        elsewhere: &[("--instances", "say -n")],
    };

    fn parse(args: &[&str]) -> Result<Parsed, Failure> {
        match TOOL.parse(args.iter().map(OsString::from))? {
            Asked::Run(parsed) => Ok(parsed),
            Asked::Print(_) => panic!("printed"),
        }
    }

    #[test]
    fn options_end_at_the_first_argument_that_is_none() {
        let parsed = parse(&["-n", "-1", "node", "-n", "7"]).expect("parses");
        assert_eq!(parsed.options, [("workers", OsString::from("-1"))]);
        assert_eq!(parsed.rest, ["node", "-n", "7"]);
        assert_eq!(parse(&["--", "-n"]).expect("parses").rest, ["-n"]);
    }

    #[test]
    fn an_unknown_option_is_refused_in_one_line() {
        let failure = parse(&["--bogus", "x"]).expect_err("refused");
        assert_eq!((failure.code, failure.message.lines().count()), (125, 1));
        assert!(failure.message.contains("--bogus"), "{failure}");
        let failure = parse(&["--instances", "4"]).expect_err("refused");
        assert_eq!(failure.message, "invalid option '--instances': say -n");
        for (misspelt, near) in [("--wrokers", "workers"), ("--work", "workers"), ("--hlep", "help")] {
            let failure = parse(&[misspelt]).expect_err("refused");
            assert_eq!(failure.message, format!("invalid option '{misspelt}': did you mean --{near}?"));
        }
    }

    #[test]
    fn sizes() {
        let size = |s: &str| size("max-mem", OsStr::new(s)).map_err(|e| e.code);
        assert_eq!(size("512M"), Ok(512 << 20));
        assert_eq!(size("2048k"), Ok(2 << 20));
        assert_eq!(size("2GiB"), Ok(2 << 30));
        assert_eq!(size("1048576"), Ok(1 << 20));
        for wrong in ["", "0", "512", "64K", "M", "-1", "1.5G", "5T", "99999999999999999999", "17179869184G", "5 M"] {
            assert_eq!(size(wrong), Err(125), "{wrong}");
        }
    }

    #[test]
    fn durations() {
        let millis = |s: &str| duration("grace", OsStr::new(s)).map(Span::as_millis).map_err(|e| e.code);
        assert_eq!(millis("8s"), Ok(8000));
        assert_eq!(millis("100ms"), Ok(100));
        assert_eq!(millis("0"), Ok(0));
        for wrong in ["banana", "", "8", "-1s", "1e9", "900years"] {
            assert_eq!(millis(wrong), Err(125), "{wrong}");
        }
    }
}
