//! Each rule, shown on a small tree with a breach planted in it, and beside it what the rule lets pass.

use crate::rules::findings;
use crate::tree::tree;

/// What the rules say of these files.
fn said(files: &[(&str, &str)]) -> Vec<String> {
    let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    findings(&tree(files)).iter().map(ToString::to_string).collect()
}

#[track_caller]
fn says(files: &[(&str, &str)], expected: &[&str]) {
    assert_eq!(said(files), expected);
}

const COMMON: (&str, &str) = ("pm-common/src/lib.rs", "pub mod policy;\npub mod kernel;\npub mod app;\npub mod all;\n");
const APP: (&str, &str) = ("pm-common/src/app/mod.rs", "pub mod home;\n");
const HOME: (&str, &str) = ("pm-common/src/app/home.rs", "pub struct Home;\npub fn find() {}\n");
const ALL: (&str, &str) =
    ("pm-common/src/all.rs", "pub use crate::app::home::Home as House;\npub mod deep { pub use super::House; }\n");

#[test]
fn a_room_knows_only_whom_it_may() {
    let policy = |text| [COMMON, APP, HOME, ALL, ("pm-common/src/policy/mod.rs", text)];
    says(&policy("use std::net::SocketAddr;\npub mod rules {\n    pub struct Rules;\n}\nuse rules::Rules;\n"), &[]);
    says(
        &policy("use super::app::{self,\n    home::Home};\n"),
        &[
            "pm-common/src/policy/mod.rs:1: policy must not know pm-common/src/app/mod.rs (`super::app`)",
            "pm-common/src/policy/mod.rs:2: policy must not know pm-common/src/app/home.rs (`super::app::home::Home`)",
        ],
    );
}

#[test]
fn a_re_export_hides_nobody() {
    let kernel = |text| [COMMON, APP, HOME, ALL, ("pm-common/src/kernel/mod.rs", text)];
    says(&kernel("use crate::all as every;\n"), &[]);
    let line = |line: u32, path: &str| {
        format!("pm-common/src/kernel/mod.rs:{line}: kernel must not know pm-common/src/app/home.rs (`{path}`)")
    };
    // Renamed on the way, through two modules, by a glob, in a macro's arguments, in a function's own `use`.
    says(&kernel("\nuse crate::all::deep::House;\n"), &[&line(2, "crate::all::deep::House")]);
    says(&kernel("use crate::all::*;\nfn f(_: House) {}\n"), &[&line(2, "House")]);
    says(&kernel("fn f() {\n    println!(\"{}\", crate::all::House);\n}\n"), &[&line(2, "crate::all::House")]);
    says(&kernel("fn f() {\n    use crate::all as every;\n    every::House;\n}\n"), &[&line(3, "every::House")]);
    // And what one room exports of another is a piece of the first.
    let cluster = [
        ("pm-cluster/src/lib.rs", "mod sockets;\nmod node;\nmod other;\n"),
        ("pm-cluster/src/other.rs", "pub struct Other;\n"),
        ("pm-cluster/src/node.rs", "pub use crate::other::Other;\n"),
        ("pm-cluster/src/sockets.rs", "use crate::node::Other;\n"),
    ];
    says(
        &cluster,
        &["pm-cluster/src/sockets.rs:1: sockets must not know pm-cluster/src/node.rs (`crate::node::Other`)"],
    );
}

#[test]
fn another_crate_is_followed_too() {
    let files = [
        ("pm-common/src/lib.rs", "pub mod node;\npub mod policy;\n"),
        ("pm-common/src/node.rs", "pub struct Query;\n"),
        ("pm-common/src/policy.rs", "pub struct Rules;\n"),
        ("pm-cluster/src/lib.rs", "mod sockets;\n"),
        ("pm-cluster/src/sockets.rs", "use pm_common::policy::Rules;\nfn f(_: pm_common::node::Query) {}\n"),
    ];
    says(
        &files,
        &["pm-cluster/src/sockets.rs:2: sockets must not know pm-common/src/node.rs (`pm_common::node::Query`)"],
    );
}

#[test]
fn what_tests_import_is_free() {
    let tests = "#[cfg(test)]\nmod tests {\n    use crate::app::home::Home;\n}\n";
    says(&[COMMON, APP, HOME, ALL, ("pm-common/src/policy/mod.rs", tests)], &[]);
    let code_behind = format!("#[cfg(test)]\nmod tests;\n{}", "use crate::app::home::find;\n");
    says(
        &[COMMON, APP, HOME, ALL, ("pm-common/src/policy/mod.rs", &code_behind)],
        &["pm-common/src/policy/mod.rs:3: policy must not know pm-common/src/app/home.rs (`crate::app::home::find`)"],
    );
}

#[test]
fn no_two_files_import_each_other() {
    let one = ("pm-stat/src/one.rs", "use crate::two::Two;\npub struct One;\n");
    let two = ("pm-stat/src/two.rs", "pub struct Two;\nfn f() -> crate::one::One {}\n");
    says(
        &[("pm-stat/src/lib.rs", "mod one;\nmod two;\n"), one, two],
        &[
            "pm-stat/src/one.rs:1: imports pm-stat/src/two.rs (`crate::two::Two`), which imports this file at line 2 (`crate::one::One`)",
        ],
    );
    // A name that a third file exports again leads to the file that defines it.
    let lib = ("pm-stat/src/lib.rs", "mod one;\nmod two;\npub use two::Two;\n");
    let one = ("pm-stat/src/one.rs", "use crate::Two;\npub struct One;\n");
    says(
        &[lib, one, two],
        &[
            "pm-stat/src/one.rs:1: imports pm-stat/src/two.rs (`crate::Two`), which imports this file at line 2 (`crate::one::One`)",
        ],
    );
}

