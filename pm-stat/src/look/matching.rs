//! Which apps a target means: `all`, a name, an id, a namespace, the path of a script; for the front also `/regex/`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use pm_common::cli::report::Failure;
use regex_lite::Regex;

use crate::look::app::App;

/// The apps that the target means, in their order; none: it is unknown.
///
/// The first rule that finds one decides, so that an app called `7` is reached as `7`, whatever has the id 7. What is only
/// a directory left over is found by its name alone.
#[must_use]
pub(crate) fn meant<'a>(apps: &'a [App], target: &OsStr) -> Vec<&'a App> {
    let id: Option<u64> =
        target.to_str().filter(|t| t.bytes().all(|b| b.is_ascii_digit())).and_then(|t| t.parse().ok());
    let (all, paths) = (target == "all", paths(target));
    let rules: [&dyn Fn(&App) -> bool; 6] = [
        &|app| all && app.is_known(),
        &|app| !all && target == app.name.as_str(),
        &|app| target == app.called(),
        &|app| app.is_known() && target == app.namespace(),
        &|app| id.is_some() && app.id() == id,
        &|app| app.script().is_some_and(|script| is_one_of(script, &paths)),
    ];
    let find = |rule: &dyn Fn(&App) -> bool| -> Vec<&App> { apps.iter().filter(|app| rule(app)).collect() };
    rules.into_iter().map(find).find(|found| !found.is_empty()).unwrap_or_default()
}

/// The apps that the target means, or those whose names match the `/regex/` that the target is, as PM2 has it.
///
/// # Errors
/// 125: it is no regular expression.
pub fn meant_by<'a>(target: &str, apps: &'a [App]) -> Result<Vec<&'a App>, Failure> {
    let regex = target.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')).filter(|regex| !regex.is_empty());
    let Some(regex) = regex else { return Ok(meant(apps, OsStr::new(target))) };
    let regex = Regex::new(regex).map_err(|why| Failure::own(format!("{target} is no regular expression: {why}")))?;
    Ok(apps.iter().filter(|app| app.is_known() && regex.is_match(app.called())).collect())
}

/// The target as absolute paths, as it is and with links resolved.
pub fn paths(target: &OsStr) -> Vec<PathBuf> {
    [std::path::absolute(target), std::fs::canonicalize(target)].into_iter().flatten().collect()
}

/// Whether a script is one of these paths; it may be written with links.
fn is_one_of(script: &Path, paths: &[PathBuf]) -> bool {
    paths.iter().any(|path| path == script) || std::fs::canonicalize(script).is_ok_and(|script| paths.contains(&script))
}

#[cfg(test)]
mod tests {
    use pm_common::app::home::{self, Brief};

    use super::*;

    fn app(name: &str, namespace: &str, id: Option<u64>, script: &str) -> App {
        let start = Brief {
            id,
            namespace: Some(namespace.to_owned()),
            given_name: Some(name.to_owned()),
            script: Some(script.to_owned()),
            ..Brief::default()
        };
        App { name: home::directory_name(name), start: Some(start), ..App::default() }
    }

    fn names(target: &str, apps: &[App]) -> Vec<String> {
        meant(apps, OsStr::new(target)).into_iter().map(|app| app.name.clone()).collect()
    }

    #[test]
    fn a_target_is_a_name_then_a_namespace_then_an_id_then_a_script() {
        let apps = [
            app("web", "default", Some(0), "/srv/web.js"),
            app("api", "back", Some(1), "/srv/api.js"),
            app("back", "default", Some(2), "/srv/back.js"),
            app("jobs", "1", Some(3), "/srv/jobs.js"),
            app("2", "default", Some(4), "/srv/api.js"),
            app("-x y", "n s", None, "/srv/a b.js"),
            app("@acme/api", "default", Some(5), "/srv/acme.js"),
        ];
        for (target, wanted) in [
            ("all", vec!["web", "api", "back", "jobs", "2", "-x y", "@acme-api"]),
            ("@acme/api", vec!["@acme-api"]),
            ("@acme-api", vec!["@acme-api"]),
            ("web", vec!["web"]),
            ("back", vec!["back"]),
            ("default", vec!["web", "back", "2", "@acme-api"]),
            ("1", vec!["jobs"]),
            ("2", vec!["2"]),
            ("0", vec!["web"]),
            ("4", vec!["2"]),
            ("/srv/api.js", vec!["api", "2"]),
            ("-x y", vec!["-x y"]),
            ("n s", vec!["-x y"]),
            ("/srv/a b.js", vec!["-x y"]),
            ("6", vec![]),
            ("+1", vec![]),
            ("99999999999999999999999", vec![]),
            ("", vec![]),
            ("/srv/none.js", vec![]),
        ] {
            assert_eq!(names(target, &apps), wanted, "{target}");
        }
        assert_eq!(names("all", &[]), [""; 0]);
    }

    #[test]
    fn a_directory_that_was_left_over_is_found_by_its_name_alone() {
        let apps = [App { start: None, ..app("old", "default", None, "/x.js") }];
        assert_eq!(names("old", &apps), ["old"]);
        for target in ["all", "default"] {
            assert_eq!(names(target, &apps), [""; 0], "{target}");
        }
    }
}
