//! `script`, `interpreter`, `args`: what is executed, and where.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use pm_common::cli::nearest::nearest;
use pm_common::node::locate::keeps_channel;

use super::machine::{Head, Machine};
use super::{Reader, USUAL_CONFIGS, below};

/// The interpreters of PM2's table, by a script's ending.
const BY_ENDING: &[(&str, &str)] = &[
    ("js", "node"),
    ("cjs", "node"),
    ("mjs", "node"),
    ("sh", "bash"),
    ("py", "python3"),
    ("rb", "ruby"),
    ("php", "php"),
    ("pl", "perl"),
    ("coffee", "coffee"),
    ("ls", "lsc"),
];

/// The endings of TypeScript.
const TYPED: [&str; 4] = ["ts", "tsx", "mts", "cts"];

/// Interpreters that are known not to speak as Node does; others (coffee, tsx) are programs of Node.
const FOREIGN: [&str; 6] = ["python", "ruby", "perl", "php", "java", "lua"];

/// What is executed.
#[derive(Debug, Default)]
pub(crate) struct Program {
    /// What the app is called if it is given no name.
    pub(crate) name: String,
    /// The program and its arguments.
    pub(crate) argv: Vec<OsString>,
    /// Where it runs.
    pub(crate) cwd: PathBuf,
    /// The script, if it is a file of the directory.
    pub(crate) script: Option<PathBuf>,
    /// The command, if it is none.
    pub(crate) command: Option<PathBuf>,
    /// What it is run by.
    pub(crate) interpreter: Option<String>,
    /// What the interpreter needs to know.
    pub(crate) env: Vec<(String, String)>,
    /// Whether it is one of those that PM2 makes clusters of.
    pub(crate) clusters: bool,
    /// The interpreter, if it is one of [`FOREIGN`].
    pub(crate) foreign: Option<String>,
}

/// What `script` turns out to be.
enum Script {
    /// A file: as it is named on the command line, and by its whole path.
    File(String, PathBuf, Head),
    /// A directory that Node runs.
    Package(String, PathBuf),
    /// A command of the PATH.
    Command(String, PathBuf),
    /// A line for the shell.
    Line(String),
}

impl Program {
    pub(crate) fn of(reader: &mut Reader<'_>) -> Result<Self, String> {
        let given = reader.text("script")?.filter(|script| !script.is_empty());
        let given = given.ok_or("script: missing: it says what is to be run")?;
        let (script, cwd) = find(reader, &given)?;
        let args = reader.words("args")?;
        let mut program = Self { name: script.name(), cwd, ..Self::default() };
        program.command = match &script {
            Script::Line(_) => reader.machine.which("sh"),
            Script::Command(_, path) => Some(path.clone()),
            Script::File(..) | Script::Package(..) => None,
        };
        let (mut argv, path) = match script {
            Script::Line(line) => {
                // The arguments go to the command at the line's end.
                let line = if args.is_empty() { line } else { format!("{line} \"$@\"") };
                (vec!["sh".to_owned(), "-c".to_owned(), line, program.name.clone()], None)
            }
            Script::File(word, path, head) => (program.interpreted(reader, word, &path, Some(&head))?, Some(path)),
            Script::Package(word, path) => {
                let head = Head::default();
                (program.interpreted(reader, word, &path, Some(&head))?, Some(path))
            }
            Script::Command(word, path) => (program.interpreted(reader, word, &path, None)?, None),
        };
        argv.extend(args);
        program.interpreter.get_or_insert_with(|| "none".to_owned());
        program.script = path;
        program.argv = argv.into_iter().map(OsString::from).collect();
        Ok(program)
    }

    /// Why no `process.send('ready')` can come of it, as far as that is known.
    pub(crate) fn sends_nothing(&self) -> Option<String> {
        let keeps = keeps_channel(&self.argv)
            .map(|launcher| format!("'{launcher}' keeps Node's channel for itself, so that no message comes"));
        keeps.or_else(|| self.foreign.as_ref().map(|name| format!("{name} does not send Node's messages")))
    }

