//! The table in a completion: a line for each option, its fields apart by tabs, a dot for what there is not.

use std::fmt::Write as _;

use pm_common::cli::options::{Opt, Tool, switch};
use pm_common::cli::tables;
use pm_fork::pm::Verb;

/// The completion with the table of today; `quote` is a quote within quotes in its shell.
pub(crate) fn of(text: &str, quote: &str) -> String {
    let (begin, end) = ("\n# table\n", "# end of the table\n");
    let (head, rest) = text.split_once(begin).expect("the begin of the table");
    let (_, tail) = rest.split_once(end).expect("the end of the table");
    format!("{head}{begin}{}{end}{tail}", table().replace('\'', quote))
}

fn table() -> String {
    let mut table = String::new();
    for tool in tables::ALL {
        row(&mut table, [tool.name, "BEHIND", "", "", behind(tool), tool.about]);
        for option in tool.options.iter().chain(&COMMON) {
            let of_apps = if is_of_apps(tool, option) { "APP" } else { "" };
            rows(&mut table, tool.name, option, of_apps);
        }
    }
    row(&mut table, ["pm", "BEHIND", "", "", "", "what a PM2 user types"]);
    let verbs = pm_fork::pm::verbs();
    let all: Vec<&str> = verbs.iter().map(|verb| verb.name).collect();
    for verb in verbs {
        let (key, behind) = (format!("pm {}", verb.name), behind_verb(verb, &all));
        row(&mut table, ["pm", verb.name, "", "", "", verb.about]);
        row(&mut table, [&key, "BEHIND", "", "", &behind, verb.about]);
        for alias in verb.aliases {
            row(&mut table, [&format!("pm {alias}"), "BEHIND", "", verb.name, &behind, verb.about]);
        }
        verb.all_options().into_iter().for_each(|option| rows(&mut table, &key, option, ""));
    }
    table
}

/// What stands behind a verb: what its usage says, and a file where that may be a config file.
fn behind_verb(verb: &Verb, all: &[&str]) -> String {
    match verb.usage {
        "[VERB]" => all.join("|"),
        usage if usage.starts_with("SIGNAL") => "SIG|TARGET".to_owned(),
        usage if usage.contains("TARGET") && verb.fields => "TARGET|FILE".to_owned(),
        usage if usage.contains("TARGET") => "TARGET".to_owned(),
        usage if usage.starts_with("APP") => "APP".to_owned(),
        usage => usage.trim_matches(['[', ']']).to_owned(),
    }
}

/// What every tool has.
pub(crate) const COMMON: [Opt; 2] =
    [switch("help", "what there is").short('h'), switch("version", "the version").short('V')];

fn rows(table: &mut String, key: &str, option: &Opt, behind: &str) {
    let letter = option.short.map(|letter| format!("-{letter}")).unwrap_or_default();
    let values = option.forms().unwrap_or_default();
    row(table, [key, &format!("--{}", option.long), &letter, values, behind, option.help]);
}

fn row(table: &mut String, fields: [&str; 6]) {
    let _ = writeln!(table, "{}", fields.map(|field| if field.is_empty() { "." } else { field }).join("\t"));
}

/// What stands behind a tool's options.
fn behind(tool: &Tool) -> &'static str {
    if tool.usage.lines().next().is_some_and(|line| line.ends_with("[APP...]")) { "APP" } else { "CHAIN" }
}

/// Whether apps are named behind the option.
fn is_of_apps(tool: &Tool, option: &Opt) -> bool {
    let lines = tool.usage.lines().filter(|line| line.ends_with("APP..."));
    lines.flat_map(|line| line.split([' ', '|'])).any(|word| word.strip_prefix("--") == Some(option.long))
}
