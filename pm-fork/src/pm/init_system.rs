//! What starts the machine, where that is not systemd: how it is found, and the files that have it bring apps back.
//!
//! The supervisors of apps live on by themselves: none of these systems has a process of theirs to watch.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use pm_common::cli::shell;

/// A system that starts a machine's services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Init {
    Systemd,
    OpenRc,
    Runit,
    S6,
}

/// Whose apps are brought back, and how.
#[derive(Debug)]
pub(super) struct Apps {
    /// The name of the service.
    pub(super) name: String,
    pub(super) user: String,
    /// The program `pm`.
    pub(super) pm: String,
    pub(super) path: String,
    pub(super) pm_home: String,
    /// After the network is up.
    pub(super) wait_ip: bool,
}

/// A file of a service.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ServiceFile {
    pub(super) path: PathBuf,
    pub(super) executable: bool,
    pub(super) text: String,
}

impl Init {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Systemd, "systemd"), (Self::OpenRc, "openrc"), (Self::Runit, "runit"), (Self::S6, "s6")];

    /// The word for it.
    pub(super) fn word(self) -> &'static str {
        Self::ALL.into_iter().find(|(init, _)| *init == self).map_or("", |(_, word)| word)
    }

    pub(super) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, known)| *known == word).map(|(init, _)| init)
    }

    /// What runs this machine, and what shows it. `None`: nothing that is known.
    pub(super) fn found() -> Option<(Self, String)> {
        let first = std::fs::read_to_string("/proc/1/comm").unwrap_or_default();
        Self::found_in(Path::new("/"), first.trim())
    }

    /// What runs a machine whose files are below `root` and whose first process is called `first`.
    fn found_in(root: &Path, first: &str) -> Option<(Self, String)> {
        let marks = [
            (Self::Systemd, "run/systemd/system"),
            (Self::OpenRc, "run/openrc"),
            (Self::Runit, "run/runit"),
            (Self::Runit, "run/runit.stopit"),
            (Self::S6, "run/s6"),
            (Self::S6, "run/s6-rc"),
        ];
        let there = marks.into_iter().find(|(_, mark)| root.join(mark).exists());
        let called = |begin: &str| first.starts_with(begin).then(|| format!("process 1 is {first}"));
        there
            .map(|(init, mark)| (init, format!("there is /{mark}")))
            .or_else(|| Some((Self::Runit, called("runit")?)))
            .or_else(|| Some((Self::S6, called("s6-")?)))
    }

    /// The directory that runit looks for services in.
    pub(super) fn runit_services() -> Option<PathBuf> {
        ["/var/service", "/etc/service", "/service"].map(PathBuf::from).into_iter().find(|dir| dir.is_dir())
    }
}

impl Apps {
    /// The files that have the system bring them back; systemd's is a matter of its own.
    pub(super) fn files(&self, init: Init) -> Vec<ServiceFile> {
        let file = |path: String, executable, text| ServiceFile { path: path.into(), executable, text };
        let name = &self.name;
        match init {
            Init::Systemd => Vec::new(),
            Init::OpenRc => vec![file(format!("/etc/init.d/{name}"), true, self.openrc())],
            Init::Runit => vec![
                file(format!("/etc/sv/{name}/run"), true, self.runit()),
                file(format!("/etc/sv/{name}/finish"), true, format!("#!/bin/sh\n{}\n", self.as_user("kill"))),
            ],
            Init::S6 => {
                let of = |what: &str| format!("/etc/s6-rc/source/{name}/{what}");
                vec![
                    file(of("type"), false, "oneshot\n".to_owned()),
                    file(of("up"), false, format!("{}\n", self.execline("resurrect; test $? -le 1"))),
                    file(of("down"), false, format!("{}\n", self.execline("kill"))),
                ]
            }
        }
    }

    /// The call of pm for a shell of its user.
    fn call(&self, verb: &str) -> String {
        let [path, home, pm] = [&self.path, &self.pm_home, &self.pm].map(|word| shell::quoted(word));
        format!("PATH={path} PM_HOME={home} {pm} --silent {verb}")
    }