    /// The words up to the script.
    fn interpreted(
        &mut self,
        reader: &mut Reader<'_>,
        word: String,
        path: &Path,
        head: Option<&Head>,
    ) -> Result<Vec<String>, String> {
        let given = reader.path("interpreter")?.filter(|name| !name.is_empty());
        let interpreter = match given.as_deref() {
            Some("none") => None,
            Some(_) => given,
            None => head.and_then(|head| by_ending(reader, path).or_else(|| by_contents(head))),
        };
        let mut args = reader.words("node_args")?;
        let Some(interpreter) = interpreter else {
            head.map_or(Ok(()), |head| check_first_line(reader, path, head))?;
            if !args.is_empty() {
                reader.warnings.push("node_args: there is no interpreter that takes them".to_owned());
            }
            return Ok(vec![word]);
        };
        check(reader, &self.cwd, &interpreter)?;
        check_types(reader, path, &interpreter, &args)?;
        self.interpreter = Some(interpreter.clone());
        let base = Path::new(&interpreter).file_name().and_then(|base| base.to_str()).unwrap_or_default().to_owned();
        self.clusters = ["node", "nodejs", "bun", "deno"].iter().any(|known| base.ends_with(known));
        self.foreign = FOREIGN.iter().any(|known| base.starts_with(known)).then(|| base.clone());
        if base.starts_with("python") {
            self.env.push(("PYTHONUNBUFFERED".to_owned(), "1".to_owned()));
        }
        if reader.bool("source_map_support")? == Some(true) && base.starts_with("node") {
            args.insert(0, "--enable-source-maps".to_owned());
        }
        // Of a command of the PATH, an interpreter needs to know where it is.
        let word = if head.is_none() { path.to_string_lossy().into_owned() } else { word };
        Ok(std::iter::once(interpreter).chain(args).chain([word]).collect())
    }
}

