//! `scripts/install` into a directory of its own, what it has put there, and the completions.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pm_common::cli::tables;
use pm_tests::bins;
use pm_tests::chain::Chain;
use pm_tests::scene::Scene;

const TOOLS: [&str; 5] = ["pm-fork", "pm-log", "pm-restart", "pm-cluster", "pm-stat"];
const BASH: &str = include_str!("../../../scripts/completions/pm.bash");
const FISH: &str = include_str!("../../../scripts/completions/pm.fish");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The binaries that were built for the tests; a prefix below the test's directory.
fn install(scene: &Scene, args: &[&str]) -> Output {
    let mut command = Command::new(root().join("scripts/install"));
    scene.apply(&mut command);
    command.args(args).output().expect("runs")
}

#[track_caller]
fn installed(scene: &Scene) -> PathBuf {
    let tools = bins::tools();
    let output = install(scene, &["--from", tools.to_str().expect("UTF-8"), "my prefix"]);
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && errors.is_empty(), "{said}{errors}");
    assert!(said.lines().count() <= 3 && said.contains("not in your PATH yet: PATH="), "{said}");
    scene.dir().join("my prefix")
}

fn files(below: &Path) -> BTreeSet<PathBuf> {
    let found = Command::new("find").arg(below).args(["-type", "f"]).output().expect("find");
    String::from_utf8_lossy(&found.stdout).lines().map(PathBuf::from).collect()
}

/// With nothing of the machine but its shell and node, and no HOME: the main line.
#[test]
fn the_installed_tools_run_by_themselves() {
    let scene = Scene::with_node(24);
    let prefix = installed(&scene);
    for tool in TOOLS {
        let fish = format!("share/fish/vendor_completions.d/{tool}.fish");
        for file in [format!("bin/{tool}"), format!("share/man/man1/{tool}.1"), fish] {
            assert!(prefix.join(&file).is_file(), "{file}");
        }
    }
    let help = Command::new(prefix.join("bin/pm")).arg("--help").output().expect("runs").stdout;
    let doc = prefix.join("share/doc/pm/PM2.md");
    assert!(String::from_utf8_lossy(&help).contains(doc.to_str().expect("UTF-8")) && doc.is_file());
    let node = bins::node(24).join("node");
    let app = scene.expand("$F/app.js");
    let mut words: Vec<&str> = "pm-restart --max-mem 512M pm-cluster -n 2".split(' ').collect();
    words.extend([node.to_str().expect("UTF-8"), &app]);
    let mut command = scene.command(&["env"]);
    command.env("PATH", format!("{}/bin:/usr/bin:/bin", prefix.display())).env_remove("HOME").args(&words);
    let chain = Chain::spawn(&scene, command);
    let workers = chain.serving(2);
    // The script that was installed is what the workers load, and no copy.
    let script = prefix.join("share/pm/drain.cjs");
    for pid in workers {
        let environ = fs::read(format!("/proc/{pid}/environ")).expect("ours");
        let environ = String::from_utf8_lossy(&environ).into_owned();
        assert!(environ.contains(script.to_str().expect("UTF-8")), "{environ}");
    }
    chain.stop();
}

