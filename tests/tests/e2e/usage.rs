//! Bad usage: exit 125, one clear line, nothing started.

use std::os::unix::fs::PermissionsExt;

use pm_tests::scene::Scene;

/// Checks one command line; `word` is what the message must name.
#[track_caller]
fn refused(line: &str, word: &str) {
    let scene = Scene::new();
    let chain = scene.start(&line.replace("PROG", "sh -c touch$IFS$T/started"));
    assert_eq!(chain.ended(), Some(125), "{line}\n{}", chain.output());
    let messages = chain.messages(": fatal: ");
    assert_eq!(messages.len(), 1, "{line}\n{}", chain.output());
    assert!(messages[0].contains(word), "{line}: {word:?} is not in {:?}", messages[0]);
    assert_eq!(chain.output().lines().count(), 1, "{line}\n{}", chain.output());
    assert!(!scene.dir().join("started").exists(), "{line} has started the program");
}

#[test]
fn a_number_of_workers_that_is_none() {
    refused("pm-cluster -n foo PROG", "foo");
    refused("pm-cluster -n 1e9 PROG", "1e9");
    refused("pm-cluster -n 1.5 PROG", "1.5");
    refused("pm-cluster -n 99999999999999999999 PROG", "99999999999999999999");
    refused("pm-cluster -n", "-n");
}

#[test]
fn a_duration_that_is_none() {
    refused("pm-cluster --grace banana PROG", "banana");
    refused("pm-cluster --ready-after 5 PROG", "5");
    refused("pm-restart --grace banana PROG", "banana");
    refused("pm-restart --stable -1s PROG", "-1s");
    refused("pm-restart --backoff 15s PROG", "15s");
    refused("pm-restart --backoff 15s..1s PROG", "15s..1s");
    refused("pm-restart --intensity 16 PROG", "16");
}

#[test]
fn a_size_that_is_none() {
    refused("pm-restart --max-mem lots PROG", "lots");
    refused("pm-restart --max-mem 0 PROG", "0");
    refused("pm-restart --max-mem -5M PROG", "-5M");
}

#[test]
fn a_word_that_no_option_knows() {
    refused("pm-cluster --balance fair PROG", "fair");
    refused("pm-cluster --ready soon PROG", "soon");
    refused("pm-cluster --stop-signal NOSUCH PROG", "NOSUCH");
    refused("pm-restart --restart sometimes PROG", "sometimes");
    refused("pm-restart --stop-codes 0,x PROG", "x");
    refused("pm-restart --stop-codes 300 PROG", "300");
}

#[test]
fn an_unknown_option() {
    refused("pm-cluster --bogus PROG", "--bogus");
    refused("pm-restart --bogus PROG", "--bogus");
    refused("pm-restart -x PROG", "-x");
    refused("pm-restart --max-memm 512M PROG", "invalid option '--max-memm': did you mean --max-mem?");
    refused("pm-cluster --max-mem 512M PROG", "it belongs to pm-restart");
}

#[test]
fn no_program() {
    refused("pm-cluster -n 2", "pm-cluster");
    refused("pm-restart --max-mem 1G", "pm-restart");
    refused("pm-restart", "pm-restart");
}

#[test]
fn a_name_that_would_leave_its_directory() {
    refused("pm-cluster --name ../x PROG", "../x");
    refused("pm-cluster --name .x PROG", ".x");
}

#[test]
fn the_wrong_order_says_the_right_one() {
    refused("pm-cluster -n 2 pm-restart --max-mem 1G PROG", "pm-restart [options] pm-cluster [options]");
    for tool in ["pm-restart", "pm-cluster", "pm-log"] {
        refused(&format!("{tool} pm-fork --name x PROG"), &format!("pm-fork [options] {tool} [options] PROG"));
    }
    refused("pm-fork pm-fork PROG", "pm-fork goes in front of all, once");
}

#[test]
fn options_behind_node_are_shown_in_front_of_it() {
    refused("pm-cluster node -n 2 app.js", "options of pm-cluster go in front: pm-cluster -n 2 node app.js");
    refused(
        "pm-restart node --max-mem=1G app.js",
        "options of pm-restart go in front: pm-restart --max-mem=1G node app.js",
    );
    refused("pm-cluster -n 3 node --grace 3s app.js", "pm-cluster --grace 3s node app.js");
    refused("pm-fork node --name web app.js", "pm-fork --name web node app.js");
}

/// Who types the name of a script means its interpreter, or the file itself.
#[test]
fn a_script_is_no_command() {
    let scene = Scene::new();
    let path = scene.file("app.js", "");
    for (mode, meant) in [(0o644, "did you mean 'node app.js'?"), (0o755, "did you mean 'node app.js' or './app.js'?")]
    {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("set");
        for tool in ["pm-fork", "pm-log"] {
            let chain = scene.start(&format!("{tool} app.js"));
            assert_eq!(chain.ended(), Some(127), "{}", chain.output());
            assert_eq!(chain.output().lines().count(), 1, "{}", chain.output());
            assert!(chain.output().contains(meant), "{}", chain.output());
        }
    }
}

#[test]
fn help_and_version_go_to_stdout() {
    for tool in ["pm-cluster", "pm-restart", "pm-stat"] {
        for option in ["--help", "-h", "--version", "-V"] {
            let scene = Scene::new();
            let output = scene.command(&[tool, option]).output().expect("runs");
            assert_eq!(output.status.code(), Some(0), "{tool} {option}");
            assert!(String::from_utf8_lossy(&output.stdout).contains(tool), "{tool} {option}");
            assert!(output.stderr.is_empty(), "{tool} {option}");
        }
    }
}

/// As the manual says: POSIX order, and `--` for a program that starts with a dash.
#[test]
fn options_end_at_the_program() {
    let scene = Scene::new();
    let chain = scene.start("pm-restart --restart never -- sh -c exit${IFS}4 --bogus");
    assert_eq!(chain.ended(), Some(4), "{}", chain.output());
}

/// `-n` of a machine: `0` and `max` are the usable CPUs, a negative number leaves some free, never under one.
#[test]
fn the_number_of_workers_follows_the_usable_processors() {
    for (n, wanted) in [("0", 1), ("max", 1), ("-1", 1), ("-999", 1)] {
        let scene = Scene::with_node(24);
        let chain = scene.start(&format!("taskset 1 pm-cluster -n {n} node $F/app.js"));
        chain.hear("listening", wanted);
        let supervisor = chain.until("pm-cluster", || scene.process("pm-cluster"));
        chain.until("a ready worker", || {
            pm_tests::stat::workers(&scene).iter().all(|w| w.state() == "ready").then_some(())
        });
        assert_eq!(pm_tests::proc::children(supervisor).len(), wanted, "-n {n}");
        chain.stop();
    }
}
