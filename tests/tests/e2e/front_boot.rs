//! What comes back: save, resurrect, the unit for systemd.

use pm_tests::front::Front;
use serde_json::Value;
use std::process::Command;

#[test]
fn what_was_saved_comes_back_as_it_was() {
    let mut front = Front::new();
    front.scene.set("COLOUR", "it's\nred");
    front.ok("start app.js -i 2 --name web");
    front.ok("scale web 3");
    front.ok("start idle.js");
    front.ok("stop idle");
    front.ok("save");
    front.scene.set("COLOUR", "blue");
    front.ok("kill");
    front.ok("delete all");
    assert_eq!(front.list(), [""; 0]);
    front.ok("resurrect");
    assert_eq!(front.list(), ["idle:stopped", "web:online", "web:online", "web:online"]);
    assert_eq!([front.ok("id web").out, front.ok("id idle").out], ["[ 0 ]\n", "[ 1 ]\n"]);
    let env = std::fs::read(format!("/proc/{}/environ", front.pids("web")[0])).expect("alive");
    assert!(env.split(|byte| *byte == 0).any(|entry| entry == b"COLOUR=it's\nred"));
    let pids = front.pids("web");
    front.ok("resurrect");
    assert_eq!(front.pids("web"), pids, "what runs is left alone");
}

/// A boot is a chance for what failed too often; who stops it says that it is not to run.
#[test]
fn an_app_that_gave_up_comes_back_unless_it_was_stopped() {
    let front = Front::new();
    let _ = front.scene.file("boom.js", "process.exit(3)");
    assert_eq!(front.line("start boom.js --max-restarts 1 --restart-delay 1").code, 1);
    assert_eq!(front.line("start boom.js --name once --no-autorestart").code, 1);
    pm_tests::wait::until("both to be given up", || (front.list() == ["boom:errored", "once:errored"]).then_some(()));
    let saved = || {
        front.ok("save");
        let list = std::fs::read_to_string(front.scene.dir().join("pm/.saved")).expect("saved");
        let lines = list.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter_map(|line| Some(line.get("state")?.as_str()?.to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(saved(), ["online", "stopped"], "what is to run once has run");
    front.ok("stop boom");
    assert_eq!(front.list(), ["boom:stopped", "once:errored"]);
    assert_eq!(saved(), ["stopped", "stopped"]);
    let described = front.ok("describe boom").out;
    assert!(described.contains("exit 3 at ") && !described.contains("gave up"), "{described}");
}

#[test]
fn a_torn_list_is_refused_kept_and_its_forerunner_used() {
    let front = Front::new();
    front.ok("start idle.js --name one");
    front.ok("save");
    front.ok("start idle.js --name two");
    front.ok("save");
    let saved = front.scene.dir().join("pm/.saved");
    let whole = std::fs::read(&saved).expect("saved");
    let torn = &whole[..whole.len() - 4];
    front.ok("kill");
    front.ok("delete all");
    for wrong in [torn, b"", b"{\"saved\":1}\n", b"rubbish\n"] {
        std::fs::write(&saved, wrong).expect("written");
        let said = front.line("resurrect");
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.err.contains(".saved.bak"), "{said:?}");
        assert_eq!(front.list(), ["one:online"]);
        assert_eq!(std::fs::read(&saved).expect("there"), wrong, "nothing is deleted");
        front.ok("kill");
        front.ok("delete one");
    }
    // One that is missing is as bad as one that is damaged.
    std::fs::remove_file(&saved).expect("there");
    let said = front.line("resurrect");
    assert_eq!((said.code, said.err.contains("took the list before it")), (0, true), "{said:?}");
    assert_eq!(front.list(), ["one:online"]);
    front.ok("kill");
    front.ok("delete one");
    std::fs::write(front.scene.dir().join("pm/.saved.bak"), "rubbish").expect("written");
    assert_eq!(front.line("resurrect").code, 125);
    assert_eq!(front.list(), [""; 0]);
}

#[test]
fn an_empty_list_is_saved_on_purpose_only() {
    let front = Front::new();
    assert_eq!(front.line("resurrect").code, 1, "nothing was saved");
    front.ok("start idle.js");
    front.ok("save");
    let saved = std::fs::read(front.scene.dir().join("pm/.saved")).expect("saved");
    front.ok("delete all");
    assert_eq!(front.line("save").code, 1);
    assert_eq!(std::fs::read(front.scene.dir().join("pm/.saved")).expect("there"), saved);
    front.ok("save --force");
    front.ok("resurrect");
    assert_eq!(front.list(), [""; 0]);
    front.ok("cleardump");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(front.scene.dir().join("pm/.saved")).expect("there").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600, "it holds environments");
}

#[test]
fn the_unit_is_one_that_systemd_takes() {
    let mut front = Front::new();
    let odd = front.scene.dir().join("100% \"odd\" $home");
    front.scene.set("PM_HOME", odd);
    let unit = front.ok("startup --print").out;
    for line in ["RemainAfterExit=yes", "SuccessExitStatus=1", "OOMPolicy=continue", "WantedBy=multi-user.target"] {
        assert!(unit.contains(line), "{unit}");
    }
    assert!(unit.contains("100%% \\\"odd\\\" $home"), "{unit}");
    let path = front.scene.dir().join("pm-test.service");
    std::fs::write(&path, &unit).expect("written");
    // Where there is no systemd there is nobody to ask.
    let Ok(output) = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output() else { return };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !said.contains("pm-test.service:"), "{said}\n{unit}");
}

#[test]
fn other_systems_are_told_what_to_run() {
    let front = Front::new();
    for platform in ["upstart", "launchd", "rcd"] {
        let said = front.line(&format!("startup {platform}"));
        assert!(said.code == 1 && said.err.contains("resurrect"), "{said:?}");
    }
    for (platform, wanted) in [
        ("openrc", "#!/sbin/openrc-run\n"),
        ("runit", "# /etc/sv/pm-web/run\n#!/bin/sh\n"),
        ("s6", "# /etc/s6-rc/source/pm-web/type\noneshot\n"),
    ] {
        let said = front.ok(&format!("startup {platform} --print --service-name pm-web"));
        assert!(said.out.starts_with(wanted) && said.out.contains("--silent resurrect"), "{said:?}");
        let said = front.ok(&format!("unstartup {platform} --print --service-name pm-web"));
        assert!(said.out.contains("/pm-web\n"), "{said:?}");
    }
}

#[test]
fn logrotate_can_read_its_rules() {
    let front = Front::new();
    let rules = front.ok("logrotate --print").out;
    assert!(rules.contains("copytruncate") && rules.contains("/pm\"/*/out.log"), "{rules}");
    let path = front.scene.file("rules", &rules);
    let _ = std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let Ok(output) = Command::new("logrotate").args(["--debug"]).arg(&path).output() else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
