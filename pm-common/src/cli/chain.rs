//! What stands behind the options of a tool: mistakes that a look at the words shows before anything is started.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::cli::options::Tool;
use crate::cli::report::Failure;

/// Long options that Node has, too.
const NODES_TOO: [&str; 2] = ["env-file", "force"];

/// Makes sure that no pm-fork is behind this tool, and that the tool's own options are not behind the program.
///
/// # Errors
/// 125, with the order that is meant.
pub fn check(tool: &Tool, chain: &[OsString]) -> Result<(), Failure> {
    let Some((program, args)) = chain.split_first() else { return Ok(()) };
    let base = Path::new(program).file_name().and_then(OsStr::to_str).unwrap_or_default();
    if base == "pm-fork" {
        let between = if tool.name == "pm-fork" { String::new() } else { format!(" {} [options]", tool.name) };
        return Err(Failure::own(format!(
            "pm-fork goes in front of all, once: pm-fork [options]{between} PROG ARGS..."
        )));
    }
    // Of other programs it is not known which options they have.
    if !matches!(base, "node" | "nodejs") {
        return Ok(());
    }
    let Some((at, length)) = misplaced(tool, args) else { return Ok(()) };
    let (before, rest) = args.split_at(at);
    let (option, after) = rest.split_at(length.min(rest.len()));
    let words = [&[tool.name.into()], option, std::slice::from_ref(program), before, after].concat();
    let line: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    let name = rest.first().map(|word| word.to_string_lossy()).unwrap_or_default();
    Err(Failure::own(format!(
        "{name} is no option of {base}; options of {} go in front: {}",
        tool.name,
        line.join(" ")
    )))
}

/// Where an option of the tool is among those of the program, and how many words it has.
fn misplaced(tool: &Tool, args: &[OsString]) -> Option<(usize, usize)> {
    let options = args.iter().take_while(|word| word.as_bytes().starts_with(b"-") && *word != "--");
    options.enumerate().find_map(|(at, word)| Some((at, length(tool, word.to_str()?)?)))
}

/// How many words the tool's option that begins so has; `None`: it is none of its.
fn length(tool: &Tool, word: &str) -> Option<usize> {
    let (name, attached) = word.split_once('=').map_or((word, false), |(name, _)| (name, true));
    if let Some(long) = name.strip_prefix("--") {
        let option = tool.options.iter().find(|option| option.long == long && !NODES_TOO.contains(&long))?;
        return Some(if option.value.is_some() && !attached { 2 } else { 1 });
    }
    let mut letters = name.strip_prefix('-')?.chars();
    let letter = letters.next()?;
    let option = tool.options.iter().find(|option| option.short == Some(letter))?;
    let number = letters.as_str();
    match (option.value, number) {
        (Some(_), "") => Some(2),
        (Some(_), number) if number.parse::<i32>().is_ok() => Some(1),
        (None, "") => Some(1),
        _ => None,
    }
}

/// What was meant by a program that is a file of the directory: `pm-cluster app.js` for `node app.js`.
#[must_use]
pub fn hint(program: &str) -> String {
    let path = Path::new(program);
    let Some(found) = path.metadata().ok().filter(std::fs::Metadata::is_file) else { return String::new() };
    let interpreter = match path.extension().and_then(OsStr::to_str) {
        Some("js" | "cjs" | "mjs" | "ts" | "mts" | "cts") => Some("node"),
        Some("py") => Some("python3"),
        Some("sh") => Some("sh"),
        Some("rb") => Some("ruby"),
        _ => None,
    };
    let by = interpreter.map(|interpreter| format!("'{interpreter} {program}'"));
    let itself = found.permissions().mode() & 0o111 != 0 && !program.contains('/');
    let meant: Vec<_> = by.into_iter().chain(itself.then(|| format!("'./{program}'"))).collect();
    if meant.is_empty() {
        return String::new();
    }
    format!("; it is a file, not a command: did you mean {}?", meant.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::options::{Opt, opt, switch};

    const TOOL: Tool = Tool {
        name: "pm-x",
        usage: "",
        about: "",
        options: &[
            Opt { short: Some('n'), long: "workers", value: Some("N"), help: "" },
            opt("grace", "TIME", ""),
            opt("env-file", "FILE", ""),
            switch("stop-group", ""),
        ],
        examples: "",
        elsewhere: &[],
    };

    fn checked(line: &str) -> Result<(), String> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        check(&TOOL, &words).map_err(|failure| failure.message)
    }

    #[test]
    fn an_option_behind_node_is_shown_in_its_place() {
        for (line, right) in [
            ("node -n 2 app.js", "pm-x -n 2 node app.js"),
            ("node -n2 app.js -n 3", "pm-x -n2 node app.js -n 3"),
            ("/x/nodejs --no-warnings --grace=3s app.js", "pm-x --grace=3s /x/nodejs --no-warnings app.js"),
            ("node --stop-group --x app.js", "pm-x --stop-group node --x app.js"),
            ("node --workers", "pm-x --workers node"),
        ] {
            let said = checked(line).expect_err(line);
            assert!(said.ends_with(&format!("options of pm-x go in front: {right}")), "{said}");
        }
        for line in [
            "",
            "node",
            "node app.js -n 2",
            "node --env-file .env app.js",
            "node -- -n 2",
            "node -nx app.js",
            "perl -n 2",
            "npm -n 2 start",
        ] {
            assert_eq!(checked(line), Ok(()), "{line}");
        }
    }

    #[test]
    fn pm_fork_is_the_first_of_all() {
        let said = checked("/x/pm-fork --name a node app.js").expect_err("the wrong order");
        assert!(said.ends_with("once: pm-fork [options] pm-x [options] PROG ARGS..."), "{said}");
        let first = Tool { name: "pm-fork", ..TOOL };
        let said = check(&first, &["pm-fork".into(), "x".into()]).expect_err("twice").message;
        assert!(said.ends_with("once: pm-fork [options] PROG ARGS..."), "{said}");
    }

    #[test]
    fn a_file_is_run_by_its_interpreter_or_itself() {
        let place = tempfile::tempdir().expect("a directory");
        let path = |name: &str, mode| {
            let path = place.path().join(name);
            std::fs::write(&path, "").expect("written");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("set");
            path.display().to_string()
        };
        let app = path("app.js", 0o644);
        assert_eq!(hint(&app), format!("; it is a file, not a command: did you mean 'node {app}'?"));
        assert_eq!((hint(&path("tool", 0o755)), hint("/none.js"), hint(&path("x", 0o644))), Default::default());
    }
}
