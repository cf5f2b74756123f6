use super::*;
use std::process::Command;
use tempfile::TempDir;

fn passable() -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("chmod");
    dir
}

fn copied(parent: &Path) -> Preload {
    Preload { place: copied_or_inline(&[parent.to_owned()]), parents: vec![parent.to_owned()] }
}

fn get<'a>(env: &'a [(OsString, OsString)], name: &str) -> &'a str {
    let found = env.iter().find(|(key, _)| key == name);
    found.and_then(|(_, value)| value.to_str()).unwrap_or_else(|| panic!("no {name} in {env:?}"))
}

/// What a plain Node process prints that runs with this environment: NODE_OPTIONS and PM_PRELOAD as the app sees them.
fn seen_by_node(env: Vec<(OsString, OsString)>) -> String {
    let program = "console.log(process.env.NODE_OPTIONS, process.env.PM_PRELOAD, process.env.PM_LINGER_MS)";
    let ran =
        Command::new("node").args(["-e", program]).env_remove("NODE_OPTIONS").envs(env).output().expect("node runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8_lossy(&ran.stdout).trim().to_owned()
}

fn install(prefix: &Path, content: &str) -> (PathBuf, PathBuf) {
    let (bin, share) = (prefix.join("bin"), prefix.join("share/pm"));
    fs::create_dir_all(&bin).expect("made");
    fs::create_dir_all(&share).expect("made");
    let file = share.join(FILE);
    fs::write(&file, content).expect("written");
    for path in [prefix, &bin, &prefix.join("share"), &share] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).expect("chmod");
    }
    fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("chmod");
    (bin, file)
}

#[test]
fn the_installed_file_is_used() {
    let prefix = passable();
    let (bin, file) = install(prefix.path(), SCRIPT);
    assert_eq!(installed_beside(&bin), file.canonicalize().ok());
}

#[test]
fn an_installed_file_that_differs_or_is_closed_is_not() {
    let prefix = passable();
    let (bin, file) = install(prefix.path(), "throw new Error('another version')");
    assert_eq!(installed_beside(&bin), None);
    fs::write(&file, SCRIPT).expect("written");
    for (path, mode) in [(&file, 0o600), (&file, 0o666), (&prefix.path().join("share"), 0o700)] {
        let before = fs::metadata(path).expect("there").permissions();
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
        assert_eq!(installed_beside(&bin), None, "{} {mode:o}", path.display());
        fs::set_permissions(path, before).expect("chmod");
    }
    assert!(installed_beside(&bin).is_some());
}

#[test]
fn a_copy_is_readable_by_all_and_goes_with_its_owner() {
    let parent = passable();
    let preload = copied(parent.path());
    let Place::Copied(copy) = &preload.place else { panic!("no copy: {preload:?}") };
    let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o7777;
    assert_eq!((mode(&copy.dir), mode(&copy.file())), (0o755, 0o444));
    assert_eq!(fs::read_to_string(copy.file()).expect("readable"), SCRIPT);
    drop(preload);
    assert_eq!(fs::read_dir(parent.path()).expect("readable").count(), 0);
}

#[test]
fn a_directory_that_others_cannot_pass_or_could_tamper_with_is_left_out() {
    for mode in [0o700, 0o777, 0o775] {
        let parent = passable();
        fs::set_permissions(parent.path(), Permissions::from_mode(mode)).expect("chmod");
        assert!(matches!(copied(parent.path()).place, Place::Inline), "{mode:o}");
        assert_eq!(fs::read_dir(parent.path()).expect("readable").count(), 0, "{mode:o}");
    }
    let parent = passable();
    fs::set_permissions(parent.path(), Permissions::from_mode(0o1777)).expect("chmod");
    assert!(matches!(copied(parent.path()).place, Place::Copied(_)));
}

#[test]
fn a_copy_that_was_swept_away_is_made_again() {
    let mut preload = copied(passable().path());
    preload.parents = temporary_directories();
    let env = preload.env(None, &[], Some(Span::secs(6)), false);
    seen_by_node(env);
}

