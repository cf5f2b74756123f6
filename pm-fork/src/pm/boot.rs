//! What has to be said to the system once, by root: that a user's saved apps come back after a boot, that logs are rotated.
//!
//! Who is not root is told what to type.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{Group, User, geteuid};
use pm_common::app::home;
use pm_common::cli::options::{Opt, opt, switch};
use pm_common::cli::report::{self, Failure, OrFail as _};
use pm_common::cli::shell;

use crate::pm::call::Call;
use crate::pm::init_system::{Apps, Init, ServiceFile};

/// The options of all three verbs.
pub(crate) const OPTIONS: &[Opt] = &[
    opt("user", "USER", "whose apps [who runs this, or sudo]").short('u'),
    opt("hp", "HOME", "the home of that user"),
    opt("service-name", "NAME", "of the unit [pm-USER]"),
    switch("wait-ip", "at boot, after the network is up"),
    switch("print", "write nothing, print what would be written"),
];

/// What starts machines elsewhere, as PM2 calls it; all that begins with `ubuntu`, too.
const OTHERS: &str = "upstart systemv launchd darwin rcd rcd-openbsd smf centos redhat gentoo amazon";
/// The directory that is there while systemd runs the machine (sd_booted(3)).
const BOOTED: &str = "/run/systemd/system";

/// Whose apps they are, and what is written for them.
struct Boot<'a> {
    call: &'a Call,
    user: String,
    their_home: String,
    pm_home: String,
    /// The name of the unit, and of the rules.
    name: String,
    /// The program `pm`.
    pm: String,
    path: String,
    init: Init,
    /// What shows that it is this one, where nobody has said so.
    shown: Option<String>,
}

impl<'a> Boot<'a> {
    fn of(call: &'a Call) -> Result<Self, Failure> {
        let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let ours = || User::from_uid(geteuid()).ok().flatten().map(|user| user.name);
        let text = |option: &str| call.text(option).map(|value| value.map(str::to_owned));
        let user = text("user")?.or_else(|| var("SUDO_USER")).or_else(ours).unwrap_or_else(|| geteuid().to_string());
        let pm = std::env::current_exe().or_fail(|| "cannot find pm itself".to_owned())?.display().to_string();
        if let Some(other) = call.targets.iter().find(|word| Init::from_word(word).is_none()) {
            let known = OTHERS.split(' ').any(|known| known == other) || other.starts_with("ubuntu");
            return Err(fatal(if known {
                format!(
                    "{other} is not supported, systemd, openrc, runit and s6 are; elsewhere have it run as {user} at boot: {pm} resurrect"
                )
            } else {
                format!("{} takes no '{other}': see pm {0} --help", call.verb.name)
            }));
        }
        // Who asks for himself means the home that his other verbs go by, too.
        let own = var("HOME").filter(|home| Path::new(home).is_absolute() && ours().as_ref() == Some(&user));
        let known = || User::from_name(&user).ok().flatten().map(|user| user.dir.display().to_string());
        let their_home =
            text("hp")?.or(own).or_else(known).ok_or_else(|| fatal(format!("there is no user '{user}'")))?;
        let pm_home = var("PM_HOME").unwrap_or_else(|| format!("{their_home}/.pm"));
        let name = text("service-name")?.unwrap_or_else(|| format!("pm-{user}"));
        let (init, shown) = match (call.targets.iter().find_map(|word| Init::from_word(word)), Init::found()) {
            (Some(asked), _) => (asked, None),
            (None, Some((found, why))) => (found, Some(why)),
            (None, None) => (Init::Systemd, None),
        };
        Ok(Self { call, user, their_home, pm_home, name, pm, path: var("PATH").unwrap_or_default(), init, shown })
    }

    /// What root runs at boot, or every night, is led nowhere by the owner of another directory.
    fn check(self) -> Result<Self, Failure> {
        if let Some(user) = User::from_name(&self.user).ok().flatten() {
            home::check_for(Path::new(&self.pm_home), user.uid.as_raw())?;
        }
        Ok(self)
    }