#[test]
fn an_uninstall_leaves_no_file_and_an_install_over_another_none_of_its_own() {
    let scene = Scene::new();
    let prefix = installed(&scene);
    let first = files(&prefix);
    assert_eq!(installed(&scene), prefix);
    assert_eq!(files(&prefix), first);
    fs::write(prefix.join("bin/mine"), "").expect("written");
    let output = install(&scene, &["--uninstall", "my prefix"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(files(&prefix), BTreeSet::from([prefix.join("bin/mine")]));
}

#[test]
fn a_package_is_made_below_destdir() {
    let scene = Scene::new().with("DESTDIR", "package");
    let tools = bins::tools();
    let output = install(&scene, &["--from", tools.to_str().expect("UTF-8"), "/opt/pm"]);
    assert!(output.status.success(), "{output:?}");
    assert!(scene.dir().join("package/opt/pm/bin/pm-cluster").is_file());
}

#[test]
fn what_cannot_be_installed_is_said_in_one_line() {
    let scene = Scene::new();
    fs::write(scene.dir().join("file"), "").expect("written");
    let tools = bins::tools();
    let tools = tools.to_str().expect("UTF-8");
    for (args, said) in
        [(["--from", "nowhere", "p"], "no pm-fork in "), (["--from", tools, "--banana"], "invalid option '--banana'")]
    {
        let output = install(&scene, &args);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(errors.starts_with("scripts/install: fatal: ") && errors.contains(said), "{errors}");
        assert_eq!((output.status.code(), errors.lines().count()), (Some(1), 1));
    }
    let output = install(&scene, &["--from", tools, "file"]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && errors.contains("fatal: cannot write "), "{errors}");
}

/// What bash offers for these words, the last of which is to be completed.
fn offered(scene: &Scene, words: &[&str]) -> BTreeSet<String> {
    let script = format!(
        "{BASH}\nCOMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _pm; [ ${{#COMPREPLY[@]}} = 0 ] || printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let mut all = vec!["bash", "-c", &script, "bash"];
    all.extend(words);
    let output = scene.command(&all).output().expect("bash");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn the_options_of_each_tool_and_their_values_are_completed() {
    let scene = Scene::new();
    for tool in tables::ALL {
        let long = tool.options.iter().map(|option| option.long).chain(["help", "version"]);
        assert_eq!(offered(&scene, &[tool.name, "-"]), long.map(|name| format!("--{name}")).collect(), "{}", tool.name);
    }
    // In a chain those of the last tool; behind its program files, as for any program.
    let chain = ["pm-fork", "--name", "web", "pm-log", "--time", "pm-restart", "--max-mem", "1G", "pm-cluster"];
    let more = |words: &[&str]| offered(&scene, &[&chain[..], words].concat());
    assert_eq!(more(&["--wor"]), words("--workers"));
    assert_eq!(more(&["--balance", ""]), words("lanes shared rr"));
    assert_eq!(more(&["--stop-signal", "TER"]), words("TERM"));
    // Of --restart=never bash makes three words.
    assert_eq!(offered(&scene, &["pm-restart", "--restart", "=", "n"]), words("never"));
    assert_eq!(more(&["--stop-group", "--balance=rr", "-n", "4", "node", "--"]), words(""));
    assert!(offered(&scene, &["pm-fork", "pm-res"]).contains("pm-restart"), "commands");
    assert_eq!(offered(&scene, &["pm-fork", "--out", "pm-res"]), words(""), "a file");
}

fn words(line: &str) -> BTreeSet<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

/// What fish offers, where there is a fish.
#[test]
fn fish_completes_the_same() {
    let scene = Scene::new();
    let _ = scene.file("pm.fish", FISH);
    let offered = |line: &str| {
        let script = format!("source $T/pm.fish; complete -C '{line}'").replace("$T", &scene.expand("$T"));
        let output = scene.command(&["fish", "--no-config", "-c", &script]).output().expect("seen below");
        assert!(output.stderr.is_empty(), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().filter_map(|line| line.split('\t').next()).map(str::to_owned).collect::<BTreeSet<_>>()
    };
    if scene.command(&["fish", "--version"]).output().is_err() {
        return;
    }
    assert_eq!(offered("pm-restart --max-mem 1G pm-cluster --wor"), words("--workers"));
    assert_eq!(offered("pm-restart --restart "), words("always on-failure never"));
    assert_eq!(offered("pm-restart --restart=n"), words("--restart=never"));
    assert_eq!(offered("pm-cluster --stop-signal TER"), words("TERM"));
    assert_eq!(offered("pm-cluster -n 4 node --"), words(""));
}

#[test]
fn verbs_and_apps_are_completed() {
    let scene = Scene::new();
    let tools = scene.dir().join("bin");
    fs::create_dir(&tools).expect("made");
    let _ = scene.file("bin/pm-stat", "#!/bin/sh\n[ \"$*\" = '--match all' ] && printf 'web\\nmy app\\n'\n");
    let scene = scene.with("PATH", format!("{}:/usr/bin:/bin", tools.display()));
    assert_eq!(offered(&scene, &["pm", "res"]), ["reset", "restart", "resurrect"].map(str::to_owned).into());
    let targets = ["all", "my\\ app", "web"].map(str::to_owned);
    for words in [&["pm", "stop", ""][..], &["pm", "-s", "log", "--lines", "9", ""]] {
        assert_eq!(offered(&scene, words), targets.clone().into());
    }
    assert_eq!(offered(&scene, &["pm", "stop", "--e"]), words("--env"));
    assert_eq!(offered(&scene, &["pm", "start", "app.js", "--max-mem"]), words("--max-memory-restart"));
    assert_eq!(offered(&scene, &["pm-stat", "w"]), BTreeSet::from(["web".to_owned()]));
    assert_eq!(offered(&scene, &["pm-stat", "--wait", ""]), words("ready rolled stopped"));
    assert_eq!(offered(&scene, &["pm-fork", "--stop", "w"]), words("web"));
}

#[test]
fn the_completion_of_zsh_is_zsh() {
    let file = root().join("scripts/completions/_pm");
    // Where there is no zsh there is nobody to ask.
    let Ok(output) = Command::new("zsh").arg("-n").arg(file).output() else { return };
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
