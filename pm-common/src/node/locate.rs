//! Where in a command line Node is, and so who is given its channel. Launchers keep the channel for themselves.
//!
//! npm, yarn and pnpm are Node programs: they become the cluster worker, and the program that they launch binds by
//! itself. `node --run` closes the channel, `node --watch` keeps it in the watcher.

use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::cli::report::Failure;

/// Refuses to start several copies below such a launcher, and says what to run instead.
pub fn check(argv: &[OsString], workers: u32) -> Result<(), Failure> {
    let Some(launcher) = launcher(argv).filter(|_| workers > 1) else { return Ok(()) };
    let package = std::fs::read_to_string("package.json").unwrap_or_default();
    let instead = script(&package, &launcher.script).map_or_else(
        || "run its script directly: pm-cluster node app.js".to_owned(),
        |script| format!("run its script directly: pm-cluster {script}"),
    );
    Err(Failure::own(format!(
        "'{}' keeps Node's channel for itself, so {workers} copies below it cannot share a port; {instead}",
        launcher.name
    )))
}

/// Whether the program gets no channel, in any case: below `node --run` a worker that was given one dies of EPIPE.
pub fn closes_channel(argv: &[OsString]) -> bool {
    launcher(argv).is_some_and(|launcher| launcher.name == "node --run")
}

/// Where in the tree of a worker Node is, as far as the command line tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// The worker is Node, and nothing else is.
    Itself,
    /// Perhaps below it: the worker is a shell, a package manager, or a line with several; or a script of Node, which
    /// may be the server or what starts it (npx, tsx), and would keep the channel.
    Below,
    /// Nowhere.
    None,
}

/// What starts a server and stays above it.
const RUN_OTHERS: [&str; 12] =
    ["node", "sh", "ash", "bash", "dash", "ksh", "mksh", "zsh", "npm", "npx", "pnpm", "yarn"];

/// Where Node is, and so who is given the channel and the drain script.
///
/// What is inherited cannot be taken back: a Node that some server starts would find the channel of its worker, or a
/// descriptor that the server has closed, and die of it; of two Nodes in a shell's line both would take it. Where binds
/// are watched nobody needs the channel in order to share a port, so only those get it that are sure to be right.
pub fn node_of(argv: &[OsString]) -> Node {
    let split = |c: char| c.is_whitespace() || ";&|(){}'\"`".contains(c);
    let is_node = |word: &str| matches!(word.rsplit('/').next(), Some("node" | "nodejs" | "deno"));
    let words: Vec<String> = argv.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let nodes = words.iter().flat_map(|word| word.split(split)).filter(|word| is_node(word)).count();
    let runs_others = |word: &String| RUN_OTHERS.contains(&base_name(OsStr::new(word)).as_str());
    match nodes {
        _ if launcher(argv).is_some() => Node::Below,
        1 => Node::Itself,
        0 => match argv.first().and_then(|program| interpreter(program)).unwrap_or_default() {
            names if names.iter().chain(&words).any(runs_others) => Node::Below,
            _ => Node::None,
        },
        _ => Node::Below,
    }
}

/// Whether a program that is alone below its supervisor is given the channel: Node, be it behind `env` or in a shell's
/// line, and a script whose first line names Node. What launches others keeps it for itself, and a supervisor gives its
/// own workers one.
#[must_use]
pub fn takes_channel(argv: &[OsString]) -> bool {
    let Some(program) = argv.first() else { return false };
    let name = base_name(program);
    let is_script = || interpreter(program).is_some_and(|names| names.iter().any(|word| is_node(OsStr::new(word))));
    if supervises(argv) || launcher(argv).is_some() {
        return false;
    }
    is_node(program)
        || (name != "deno" && node_of(argv) == Node::Itself)
        || (!RUN_OTHERS.contains(&name.as_str()) && is_script())
}

