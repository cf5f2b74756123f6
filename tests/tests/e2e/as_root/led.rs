//! Root runs the app of another user (`uid`), whose directory that user can exchange for links at any moment: root writes,
//! empties, reads and gives away nothing by them that the user could not.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use pm_tests::front::Front;
use pm_tests::wait;

use super::foreign::THEIRS;

/// What root's file holds.
const SECRET: &str = "TOKEN=roots-own\n";

/// A directory of another user, and a file that is root's alone.
struct Led {
    front: Front,
    theirs: PathBuf,
    secret: PathBuf,
}

impl Led {
    fn new() -> Self {
        let front = Front::new();
        front.scene.open_to_all();
        let [theirs, roots] = ["theirs", "roots"].map(|name| front.scene.dir().join(name));
        std::fs::create_dir(&theirs).expect("made");
        chown(&theirs, Some(THEIRS), Some(THEIRS)).expect("given away");
        std::fs::create_dir(&roots).expect("made");
        std::fs::set_permissions(&roots, PermissionsExt::from_mode(0o700)).expect("ours");
        let secret = roots.join("secret");
        std::fs::write(&secret, SECRET).expect("written");
        std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).expect("ours");
        Self { front, theirs, secret }
    }

    /// Has the user put a link there.
    fn plant(&self, name: &str, to: &str) {
        // Never for a moment a link of root's under that name, which would be followed.
        let link = self.theirs.join("link");
        symlink(self.secret.with_file_name(to), &link).expect("linked");
        lchown(&link, Some(THEIRS), Some(THEIRS)).expect("given away");
        std::fs::rename(&link, self.theirs.join(name)).expect("put there");
    }

    /// Root's file is as it was, and nothing is beside it.
    #[track_caller]
    fn unharmed(&self, what: &str) {
        let found = std::fs::metadata(&self.secret).expect("there");
        let text = std::fs::read_to_string(&self.secret).expect("there");
        assert_eq!((text.as_str(), found.uid(), found.mode() & 0o7777), (SECRET, 0, 0o600), "{what}");
        let beside = std::fs::read_dir(self.secret.parent().expect("above")).expect("read").count();
        assert_eq!(beside, 1, "{what}: root has made a file");
    }

    fn owner(&self, name: &str) -> u32 {
        std::fs::symlink_metadata(self.theirs.join(name)).expect("there").uid()
    }
}

#[test]
fn a_rotation_neither_writes_to_nor_gives_away_what_a_new_link_leads_to() {
    let led = Led::new();
    let log = led.theirs.join("out.log");
    let script = "import os, sys\nwhile True:\n try: os.symlink(sys.argv[1], sys.argv[2])\n except OSError: pass\n";
    let ids = [format!("--reuid={THEIRS}"), format!("--regid={THEIRS}")];
    let [secret, path] = [&led.secret, &log].map(|path| path.display().to_string());
    let words = ["setpriv", &ids[0], &ids[1], "--clear-groups", "/usr/bin/python3", "-c", script, &secret, &path];
    let words_of_log = ["pm-log", "--out", &path, "--max-size", "4K", "--keep", "2"];
    let mut writer = led.front.scene.command(&words_of_log).stdin(Stdio::piped()).spawn().expect("pm-log");
    let mut lines = writer.stdin.take().expect("piped");
    wait::until("the log", || log.exists().then_some(()));
    let mut attacker = led.front.scene.command(&words).spawn().expect("setpriv");
    let line = format!("{}\n", "x".repeat(1023)).repeat(4);
    wait::until("a link where the log was", || {
        lines.write_all(line.as_bytes()).expect("written");
        log.is_symlink().then_some(())
    });
    attacker.kill().expect("killed");
    attacker.wait().expect("ended");
    lines.write_all(b"the last\n").expect("written");
    drop(lines);
    assert!(writer.wait().expect("ended").success());
    led.unharmed("rotated");
    // A link in its place is moved out of the way as the log would be.
    let logs = ["out.log", "out.log.1", "out.log.2"].map(|name| led.theirs.join(name));
    let logs = logs.iter().filter(|path| !path.is_symlink()).filter_map(|path| std::fs::read(path).ok());
    assert_eq!(logs.filter(|text| text.ends_with(b"the last\n")).count(), 1, "no line is lost");
}

