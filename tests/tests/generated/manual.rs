//! A manual in mdoc: its synopsis, and the heads in its list of options.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use pm_common::cli::options::{Opt, Tool};

use crate::completions::COMMON;

/// The manual with the synopsis and the heads of today; the options' prose is put in the order of the table.
///
/// # Panics
/// Where an option has no prose, or prose no option.
pub(crate) fn of(tool: &Tool, text: &str) -> String {
    let text = with_section(text, "SYNOPSIS", |_| synopsis(tool.name, tool.usage));
    let options: Vec<&Opt> = tool.options.iter().chain(&COMMON).collect();
    with_section(&text, "OPTIONS", |section| with_heads(tool.name, &options, section))
}

/// The manual of pm with the synopsis of today: the verbs that are used alike in one line.
///
/// # Panics
/// Where the manual tells nothing of a verb.
pub(crate) fn of_pm(text: &str) -> String {
    let mut usages: Vec<(&str, Vec<&str>)> = Vec::new();
    for verb in pm_fork::pm::verbs() {
        let told = |line: &str| line.contains("Cm ") && line.split([' ', ',']).any(|word| word == verb.name);
        let prose = text.split_once(".Sh DESCRIPTION").map_or("", |(_, prose)| prose);
        assert!(prose.lines().any(told), "pm.1 has no .It Cm {}", verb.name);
        match usages.iter_mut().find(|(usage, _)| *usage == verb.usage) {
            Some((_, verbs)) => verbs.push(verb.name),
            None => usages.push((verb.usage, vec![verb.name])),
        }
    }
    let lines = usages.into_iter().map(|(usage, verbs)| format!("{} [options] {usage}\n", verbs.join("|")));
    with_section(text, "SYNOPSIS", |_| synopsis("pm", &lines.clone().collect::<String>()))
}

/// The text with another content of this section.
fn with_section(text: &str, name: &str, new: impl Fn(&str) -> String) -> String {
    let head = format!(".Sh {name}\n");
    let (before, rest) = text.split_once(&head).unwrap_or_else(|| panic!("no section {name}"));
    let end = rest.find("\n.Sh ").map_or(rest.len(), |at| at + 1);
    let (section, after) = rest.split_at(end);
    format!("{before}{head}{}{after}", new(section))
}

/// The usage, as mdoc has it.
fn synopsis(name: &str, usage: &str) -> String {
    let mut text = String::new();
    for line in usage.lines() {
        text.push_str(".Nm\n");
        let mut rest = line.trim().strip_prefix(name).unwrap_or(line).trim();
        while !rest.is_empty() {
            let (part, after) = match rest.strip_prefix('[') {
                Some(inner) => inner.split_once(']').unwrap_or_else(|| panic!("a bracket is open: {line}")),
                None => rest.split_at(rest.find(" [").unwrap_or(rest.len())),
            };
            let _ = writeln!(text, "{}{}", if rest.starts_with('[') { ".Op " } else { "." }, macros(part));
            rest = after.trim_start();
        }
    }
    text
}

/// Words with their macros: options, what stands for something (in capitals), and what is written so.
fn macros(words: &str) -> String {
    let (mut said, mut last) = (Vec::new(), "");
    let plain = |word: &str| word.starts_with(char::is_lowercase) && word.chars().all(char::is_alphanumeric);
    let spaced = words.replace('|', " | ").replace("...", " ...");
    for word in spaced.split_whitespace() {
        let (of, word) = match word.strip_prefix('-') {
            _ if word == "|" || word == "..." => {
                said.push(word.to_owned());
                continue;
            }
            Some(option) if !option.is_empty() && !option.contains(char::is_uppercase) => ("Fl", option),
            _ if word == "options" || word.contains(char::is_uppercase) && !plain(word) => ("Ar", word),
            _ => ("Cm", word),
        };
        if of == "Fl" || of != last {
            said.push(of.to_owned());
        }
        said.push(word.to_owned());
        last = of;
    }
    said.join(" ")
}

/// `.It Fl n , Fl -workers Ar N | Cm max`
fn head(option: &Opt) -> String {
    let letter = option.short.map(|letter| format!("Fl {letter} , ")).unwrap_or_default();
    let values = option.forms().map(|forms| format!(" {}", macros(forms))).unwrap_or_default();
    format!(".It {letter}Fl -{}{values}\n", option.long)
}

/// The list with the heads of these options, each with the prose that it has.
fn with_heads(name: &str, options: &[&Opt], section: &str) -> String {
    let (mut before, mut after, mut prose) = (String::new(), String::new(), BTreeMap::<String, String>::new());
    let (mut depth, mut current) = (0, None);
    for line in section.split_inclusive('\n') {
        depth += i32::from(line.starts_with(".Bl ")) - i32::from(line.starts_with(".El"));
        if depth == 1 && line.starts_with(".It Fl ") {
            let line = line.replace("Fl Fl ", "Fl -");
            let long = line.split_once("Fl -").and_then(|(_, rest)| rest.split_whitespace().next());
            current = long.map(str::to_owned);
            prose.insert(current.clone().unwrap_or_default(), String::new());
        } else if depth == 0 && current.is_some() || !after.is_empty() {
            current = None;
            after.push_str(line);
        } else {
            current.as_ref().and_then(|long| prose.get_mut(long)).unwrap_or(&mut before).push_str(line);
        }
    }
    let mut text = before;
    for option in options {
        let prose = prose.remove(option.long).unwrap_or_else(|| panic!("{name}.1 has no .It Fl -{}", option.long));
        text += &(head(option) + &prose);
    }
    assert!(prose.is_empty(), "{name}.1 has options that the table has not: {:?}", prose.keys());
    text + &after
}