impl Script {
    fn name(&self) -> String {
        // No name begins with a dash.
        let name = match self {
            Self::File(_, path, _) => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            Self::Package(_, path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            Self::Command(word, _) => word.clone(),
            Self::Line(line) => {
                // As much of it as a name can hold.
                let mut name = line.clone();
                while name.len() > 100 {
                    name.pop();
                }
                name
            }
        };
        name.trim_start_matches('-').to_owned()
    }
}

/// What the script is, and the directory to run it in.
fn find(reader: &Reader<'_>, given: &str) -> Result<(Script, PathBuf), String> {
    let (context, machine) = (reader.context, reader.machine);
    let named = reader.path("cwd")?.filter(|cwd| !cwd.is_empty());
    let cwd = named.as_ref().map_or_else(|| context.cwd.clone(), |dir| below(&context.cwd, dir));
    if !machine.dir(&cwd) {
        return Err(format!("cwd: there is no directory {}", cwd.display()));
    }
    // As with PM2 a description's paths begin where the caller is; but beside its file it is found from anywhere.
    let path = reader.expanded("script", given)?;
    let beside = context.config.as_deref().and_then(Path::parent).filter(|_| named.is_none());
    for dir in std::iter::once(cwd.as_path()).chain(beside) {
        let found = below(dir, &path);
        if let Some(head) = machine.file(&found) {
            return Ok((Script::File(word(&path), found, head), dir.to_owned()));
        }
    }
    if let Some(path) = machine.which(given) {
        return Ok((Script::Command(given.to_owned(), path), cwd));
    }
    if given.contains(char::is_whitespace) {
        return Ok((Script::Line(given.to_owned()), cwd));
    }
    let (given, path) = (path.as_str(), below(&cwd, &path));
    if machine.dir(&path) {
        return package(machine, given, &path).map(|package| (package, cwd));
    }
    let near = meant(reader, &path).map_or_else(String::new, |name| format!("; is {name} meant?"));
    Err(format!("script: there is no file {}, and no command of that name{near}", path.display()))
}

/// The file beside it, or the app that is known, whose name is nearest.
fn meant(reader: &Reader<'_>, path: &Path) -> Option<String> {
    let mut names = reader.machine.names(path.parent()?);
    names.extend(reader.machine.names(&reader.context.home));
    nearest(path.file_name()?.to_str()?, names.iter().map(String::as_str)).map(str::to_owned)
}

/// A directory that Node can run, as `node .` does.
fn package(machine: &dyn Machine, given: &str, path: &Path) -> Result<Script, String> {
    if ["package.json", "index.js"].iter().any(|file| machine.file(&path.join(file)).is_some()) {
        return Ok(Script::Package(word(given), path.to_owned()));
    }
    let shown = path.display();
    Err(match USUAL_CONFIGS.iter().find(|file| machine.file(&path.join(file)).is_some()) {
        Some(file) => format!("script: {shown} is a directory: to start what is described in it, name its {file}"),
        None => format!("script: {shown} is a directory with no package.json and no index.js: name the script in it"),
    })
}

/// The script as it stands on the command line: relative if it was, so that it is found in the directory which a
/// release holds on to; and not to be taken for an option or a command.
fn word(given: &str) -> String {
    let plain = ["/", "./", "../"].iter().any(|start| given.starts_with(start));
    if plain { given.to_owned() } else { format!("./{given}") }
}

fn by_ending(reader: &Reader<'_>, path: &Path) -> Option<String> {
    let ending = path.extension()?.to_str()?;
    if TYPED.contains(&ending) {
        // Node takes the types away since 22.18.
        return Some(if reader.machine.which("bun").is_some() { "bun" } else { "node" }.to_owned());
    }
    BY_ENDING.iter().find(|(known, _)| *known == ending).map(|(_, interpreter)| (*interpreter).to_owned())
}

/// `None`: it is executed itself.
fn by_contents(head: &Head) -> Option<String> {
    let first = head.bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let names_node = String::from_utf8_lossy(first).contains("node");
    let itself =
        head.bytes.contains(&0) || (head.executable && (first.is_empty() || first.starts_with(b"#!") && !names_node));
    (!itself).then(|| "node".to_owned())
}

/// Makes sure that the program is there which the first line of a script names: the kernel says of both that there is no
/// such file.
fn check_first_line(reader: &Reader<'_>, path: &Path, head: &Head) -> Result<(), String> {
    let line = head.bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let Some(line) = line.strip_prefix(b"#!") else { return Ok(()) };
    let (line, script) = (String::from_utf8_lossy(line), path.display());
    if line.ends_with('\r') {
        return Err(format!("script: {script}: its lines end in CR LF, as on Windows: sed -i 's/\\r$//' {script}"));
    }
    let mut words = line.split_whitespace();
    let Some(program) = words.next() else { return Ok(()) };
    // `env -S NAME=VALUE command` (env(1)).
    let command = words.find(|word| !word.starts_with('-') && !word.contains('='));
    let command = command.filter(|_| program.ends_with("/env"));
    let missing = match command {
        _ if reader.machine.file(Path::new(program)).is_none() => program,
        Some(command) if reader.machine.which(command).is_none() => command,
        _ => return Ok(()),
    };
    Err(format!(
        "script: {script}: its first line names {missing}, which is not here: install it, or give --interpreter"
    ))
}

/// Makes sure that Node reads the types of a script: an older one says something about a syntax.
fn check_types(reader: &Reader<'_>, path: &Path, interpreter: &str, args: &[String]) -> Result<(), String> {
    let typed = path.extension().and_then(|ending| ending.to_str()).is_some_and(|ending| TYPED.contains(&ending));
    let options = reader.context.var("NODE_OPTIONS").is_some()
        || ["NODE_OPTIONS", "env_file"].iter().any(|word| format!("{:?}", reader.app).contains(word));
    // An option may have a loader read them.
    if !typed || interpreter != "node" || !args.is_empty() || options {
        return Ok(());
    }
    let told = |version| {
        let script = path.display();
        format!(
            "script: {script}: Node {version} reads no TypeScript, 22.18 and later do: name another --interpreter (tsx, bun)"
        )
    };
    reader.machine.reads_no_types(interpreter).map_or(Ok(()), |version| Err(told(version)))
}

fn check(reader: &Reader<'_>, cwd: &Path, interpreter: &str) -> Result<(), String> {
    let found = if interpreter.contains('/') {
        reader.machine.file(&below(cwd, interpreter)).is_some_and(|file| file.executable)
    } else {
        reader.machine.which(interpreter).is_some()
    };
    if found {
        return Ok(());
    }
    if interpreter.contains('@') {
        return Err(format!("interpreter: {interpreter}: not here: give the path of that version's program"));
    }
    Err(format!("interpreter: there is no command '{interpreter}'; install it, or name another (none: run it itself)"))
}
