use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::process::{Child, ChildStdin, Command, Stdio};

use super::*;

fn words(all: &[&str]) -> Vec<OsString> {
    all.iter().map(OsString::from).collect()
}

/// An environment of these variables alone.
fn env_of(pairs: &[(&str, &Path)]) -> impl Fn(&str) -> Option<OsString> + use<> {
    let pairs: Vec<_> = pairs.iter().map(|(k, v)| ((*k).to_owned(), v.as_os_str().to_owned())).collect();
    move |name| pairs.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone())
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("is there").mode() & 0o7777
}

#[test]
fn names_that_no_app_can_have() {
    let long = "x".repeat(121);
    for bad in ["", ".", "..", ".app", "a/b", "/", "a\nb", "a\0b", "a\u{7f}b", "a\u{85}b", &long] {
        assert!(check_name(bad).is_err(), "{bad:?}");
        let failure = name::explicit(Some(bad), &[]).expect_err("refused");
        assert_eq!(failure.code, 125, "{bad:?}");
    }
    for good in ["app", "my app", "größe", "日本", "a.b", "-x", "~", "app-2"] {
        assert_eq!(check_name(good), Ok(()), "{good:?}");
    }
}

#[test]
fn a_name_is_implied_by_the_first_file() {
    let there = tempfile::tempdir().expect("a directory");
    let path = |name: &str| there.path().join(name).display().to_string();
    for name in ["app.js", "my app.mjs", "größe.py", "x\ny.js", "server", "prod.env", "preload.js", ".hidden.js"] {
        std::fs::write(path(name), "").expect("written");
    }
    for name in ["node", "python3.11", "serve"] {
        std::fs::write(path(name), "").expect("written");
        std::fs::set_permissions(path(name), PermissionsExt::from_mode(0o755)).expect("executable");
    }
    let implied = |all: &[&str]| implied_name(&words(all));
    let app = path("app.js");
    assert_eq!(implied(&["pm-cluster", "-n", "0", "node", &app]), "app");
    assert_eq!(implied(&["node", &app, &path("server")]), "app");
    assert_eq!(implied(&[&path("node"), &app]), "app", "an interpreter by its path is not the app");
    assert_eq!(implied(&["pm-cluster", &path("python3.11"), &app]), "app", "a version is no extension");
    assert_eq!(implied(&["pm-cluster", &path("serve"), "--port", "80"]), "serve", "unless nothing else is");
    assert_eq!(implied(&["pm-cluster", &path("python3.11"), "-m", "http.server"]), "python3");
    assert_eq!(implied(&["node", &path("server")]), "server", "a script without extension");
    assert_eq!(implied(&[&app]), "app", "the script as the program");
    assert_eq!(implied(&["pm-cluster", "--env-file", &path("prod.env"), "-n4", "node", &app]), "app");
    assert_eq!(implied(&["node", "-r", &path("preload.js"), &app]), "app");
    assert_eq!(implied(&["/usr/local/bin/pm-cluster", "--", "node", "nowhere.js"]), "node");
    assert_eq!(implied(&["node", &there.path().display().to_string()]), "node", "a directory is no file");
    assert_eq!(implied(&["node", &path("my app.mjs")]), "my app");
    assert_eq!(implied(&["node", &path("größe.py")]), "größe");
    assert_eq!(implied(&["node", &path("x\ny.js")]), "x-y");
    assert_eq!(implied(&["node", &path(".hidden.js")]), "hidden");
    assert_eq!(implied(&[]), "app");
    assert_eq!(implied(&["pm-cluster", "-n", "2"]), "app");
}

#[test]
fn any_text_gives_a_name_that_can_be_had() {
    use std::os::unix::ffi::OsStrExt as _;
    let long = "ü".repeat(300);
    for raw in [&b"a\xffb"[..], b"..", b"\n", b"/", b"", long.as_bytes()] {
        let name = implied_name(&[std::ffi::OsStr::from_bytes(raw).to_owned()]);
        assert_eq!(check_name(&name), Ok(()), "{name:?}");
        assert_eq!(check_name(&format!("{name}-1000")), Ok(()), "with a number: {name:?}");
    }
}

