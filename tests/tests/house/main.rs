//! The rules of the house: who may know whom, how long a piece of code may be, what its names are. They are looked for
//! in the code itself; `scripts/check` runs this.

use std::path::Path;

mod imports;
mod planted;
mod rules;
mod tree;

#[test]
fn the_product_obeys_the_rules() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let found = rules::findings(&tree::tree(tree::read(&repository)));
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} times against the rules of the house:\n{}", lines.len(), lines.join("\n"));
}