#[test]
fn a_room_and_its_files_may_use_each_other_but_the_root_is_no_room() {
    let lib = ("pm-stat/src/lib.rs", "mod room;\n");
    let file = ("pm-stat/src/room/file.rs", "use super::Room;\npub fn f(_: Room) {}\n");
    says(&[lib, ("pm-stat/src/room/mod.rs", "mod file;\npub struct Room;\nfn g() { file::f(Room); }\n"), file], &[]);
    says(
        &[
            ("pm-stat/src/lib.rs", "mod one;\nuse one::One;\npub const NAME: &str = \"\";\n"),
            ("pm-stat/src/one.rs", "pub struct One;\nfn f() { say(crate::NAME) }\n"),
        ],
        &[
            "pm-stat/src/lib.rs:2: imports pm-stat/src/one.rs (`one::One`), which imports this file at line 2 (`crate::NAME`)",
        ],
    );
}

#[test]
fn functions_of_at_most_60_lines() {
    let function = |lines: usize| {
        format!("struct S;\nimpl S {{\n    fn f() {{\n{}    }}\n}}\n", "        ();\n".repeat(lines - 2))
    };
    says(&[("pm-stat/src/lib.rs", &function(60))], &[]);
    says(&[("pm-stat/src/lib.rs", &function(61))], &["pm-stat/src/lib.rs:3: `f` has 61 lines: split what is over 60"]);
    let in_tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", function(61));
    says(&[("pm-stat/src/lib.rs", &in_tests)], &[]);
}

#[test]
fn files_of_at_most_400_lines() {
    says(&[("pm-stat/src/lib.rs", &"\n".repeat(400)), ("pm-stat/src/tests/long.rs", &"\n".repeat(500))], &[]);
    says(&[("pm-stat/src/lib.rs", &"\n".repeat(401))], &["pm-stat/src/lib.rs:401: longer than 400 lines: split it"]);
}

#[test]
fn a_type_name_stands_once_in_a_crate() {
    let one = ("pm-stat/src/one.rs", "pub struct Kind;\n#[cfg(test)]\nmod tests {\n    enum Kind {}\n}\n");
    says(&[one, ("pm-fork/src/one.rs", "enum Kind {}\nfn f(kind: Kind) {}\n")], &[]);
    says(
        &[one, ("pm-stat/src/two.rs", "\ntype Kind = ();\n")],
        &["pm-stat/src/two.rs:2: a type `Kind` is at pm-stat/src/one.rs:1 already: choose a name that says more"],
    );
}

#[test]
fn a_module_with_a_folder_is_its_mod_rs() {
    says(&[("pm-stat/src/show/mod.rs", ""), ("pm-stat/src/show/row.rs", "")], &[]);
    says(
        &[("pm-stat/src/show.rs", ""), ("pm-stat/src/show/row.rs", "")],
        &["pm-stat/src/show.rs:1: stands beside its folder: name it pm-stat/src/show/mod.rs"],
    );
}

#[test]
fn a_file_of_tests_is_known_by_its_path() {
    says(&[("pm-stat/src/lib.rs", "#[cfg(test)]\nmod tests;\n#[cfg(test)]\nmod row_tests;\n")], &[]);
    says(
        &[("pm-stat/src/lib.rs", "#[cfg(test)]\nmod fuzz;\n")],
        &["pm-stat/src/lib.rs:2: `fuzz` is for tests alone: move it into `tests`"],
    );
}

#[test]
fn no_sleep_no_unsafe_and_a_pure_policy() {
    // Tests may, wherever they stand, and code behind them is looked at again.
    let planted = "#[cfg(test)]\nmod tests { fn f() { unsafe { sleep() } } }\nfn f() { std::thread::sleep(x) }\n// unsafe, sleep\n";
    says(
        &[("pm-stat/src/lib.rs", planted)],
        &["pm-stat/src/lib.rs:3: a sleep: wait for an event or a deadline instead"],
    );
    says(
        &[("pm-stat/src/lib.rs", "fn f() { unsafe {} }\n")],
        &["pm-stat/src/lib.rs:1: unsafe outside pm-common/src/sys"],
    );
    says(&[("pm-common/src/sys/mod.rs", "fn f() { unsafe {} }\n")], &[]);
    let impure = "pm-common/src/policy/mod.rs:1: policy is pure: no clock, no I/O, no process";
    for import in ["std::fs::File", "std::time::Instant", "std::process::id", "rustix::fs", "std::io"] {
        says(&[("pm-common/src/policy/mod.rs", &format!("use {import};\n"))], &[impure]);
    }
    says(&[("pm-common/src/policy/mod.rs", "use std::net::SocketAddr;\nuse std::time::Duration;\n")], &[]);
}

#[test]
fn a_comment_begins_with_what_it_speaks_of() {
    let file = |text: &'static str| [("pm-stat/src/lib.rs", text)];
    says(
        &file(
            "//! Items.\n//! It has some.\n/// Italy.\nstruct S {\n    /// The lane was shut down. It waits.\n    a: u8,\n}\n// It may.\n",
        ),
        &[],
    );
    let line = |line: u32, word: &str| {
        format!("pm-stat/src/lib.rs:{line}: the comment begins with `{word}`: begin with what it speaks of")
    };
    says(&file("//! It says.\n"), &[&line(1, "It")]);
    says(
        &file("struct S {\n    /// The same, to be changed.\n    a: u8,\n    /// That it was said.\n    b: u8,\n}\n"),
        &[&line(2, "The same"), &line(4, "That")],
    );
    says(&file("#[cfg(test)]\nmod tests {\n    /// It may here.\n    fn f() {}\n}\n"), &[]);
}