/// Whether a program that is no cluster worker is given the channel: who asks for a message knows that there is somebody
/// who speaks it, where nothing on the command line shows it.
///
/// # Errors
/// 125: it is to say that it is ready, and what starts it keeps the channel for itself.
pub fn alone_with_channel(
    tool: &str,
    argv: &[OsString],
    by_message: bool,
    stop_message: bool,
) -> Result<bool, Failure> {
    match keeps_channel(argv) {
        Some(launcher) if by_message => Err(Failure::own(format!(
            "--ready message: '{launcher}' keeps Node's channel for itself, so that no message comes; run its script \
             directly: {tool} --ready message node app.js"
        ))),
        Some(_) => Ok(false),
        None => Ok(takes_channel(argv) || ((by_message || stop_message) && !supervises(argv))),
    }
}

/// What starts the program and keeps Node's channel for itself, as the user has it; `None`: nothing known.
#[must_use]
pub fn keeps_channel(argv: &[OsString]) -> Option<String> {
    let npx = || argv.first().map(|program| base_name(program)).filter(|name| name == "npx");
    launcher(argv).map(|launcher| launcher.name).or_else(npx)
}

/// Whether one of ours is in the chain, be it in the text for a shell.
fn supervises(argv: &[OsString]) -> bool {
    let ours = |word: &OsString| ["pm-cluster", "pm-restart"].iter().any(|tool| word.to_string_lossy().contains(tool));
    argv.iter().any(ours)
}

/// The names in the first line of a script (`#!/usr/bin/env node`).
fn interpreter(program: &OsStr) -> Option<Vec<String>> {
    let path = find(program, std::env::var_os("PATH").as_deref())?;
    let mut first = Vec::new();
    std::fs::File::open(path).and_then(|file| file.take(128).read_to_end(&mut first)).ok()?;
    let line = first.split(|b| *b == b'\n').next()?.strip_prefix(b"#!")?;
    Some(String::from_utf8_lossy(line).split_whitespace().map(|word| base_name(OsStr::new(word))).collect())
}

/// Whether this is Node, by the name of its file.
#[must_use]
pub fn is_node(program: &OsStr) -> bool {
    Path::new(program).file_name().is_some_and(|name| name == "node" || name == "nodejs")
}

/// The last part of a path.
#[must_use]
pub fn base_name(program: &OsStr) -> String {
    let path = Path::new(program);
    path.file_name().unwrap_or(program).to_string_lossy().into_owned()
}

/// The file of a program, as execvp(3) looks for it.
#[must_use]
pub fn find(program: &OsStr, path: Option<&OsStr>) -> Option<PathBuf> {
    if program.as_encoded_bytes().contains(&b'/') {
        return Some(PathBuf::from(program));
    }
    std::env::split_paths(path?).map(|directory| directory.join(program)).find(|file| file.is_file())
}

#[derive(Debug, PartialEq, Eq)]
struct Launcher {
    name: String,
    /// The script's name in package.json.
    script: String,
}

fn launcher(argv: &[OsString]) -> Option<Launcher> {
    let program = base_name(argv.first()?);
    let args: Vec<String> = argv.iter().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    match program.as_str() {
        "npm" | "yarn" | "pnpm" => package_manager(&program, &args),
        "node" => node(&args),
        _ => None,
    }
}

fn package_manager(program: &str, args: &[String]) -> Option<Launcher> {
    let mut words = args.iter().filter(|arg| !arg.starts_with('-'));
    let verb = words.next()?;
    let script = match verb.as_str() {
        "run" | "run-script" => words.next()?,
        _ => verb,
    };
    Some(Launcher { name: format!("{program} {verb}"), script: script.clone() })
}

fn node(args: &[String]) -> Option<Launcher> {
    let options = args.iter().take_while(|arg| arg.starts_with('-'));
    for (index, option) in options.enumerate() {
        let launcher = |name: &str, script: String| Launcher { name: name.to_owned(), script };
        if option == "--run" {
            return Some(launcher("node --run", args.get(index + 1).cloned().unwrap_or_default()));
        }
        if let Some(script) = option.strip_prefix("--run=") {
            return Some(launcher("node --run", script.to_owned()));
        }
        if option == "--watch" {
            return Some(launcher("node --watch", String::new()));
        }
    }
    None
}