#[test]
fn node_reads_it_whatever_the_path_and_leaves_no_trace() {
    let parent = passable();
    let odd = parent.path().join("a \"b\" \\c 'd' $HOME");
    fs::create_dir(&odd).expect("made");
    fs::set_permissions(&odd, Permissions::from_mode(0o755)).expect("chmod");
    let mut preload = copied(&odd);
    let env = preload.env(None, &[], Some(Span::secs(6)), false);
    assert_eq!((get(&env, "NODE_OPTIONS"), get(&env, "PM_LINGER_MS")), (get(&env, "PM_PRELOAD"), "6000"));
    assert_eq!(seen_by_node(env), "undefined undefined undefined");
    let env = preload.env(Some(OsStr::new("--no-warnings --max-old-space-size=99")), &[], Some(Span::ZERO), false);
    assert_eq!(seen_by_node(env), "--no-warnings --max-old-space-size=99 undefined undefined");
}

#[test]
fn without_a_file_it_is_in_the_environment() {
    let mut preload = Preload { place: Place::Inline, parents: Vec::new() };
    let env = preload.env(Some(OsStr::new("--no-warnings")), &[], Some(Span::millis(10)), false);
    let added = get(&env, "PM_PRELOAD");
    assert!(added.starts_with(" --import data:") && !added[1..].contains(['"', '\\', '\n', '#', '?']), "{added}");
    assert!(added.len() < 32 << 10, "{} bytes", added.len());
    assert_eq!(get(&env, "NODE_OPTIONS"), format!("--no-warnings{added}"));
    assert_eq!(seen_by_node(env), "--no-warnings undefined undefined");
}

#[test]
fn where_the_app_may_read_few_files_it_is_in_the_environment() {
    let parent = passable();
    let mut preload = copied(parent.path());
    let restricted = [OsString::from("node"), OsString::from("--experimental-permission")];
    assert!(
        get(&preload.env(None, &restricted, Some(Span::ZERO), false), "NODE_OPTIONS").starts_with("--import data:")
    );
    let options = OsStr::new("--experimental-permission");
    assert!(
        get(&preload.env(Some(options), &[], Some(Span::ZERO), false), "PM_PRELOAD").starts_with(" --import data:")
    );
    let free = [OsString::from("node"), OsString::from("--permission")];
    assert!(get(&preload.env(None, &free, Some(Span::ZERO), false), "PM_PRELOAD").starts_with("--require \""));
}

#[test]
fn turned_off_it_sets_nothing() {
    assert_eq!(Preload::off().env(Some(OsStr::new("--no-warnings")), &[], Some(Span::ZERO), false), []);
}

#[test]
fn this_machine_has_a_place() {
    assert!(matches!(Preload::place().place, Place::Copied(_) | Place::Installed(_)));
}

#[test]
fn what_a_killed_supervisor_left_is_removed_and_nothing_else() {
    let parent = passable();
    let mut child = Command::new("true").spawn().expect("runs");
    let dead = Maker { pid: i32::try_from(child.id()).expect("a pid"), ..Maker::us() };
    child.wait().expect("reaped");
    let elsewhere = Maker { namespace: 1, ..Maker { pid: dead.pid, ..Maker::us() } };
    let make = |name: String| {
        let copy = Copy { dir: parent.path().join(name) };
        fs::create_dir(&copy.dir).expect("made");
        copy.fill().expect("filled");
        std::mem::ManuallyDrop::new(copy).dir.clone()
    };
    let random = "-0123456789abcdef";
    let left = make(format!("{PREFIX}{dead}{random}"));
    let kept = [
        make(format!("{PREFIX}{}{random}", Maker::us())),
        make(format!("{PREFIX}{elsewhere}{random}")),
        make(format!("{PREFIX}{dead}")),
        make(format!("other-{dead}{random}")),
    ];
    let link = parent.path().join(format!("{PREFIX}{dead}-fedcba9876543210"));
    std::os::unix::fs::symlink(&kept[3], &link).expect("linked");
    let copy = Copy::make(parent.path()).expect("made");
    assert!(!left.exists(), "its maker is dead");
    assert!(kept.iter().all(|dir| dir.join(FILE).exists()) && link.is_symlink());
    assert_eq!(Maker::of(copy.dir.file_name().expect("a name")), Some(Maker::us()));
}

#[test]
fn a_place_that_was_lacking_for_a_moment_is_found_later() {
    let parent = passable();
    fs::set_permissions(parent.path(), Permissions::from_mode(0o700)).expect("chmod");
    let mut preload = copied(parent.path());
    let option = |preload: &mut Preload| preload.option(false).expect("a script");
    assert!(option(&mut preload).starts_with("--import"));
    fs::set_permissions(parent.path(), Permissions::from_mode(0o755)).expect("chmod");
    assert!(option(&mut preload).starts_with("--require"));
}
