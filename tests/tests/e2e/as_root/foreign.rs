//! root in the PM_HOME of another user, who has planted links, FIFOs and other processes' numbers in it: root looks, and
//! writes, empties, removes and ends nothing but what that user could.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::signal::Signal::{SIGCONT, SIGSTOP};
use pm_tests::front::{Front, Said};
use pm_tests::{proc, wait};

use crate::orphans::supervisors;

/// The user whose PM_HOME it is.
pub(super) const THEIRS: u32 = 65534;
/// What root's file holds that others want to have overwritten.
const SECRET: &str = "root's own\n";

/// The PM_HOME of a user with an app that runs, and a file of root's beside it.
struct Theirs {
    front: Front,
    victim: PathBuf,
}

impl Theirs {
    fn new() -> Self {
        let front = Front::new();
        front.scene.open_to_all();
        let victim = front.scene.file("victim", SECRET);
        let theirs = Self { front, victim };
        let said = theirs.as_owner(&["start", "app.js", "-i", "1", "--name", "web"]);
        assert_eq!(said.code, 0, "{said:?}");
        theirs
    }

    fn home(&self) -> PathBuf {
        self.front.scene.dir().join("pm")
    }

    fn app(&self) -> PathBuf {
        self.home().join("web")
    }

    /// Runs `pm ...` as the owner.
    fn as_owner(&self, args: &[&str]) -> Said {
        let pm = self.front.scene.dir().join("front/pm").display().to_string();
        let ids = format!("--reuid={THEIRS}");
        let words = ["setpriv", &ids, "--regid=65534", "--clear-groups", &pm];
        let output = self.front.scene.command(&[&words, args].concat()).output().expect("setpriv");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Plants a link to root's file.
    fn plant(&self, name: &str) {
        let path = self.home().join(name);
        let _ = std::fs::remove_file(&path);
        symlink(&self.victim, &path).expect("planted");
        std::os::unix::fs::lchown(&path, Some(THEIRS), Some(THEIRS)).expect("given away");
    }

    /// Replaces a file of the app by the owner's own.
    fn write(&self, name: &str, text: &str) {
        let path = self.app().join(name);
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, text).expect("written");
        chown(&path, Some(THEIRS), Some(THEIRS)).expect("given away");
    }

    /// Nothing of root's was written over, and nothing of root's is left in the place.
    #[track_caller]
    fn unharmed(&self, what: &str) {
        assert_eq!(std::fs::read_to_string(&self.victim).expect("there"), SECRET, "{what}");
        let roots = files(&self.home()).into_iter().filter(|path| {
            let found = path.symlink_metadata();
            found.is_ok_and(|found| found.uid() == 0)
        });
        assert_eq!(roots.collect::<Vec<_>>(), Vec::<PathBuf>::new(), "{what}: root's files are left");
    }
}

/// All that is in a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .flat_map(|e| [vec![e.path()], if e.path().is_symlink() { vec![] } else { files(&e.path()) }].concat())
        .collect()
}

#[test]
fn what_would_write_is_refused_and_says_as_whom_to_do_it() {
    let theirs = Theirs::new();
    for name in ["web/.workers", "web/.reset", "web/.start.json.new", ".saved", ".turns", ".ids", "web/.trial.new"] {
        theirs.plant(name);
    }
    let start = std::fs::read_to_string(theirs.app().join("start.json")).expect("there");
    theirs.write("start.json", &start.replace("\"out\":null", &format!("\"out\":{:?}", theirs.victim)));
    let worker = theirs.front.pids("web");
    for line in [
        "scale web 2",
        "scale web +1",
        "reset web",
        "flush web",
        "flush",
        "save",
        "save --force",
        "cleardump",
        "restart web",
        "start app.js -n other",
        "delete web",
        "reload web --update-env",
    ] {
        let said = theirs.front.line(line);
        assert_ne!(said.code, 0, "{line}: {said:?}");
        let told = format!("belongs to user {THEIRS}");
        assert!(
            said.err.contains(&told) && said.err.contains(&format!("setpriv --reuid={THEIRS}")),
            "{line}: {said:?}"
        );
        theirs.unharmed(line);
        assert_eq!(theirs.front.pids("web"), worker, "{line}");
    }
}

