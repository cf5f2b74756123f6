//! `pm` where things are not as they should be: names, files and moments that nobody thinks of.

use pm_tests::front::Front;

#[test]
fn a_name_may_look_like_an_option() {
    let front = Front::new();
    for name in ["-x", "--name"] {
        front.ok_words(&["start", "idle.js", "--name", name]);
        for verb in ["describe", "pid", "id", "env", "reset", "restart", "reload", "flush", "list", "stop"] {
            front.ok_words(&[verb, "--", name]);
        }
    }
    assert_eq!(front.list(), ["--name:stopped", "-x:stopped"]);
    for line in ["start all", "restart all", "logs all --nostream", "delete all"] {
        front.ok(line);
    }
    assert_eq!(front.list(), [""; 0]);
}
