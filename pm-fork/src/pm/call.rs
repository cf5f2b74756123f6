//! A verb, and a call of it: how what stands behind it is parsed.

use std::ffi::{OsStr, OsString};

use lexopt::Arg;
use pm_common::cli::nearest::nearest;
use pm_common::cli::options::{Opt, text};
use pm_common::cli::report::Failure;

use crate::pm::options::{COMMON, ELSEWHERE, Effect, FIELDS, FieldOpt, NOTHING};

/// A verb.
#[derive(Debug)]
pub struct Verb {
    /// What it is called.
    pub name: &'static str,
    /// What else it is called.
    pub aliases: &'static [&'static str],
    /// What stands behind it.
    pub usage: &'static str,
    /// A sentence or two.
    pub about: &'static str,
    pub(crate) options: &'static [Opt],
    /// Whether it takes the options that set a field of an app, and config files.
    pub fields: bool,
    /// Whether nothing behind it is an option.
    pub(crate) raw: bool,
    pub(crate) example: &'static str,
    /// The tools and signals that do the same.
    pub(crate) made_of: &'static str,
    pub(crate) run: fn(&Call) -> Result<u8, Failure>,
}

impl Verb {
    pub(crate) const fn new(name: &'static str, usage: &'static str, run: fn(&Call) -> Result<u8, Failure>) -> Self {
        Self {
            name,
            aliases: &[],
            usage,
            about: "",
            options: &[],
            fields: false,
            raw: false,
            example: "",
            made_of: "",
            run,
        }
    }

    /// The options that its help tells of: its own, those of fields, and what all verbs take.
    #[must_use]
    pub fn all_options(&self) -> Vec<&'static Opt> {
        if self.raw {
            return Vec::new();
        }
        let fields = if self.fields { FIELDS } else { &[] };
        self.options.iter().chain(fields.iter().map(|field| &field.opt)).chain(COMMON).collect()
    }

    /// Whether the option changes a field of what is described already, by a config file or of an app that is known.
    pub(crate) fn changes_a_field(&self, opt: &Opt) -> bool {
        !self.starts_scripts() && FIELDS.iter().any(|field| std::ptr::eq(&raw const field.opt, opt))
    }

    /// Whether a script can stand behind it, with the fields of an app as options.
    pub(crate) fn starts_scripts(&self) -> bool {
        ["start", "runtime"].contains(&self.name)
    }

    /// Whether apps can be named behind it.
    pub(crate) fn takes_apps(&self) -> bool {
        ["TARGET", "APP"].iter().any(|word| self.usage.contains(word))
    }

    pub(crate) fn is_called(&self, word: &str) -> bool {
        self.name == word || self.aliases.contains(&word)
    }
}

/// A call of a verb.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) verb: &'static Verb,
    /// The options of the verb, by long name; a switch has an empty value.
    pub(crate) options: Vec<(&'static str, OsString)>,
    /// The fields that are set.
    pub(crate) sets: Vec<(String, String)>,
    pub(crate) targets: Vec<String>,
    /// What is behind `--`, of a verb that starts apps.
    pub(crate) args: Vec<OsString>,
}

impl Call {
    /// A call without a word behind the verb.
    pub(crate) const fn new(verb: &'static Verb) -> Self {
        Self { verb, options: Vec::new(), sets: Vec::new(), targets: Vec::new(), args: Vec::new() }
    }

    /// Whether the switch is there.
    pub(crate) fn has(&self, long: &str) -> bool {
        self.options.iter().any(|(option, _)| *option == long)
    }

    /// Whether all that it sets is `--watch`, of apps that are known: with `restart` that toggles, as in PM2.
    pub(crate) fn toggles_watch(&self) -> bool {
        let is_switch = |(field, value): &(String, String)| field == "watch" && value == "true";
        self.verb.name == "restart" && !self.sets.is_empty() && self.sets.iter().all(is_switch)
    }

    /// The value of the option, given last.
    pub(crate) fn value(&self, long: &str) -> Option<&OsStr> {
        self.options.iter().rfind(|(option, _)| *option == long).map(|(_, value)| value.as_os_str())
    }