#[test]
fn logs_of_an_app_with_a_uid_are_its_users_and_lead_root_nowhere() {
    let led = Led::new();
    let dir = led.theirs.display().to_string();
    let _ = led.front.scene.file("ticks.js", "setInterval(() => { console.log('out'); console.error('err') }, 1)");
    let start =
        |more: &str| led.front.line(&format!("start ticks.js --uid {THEIRS} -o {dir}/out.log -e {dir}/err.log{more}"));
    for (name, to) in [("out.log", "secret"), ("err.log", "new")] {
        led.plant(name, to);
        for more in ["", " --time"] {
            let said = start(more);
            let told = format!("{dir}/{name} is a link of user {THEIRS}, with whose rights alone it is followed");
            assert!(said.code != 0 && said.err.contains(&told), "{said:?}");
            led.unharmed(name);
        }
        std::fs::remove_file(led.theirs.join(name)).expect("removed");
    }
    let said = start(" --time");
    assert_eq!((said.code, led.owner("out.log"), led.owner("err.log")), (0, THEIRS, THEIRS), "{said:?}");
    led.plant("out.log", "secret");
    let said = led.front.line("flush ticks");
    assert!(said.code != 0 && said.err.contains("is a link of user"), "{said:?}");
    led.unharmed("flush");
    // Its pm-log finds the link at the next line of the one stream, and goes on with the other.
    let err = led.theirs.join("err.log");
    wait::until("more lines", || (std::fs::metadata(&err).ok()?.len() > 4 << 10).then_some(()));
    led.unharmed("a line");
    let said = led.front.line("restart ticks");
    assert!(said.code != 0 && said.err.contains("left running") && said.err.contains("is a link of user"), "{said:?}");
    led.unharmed("restart");
    led.front.ok("delete ticks");
}

/// What root has set up for such an app stays as it is.
#[test]
fn logs_in_a_directory_of_roots_and_by_a_link_of_roots_are_written() {
    let led = Led::new();
    let logs = led.front.scene.dir().join("logs");
    std::fs::create_dir(&logs).expect("made");
    symlink(&logs, led.theirs.join("logs")).expect("linked");
    std::fs::write(led.theirs.join("err.log"), "").expect("made");
    let dir = led.theirs.display().to_string();
    led.front.ok(&format!("start idle.js --uid {THEIRS} -o {dir}/logs/out.log -e {dir}/err.log"));
    for path in [logs.join("out.log"), led.theirs.join("err.log")] {
        wait::until("a line", || std::fs::read_to_string(&path).is_ok_and(|text| !text.is_empty()).then_some(()));
        assert_eq!(std::fs::metadata(path).expect("there").uid(), 0);
    }
    led.front.ok("flush idle");
    led.front.ok("delete idle");
}

#[test]
fn variables_are_not_read_through_a_link_that_the_user_could_not_follow() {
    let led = Led::new();
    let mark = led.theirs.join("mark");
    let script =
        format!("require('fs').writeFileSync({mark:?}, process.env.TOKEN ?? ''); setInterval(() => {{}}, 1e6)");
    std::fs::write(led.theirs.join("app.js"), script).expect("written");
    led.plant(".env", "secret");
    let described = format!(
        "[{{\"script\":\"app.js\",\"cwd\":{:?},\"env_file\":\".env\",\"uid\":\"{THEIRS}\"}}]",
        led.theirs.display().to_string()
    );
    let _ = led.front.scene.file("apps.json", &described);
    let said = led.front.line("start apps.json");
    assert!(said.code != 0 && said.err.contains(&format!(".env is a link of user {THEIRS}")), "{said:?}");
    assert!(!mark.exists(), "{said:?}");
    // The same for a supervisor, which reads it at each reload.
    let file = led.theirs.join(".env").display().to_string();
    let words = ["timeout", "20", "pm-restart", "--env-file", &file, "--restart", "never", "env"];
    let output = led.front.scene.command(&words).output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(!text.contains("roots-own") && text.contains("is a link of user"), "{text}");
    // The user's own file is read, and one of root's that root has linked there.
    std::fs::remove_file(&file).expect("removed");
    symlink(&led.secret, &file).expect("linked");
    led.front.ok("start apps.json");
    wait::until("the app", || (std::fs::read_to_string(&mark).ok()? == "roots-own").then_some(()));
    led.front.ok("delete app");
}

/// What would run at boot, or every night, as root.
#[test]
fn neither_a_unit_nor_rules_of_roots_are_made_for_a_home_of_another_user() {
    let led = Led::new();
    for verb in ["startup", "logrotate"] {
        let told = |user: &str, home: &Path| {
            let words = [verb, "--print", "-u", user];
            let output = led.front.command(&words).env("PM_HOME", home).output().expect("pm runs");
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let link = led.theirs.join("link");
        let _ = std::fs::remove_file(&link);
        led.plant("link", ".");
        for home in [&led.theirs, &link] {
            let (code, err) = told("root", home);
            assert!(code == Some(1) && err.contains("belongs to user 65534"), "{verb} {}: {err}", home.display());
        }
        assert_eq!(told("nobody", &led.theirs).0, Some(0));
        assert_eq!(told("root", led.secret.parent().expect("above")).0, Some(0));
    }
}