#[test]
fn the_chain_may_hold_the_name() {
    let given = |own: Option<&str>, all: &[&str]| name::explicit(own, &words(all)).map_err(|e| e.code);
    assert_eq!(given(None, &["pm-cluster", "-n", "2", "--name", "web", "node", "x"]), Ok(Some("web".to_owned())));
    assert_eq!(given(None, &["env", "A=1", "/opt/pm-cluster", "--name=web", "node"]), Ok(Some("web".to_owned())));
    let after_switch = ["pm-cluster", "--no-preload", "--name", "web", "node", "x"];
    assert_eq!(given(None, &after_switch), Ok(Some("web".to_owned())), "a switch has no value");
    assert_eq!(given(Some("own"), &["pm-cluster", "--name", "web"]), Ok(Some("own".to_owned())));
    assert_eq!(given(None, &["pm-cluster", "node", "x", "--name", "theirs"]), Ok(None), "an option of the app");
    assert_eq!(given(None, &["pm-cluster", "--", "--name", "web"]), Ok(None));
    assert_eq!(given(None, &["pm-cluster", "--name", "a/b", "node"]), Err(125));
}

#[test]
fn the_home_is_found() {
    let found = |pairs: &[(&str, &str)]| {
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| (*k, Path::new(v))).collect();
        Home::find(env_of(&pairs)).map(|h| h.path)
    };
    assert_eq!(found(&[("PM_HOME", "/x"), ("HOME", "/y")]), Some("/x".into()));
    let home = tempfile::tempdir().expect("a directory");
    let at = home.path().to_str().expect("UTF-8");
    assert_eq!(found(&[("PM_HOME", ""), ("HOME", at)]), Some(home.path().join(".pm")));
    let here = std::env::current_dir().expect("a directory");
    assert_eq!(found(&[("PM_HOME", "rel")]), Some(here.join("rel")));
    let passwd = pm_home::home_of_passwd().map(|h| h.join(".pm"));
    assert_eq!(found(&[]), passwd);
    assert_eq!(found(&[("HOME", "relative")]), passwd);
}

#[test]
fn the_directory_and_its_files_are_for_us_alone() {
    let home = tempfile::tempdir().expect("a directory");
    let below = home.path().join("a/b");
    let env = env_of(&[("PM_HOME", &below)]);
    let app = AppDir::enter(Some("web"), &[], &env).expect("entered");
    let dir = below.join("web");
    assert_eq!((app.name(), app.dir(), app.holds_lock()), ("web", Some(dir.as_path()), true));
    assert_eq!((mode(&dir), mode(&dir.join("lock")), mode(&dir.join("pid"))), (0o700, 0o600, 0o600));
    assert_eq!(std::fs::read_to_string(dir.join("pid")).expect("read"), format!("{}\n", std::process::id()));
    assert_eq!(app.env_for_children(), [(APP, "web".into()), (DIR, dir.clone().into_os_string())]);
    drop(app);
    assert!(!dir.join("pid").exists(), "no pid after a clean end");
    // One that was left open to others is closed again.
    std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o755)).expect("changed");
    let _app = AppDir::enter(Some("web"), &[], &env).expect("entered again");
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(Home::find(&env).expect("set").apps().expect("read"), ["web"]);
}

#[test]
fn without_a_place_to_write_the_work_goes_on() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let env = env_of(&[("PM_HOME", &file.path().join("below"))]);
    for explicit in [None, Some("web")] {
        let app = AppDir::enter(explicit, &words(&["web"]), &env).expect("goes on");
        assert_eq!((app.name(), app.dir(), app.holds_lock()), ("web", None, false));
        assert_eq!(app.env_for_children(), [(APP, "web".into()), (DIR, OsString::new())]);
    }
    // The link below is told that there is none, and looks for none.
    let inner = env_of(&[("PM_HOME", Path::new("/never/made")), (APP, Path::new("web")), (DIR, Path::new(""))]);
    let app = AppDir::enter(None, &words(&["other"]), inner).expect("goes on");
    assert_eq!((app.name(), app.dir()), ("web", None));
}

#[test]
fn another_users_directory_is_not_used() {
    if !nix::unistd::geteuid().is_root() {
        return; // Only root can give a directory away.
    }
    let home = tempfile::tempdir().expect("a directory");
    let pm = home.path().join(".pm");
    for foreign in [pm.clone(), pm.join("web")] {
        std::fs::create_dir_all(pm.join("web")).expect("made");
        std::fs::write(pm.join("web/lock"), "").expect("made");
        std::os::unix::fs::chown(&foreign, Some(65534), None).expect("given away");
        let failure = AppDir::enter(Some("web"), &[], env_of(&[("PM_HOME", &pm)])).expect_err("refused");
        assert_eq!(failure.code, 125);
        assert!(failure.message.contains("65534"), "{failure}");
        let app = AppDir::enter(Some("web"), &[], env_of(&[("HOME", home.path())])).expect("goes on");
        assert_eq!(app.dir(), None);
        assert_eq!(AppDir::handed_down("web", &pm.join("web")).is_some_and(|a| a.dir().is_none()), foreign != pm);
        std::fs::remove_dir_all(&pm).expect("removed");
    }
}

