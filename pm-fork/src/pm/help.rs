//! `pm --help`, `pm VERB --help`, and what is said of a verb that is not there.

use std::fmt::Write as _;
use std::path::PathBuf;

use pm_common::cli::nearest::nearest;
use pm_common::cli::options::{self, Opt};
use pm_common::cli::report::{self, Failure};

use crate::pm::call::{Call, Verb};
use crate::pm::verbs::{self, ELSEWHERE, VERBS};

const HELP: &str = "\
Usage: pm VERB [TARGET...] [options] [-- ARGS OF THE APP]
TARGET: all, a name, id, namespace, /regex/, script, config file, - (stdin)
 start|runtime TARGET without a target: ecosystem.config.js, .cjs, .mjs, .ts
 stop|restart|delete TARGET       reload TARGET: cluster mode loses no request
 scale APP N|+N|-N                startOrRestart FILE, startOrReload FILE
 list [--sort F], jlist, prettylist, monit
 describe APP, env APP, id APP, pid [APP], send APP LINE, attach APP
 logs [TARGET] [--lines N] [--err|--out] [--json|--format|--raw] [--nostream]
 flush [TARGET], reset TARGET, reloadLogs, sendSignal SIG TARGET, kill
 save, resurrect, cleardump       startup, unstartup             logrotate
 init [simple], ping, update, version             pm help VERB: all of a verb
With start:
 -n NAME  -i N|max  --namespace NS  --cwd DIR  --interpreter PROG|none
 --uid USER  --gid GROUP  --node-args \"ARGS\"  --max-memory-restart 512M
 --max-restarts N  --restart-delay MS  --no-autorestart  --stop-exit-codes N,N
 -k --kill-timeout MS  --wait-ready  --wait-listen  --listen-timeout MS
 -o --output FILE  -e --error FILE  -l --log FILE  --time  --log-type json
 -f --force  --no-daemon: in the foreground  --dry-run: say what would run
With a config file: --only NAME,NAME  --env NAME  and what start takes
-a --update-env: take this shell's variables.  -s --silent: no table.
reload --moved: the new code is meant to listen elsewhere.
Files: ~/.pm/APP/ or $PM_HOME/APP/.  More: man pm; what of PM2 works is said in
";

/// Prints what there is.
///
/// # Errors
/// Stdout cannot be written.
pub(crate) fn all() -> Result<u8, Failure> {
    report::print(&text())
}

pub(crate) fn text() -> String {
    format!(
        "{HELP}  {}\n",
        manual().map_or_else(|| "scripts/PM2.md of the source".to_owned(), |p| p.display().to_string())
    )
}

/// Where the list of what works is: of an installation, or of the source.
fn manual() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok()?.parent()?.to_owned();
    let places = ["../share/doc/pm/PM2.md", "../../scripts/PM2.md"].map(|place| beside.join(place));
    places.into_iter().find_map(|place| place.canonicalize().ok())
}

/// Prints what a verb is: `pm help VERB [all]`.
///
/// # Errors
/// There is none of that name, or stdout cannot be written.
pub(crate) fn run(call: &Call) -> Result<u8, Failure> {
    match call.targets.split_first() {
        None => all(),
        Some((word, more)) => of_verb(verbs::find(word).ok_or_else(|| no_verb(word))?, more),
    }
}

/// Prints what a verb is; `more`: the words behind it, `all` where each option is to have its line.
///
/// # Errors
/// Stdout cannot be written.
pub(crate) fn of_verb(verb: &Verb, more: &[String]) -> Result<u8, Failure> {
    report::print(&of(verb, more.iter().any(|word| word == "all")))
}

/// The text of `pm VERB --help`, which fits a screen of 80 columns and 24 lines, or that with a line for each option.
fn of(verb: &Verb, whole: bool) -> String {
    let usage = [verb.name, if verb.raw { "" } else { "[options]" }, verb.usage].join(" ").replace("  ", " ");
    let mut text = format!("usage: pm {usage}\n{}\n", verb.about);
    if !verb.aliases.is_empty() {
        let _ = writeln!(text, "also called: {}", verb.aliases.join(", "));
    }
    text.push('\n');
    let (own, fields): (Vec<_>, Vec<_>) = verb.all_options().into_iter().partition(|opt| !verb.changes_a_field(opt));
    let (told, rest): (Vec<_>, Vec<_>) = own.into_iter().partition(|opt| whole || !verb.fields || !opt.rare);
    let named = |opts: Vec<&'static Opt>| opts.into_iter().filter(|opt| is_named(opt)).collect::<Vec<_>>();
    text += &options::listed(&told);
    text += &options::named(&format!("and, in pm {} --help all:", verb.name), &named(rest));
    if !fields.is_empty() {
        text += "\nfor these apps from now on, also over what a config file says of them:\n";
        text += &if whole { options::listed(&fields) } else { options::named("", &named(fields)) };
    }
    let _ = write!(text, "\nexample:  {}\nmade of:  {}\n", verb.example, verb.made_of);
    text
}

/// Whether a list without a line for each option names it: another name of one that it names tells nothing, nor does one
/// that only warns or says what is so anyhow, and what goes with one stands beside it where each has a line.
fn is_named(opt: &Opt) -> bool {
    !["as ", "with --", "a warning"].iter().any(|words| opt.help.starts_with(words))
}

/// The failure of a verb that there is not.
pub(crate) fn no_verb(word: &str) -> Failure {
    if let Some((_, instead)) = ELSEWHERE.iter().find(|(names, _)| names.contains(&word)) {
        return Failure::with_code(1, format!("'{word}' of PM2 is not here; instead: {instead}"));
    }
    let names = VERBS.iter().flat_map(|verb| std::iter::once(verb.name).chain(verb.aliases.iter().copied()));
    let hint = nearest(word, names).map_or_else(String::new, |near| format!("is '{near}' meant? "));
    Failure::with_code(1, format!("no verb '{word}'; {hint}pm --help lists them"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_fits_a_screen_and_names_every_verb() {
        let all = text();
        assert!(all.lines().count() <= 24 && HELP.lines().all(|line| line.len() <= 80), "{all}");
        let words: Vec<_> = all.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        for verb in VERBS {
            assert!(words.contains(&verb.name), "{}", verb.name);
        }
    }

    #[test]
    fn each_verb_says_what_it_is_made_of_with_an_example() {
        for verb in VERBS {
            let (text, screen) = (of(verb, true), of(verb, false));
            assert!(screen.lines().count() <= 24 && screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
            assert!(text.contains(&format!("example:  pm {}", verb.name)) || text.contains("$(pm pid"), "{text}");
            assert!(!verb.made_of.is_empty() && !verb.about.is_empty(), "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
            let all = verb.all_options();
            let has = |text: &str, opt: &Opt| text.contains(&format!("--{}", opt.long));
            assert!(all.iter().all(|opt| has(&text, opt)), "{text}");
            assert!(all.iter().all(|opt| !is_named(opt) || has(&screen, opt)), "{screen}");
        }
    }
}