    fn unit_path(&self) -> PathBuf {
        PathBuf::from(format!("/etc/systemd/system/{}.service", self.name))
    }

    /// The unit is active once all are back, and the supervisors live on; at the stop they end their workers in order, and
    /// systemd only what was left then. An app that did not come back (1), or ran out of memory, is no reason to end the
    /// others. Restart= would be of no use: systemd has no process to watch, and each pm-restart is one that watches.
    fn unit(&self) -> String {
        let online = if self.call.has("wait-ip") { "network-online.target" } else { "" };
        let (user, pm) = (&self.user, exec_word(&self.pm));
        let (path, home) = (quoted(&format!("PATH={}", self.path)), quoted(&format!("PM_HOME={}", self.pm_home)));
        format!(
            "[Unit]\n\
             Description=Apps of {user}, kept by pm\n\
             Documentation=man:pm(1)\n\
             After=network.target {online}\n\
             Wants={online}\n\
             \n\
             [Service]\n\
             Type=oneshot\n\
             RemainAfterExit=yes\n\
             User={user}\n\
             Environment={path} {home}\n\
             ExecStart={pm} --silent resurrect\n\
             SuccessExitStatus=1\n\
             ExecReload={pm} --silent reload all\n\
             ExecStop={pm} --silent kill\n\
             TimeoutStopSec=5min\n\
             KillMode=control-group\n\
             OOMPolicy=continue\n\
             LimitNOFILE=1048576\n\
             LimitNPROC=infinity\n\
             LimitCORE=infinity\n\
             TasksMax=infinity\n\
             \n\
             [Install]\n\
             WantedBy=multi-user.target\n"
        )
    }

    /// With copytruncate, because what an app has open nobody can exchange.
    fn rotation(&self) -> Result<String, Failure> {
        let user = User::from_name(&self.user).ok().flatten();
        let user = user.ok_or_else(|| fatal(format!("there is no user '{}'", self.user)))?;
        let group = Group::from_gid(user.gid).ok().flatten().map_or_else(|| user.gid.to_string(), |group| group.name);
        let (home, user) = (&self.pm_home, &self.user);
        Ok(format!(
            "\"{home}\"/*/out.log \"{home}\"/*/err.log {{\n    su {user} {group}\n    weekly\n    rotate 12\n    \
             missingok\n    notifempty\n    compress\n    delaycompress\n    copytruncate\n}}\n"
        ))
    }

    fn apps(&self) -> Apps {
        Apps {
            name: self.name.clone(),
            user: self.user.clone(),
            pm: self.pm.clone(),
            path: self.path.clone(),
            pm_home: self.pm_home.clone(),
            wait_ip: self.call.has("wait-ip"),
        }
    }

