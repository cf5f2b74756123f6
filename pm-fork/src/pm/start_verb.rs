//! `start`: a config file, apps that are known, a script; `resurrect`; `init`, which writes what to start from.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use pm_common::cli::chain;
use pm_common::cli::report::{self, EXIT_OWN, Failure, OrFail as _};
use pm_common::cli::shell;
use pm_common::cli::tables;
use pm_stat::App;

use crate::apps::saved;
use crate::described::config_file::Contents;
use crate::described::{self, Planned};
use crate::ecosystem::Plan;
use crate::launch::batch::Batch;
use crate::launch::in_front::LineForm;
use crate::launch::patience::Patience;
use crate::pm::call::Call;
use crate::pm::manage_verbs::ours;
use crate::pm::show_verbs::table;
use crate::pm::{logs, restart_and_reload, targets};
use crate::request::Description;

pub(crate) fn run(call: &Call) -> Result<u8, Failure> {
    let nothing = || Failure::own("nothing to start: name a script, or write an ecosystem.config.js (pm init)");
    let mut targets = call.targets.clone();
    if targets.is_empty() {
        // In a directory that was deleted there is no file.
        crate::apps::here()?;
        targets.push(targets::usual_config().ok_or_else(nothing)?.to_owned());
    }
    let (mut code, mut batch) = (0, Batch::default());
    for (at, target) in targets.iter().enumerate() {
        let added = add(call, target, &mut batch, || Patience::before(&targets[at..]));
        match added {
            Ok(one) => code = code.max(one),
            // The others are started all the same.
            Err(failure) if targets.len() > 1 => {
                report::fatal(failure, &[]);
                code = code.max(1);
            }
            Err(failure) => return Err(failure),
        }
    }
    code = code.max(batch.start(&Patience::default())?);
    if call.has("dry-run") {
        return Ok(code);
    }
    if call.has("attach") && code == 0 {
        let names = wanted(call).map_or_else(Vec::new, |name| vec![name.to_owned()]);
        return logs::run(&Call { targets: names, ..Call::new(call.verb) });
    }
    table(call, code)
}

/// The name that is asked for.
fn wanted(call: &Call) -> Option<&str> {
    call.sets.iter().rfind(|(field, _)| field == "name").map(|(_, name)| name.as_str())
}

/// Adds what a target means to what is to be started; what has the name of one of these is started after them, once that is known.
fn add(call: &Call, target: &str, batch: &mut Batch, patience: impl Fn() -> Patience) -> Result<u8, Failure> {
    let mut more = Batch::default();
    let mut code = gather(call, target, &mut more)?;
    if batch.overlaps(&more) {
        code = code.max(std::mem::take(batch).start(&patience())?);
        if !targets::is_config(target) {
            more = Batch::default();
            code = code.max(gather(call, target, &mut more)?);
        }
    }
    batch.join(more);
    Ok(code)
}

fn gather(call: &Call, target: &str, batch: &mut Batch) -> Result<u8, Failure> {
    let config = targets::is_config(target);
    if !config {
        targets::no_file(call)?;
    }
    // Before all that would start something.
    if call.has("dry-run") {
        return described::run(&asked(call, target, config)?, &Patience::default());
    }
    if call.has("no-daemon") {
        return in_the_foreground(call, target, config);
    }
    ours()?;
    if config {
        let (asked, contents) = targets::read_config(call, target)?;
        return described::prepare(&asked, contents, batch);
    }
    let mut restart = false;
    if !call.has("force") {
        let apps = targets::all()?;
        match meant(call, target, pm_stat::meant_by(target, &apps)?)? {
            Meant::These(found) => return start_known(call, target, &found, batch),
            Meant::Anew { stop_first } => restart = stop_first,
        }
    }
    let asked = Description { restart, ..asked(call, target, false)? };
    described::prepare(&asked, described::read(&asked)?, batch)
}

/// What a target means.
enum Meant<'a> {
    /// Apps that are known, as they were started before.
    These(Vec<&'a App>),
    /// A script, as the options say; `stop_first`: in the place of an app of it that does not come up.
    Anew { stop_first: bool },
}

/// The description that is to be started: a config file, or a script with fields.
fn asked(call: &Call, target: &str, config: bool) -> Result<Description, Failure> {
    let description = targets::description(call, config.then_some(target))?;
    if config {
        return Ok(description);
    }
    let mut sets = vec![("script".to_owned(), target.to_owned())];
    sets.extend(description.sets);
    let (force, implied_name) = (call.has("force"), wanted(call).is_none());
    Ok(Description { sets, args: call.args.clone(), force, implied_name, ..description })
}

