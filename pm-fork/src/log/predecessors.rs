//! The files that a rotated one was before, `FILE.1` to the oldest: named, moved up, and removed by the rule (`rotation_rule`).

use std::ffi::{OsStr, OsString};
use std::io;

use pm_common::app::home::Site;

use super::rotation_rule::Rotation;

/// `FILE.NUMBER`.
pub(super) fn numbered(name: &OsStr, number: impl std::fmt::Display) -> OsString {
    let mut name = name.to_owned();
    name.push(format!(".{number}"));
    name
}

/// Moves each one up, and makes `newest` the first of them.
///
/// # Errors
/// A file cannot be renamed.
pub(super) fn move_up(site: &Site, name: &OsStr, newest: &OsStr, rotation: &Rotation) -> io::Result<()> {
    for (from, to) in rotation.shifts(|number| site.has(&numbered(name, number))) {
        site.rename(&numbered(name, from), &numbered(name, to))?;
    }
    site.rename(newest, &numbered(name, 1))
}

/// Removes those that are too many.
///
/// # Errors
/// A file cannot be removed.
pub(super) fn remove_surplus(site: &Site, name: &OsStr, rotation: &Rotation) -> io::Result<()> {
    let surplus = rotation.surplus(|number| site.has(&numbered(name, number)));
    surplus.into_iter().try_for_each(|number| site.remove(&numbered(name, number)))
}