    /// Has what is no systemd bring the apps back.
    fn startup_elsewhere(&self) -> Result<u8, Failure> {
        let files = self.apps().files(self.init);
        if self.call.has("print") || self.init == Init::S6 {
            // One alone is printed as it is to stand in its place.
            let text: String = match files.as_slice() {
                [one] => one.text.clone(),
                _ => files.iter().map(|file| format!("# {}\n{}\n", file.path.display(), file.text)).collect(),
            };
            report::print(&text)?;
            if self.init == Init::S6 {
                report::info(
                    "nothing was written: put these files where your s6-rc reads its services, and compile that",
                );
            }
            return Ok(0);
        }
        self.need_root()?;
        let services = self.services()?;
        for ServiceFile { path, executable, text } in &files {
            let dir = path.parent().unwrap_or(Path::new("/"));
            std::fs::create_dir_all(dir).or_fail(|| format!("cannot make {}", dir.display()))?;
            write(path, text)?;
            let mode = if *executable { 0o755 } else { 0o644 };
            let set = std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode));
            set.or_fail(|| format!("cannot write {}", path.display()))?;
        }
        match services {
            None => run("rc-update", &["add", &self.name, "default"])?,
            Some(services) => {
                let (link, dir) = (services.join(&self.name), format!("/etc/sv/{}", self.name));
                if link.symlink_metadata().is_err() {
                    std::os::unix::fs::symlink(dir, &link).or_fail(|| format!("cannot make {}", link.display()))?;
                }
            }
        }
        let path = files.first().map(|file| file.path.display().to_string()).unwrap_or_default();
        report::info(format_args!("wrote {path}; what pm save saves will be started at boot"));
        Ok(0)
    }

    /// The directory of runit's services; `None`: openrc has a command of its own.
    fn services(&self) -> Result<Option<PathBuf>, Failure> {
        let (pm, user, word) = (&self.pm, &self.user, self.init.word());
        let none = || fatal(format!("there is no {word} here; have it run as {user} at boot: {pm} resurrect"));
        match self.init {
            Init::Runit => Init::runit_services().map(Some).ok_or_else(none),
            Init::Systemd | Init::OpenRc | Init::S6 => {
                let there =
                    ["/sbin/rc-update", "/usr/bin/rc-update", "/bin/rc-update"].iter().any(|p| Path::new(p).exists());
                if there { Ok(None) } else { Err(none()) }
            }
        }
    }

    /// Takes that back.
    fn unstartup_elsewhere(&self) -> Result<u8, Failure> {
        let (name, word) = (&self.name, self.init.word());
        let place = match self.init {
            Init::Systemd | Init::OpenRc => format!("/etc/init.d/{name}"),
            Init::Runit => format!("/etc/sv/{name}"),
            Init::S6 => format!("/etc/s6-rc/source/{name}"),
        };
        let link = Init::runit_services().map(|dir| dir.join(name)).filter(|_| self.init == Init::Runit);
        let before = match (&link, self.init) {
            (_, Init::OpenRc) => format!("rc-update del {name} default\n"),
            (Some(link), _) => format!("rm {}\n", link.display()),
            (None, _) => String::new(),
        };
        if self.call.has("print") || self.init == Init::S6 {
            return report::print(&format!("{before}rm -r {place}\n"));
        }
        self.need_root()?;
        if !Path::new(&place).exists() {
            return Err(fatal(format!("there is no {place}")));
        }
        if self.init == Init::OpenRc {
            run("rc-update", &["del", name, "default"])?;
        }
        let removed = link.filter(|link| link.symlink_metadata().is_ok()).map_or(Ok(()), std::fs::remove_file);
        let all =
            || if Path::new(&place).is_dir() { std::fs::remove_dir_all(&place) } else { std::fs::remove_file(&place) };
        removed.and_then(|()| all()).or_fail(|| format!("cannot remove {place}"))?;
        report::info(format_args!("removed {place}; {word} starts nothing at boot"));
        Ok(0)
    }

    /// Who is not root is told what root is to type.
    fn need_root(&self) -> Result<(), Failure> {
        if geteuid().is_root() {
            return Ok(());
        }
        let home = std::env::var("PM_HOME").ok().filter(|home| !home.is_empty()).map(|home| format!("PM_HOME={home}"));
        let path = format!("PATH={}", self.path);
        let words = [&path].into_iter().chain(&home);
        let verb =
            [&self.pm, self.call.verb.name, "-u", &self.user, "--hp", &self.their_home, "--service-name", &self.name];
        let words = words.map(String::as_str).chain(verb).chain(self.call.has("wait-ip").then_some("--wait-ip"));
        let words = words.chain(self.call.targets.iter().map(String::as_str));
        let line: String = words.map(|word| format!(" {}", shell::quoted(word))).collect();
        report::fatal("only root can do that; copy and paste:", &[]);
        report::print(&format!("sudo env{line}\n"))?;
        Err(Failure::with_code(1, ""))
    }
}

