//! Whom an app starts after: what is written down of that, and what cannot be.

use std::path::Path;

use pm_common::app::home::{Brief, Start};
use pm_common::cli::nearest::nearest;
use pm_common::cli::report::Failure;
use pm_common::policy::app_order::{After, circle};

use crate::apps;

/// The apps that a known one starts after.
pub(crate) fn of_known(home: &Path, name: &str) -> Vec<After> {
    Brief::read(&home.join(name)).map(|brief| brief.after).unwrap_or_default()
}

/// Makes sure that a chain can start after those that it names.
///
/// # Errors
/// 125: there is no such app, or they start after each other in a circle.
pub(crate) fn check_chain(start: &Start) -> Result<(), Failure> {
    if start.after.is_empty() {
        return Ok(());
    }
    let home = apps::home()?;
    if let Some(missing) = start.after.iter().find(|one| !home.path().join(&one.app).is_dir()) {
        return Err(Failure::own(format!("--after: {}", unknown(home.path(), &missing.app, &[]))));
    }
    let of = |name: &str| if name == start.name { start.after.clone() } else { of_known(home.path(), name) };
    no_circle(std::slice::from_ref(&start.name), of)
}

/// Makes sure that these do not start after each other in a circle.
///
/// # Errors
/// 125: they do.
pub(crate) fn no_circle(names: &[String], after: impl Fn(&str) -> Vec<After>) -> Result<(), Failure> {
    let named = |name: &str| after(name).into_iter().map(|one| one.app).collect();
    let Some(circle) = circle(names, named) else { return Ok(()) };
    Err(Failure::own(format!("apps that start after each other: '{}'; nothing is done", circle.join("' after '"))))
}

/// Says that there is no such app, and which may be meant, also of those of a file.
pub(crate) fn unknown(home: &Path, name: &str, in_file: &[&str]) -> String {
    let entries = std::fs::read_dir(home).into_iter().flatten().flatten();
    let known: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let names = in_file.iter().copied().chain(known.iter().map(String::as_str));
    let meant = nearest(name, names.filter(|name| !name.starts_with('.')));
    format!("there is no app '{name}'{}", meant.map_or_else(String::new, |near| format!("; is '{near}' meant?")))
}
