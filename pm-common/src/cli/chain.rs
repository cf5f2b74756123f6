//! A chain: the tools in it, and mistakes that a look at its words shows before anything is started.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::cli::options::{Asked, Parsed, Tool};
use crate::cli::report::{EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, Failure, reason};
use crate::cli::tables;
use crate::node::locate::is_node;

/// Long options that Node has, too.
const NODES_TOO: [&str; 2] = ["env-file", "force"];

/// A tool in a chain, such as `pm-cluster -n 2` in `pm-restart pm-cluster -n 2 node app.js`.
#[derive(Debug)]
pub struct Link {
    /// The tool.
    pub tool: &'static Tool,
    /// The number of the word in the chain that its first option is, or would be.
    pub at: usize,
    /// Its options; none, if they are not what it understands.
    pub parsed: Parsed,
}

impl Link {
    /// The value of an option by its long name (empty: a switch); `None`: it is not given.
    #[must_use]
    pub fn value(&self, option: &str) -> Option<&OsStr> {
        let mut given = self.parsed.options.iter().rev();
        given.find(|(name, _)| *name == option).map(|(_, value)| value.as_os_str())
    }
}

/// The tools of a chain, and the words that are neither a tool nor an option of one.
#[must_use]
pub fn links(chain: &[OsString]) -> (Vec<Link>, Vec<&OsStr>) {
    let (mut links, mut words, mut at) = (Vec::new(), Vec::new(), 0);
    while let Some(word) = chain.get(at) {
        at += 1;
        let Some(tool) = tables::tool(word) else {
            words.push(word.as_os_str());
            continue;
        };
        let behind = chain.get(at..).unwrap_or_default();
        let parsed = match tool.parse(behind.iter().cloned()) {
            Ok(Asked::Run(parsed)) => parsed,
            Ok(Asked::Print(_)) | Err(_) => Parsed { rest: behind.to_vec(), ..Parsed::default() },
        };
        let first = at;
        at = chain.len() - parsed.rest.len();
        links.push(Link { tool, at: first, parsed });
    }
    (links, words)
}

/// The chain with another number of workers for its pm-cluster; as it is if it has none.
#[must_use]
pub fn with_workers(chain: &[OsString], workers: u32) -> Vec<OsString> {
    let Some(cluster) = links(chain).0.into_iter().find(|link| link.tool.name == tables::PM_CLUSTER.name) else {
        return chain.to_vec();
    };
    let (front, mut rest) = chain.split_at(cluster.at);
    let mut chain = front.to_vec();
    chain.extend(["-n".into(), workers.to_string().into()]);
    for ((option, _), words) in cluster.parsed.options.iter().zip(cluster.parsed.words) {
        let (given, after) = rest.split_at(words);
        chain.extend_from_slice(if *option == "workers" { &[] } else { given });
        rest = after;
    }
    chain.extend_from_slice(rest);
    chain
}

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
    if !is_node(program) {
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
    options.enumerate().find_map(|(at, _)| Some((at, length(tool, args.get(at..)?)?)))
}

/// How many words the tool's option that they begin with has; `None`: it is none of its.
fn length(tool: &Tool, words: &[OsString]) -> Option<usize> {
    let parsed = (1..=words.len().min(2)).find_map(|length| match tool.parse(words.iter().take(length).cloned()) {
        Ok(Asked::Run(parsed)) if parsed.rest.is_empty() => Some(parsed),
        _ => None,
    })?;
    let [(option, value)] = parsed.options.as_slice() else { return None };
    let [length] = parsed.words.as_slice() else { return None };
    // Node has -n no more than `-nx` is one of ours.
    let short = *length == 1 && !words.first()?.as_bytes().starts_with(b"--");
    let number = value.to_str().is_some_and(|value| value.parse::<i32>().is_ok());
    (!NODES_TOO.contains(option) && (!short || number)).then_some(*length)
}

/// The failure of a program that could not be executed, with the shell's code for why: 127, it is not there; 126.
#[must_use]
pub fn cannot_run(program: &OsStr, error: &std::io::Error) -> Failure {
    let code = if error.kind() == std::io::ErrorKind::NotFound { EXIT_NOT_FOUND } else { EXIT_NOT_EXECUTABLE };
    let program = program.to_string_lossy();
    Failure::with_code(code, format!("cannot run {program}: {}{}", reason(error), hint(&program)))
}

/// What was meant by a program that is a file of the directory: `pm-cluster app.js` for `node app.js`.
#[must_use]
pub fn hint(program: &str) -> String {
    let path = Path::new(program);
    let Some(found) = path.metadata().ok().filter(std::fs::Metadata::is_file) else { return String::new() };
    let interpreter = match path.extension().and_then(OsStr::to_str) {
        Some("js" | "cjs" | "mjs" | "ts" | "mts" | "cts") => Some("node"),
        Some("py") => Some("python3"),
        Some("sh") => Some("bash"),
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
    use crate::cli::options::{opt, switch};

    const TOOL: Tool = Tool {
        name: "pm-x",
        usage: "",
        about: "",
        options: &[
            opt("workers", "N", "").short('n'),
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

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_number_of_workers_is_that_of_the_chains_cluster() {
        for (before, after) in [
            (
                "pm-restart pm-cluster -n 2 --ready message node app.js",
                "pm-restart pm-cluster -n 5 --ready message node app.js",
            ),
            ("/x/pm-cluster --workers max node -n 3", "/x/pm-cluster -n 5 node -n 3"),
            (
                "pm-cluster --no-preload -n4 --grace 3s --workers=2 -- node -n 3",
                "pm-cluster -n 5 --no-preload --grace 3s -- node -n 3",
            ),
            ("pm-cluster --stop-group -n 2 --grace=3s node", "pm-cluster -n 5 --stop-group --grace=3s node"),
            ("pm-cluster -n2 --stop-group node", "pm-cluster -n 5 --stop-group node"),
            ("pm-cluster --name -n -n -1 node", "pm-cluster -n 5 --name -n node"),
            ("pm-cluster node app.js", "pm-cluster -n 5 node app.js"),
            ("pm-cluster", "pm-cluster -n 5"),
            ("pm-restart node -n 2", "pm-restart node -n 2"),
            ("pm-restart --name pm-cluster node", "pm-restart --name pm-cluster node"),
        ] {
            assert_eq!(with_workers(&words(before), 5), words(after), "{before}");
        }
    }

    #[test]
    fn an_option_behind_node_is_shown_in_its_place() {
        for (line, right) in [
            ("node -n 2 app.js", "pm-x -n 2 node app.js"),
            ("node -n2 app.js -n 3", "pm-x -n2 node app.js -n 3"),
            ("/x/nodejs --no-warnings --grace=3s app.js", "pm-x --grace=3s /x/nodejs --no-warnings app.js"),
            ("node --stop-group --x app.js", "pm-x --stop-group node --x app.js"),
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
