//! `scripts/install` into a directory of its own, what it has put there, and the completions.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pm_tests::bins;
use pm_tests::chain::Chain;
use pm_tests::scene::Scene;

const TOOLS: [&str; 5] = ["pm-fork", "pm-log", "pm-restart", "pm-cluster", "pm-stat"];
const BASH: &str = include_str!("../../../scripts/completions/pm.bash");
const ZSH: &str = include_str!("../../../scripts/completions/_pm");

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
        for file in [format!("bin/{tool}"), format!("share/man/man1/{tool}.1")] {
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

/// The long options in the table of a help, apart from the completion's own way to find them.
fn options(scene: &Scene, tool: &str) -> BTreeSet<String> {
    let output = scene.command(&[tool, "--help"]).output().expect(tool);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let table = text.split("\n\n").nth(1).expect("a table").lines();
    let long = table.filter_map(|line| line.split_whitespace().find(|word| word.starts_with("--")));
    long.map(str::to_owned).chain(["--help".to_owned(), "--version".to_owned()]).collect()
}

#[test]
fn the_options_of_each_tool_are_completed() {
    let scene = Scene::new();
    for tool in TOOLS {
        let all = options(&scene, tool);
        assert!(all.len() > 2);
        assert_eq!(offered(&scene, &[tool, "-"]), all, "{tool}");
    }
    // In a chain those of the last tool; behind its program files, as for any program.
    let chain = ["pm-fork", "--name", "web", "pm-log", "--time", "pm-restart", "--max-mem", "1G", "pm-cluster"];
    assert_eq!(offered(&scene, &[&chain[..], &["--wor"]].concat()), BTreeSet::from(["--workers".to_owned()]));
    assert_eq!(offered(&scene, &[&chain[..], &["-n", "4", "node", "--"]].concat()), BTreeSet::new());
    assert!(offered(&scene, &["pm-fork", "pm-res"]).contains("pm-restart"), "commands");
    assert_eq!(offered(&scene, &["pm-fork", "--out", "pm-res"]), BTreeSet::new(), "a file");
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
    assert_eq!(offered(&scene, &["pm", "stop", ""]), targets.into());
    assert_eq!(offered(&scene, &["pm-stat", "w"]), BTreeSet::from(["web".to_owned()]));
    assert_eq!(offered(&scene, &["pm-stat", "--wait", ""]), BTreeSet::new());
}

/// The words between a marker and the quote or bracket that ends the list.
fn listed(text: &str, marker: &str, end: char) -> BTreeSet<String> {
    let list = text.split(marker).nth(1).and_then(|rest| rest.split(end).next()).expect(marker);
    list.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn both_shells_know_the_verbs_that_pm_has() {
    let verbs = listed(BASH, "_pm_verbs='", '\'');
    assert_eq!(listed(ZSH, "verbs=(", ')'), verbs);
    // Without the script there is nothing to be in step with.
    let Ok(pm) = fs::read_to_string(root().join("scripts/pm")) else { return };
    let cases = pm.rsplit("case $verb in").next().expect("the verbs");
    let labels =
        cases.lines().filter_map(|line| line.split_once(')').filter(|_| line.starts_with(char::is_alphabetic)));
    let known: BTreeSet<String> =
        labels.flat_map(|(labels, _)| labels.split('|').map(|word| word.trim().to_owned())).collect();
    assert!(verbs.is_subset(&known), "{:?}", verbs.difference(&known));
}

#[test]
fn the_completion_of_zsh_is_zsh() {
    let file = root().join("scripts/completions/_pm");
    // Where there is no zsh there is nobody to ask.
    let Ok(output) = Command::new("zsh").arg("-n").arg(file).output() else { return };
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
