//! What is made of the tables of options: the synopsis and the heads of the options in the manuals, and the tables of the
//! completions. The rest of these files is written by hand.

use std::path::PathBuf;

mod completions;
mod manual;

/// Writes them anew.
const COMMAND: &str = "cargo test -p pm-tests --test generated -- --ignored";

/// The files, and what they should hold.
fn files() -> Vec<(PathBuf, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let made = |(path, of): (String, &dyn Fn(&str) -> String)| {
        let path = root.join(path);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        (path, of(&text))
    };
    let manuals = pm_common::cli::tables::ALL.map(|tool| (tool, format!("man/{}.1", tool.name)));
    let mut all: Vec<_> =
        manuals.into_iter().map(|(tool, path)| made((path, &|text| manual::of(tool, text)))).collect();
    all.push(made(("man/pm.1".to_owned(), &manual::of_pm)));
    for (name, quote) in [("pm.bash", "'\\''"), ("_pm", "'\\''"), ("pm.fish", "\\'")] {
        all.push(made((format!("scripts/completions/{name}"), &|text| completions::of(text, quote))));
    }
    all
}

#[test]
fn manuals_and_completions_are_those_of_the_tables() {
    for (path, wanted) in files() {
        let text = std::fs::read_to_string(&path).expect("read before");
        assert!(text == wanted, "{} is not what the tables of the options give: {COMMAND}", path.display());
    }
}

#[test]
#[ignore = "writes the files anew"]
fn write() {
    for (path, wanted) in files() {
        std::fs::write(&path, wanted).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
}