/// Whether apps that the target means are to be started again, or it is a script to be started anew.
fn meant<'a>(call: &Call, target: &str, mut found: Vec<&'a App>) -> Result<Meant<'a>, Failure> {
    let with_options = !call.sets.is_empty() || !call.args.is_empty();
    if !Path::new(target).is_file() {
        return Ok(if found.is_empty() { Meant::Anew { stop_first: false } } else { Meant::These(found) });
    }
    let stem = Path::new(target).file_stem().unwrap_or_default().to_string_lossy();
    let name = wanted(call).unwrap_or(&stem);
    let paths = pm_stat::paths(target.as_ref());
    let is_this = |script: &Path| paths.iter().any(|path| path == script) || script.exists();
    let is_one = |app: &App| app.runs() || app.script().is_some_and(is_this);
    let has_name = |app: &App| [app.name.as_str(), app.called()].iter().any(|own| *own == name || *own == target);
    // One of two projects with the same name of a script.
    let has_number = |app: &App| {
        let number = app.called().strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        let is_number = number.is_some_and(|number| number.parse::<u32>().is_ok());
        is_number
            && wanted(call).is_none()
            && app.script().is_some_and(|script| paths.iter().any(|path| path == script))
    };
    let is_named = found.iter().any(|app| has_name(app) && is_one(app));
    found.retain(|app| if is_named { has_name(app) && is_one(app) } else { has_number(app) });
    // A name alone changes nothing of what fails.
    let may_cure = !call.args.is_empty() || call.sets.iter().any(|(field, _)| field != "name");
    if may_cure && found.iter().any(|app| app.keeps_ending()) {
        return Ok(Meant::Anew { stop_first: true });
    }
    if let Some(app) = found.iter().find(|app| app.runs()) {
        let called = app.called();
        let typed = shell::quoted(called);
        let running = || match with_options {
            true => {
                format!("{target} is running as '{called}': pm stop {typed} first, or give -f to start another one")
            }
            false => format!("{target} is running as '{called}': pm restart {typed}, or give -f to start another one"),
        };
        return Err(Failure::with_code(1, targets::crashing(app).unwrap_or_else(running)));
    }
    let anew = with_options || found.is_empty();
    Ok(if anew { Meant::Anew { stop_first: false } } else { Meant::These(found) })
}

fn start_known(call: &Call, target: &str, apps: &[&App], batch: &mut Batch) -> Result<u8, Failure> {
    let mut code = 0;
    for app in apps.iter().filter(|app| app.runs()) {
        match targets::crashing(app) {
            Some(how) => {
                report::fatal(how, &[]);
                code = 1;
            }
            None => report::info(format_args!("'{}' is running", app.called())),
        }
    }
    let stopped: Vec<_> = apps.iter().filter(|app| !app.runs()).map(|app| app.name.clone()).collect();
    if !(call.sets.is_empty() && call.args.is_empty()) {
        if stopped.len() < apps.len() {
            let typed = shell::quoted(target);
            return Err(Failure::with_code(1, format!("it runs: pm restart {typed} takes the same options")));
        }
        let (planned, asked) = restart_and_reload::with_fields(call, &stopped)?;
        planned.prepare(|_| true, &asked, batch);
    } else {
        restart_and_reload::again(call, &stopped, false, batch)?;
    }
    Ok(code)
}

/// Runs what is described in the foreground, as a container wants it.
fn in_the_foreground(call: &Call, target: &str, config: bool) -> Result<u8, Failure> {
    let asked = asked(call, target, config)?;
    let Contents::Described(apps, deploy) = described::read(&asked)? else {
        return Err(Failure::own(format!(
            "what runs in the foreground is described, and {target} is a list of saved apps"
        )));
    };
    let planned = Planned::of(&asked, &apps, &deploy)?.in_order()?;
    if planned.failed > 0 {
        return Ok(1);
    }
    planned.warn_of_env();
    let form = if call.has("json") {
        LineForm::Json
    } else if call.has("raw") {
        LineForm::Raw
    } else {
        LineForm::Named
    };
    match planned.plans.as_slice() {
        [plan] if form != LineForm::Json => become_chain(plan),
        _ => {
            ours()?;
            planned.run_in_front(&asked, form)
        }
    }
}

