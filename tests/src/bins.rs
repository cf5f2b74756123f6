//! Where things are: the built tools, the fixtures, the Node versions that `scripts/test` fetched.

use std::path::{Path, PathBuf};

/// The majors of Node that the chain is tested with.
pub const NODE_MAJORS: [u32; 6] = [16, 18, 20, 22, 24, 26];

/// The directory of the built tools: beside the test's own binary, or `$PM_TEST_BIN`.
///
/// # Panics
/// When the tools are not there.
#[must_use]
pub fn tools() -> PathBuf {
    let dir = std::env::var_os("PM_TEST_BIN").map_or_else(|| profile_dir().to_owned(), PathBuf::from);
    for tool in ["pm", "pm-cluster", "pm-restart", "pm-stat"] {
        assert!(dir.join(tool).is_file(), "{tool} is not in {}: run cargo build --workspace first", dir.display());
    }
    dir
}

/// The directory of the fixtures.
#[must_use]
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// The directory of the examples of the scripts.
#[must_use]
pub fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/examples")
}

/// The packages that `scripts/test` fetched.
///
/// # Panics
/// When they are not there.
#[must_use]
pub fn cache() -> PathBuf {
    let target = profile_dir().parent().map(Path::to_owned).unwrap_or_default();
    let dir = std::env::var_os("PM_TEST_CACHE").map_or_else(|| target.join("test-cache"), PathBuf::from);
    let modules = dir.join("node_modules");
    assert!(modules.is_dir(), "{} is missing: run scripts/test, which fetches it", modules.display());
    modules
}

/// The directory that holds the `node` of a major version.
///
/// # Panics
/// When it was not fetched.
#[must_use]
pub fn node(major: u32) -> PathBuf {
    let dir = cache().join(format!("node{major}/bin"));
    assert!(dir.join("node").is_file(), "node {major} is not in {}: run scripts/test", dir.display());
    dir
}

/// target/debug: the test's own binary is in its `deps`.
fn profile_dir() -> &'static Path {
    static DIR: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    DIR.get_or_init(|| {
        let exe = std::env::current_exe().expect("a test has a path");
        exe.parent().and_then(Path::parent).map(Path::to_owned).expect("target/PROFILE/deps/test")
    })
}