#[test]
fn a_link_to_elsewhere_is_not_followed() {
    let home = tempfile::tempdir().expect("a directory");
    let elsewhere = tempfile::tempdir().expect("a directory");
    std::os::unix::fs::symlink(elsewhere.path(), home.path().join("web")).expect("linked");
    let app = AppDir::enter(Some("web"), &[], env_of(&[("PM_HOME", home.path())])).expect("goes on");
    assert_eq!(app.dir(), None);
    assert_eq!(std::fs::read_dir(elsewhere.path()).expect("read").count(), 0);
}

/// Not a test: the body of the other processes below. It enters, says how that went, and stays until its stdin ends.
#[test]
#[ignore = "run by the tests below, in a process of its own"]
fn another_process() {
    let env = |name: &str| std::env::var_os(name);
    if env("TEST_OTHER").is_none() {
        return;
    }
    let explicit = std::env::var("TEST_NAME").ok();
    let chain: Vec<OsString> = env("TEST_CHAIN").into_iter().collect();
    let outcome = AppDir::enter(explicit.as_deref(), &chain, env);
    let said = match &outcome {
        Ok(app) => format!("\nentered {} {}\n", app.name(), app.holds_lock()),
        Err(failure) => format!("\nrefused {} {failure}\n", failure.code),
    };
    io::stdout().write_all(said.as_bytes()).expect("said");
    let mut line = String::new();
    io::stdin().read_line(&mut line).expect("read");
}

struct Other {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<std::process::ChildStdout>,
    said: String,
}

impl Other {
    fn start(home: &Path, vars: &[(&str, &str)]) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this"));
        command.args(["--exact", "app::home::tests::another_process", "--ignored", "--nocapture"]);
        command.env_remove(APP).env_remove(DIR).env("PM_HOME", home).env("TEST_OTHER", "1").envs(vars.iter().copied());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        Self { stdin: child.stdin.take(), stdout, child, said: String::new() }
    }

    /// What it said: `entered NAME HOLDS_LOCK` or `refused CODE MESSAGE`.
    fn said(&mut self) -> &str {
        while !["entered", "refused"].iter().any(|word| self.said.starts_with(word)) {
            self.said.clear();
            assert_ne!(self.stdout.read_line(&mut self.said).expect("read"), 0, "it ended without a word");
        }
        self.said.trim_end()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.child.wait();
    }
}

#[test]
fn an_implied_name_that_is_taken_gets_a_number_and_an_explicit_one_is_refused() {
    let home = tempfile::tempdir().expect("a directory");
    let mut first = Other::start(home.path(), &[("TEST_NAME", "web")]);
    assert_eq!(first.said(), "entered web true");
    let env = env_of(&[("PM_HOME", home.path())]);
    let second = AppDir::enter(None, &words(&["web"]), &env).expect("entered");
    assert_eq!(second.name(), "web-2");
    let namesake = Namesake { name: "web".to_owned(), pid: i32::try_from(first.child.id()).ok() };
    assert_eq!(second.namesake(), Some(&namesake), "who has the name");
    let failure = AppDir::enter(Some("web"), &[], &env).expect_err("refused");
    assert_eq!(failure.code, 125);
    assert!(failure.message.contains(&format!("pid={}", first.child.id())), "{failure}");
    assert_eq!(holder(&home.path().join("web")).expect("a lock"), Some(Some(first.child.id() as i32)));
    drop(first);
    assert_eq!(holder(&home.path().join("web")).expect("a lock"), None);
    let again = AppDir::enter(Some("web"), &[], &env).expect("free again");
    assert_eq!(again.name(), "web");
}

#[test]
fn of_many_that_start_at_once_each_gets_a_name_of_its_own() {
    let home = tempfile::tempdir().expect("a directory");
    let mut all: Vec<_> = (0..12).map(|_| Other::start(home.path(), &[("TEST_CHAIN", "web")])).collect();
    let mut names: Vec<_> = all.iter_mut().map(|o| o.said().to_owned()).collect();
    names.sort();
    let mut wanted: Vec<_> = (2..=12).map(|n| format!("entered web-{n} true")).collect();
    wanted.push("entered web true".to_owned());
    wanted.sort();
    assert_eq!(names, wanted);
}

#[test]
fn of_many_that_want_one_name_one_gets_it() {
    let home = tempfile::tempdir().expect("a directory");
    let mut all: Vec<_> = (0..8).map(|_| Other::start(home.path(), &[("TEST_NAME", "web")])).collect();
    let entered = all.iter_mut().filter_map(|o| o.said().starts_with("entered").then_some(())).count();
    assert_eq!(entered, 1);
    assert!(all.iter_mut().all(|o| o.said().starts_with("entered") || o.said().starts_with("refused 125")));
}