fn script(package: &str, name: &str) -> Option<String> {
    let package: serde_json::Value = serde_json::from_str(package).ok()?;
    Some(package.get("scripts")?.get(name)?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Option<(String, String)> {
        let argv: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        launcher(&argv).map(|l| (l.name, l.script))
    }

    #[test]
    fn launchers_that_swallow_the_channel() {
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(found("npm start"), pair("npm start", "start"));
        assert_eq!(found("/usr/bin/npm run --silent serve"), pair("npm run", "serve"));
        assert_eq!(found("yarn dev"), pair("yarn dev", "dev"));
        assert_eq!(found("node --run start"), pair("node --run", "start"));
        assert_eq!(found("node --no-warnings --run=start"), pair("node --run", "start"));
        assert_eq!(found("node --watch app.js"), pair("node --watch", ""));
        for fine in ["node app.js --run x", "node -r x app.js", "sh -c npm", "npm", "python3 npm start"] {
            assert_eq!(found(fine), None, "{fine}");
        }
    }

    #[test]
    fn the_channel_is_for_one_node_and_no_other() {
        let of = |line: &str| node_of(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for one in ["node app.js", "/usr/bin/node app.js", "env A=b node app.js", "setpriv --reuid=x node app.js"] {
            assert_eq!(of(one), Node::Itself, "{one}");
        }
        let shell = |line: &str| node_of(&["sh", "-c", line].map(OsString::from));
        assert_eq!([shell("node app.js; true"), shell("exec node app.js")], [Node::Itself; 2]);
        assert_eq!(shell("node migrate.js && node app.js"), Node::Below, "each would take it");
        for below in
            ["npm start", "node --run start", "env A=b npm start", "nice npx serve", "sh start.sh", "dash -c x"]
        {
            assert_eq!(of(below), Node::Below, "{below}");
        }
        for none in ["/nonexistent/python3 app.py", "./server", "/nonexistent/java -jar app.jar", "/bin/true"] {
            assert_eq!(of(none), Node::None, "{none}");
        }
        let directory = tempfile::tempdir().expect("a directory");
        let script = directory.path().join("serve");
        for (line, node) in [("/usr/bin/env node", Node::Below), ("/bin/sh -e", Node::Below), ("/bin/perl", Node::None)]
        {
            std::fs::write(&script, format!("#!{line}\nserve()\n")).expect("written");
            assert_eq!(node_of(&[script.clone().into_os_string()]), node, "{line}");
        }
    }

    #[test]
    fn one_program_of_node_is_given_the_channel_and_no_launcher_or_supervisor() {
        let of = |line: &str| takes_channel(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for one in ["node app.js", "/usr/bin/nodejs app.js", "env A=b node app.js", "node app.js --with node"] {
            assert!(of(one), "{one}");
        }
        assert!(takes_channel(&["sh", "-c", "exec node app.js"].map(OsString::from)));
        for none in [
            "npm start",
            "npx serve",
            "node --run x",
            "deno run x",
            "./server",
            "sh start.sh",
            "pm-cluster node app.js",
        ] {
            assert!(!of(none), "{none}");
        }
        assert!(!takes_channel(&["sh", "-c", "exec pm-cluster -n 2 node app.js"].map(OsString::from)));
        let directory = tempfile::tempdir().expect("a directory");
        let script = directory.path().join("serve");
        for (line, takes) in [("/usr/bin/env node", true), ("/bin/sh node", true), ("/bin/sh", false)] {
            std::fs::write(&script, format!("#!{line}\nserve()\n")).expect("written");
            assert_eq!(takes_channel(&[script.clone().into_os_string()]), takes, "{line}");
        }
        let kept = |line: &str| keeps_channel(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(
            ["npm start", "npx serve", "node a.js"].map(kept),
            [Some("npm start".into()), Some("npx".into()), None]
        );
    }

    #[test]
    fn several_copies_are_refused_and_one_is_not() {
        let npm: Vec<OsString> = ["npm", "start"].map(OsString::from).to_vec();
        assert!(check(&npm, 1).is_ok());
        let failure = check(&npm, 2).expect_err("refused");
        assert_eq!((failure.code, failure.message.lines().count()), (125, 1));
    }

    #[test]
    fn the_remedy_names_the_script() {
        let package = r#"{"scripts":{"start":"node server.js"}}"#;
        assert_eq!(script(package, "start").as_deref(), Some("node server.js"));
        assert_eq!(script("not json", "start"), None);
    }
}