/// Has the saved apps brought back at boot.
pub(crate) fn startup(call: &Call) -> Result<u8, Failure> {
    let boot = Boot::of(call)?.check()?;
    if let Some(why) = &boot.shown {
        report::info(format_args!("this machine is started by {}: {why}", boot.init.word()));
    }
    if boot.init != Init::Systemd {
        return boot.startup_elsewhere();
    }
    if call.has("print") {
        return report::print(&boot.unit());
    }
    boot.need_root()?;
    let (unit, pm, user) = (boot.unit_path(), &boot.pm, &boot.user);
    if !Command::new("systemctl").arg("--version").output().is_ok_and(|said| said.status.success()) {
        return Err(fatal(format!("there is no systemd here; have it run as {user} at boot: {pm} resurrect")));
    }
    write(&unit, &boot.unit())?;
    reload_systemd()?;
    systemctl(&["enable", &format!("{}.service", boot.name)])?;
    let unit = unit.display();
    if Path::new(BOOTED).is_dir() {
        report::info(format_args!("wrote {unit}; what pm save saves will be started at boot"));
    } else {
        report::warning(format_args!(
            "wrote {unit}, but systemd does not run here: where something else starts the machine, have that run as \
             {user}: {pm} resurrect"
        ));
    }
    Ok(0)
}

/// Takes that back.
pub(crate) fn unstartup(call: &Call) -> Result<u8, Failure> {
    let boot = Boot::of(call)?;
    if boot.init != Init::Systemd {
        return boot.unstartup_elsewhere();
    }
    let (unit, service) = (boot.unit_path(), format!("{}.service", boot.name));
    if call.has("print") {
        let path = unit.display();
        return report::print(&format!("systemctl disable {service}\nrm {path}\nsystemctl daemon-reload\n"));
    }
    boot.need_root()?;
    if !unit.is_file() {
        return Err(fatal(format!("there is no {}", unit.display())));
    }
    systemctl(&["disable", &service])?;
    std::fs::remove_file(&unit).or_fail(|| format!("cannot remove {}", unit.display()))?;
    reload_systemd()?;
    report::info(format_args!("removed {}; nothing is started at boot", unit.display()));
    Ok(0)
}

/// Has logrotate rotate the logs.
pub(crate) fn logrotate(call: &Call) -> Result<u8, Failure> {
    let boot = Boot::of(call)?.check()?;
    let rules = boot.rotation()?;
    if call.has("print") {
        return report::print(&rules);
    }
    boot.need_root()?;
    if !Path::new("/etc/logrotate.d").is_dir() {
        return Err(fatal("there is no /etc/logrotate.d: install logrotate first".to_owned()));
    }
    let path = PathBuf::from(format!("/etc/logrotate.d/{}", boot.name));
    write(&path, &rules)?;
    report::info(format_args!("wrote {}", path.display()));
    Ok(0)
}

fn fatal(message: String) -> Failure {
    Failure::with_code(1, message)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).or_fail(|| format!("cannot write {}", path.display()))
}

fn systemctl(words: &[&str]) -> Result<(), Failure> {
    run("systemctl", words)
}

/// Runs a command, which says itself what is wrong.
fn run(command: &str, words: &[&str]) -> Result<(), Failure> {
    let status = Command::new(command).args(words).status().or_fail(|| format!("cannot run {command}"))?;
    if status.success() { Ok(()) } else { Err(Failure::with_code(1, "")) }
}

/// Has systemd look at its units, if it runs here.
fn reload_systemd() -> Result<(), Failure> {
    if Path::new(BOOTED).is_dir() { systemctl(&["daemon-reload"]) } else { Ok(()) }
}

/// A word of a unit, in which `%` and `\` mean something (systemd.syntax(7)).
fn quoted(word: &str) -> String {
    let word = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('\n', "\\n");
    format!("\"{word}\"")
}

/// A word of a command in a unit, in which `$` does, too (systemd.service(5)).
fn exec_word(word: &str) -> String {
    quoted(word).replace('$', "$$")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_a_unit_means_itself() {
        assert_eq!(quoted("100% \"odd\" \\ $home\n"), r#""100%% \"odd\" \\ $home\n""#);
        assert_eq!(exec_word("$x"), "\"$$x\"");
    }
}
