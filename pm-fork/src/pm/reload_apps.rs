//! `reload` of apps, and what it waits for: the end of the roll that was asked for; and of what a config file describes.
//!
//! What the end of a roll is (each slot's new worker serves, old ones may still drain), `policy::supervisor::roll` decides. What counts as that end is decided in `app::wait::goal_reached`, and when no more is to be hoped for in `app::wait::hopeless`.

use std::os::fd::{AsFd as _, OwnedFd};

use pm_common::app::home::{Start, Turns};
use pm_common::app::wait::{Goal, wait_for_any};
use pm_common::cli::report::{self, EXIT_OWN, EXIT_TIMED_OUT, Failure, OrFail as _};
use pm_common::cli::shell;
use pm_common::policy::app_order::{AppOrder, Refused, Stage};
use pm_common::sys::daemon::{self, Fork};
use pm_common::sys::{pidfd, process};
use pm_stat::{App, Wait};
use serde_json::Value;

use crate::apps::scale::{self, Scale};
use crate::apps::signals::Signal;
use crate::apps::{saved, signals, start_order};
use crate::described::update::{self, Action};
use crate::described::{self, Planned};
use crate::ecosystem::Plan;
use crate::launch::awaited::served;
use crate::launch::parent::summary;
use crate::launch::patience::Patience;
use crate::pm::call::Call;
use crate::pm::manage_verbs::ours;
use crate::pm::targets;
use crate::request::Description;

/// Reloads apps side by side, each in a process of its own, which says how it went; one that starts after others once these are
/// reloaded, and not at all where that failed: its old workers go on beside theirs. Each is given by the name of its
/// directory, and by the one that its user calls it. 1: one has failed; 124: one is not
/// waited for any longer.
pub(super) fn reload_all(call: &Call, names: &[(&str, &str)]) -> Result<u8, Failure> {
    let several = match names {
        [] => return Ok(0),
        [(one, _)] => return reload(call, one),
        several => several,
    };
    let home = crate::apps::home()?;
    let mut order = AppOrder::default();
    several.iter().for_each(|(name, _)| order.add(name, start_order::of_known(home.path(), name), false));
    let (mut children, mut begun, mut codes) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        while let Some(Refused { app, failed }) = order.take_refused() {
            report::fatal(
                format_args!("'{app}' is left as it is: the reload of '{failed}', which it starts after, has failed"),
                &[],
            );
            codes.push(1);
        }
        while let Some(turn) = order.take() {
            begun.extend(several.iter().find(|(name, _)| *name == turn.app).map(|(_, called)| format!("'{called}'")));
            children.push(begin_reload(call, turn.app)?);
        }
        if order.has_next() {
            continue;
        }
        if children.is_empty() {
            return Ok(if codes.contains(&EXIT_OWN) { EXIT_OWN } else { summary(&codes) });
        }
        let _parting = report::parting(&parting(&begun, &order.waiting()));
        let fds: Vec<_> = children.iter().map(|(_, _, pidfd)| pidfd.as_fd()).collect();
        wait_for_any(&[], &fds, None).or_fail(|| "cannot wait for the reloads".to_owned())?;
        children.retain(|(name, pid, _)| {
            let Some(exit) = process::reap(*pid) else { return true };
            codes.push(exit.code());
            match exit.code() {
                0 => order.reached(name, Stage::Ready),
                _ => order.failed(name),
            }
            false
        });
    }
}

/// What is said to who interrupts reloads.
fn parting(begun: &[String], waiting: &[&str]) -> String {
    let not_begun = if waiting.is_empty() { String::new() } else { format!(" (not begun: {})", waiting.join(", ")) };
    let begun = begun.join(", ");
    format!("not waited for any longer: the reloads of {begun} go on{not_begun}; pm list shows them")
}

/// Begins a reload in a process of its own.
fn begin_reload(call: &Call, name: String) -> Result<(String, i32, OwnedFd), Failure> {
    match daemon::fork().or_fail(|| "cannot fork".to_owned())? {
        Fork::Parent(child) => {
            let pid = child.as_raw();
            let pidfd = pidfd::open(pid).or_fail(|| format!("cannot watch process {pid}"))?;
            Ok((name, pid, pidfd))
        }
        Fork::Child => {
            // Who interrupts the wait means us all, and is told once.
            process::ends_with_its_parent();
            report::show_no_progress();
            let code = reload(call, &name).unwrap_or_else(|failure| {
                crate::apps::say(&failure);
                failure.code
            });
            std::process::exit(i32::from(code));
        }
    }
}