    fn as_user(&self, verb: &str) -> String {
        format!("su -s /bin/sh {} -c {}", shell::quoted(&self.user), shell::quoted(&self.call(verb)))
    }

    /// The call for execlineb(1), which knows no other quotes.
    fn execline(&self, verb: &str) -> String {
        let call = self.call(verb).replace('\\', "\\\\").replace('"', "\\\"");
        format!("su -s /bin/sh {} -c \"{call}\"", self.user)
    }

    fn openrc(&self) -> String {
        let user = &self.user;
        let network = if self.wait_ip { "need net" } else { "use net" };
        let mut text = format!(
            "#!/sbin/openrc-run\n\
             description=\"Apps of {user}, kept by pm\"\n\
             extra_started_commands=\"reload\"\n\
             rc_ulimit=\"-n 1048576\"\n\
             \n\
             depend() {{\n\tneed localmount\n\t{network}\n\tuse dns logger\n\tafter firewall\n}}\n"
        );
        // An app that did not come back (1) is no reason to end the others.
        for (function, doing, verb, after) in [
            ("start", "Starting", "resurrect", "\n\t[ $? -le 1 ]"),
            ("stop", "Stopping", "kill", ""),
            ("reload", "Reloading", "reload all", ""),
        ] {
            let call = self.as_user(verb);
            let _ = write!(
                text,
                "\n{function}() {{\n\tebegin \"{doing} the apps of {user}\"\n\t{call}{after}\n\teend $?\n}}\n"
            );
        }
        text
    }

    /// A script that waits for its end only, which runit's `finish` makes that of the apps.
    fn runit(&self) -> String {
        format!(
            "#!/bin/sh\n# Apps of {}, kept by pm: their supervisors live on by themselves.\nexec 2>&1\n\
             ulimit -n 1048576 2>/dev/null\n{}\nexec tail -f /dev/null\n",
            self.user,
            self.as_user("resurrect")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apps() -> Apps {
        let text = str::to_owned;
        let (name, user, pm) = (text("pm-web"), text("web"), text("/usr/bin/pm"));
        Apps { name, user, pm, path: text("/usr/bin:/bin"), pm_home: text("/home/it's me/.pm"), wait_ip: false }
    }

    #[test]
    fn a_system_is_known_by_what_it_leaves_in_run_or_by_the_first_process() {
        let root = tempfile::tempdir().expect("a directory");
        let found = |first: &str| Init::found_in(root.path(), first).map(|(init, _)| init);
        assert_eq!(found("bash"), None);
        assert_eq!(found("s6-svscan"), Some(Init::S6));
        assert_eq!(found("runit"), Some(Init::Runit));
        for (mark, init) in [("run/s6-rc", Init::S6), ("run/runit", Init::Runit), ("run/openrc", Init::OpenRc)] {
            std::fs::create_dir_all(root.path().join(mark)).expect("made");
            assert_eq!(found("init"), Some(init), "{mark}");
        }
        std::fs::create_dir_all(root.path().join("run/systemd/system")).expect("made");
        assert_eq!(Init::found_in(root.path(), "x"), Some((Init::Systemd, "there is /run/systemd/system".to_owned())));
    }

    #[test]
    fn the_scripts_are_such_as_a_shell_reads() {
        for init in [Init::OpenRc, Init::Runit] {
            for ServiceFile { path, text, executable } in apps().files(init) {
                let mut shell = std::process::Command::new("sh");
                let script = tempfile::NamedTempFile::new().expect("a file");
                std::fs::write(script.path(), &text).expect("written");
                let status = shell.arg("-n").arg(script.path()).status().expect("sh runs");
                assert!(status.success() && executable, "{}:\n{text}", path.display());
                assert!(text.contains("su -s /bin/sh web -c 'PATH=/usr/bin:/bin PM_HOME="), "{text}");
            }
        }
        let s6 = apps().files(Init::S6);
        assert_eq!(s6[0].text, "oneshot\n");
        assert!(s6[1].text.ends_with("/usr/bin/pm --silent resurrect; test $? -le 1\"\n"), "{}", s6[1].text);
    }
}
