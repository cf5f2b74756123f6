//! Whether there is room on the disk for what is to be written in an app's directory.

use std::io;
use std::path::Path;

use super::files::{remove_file, replace_file};

/// The file that is written to see whether one can be.
const TRIAL: &str = ".trial";

/// Writes so many bytes to a file in an app's directory, and removes it.
///
/// # Errors
/// There is no room for them, or they cannot be written for another reason.
pub fn try_room(dir: &Path, bytes: usize) -> io::Result<()> {
    let written = replace_file(dir, TRIAL, &vec![b' '; bytes]);
    let _ = remove_file(dir, TRIAL);
    written
}
