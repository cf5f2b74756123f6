//! The rules of the house: who may know whom, how long a piece of code may be, what its names are. They are looked for
//! in the code itself; `scripts/check` runs this.

use std::path::Path;

mod imports;
mod planted;
mod rules;
mod tree;

/// What does not obey yet: a file or folder, the rule (a piece of what it says), and why.
const NOT_YET: [(&str, &str, &str); 5] = [
    ("pm-common/src/policy/", "is for tests alone", "the simulated world and the walks stand beside the machine"),
    ("pm-common/src/policy/", "a type ", "the machine's words are being chosen"),
    ("pm-common/src/policy/record.rs", "`fmt` has", "one arm for each message"),
    ("pm-common/src/policy/supervisor/", "longer than", "its files are being sorted by theme"),
    ("pm-common/", "a type `Release`", "policy's is to have another name"),
];

#[test]
fn the_product_obeys_the_rules() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let found = rules::findings(&tree::tree(tree::read(&repository)));
    let excused = |finding: &tree::Finding| {
        NOT_YET.iter().any(|(file, rule, _)| finding.file.starts_with(file) && finding.rule.contains(rule))
    };
    let lines: Vec<String> = found.iter().filter(|finding| !excused(finding)).map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} times against the rules of the house:\n{}", lines.len(), lines.join("\n"));
}