/// The reload that counts is one asked for after the last that is known now, and nobody else asks for one meanwhile.
fn reload(call: &Call, name: &str) -> Result<u8, Failure> {
    // A signal alone may be root's to another user's app.
    let writes = call.has("update-env") || call.has("moved");
    let home = if writes { ours()? } else { crate::apps::home()? };
    let _turn = Turns::of(&home, &[name.to_owned()]);
    let apps = targets::all()?;
    let Some(app) = apps.iter().find(|app| app.name == name) else { return Ok(1) };
    // Its new release may be the cure; else it is not said that old workers go on.
    if let Some(how) = targets::crashing(app) {
        report::warning(how);
    }
    // Its worker ends before the next one starts.
    if app.mode() == Some("fork")
        && let Err(failure) = saved::check_program(&home, name)
    {
        report::fatal(format_args!("app '{name}' is left running: {failure}"), &[]);
        return Ok(1);
    }
    let since = app.acting().and_then(|told| told.roll.as_ref()).map(|roll| roll.requested);
    let hup = Signal { number: nix::libc::SIGHUP as u8, word: "HUP".to_owned(), to_workers: false };
    let asked = || {
        if call.has("update-env") {
            saved::update_env(&home, name)?;
        }
        signals::reload(&home, name, &hup, call.has("moved"))?;
        let _parting =
            report::parting(&format!("not waited for any longer: the reload of '{name}' goes on; pm list shows it"));
        Wait { app: name.to_owned(), goal: Goal::Rolled { since }, timeout: None }.run(Some(&home))
    };
    if let Err(failure) = asked() {
        crate::apps::say(&failure);
        // Given up, it goes on; all else is said to have failed.
        return Ok(if failure.code == EXIT_TIMED_OUT { EXIT_TIMED_OUT } else { 1 });
    }
    // By what its new workers have shown, as after a start.
    let now = targets::all()?;
    let now = now.iter().find(|app| app.name == name);
    let workers: Vec<_> =
        now.map(|app| app.workers()).unwrap_or_default().into_iter().map(|(_, worker)| worker).collect();
    let served = served(now.and_then(|app| app.acting()), &workers);
    let listens = now.and_then(App::acting).is_some_and(|told| !told.addresses.is_empty());
    report::info(match app.mode() {
        Some("fork") if listens => format!(
            "restarted '{name}' with a gap: in fork mode a reload is a restart; in cluster mode it would lose no request \
             ({})",
            cluster_by(app)
        ),
        Some("fork") => format!("restarted '{name}': in fork mode a reload is a restart{served}"),
        _ => format!("reloaded '{name}'{served}"),
    });
    Ok(0)
}

/// How to have an app in cluster mode that is in fork mode.
fn cluster_by(app: &App) -> String {
    let config = crate::apps::home().ok().and_then(|home| Start::read(&home.dir(&app.name)?).ok()??.config);
    match config {
        Some(config) => format!("exec_mode: 'cluster' in {}, then pm restart that", config.display()),
        None => {
            let name = shell::quoted(app.called());
            format!("pm stop {name}, then pm start its script with --exec-mode cluster")
        }
    }
}

/// Rolls what runs of what a config file describes, and starts the rest; what a roll cannot change is left as it is, unless
/// the user forces it.
///
/// # Errors
/// 125: it describes none of the apps that are asked for.
pub(super) fn reload_described(
    call: &Call,
    asked: &Description,
    (apps, deploy): (&[Value], &Value),
    patience: &Patience,
) -> Result<u8, Failure> {
    reload_planned(call, asked, &Planned::of(asked, apps, deploy)?.in_order()?, patience)
}

/// Brings into force what the plans change of apps, by a reload where that is enough; without -f, what takes a restart is left.
pub(super) fn reload_planned(
    call: &Call,
    asked: &Description,
    planned: &Planned,
    patience: &Patience,
) -> Result<u8, Failure> {
    planned.warn_of_env();
    let (mut fresh, mut rolling, mut code): (Vec<&str>, Vec<&Plan>, u8) = (Vec::new(), Vec::new(), 0);
    let home = crate::apps::home()?;
    let mut failed = |failure: Failure| {
        report::fatal(failure, &[]);
        code = 1;
    };
    for plan in &planned.plans {
        let name = plan.start.name.as_str();
        match update::update(plan, &home) {
            Err(failure) => failed(Failure { message: format!("app '{name}': {failure}"), ..failure }),
            Ok(change) => match change.action {
                Action::Start => fresh.push(name),
                Action::Restart if call.has("force") => fresh.push(name),
                Action::Restart => {
                    let changed = change.changed.into_iter().collect::<Vec<_>>().join(", ");
                    failed(Failure::own(format!(
                        "'{name}' is left as it is: {changed} changed, which takes a restart, with a gap: pm restart, or -f"
                    )));
                }
                Action::Same | Action::Scale | Action::Reload => {
                    described::warn(plan);
                    rolling.push(plan);
                    if change.changed.contains("instances")
                        && let Err(failure) = scale::scale(&home, name, Scale::To(plan.workers))
                    {
                        failed(failure);
                    }
                }
            },
        }
    }
    if !fresh.is_empty() {
        let started = planned.start(|plan| fresh.contains(&plan.start.name.as_str()), asked, patience)?;
        code = summary(&[code, started]);
    }
    let rolling: Vec<_> = rolling.iter().map(|plan| (plan.start.name.as_str(), plan.start.called())).collect();
    Ok(summary(&[code, u8::from(planned.failed > 0), reload_all(call, &rolling)?]))
}