#[test]
fn a_link_below_the_holder_joins_it() {
    let home = tempfile::tempdir().expect("a directory");
    let env = env_of(&[("PM_HOME", home.path())]);
    let outer = AppDir::enter(Some("web"), &[], &env).expect("entered");
    let dir = outer.dir().expect("a directory").display().to_string();
    let handed = [("PM_APP", "web"), ("PM_DIR", dir.as_str())];
    assert_eq!(Other::start(home.path(), &handed).said(), "entered web false");
    let same = [handed.as_slice(), &[("TEST_NAME", "web")]].concat();
    assert_eq!(Other::start(home.path(), &same).said(), "entered web false");
    // The same without the variables, which an `env -i` between takes away.
    assert_eq!(Other::start(home.path(), &[("TEST_CHAIN", "web")]).said(), "entered web false");
    // Another name on purpose is another app.
    let other = [handed.as_slice(), &[("TEST_NAME", "api")]].concat();
    assert_eq!(Other::start(home.path(), &other).said(), "entered api true");
    drop(outer);
    // The variables outlived the one that set them: the directory is free, so this is the outermost now.
    assert_eq!(Other::start(home.path(), &handed).said(), "entered web true");
}

#[test]
fn variables_of_an_app_that_is_not_above_are_not_believed() {
    let home = tempfile::tempdir().expect("a directory");
    let mut stranger = Other::start(home.path(), &[("TEST_NAME", "web")]);
    assert_eq!(stranger.said(), "entered web true");
    let dir = home.path().join("web");
    let handed = env_of(&[("PM_HOME", home.path()), (APP, Path::new("web")), (DIR, &dir)]);
    let app = AppDir::enter(None, &words(&["x"]), handed).expect("entered");
    assert_eq!((app.name(), app.holds_lock()), ("web-2", true));
}

#[test]
fn an_app_of_its_own_does_not_join_the_one_above() {
    let home = tempfile::tempdir().expect("a directory");
    let env = env_of(&[("PM_HOME", home.path()), (APP, Path::new("web")), (DIR, &home.path().join("web"))]);
    let app = AppDir::found(None, &words(&["pm-restart", "prog"]), env, false).expect("entered");
    assert_eq!((app.name(), app.holds_lock()), ("prog", true));
}

#[test]
fn a_directory_that_the_environment_names_is_not_changed_unless_it_is_an_apps() {
    let home = tempfile::tempdir().expect("a directory");
    let www = home.path().join("www");
    std::fs::create_dir(&www).expect("made");
    std::fs::set_permissions(&www, PermissionsExt::from_mode(0o755)).expect("set");
    assert!(AppDir::handed_down("www", &www).is_none(), "no lock: no app's directory");
    assert!(AppDir::handed_down("web", &www).is_none(), "another name");
    assert_eq!(std::fs::metadata(&www).expect("there").mode() & 0o777, 0o755);
    assert_eq!(std::fs::read_dir(&www).expect("there").count(), 0);
}

#[test]
fn a_directory_that_is_required_and_cannot_be_had_is_a_failure() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("file");
    std::fs::write(&file, "").expect("written");
    let env = env_of(&[("PM_HOME", &file)]);
    assert_eq!(AppDir::found(None, &words(&["web"]), &env, false).expect("without").dir(), None);
    let failure = AppDir::found(None, &words(&["web"]), &env, true).expect_err("required");
    assert_eq!(failure.code, 125);
    assert!(failure.message.contains("set PM_HOME to"), "{failure}");
}

/// Whatever stands in the place of our file: it is no file of ours, and nobody may ever read from it.
#[test]
fn a_fifo_in_place_of_the_pid_holds_nobody_up() {
    let place = tempfile::tempdir().expect("a directory");
    let env = env_of(&[("PM_HOME", place.path())]);
    let pid = place.path().join("app/pid");
    std::fs::create_dir(place.path().join("app")).expect("made");
    nix::unistd::mkfifo(&pid, nix::sys::stat::Mode::S_IRWXU).expect("made");
    let app = AppDir::enter(Some("app"), &words(&["x"]), env).expect("entered");
    assert!(app.holds_lock());
    assert_eq!(std::fs::read_to_string(&pid).expect("read"), format!("{}\n", std::process::id()));
    nix::unistd::mkfifo(&place.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("made");
    assert!(create_file(&place.path().join("fifo")).is_err());
}