#[test]
fn who_looks_is_not_held_up_by_what_is_planted() {
    let theirs = Theirs::new();
    let fifo = |name: &str| {
        let path = theirs.home().join(name);
        let _ = std::fs::remove_file(&path);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("made");
        chown(&path, Some(THEIRS), Some(THEIRS)).expect("given away");
    };
    for name in [
        "web/start.json",
        "web/pid",
        "web/reset",
        "web/restarts",
        "web/workers",
        "web/status.d/pm-cluster.1",
        ".samples",
        "web/out.log",
        "web/err.log",
    ] {
        fifo(name);
    }
    for (line, code) in [("list", 0), ("jlist", 0), ("describe web", 0), ("id web", 0), ("pid web", 0), ("logs web", 1)]
    {
        let said = timed(&theirs, line);
        assert_eq!(said.code, code, "{line}: {said:?}");
        theirs.unharmed(line);
    }
    // What is no log is told of, and not opened; one that names a file of root's is none either.
    let text =
        format!("{{\"schema\":1,\"name\":\"web\",\"argv\":[],\"cwd\":\"/\",\"env\":{{}},\"out\":{:?}}}", theirs.victim);
    theirs.write("start.json", &text);
    let said = timed(&theirs, "logs web --nostream");
    assert_eq!((said.err.matches("is not shown").count(), said.out.as_str()), (2, ""), "{said:?}");
    theirs.write("err.log", "to be seen\n");
    let said = timed(&theirs, "logs web --nostream");
    assert!(said.out.ends_with("to be seen\n") && !said.out.contains(SECRET), "{said:?}");
    let said = theirs.front.scene.command(&["timeout", "20", "pm-stat", "--check", "web"]).output().expect("runs");
    assert_eq!(said.status.code(), Some(0), "{said:?}");
}

/// Runs `pm ...`, which may not take for ever.
fn timed(theirs: &Theirs, line: &str) -> Said {
    let pm = theirs.front.scene.dir().join("front/pm").display().to_string();
    let words: Vec<&str> = ["timeout", "-k", "1", "60", &pm].into_iter().chain(line.split(' ')).collect();
    let output = theirs.front.scene.command(&words).output().expect("timeout");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}

#[test]
fn a_reload_by_root_works_and_no_planted_number_makes_root_signal_another() {
    let theirs = Theirs::new();
    let before = theirs.front.pids("web");
    theirs.front.ok("reload web");
    assert_ne!(theirs.front.pids("web"), before);
    theirs.unharmed("reload");
    // A process of root's, named as a worker by a status file that is otherwise true.
    let mut victim = theirs.front.scene.command(&["sleep", "1000"]).stdin(Stdio::null()).spawn().expect("sleep");
    let start = proc_start(victim.id());
    // The supervisors are suspended, so that none writes over what is planted. The name is whole: a spare lies beside.
    let chain = supervisors(&theirs.front, "web");
    chain.iter().for_each(|pid| proc::send(*pid, SIGSTOP));
    wait::until("them to be suspended", || chain.iter().all(|pid| proc::state(*pid) == Some('T')).then_some(()));
    let cluster = chain.iter().find(|pid| proc::name(**pid) == "pm-cluster").expect("a cluster");
    let file = theirs.app().join(format!("status.d/pm-cluster.{cluster}"));
    let text = std::fs::read_to_string(&file).expect("read");
    let head = text.lines().next().expect("a line");
    let planted = format!(
        "{head}\n{{\"kind\":\"worker\",\"slot\":0,\"generation\":9,\"state\":\"ready\",\"pid\":{},\"start\":{start}}}\n",
        victim.id()
    );
    std::fs::write(&file, planted).expect("planted");
    let said = theirs.front.line("sendSignal KILL web");
    assert_ne!(said.code, 0, "{said:?}");
    assert!(victim.try_wait().expect("ours").is_none(), "root killed its own process");
    std::fs::write(&file, text).expect("put back");
    chain.iter().for_each(|pid| proc::send(*pid, SIGCONT));
    victim.kill().expect("killed");
    victim.wait().expect("ended");
    // The lock of a process of root's, under the name of the app's.
    let lock = theirs.home().join("mine");
    std::fs::create_dir(&lock).expect("made");
    chown(&lock, Some(THEIRS), Some(THEIRS)).expect("given away");
    let mut holder = roots_lock(&theirs, &lock);
    let said = theirs.front.scene.command(&["pm-fork", "--signal", "KILL", "mine"]).output().expect("runs");
    assert!(!said.status.success(), "{said:?}");
    assert!(holder.try_wait().expect("ours").is_none(), "root killed its own process: {said:?}");
    holder.kill().expect("killed");
    holder.wait().expect("ended");
}