/// `pm runtime`: in the foreground, as `pm2-runtime` does.
pub(crate) fn runtime(call: &Call) -> Result<u8, Failure> {
    let mut targets = call.targets.iter().map(String::as_str).peekable();
    // `pm2-runtime start FILE` is the long form.
    if targets.peek() == Some(&"start") && !Path::new("start").exists() {
        targets.next();
    }
    let nothing = || Failure::own("nothing to run: name a script, or an ecosystem file");
    let target = targets.next().or_else(|| targets::usual_config()).ok_or_else(nothing)?;
    if let Some(more) = targets.next() {
        let all = format!("pm runtime runs one script, or one file with all apps, and not '{more}' beside '{target}'");
        return Err(Failure::own(format!("{all}; arguments of the app stand behind --")));
    }
    let config = targets::is_config(target);
    if !config {
        targets::no_file(call)?;
    }
    in_the_foreground(call, target, config)
}

/// What one app comes to: this process becomes its chain. Nobody will write the file with the app's variables, so they are in
/// the environment.
fn become_chain(plan: &Plan) -> Result<u8, Failure> {
    described::warn(plan);
    let argv = without_files(plan);
    let (program, args) = argv.split_first().ok_or_else(|| Failure::own("nothing to run"))?;
    let mut command = Command::new(program);
    command.args(args).current_dir(&plan.start.cwd).env("PWD", &plan.start.cwd);
    command.env("PM_APP", &plan.start.name).envs(plan.start.app_env.iter().flatten().map(|(key, value)| (key, value)));
    pm_common::sys::process::default_signals();
    Err(chain::cannot_run(program, &command.exec()))
}

/// The chain without what needs a file that is not written in the foreground: the app's variables, and the rotation of a
/// pm-log whose output goes where ours does.
fn without_files(plan: &Plan) -> Vec<&std::ffi::OsString> {
    let argv = &plan.start.argv;
    let has_writer = argv.first().is_some_and(|word| word == "pm-log");
    let own = |at: usize| argv.get(at).is_some_and(|word| at > 0 && tables::tool(word).is_some());
    let end = (1..argv.len()).find(|at| own(*at)).filter(|_| has_writer).unwrap_or(0);
    let has_file = argv.iter().take(end).any(|word| word == "--out" || word == "--err" || word == "--both");
    let file = argv.iter().position(|word| word == "--env-file");
    let rotates =
        |at: usize| !has_file && at < end && argv.get(at).is_some_and(|word| word == "--max-size" || word == "--keep");
    let is_left_out = |at: usize| file == Some(at) || rotates(at);
    let kept = |at: usize| !is_left_out(at) && !at.checked_sub(1).is_some_and(is_left_out);
    argv.iter().enumerate().filter(|(at, _)| kept(*at)).map(|(_, word)| word).collect()
}

/// An app that does not come up does not make the rest a failure: 125 does.
pub(crate) fn resurrect(call: &Call) -> Result<u8, Failure> {
    let home = ours()?;
    let [list, before] = [saved::SAVED, saved::SAVED_BEFORE].map(|name| home.path().join(name));
    let run = |list: &Path| {
        let asked = Description { file: Some(list.to_owned()), ..Description::default() };
        match described::run(&asked, &Patience::default()) {
            Err(failure) => {
                report::fatal(&failure, &[]);
                failure.code
            }
            Ok(code) => code,
        }
    };
    let shown = list.display();
    let why = match (list.is_file(), before.is_file()) {
        (true, has_before) => match run(&list) {
            EXIT_OWN if has_before => format!("{shown} was refused, and is left as it is"),
            code => return table(call, code),
        },
        (false, true) => format!("there is no {shown}"),
        (false, false) => return Err(Failure::with_code(1, format!("nothing was saved: there is no {shown}"))),
    };
    report::warning(format_args!("took the list before it, {}: {why}", before.display()));
    table(call, run(&before))
}

/// What stands in a new config file.
const SIMPLE: &str = "script: './app.js'";
const CLUSTER: &str = "script: './app.js',
      instances: 'max',
      exec_mode: 'cluster',
      max_memory_restart: '512M',
      env: { NODE_ENV: 'development' },
      env_production: { NODE_ENV: 'production' }";

pub(crate) fn init(call: &Call) -> Result<u8, Failure> {
    if let Some(file) = targets::usual_config() {
        return Err(Failure::with_code(1, format!("{file} is there already")));
    }
    let fields = match call.targets.as_slice() {
        [] => CLUSTER,
        [word] if word == "simple" => SIMPLE,
        _ => return Err(Failure::own("init takes 'simple', or nothing")),
    };
    let text = format!("module.exports = {{\n  apps: [\n    {{\n      name: 'app',\n      {fields}\n    }}\n  ]\n}}\n");
    std::fs::write("ecosystem.config.js", text).or_fail(|| "cannot write ecosystem.config.js".to_owned())?;
    report::info("wrote ecosystem.config.js; pm start starts what it describes");
    Ok(0)
}