    /// The value as text.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub(crate) fn text(&self, long: &str) -> Result<Option<&str>, Failure> {
        self.value(long).map(|value| text(long, value)).transpose()
    }

    /// Takes what stands behind the verb.
    ///
    /// # Errors
    /// An option that the verb does not have, or whose value is missing.
    pub(crate) fn parse(mut self, words: Vec<OsString>) -> Result<Self, Failure> {
        if self.verb.raw && words.first().is_some_and(|word| word == "--help" || word == "-h") {
            self.options.push(("help", OsString::new()));
            return Ok(self);
        }
        if self.verb.raw {
            self.targets = words.into_iter().map(utf8).collect::<Result<_, _>>()?;
            return Ok(self);
        }
        let mut parser = lexopt::Parser::from_args(words);
        parser.set_short_equals(false);
        loop {
            if let Some(mut raw) = parser.try_raw_args() {
                let next = raw.peek().map(OsStr::to_string_lossy).unwrap_or_default().into_owned();
                if next == "--" {
                    self.rest(raw.skip(1).collect())?;
                    return Ok(self);
                }
                // `scale APP -1`, `sendSignal -9 APP`; no name begins with a dash.
                let is_number = next.starts_with('-') && next[1..].starts_with(|c: char| c.is_ascii_digit());
                if is_number && ["scale", "sendSignal"].contains(&self.verb.name) {
                    raw.next();
                    self.targets.push(next);
                    continue;
                }
            }
            let Some(arg) = parser.next().map_err(|e| self.wrong(&e.to_string()))? else { return Ok(self) };
            match arg {
                Arg::Value(word) => self.targets.push(utf8(word)?),
                Arg::Short(letter) => self.option(&format!("-{letter}"), &mut parser)?,
                Arg::Long(name) => {
                    let name = format!("--{name}");
                    self.option(&name, &mut parser)?;
                }
            }
        }
    }

    fn rest(&mut self, words: Vec<OsString>) -> Result<(), Failure> {
        if self.verb.fields {
            self.args = words;
            return Ok(());
        }
        words.into_iter().try_for_each(|word| utf8(word).map(|word| self.targets.push(word)))
    }

    fn option(&mut self, given: &str, parser: &mut lexopt::Parser) -> Result<(), Failure> {
        let is = |opt: &&Opt| is_called(opt, given);
        let of_apps = if self.verb.takes_apps() { NOTHING } else { &[] };
        let known = self.verb.options.iter().chain(COMMON).chain(of_apps).find(is);
        if let Some(opt) = known {
            let value = match opt.value {
                Some(_) => parser.value().map_err(|_| self.wrong(&format!("{given} needs a value")))?,
                None => OsString::new(),
            };
            self.options.push((opt.long, value));
            return Ok(());
        }
        let fields: &'static [FieldOpt] = if self.verb.fields { FIELDS } else { &[] };
        let Some(field) = fields.iter().find(|field| is(&&field.opt)) else {
            return Err(no_option(self.verb, given));
        };
        self.set(field, given, parser)
    }

    fn set(&mut self, field: &FieldOpt, given: &str, parser: &mut lexopt::Parser) -> Result<(), Failure> {
        let mut put = |value: String| self.sets.push((field.name.to_owned(), value));
        let next = |parser: &mut lexopt::Parser, is: &dyn Fn(&str) -> bool| {
            let raw = parser.try_raw_args()?.next_if(|word| word.to_str().is_some_and(is))?;
            raw.into_string().ok()
        };
        match field.effect {
            Effect::Is(value) => put(value.to_owned()),
            Effect::Or(default) => {
                let attached = parser.optional_value().map(utf8).transpose()?;
                let value = attached.or_else(|| next(parser, &|word| !word.is_empty() && !word.starts_with('-')));
                put(value.unwrap_or_else(|| default.to_owned()));
            }
            Effect::Directory => {
                let attached = parser.optional_value().map(utf8).transpose()?;
                let value = attached.or_else(|| next(parser, &|word| std::path::Path::new(word).is_dir()));
                put(value.unwrap_or_else(|| "true".to_owned()));
            }
            Effect::Codes => {
                let numbers = |word: &str| word.bytes().all(|b| b.is_ascii_digit() || b == b',');
                let mut value = Some(utf8(parser.value().map_err(|_| needs_a_value(given))?)?);
                while let Some(codes) = value {
                    codes.split(',').for_each(|code| put(code.to_owned()));
                    value = next(parser, &numbers);
                }
            }
            Effect::Value => put(utf8(parser.value().map_err(|_| needs_a_value(given))?)?),
        }
        Ok(())
    }

    fn wrong(&self, what: &str) -> Failure {
        Failure::own(format!("{what}; see pm {} --help", self.verb.name))
    }
}