pub(super) fn proc_start(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("alive");
    stat.rsplit(')')
        .next()
        .and_then(|rest| rest.split_whitespace().nth(19))
        .and_then(|n| n.parse().ok())
        .expect("a time")
}

/// A process of root's that holds the lock of an app of another home, and a hard link to that lock in `dir`.
fn roots_lock(theirs: &Theirs, dir: &Path) -> std::process::Child {
    let home = theirs.front.scene.dir().join("roots");
    let mut command = theirs.front.scene.command(&["pm-restart", "--name", "mine", "sleep", "1000"]);
    let holder = command.env("PM_HOME", &home).stdin(Stdio::null()).spawn().expect("pm-restart");
    let lock = home.join("mine/lock");
    wait::until("its lock", || lock.exists().then_some(()));
    wait::until("its status", || files(&home.join("mine/status.d")).first().map(drop));
    std::fs::hard_link(&lock, dir.join("lock")).expect("linked");
    holder
}

/// A lock outlives its process in one that shares its descriptors (CLONE_FILES): its number is nobody's.
#[test]
fn a_lock_of_a_process_that_is_gone_holds_nobody_up() {
    let theirs = Theirs::new();
    let mine = theirs.home().join("mine");
    std::fs::create_dir(&mine).expect("made");
    chown(&mine, Some(THEIRS), Some(THEIRS)).expect("given away");
    let script = "import ctypes, fcntl, os, platform, sys\n\
        lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)\n\
        fcntl.lockf(lock, fcntl.LOCK_EX)\n\
        clone = {'x86_64': 56}.get(platform.machine(), 220)\n\
        child = ctypes.CDLL(None).syscall(clone, 0x400 | 17, 0, 0, 0, 0)\n\
        if child: os._exit(0)\n\
        sys.stdin.read()\n";
    let lock = mine.join("lock").display().to_string();
    let words = ["python3", "-c", script, &lock];
    let mut holder = theirs.front.scene.command(&words).stdin(Stdio::piped()).spawn().expect("setpriv");
    // The end of this pipe ends the one that has the lock.
    let stdin = holder.stdin.take();
    assert!(holder.wait().expect("ours").success());
    let words = ["timeout", "20", "pm-fork", "--signal", "USR1", "mine"];
    let said = theirs.front.scene.command(&words).output().expect("timeout");
    let err = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.code() == Some(1) && err.contains("no process can be found"), "{said:?}");
    drop(stdin);
}

/// The directory itself may be what leads elsewhere.
#[test]
fn a_link_of_another_user_in_place_of_pm_home_or_of_an_app_is_not_followed() {
    let front = Front::new();
    front.scene.open_to_all();
    let roots = front.scene.dir().join("roots");
    let run = |home: &Path, words: &[&str]| {
        let output = front.scene.command(words).env("PM_HOME", home).output().expect("runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, err) = run(&roots, &["pm-fork", "--name", "mine", "node", "idle.js"]);
    assert_eq!(code, Some(0), "{err}");
    let link = front.scene.dir().join("link");
    symlink(&roots, &link).expect("linked");
    std::os::unix::fs::lchown(&link, Some(THEIRS), None).expect("given away");
    let theirs = front.scene.dir().join("theirs");
    std::fs::create_dir(&theirs).expect("made");
    symlink(roots.join("mine"), theirs.join("mine")).expect("linked");
    chown(&theirs, Some(THEIRS), None).expect("given away");
    std::os::unix::fs::lchown(theirs.join("mine"), Some(THEIRS), None).expect("given away");
    let pid = std::fs::read_to_string(roots.join("mine/pid")).expect("runs");
    let pid: u32 = pid.trim().parse().expect("a pid");
    for home in [&link, &theirs] {
        for words in [["pm-fork", "--signal", "KILL", "mine"], ["pm-fork", "--scale", "3", "mine"]] {
            let (code, err) = run(home, &words);
            assert!(code != Some(0) && proc::alive(pid), "{words:?} {}: {err}", home.display());
        }
    }
    assert!(!roots.join("mine/workers").exists());
}

/// A link to our own place is ours to make.
#[test]
fn a_home_that_is_a_link_of_ours_is_as_good_as_what_it_leads_to() {
    let front = Front::new();
    let there = front.scene.dir().join("there");
    std::fs::create_dir(&there).expect("made");
    symlink(&there, front.scene.dir().join("pm")).expect("linked");
    front.ok("start idle.js");
    front.ok("save");
    assert!(there.join(".saved").exists() && there.join(".samples").exists());
    front.ok("delete all");
    assert!(!there.join("idle").exists());
}

/// One large file under a thousand names: each is read anew, as a state of its own.
#[test]
fn who_looks_is_not_held_up_by_a_thousand_files_of_state() {
    let theirs = Theirs::new();
    let dir = theirs.home().join("large/status.d");
    std::fs::create_dir_all(&dir).expect("made");
    let head = "{\"kind\":\"supervisor\",\"schema\":1,\"app\":\"large\",\"tool\":\"pm-cluster\",\"version\":\"0\",\
                \"pid\":4000000,\"start\":5,\"state\":\"ready\",\"since_ms\":1,\"workers\":1,\"ready\":1,\"policy\":{},\
                \"addresses\":[]}\n";
    let worker = "{\"kind\":\"worker\",\"slot\":0,\"generation\":1,\"state\":\"ready\",\"pid\":4000000,\"start\":5}\n";
    let first = dir.join("pm-cluster.4000000");
    std::fs::write(&first, format!("{head}{}", worker.repeat(40_000))).expect("written");
    for number in 1..1000 {
        std::fs::hard_link(&first, dir.join(format!("pm-cluster.{number}"))).expect("linked");
    }
    for path in [&theirs.home().join("large"), &dir, &first] {
        chown(path, Some(THEIRS), Some(THEIRS)).expect("given away");
    }
    for line in ["list", "describe large"] {
        let said = timed(&theirs, line);
        assert_eq!(said.code, 0, "{line}: {said:?}");
    }
}

/// Who may write in PM_HOME could exchange what we make there: the sticky bit keeps them from it.
#[test]
fn a_home_that_others_may_write_gets_the_sticky_bit_or_is_refused() {
    let front = Front::new();
    let home = front.scene.dir().join("pm");
    std::fs::create_dir(&home).expect("made");
    std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o777)).expect("ours");
    front.ok("start idle.js");
    assert_eq!(home.metadata().expect("there").permissions().mode() & 0o7777, 0o1777);
    front.ok("reset idle");
}