fn needs_a_value(option: &str) -> Failure {
    Failure::own(format!("{option} needs a value"))
}

fn utf8(word: OsString) -> Result<String, Failure> {
    word.into_string().map_err(|word| Failure::own(format!("'{}' is not UTF-8", word.to_string_lossy())))
}

/// Whether `--name` or `-n` is this option.
fn is_called(opt: &Opt, given: &str) -> bool {
    given.strip_prefix("--") == Some(opt.long) || opt.short.is_some_and(|letter| given == format!("-{letter}"))
}

/// The failure of an option that the verb does not have.
fn no_option(verb: &Verb, given: &str) -> Failure {
    let elsewhere = ELSEWHERE.iter().find(|(name, options, _)| *name == verb.name && options.contains(&given));
    if let Some((name, _, instead)) = elsewhere {
        return Failure::with_code(1, format!("{name} has no option {given}: {instead}"));
    }
    let (name, long) = (verb.name, given.strip_prefix("--"));
    let known = verb.all_options().into_iter().map(|option| option.long);
    let of_start = FIELDS.iter().find(|field| is_called(&field.opt, given)).map(|field| field.name);
    let why = match (long.and_then(|long| nearest(long, known)), of_start) {
        (Some(near), _) => format!(": is --{near} meant?"),
        (None, _) if long == Some("all") && verb.takes_apps() => format!(": is 'pm {name} all' meant?"),
        (None, _) if verb.starts_scripts() => {
            format!(": an option of the app stands behind --: pm {name} app.js -- {given}")
        }
        (None, Some(field)) if verb.takes_apps() => {
            format!(": it is one of start, and {field} in a config file")
        }
        (None, _) if verb.usage.is_empty() => ": it takes no target, and nothing of an app".to_owned(),
        (None, _) => String::new(),
    };
    Failure::with_code(1, format!("{name} has no option {given}{why} (pm {name} --help)"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pm::verbs::find;

    #[test]
    fn what_is_said_of_a_wrong_option_leads_on() {
        for (verb, option, wanted) in [
            ("stop", "--force", "stop has no option --force (pm stop --help)"),
            ("delete", "--all", "delete has no option --all: is 'pm delete all' meant? (pm delete --help)"),
            ("save", "--all", "save has no option --all: it takes no target, and nothing of an app (pm save --help)"),
            ("stop", "--onyl", "stop has no option --onyl: is --only meant? (pm stop --help)"),
            (
                "stop",
                "--max-memory-restart",
                "stop has no option --max-memory-restart: it is one of start, and max_memory_restart in a config file \
                 (pm stop --help)",
            ),
            (
                "stop",
                "-i",
                "stop has no option -i: it is one of start, and instances in a config file (pm stop --help)",
            ),
            ("startup", "-i", "startup has no option -i (pm startup --help)"),
            (
                "start",
                "--port",
                "start has no option --port: an option of the app stands behind --: pm start app.js -- --port \
                 (pm start --help)",
            ),
            ("logs", "-n", "logs has no option -n: it is --lines N"),
        ] {
            let verb = find(verb).expect("a verb");
            assert_eq!(no_option(verb, option).message, wanted);
        }
    }
}
