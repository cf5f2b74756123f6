//! Which apps a target means: `all`, a name, an id, a namespace, the path of a script.

use std::ffi::OsStr;
use std::path::PathBuf;

use crate::look::app::App;

/// What is compared of an app.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) name: String,
    /// The name that it was given, which may hold what no directory's can.
    pub(crate) called: String,
    pub(crate) namespace: String,
    pub(crate) id: Option<u64>,
    pub(crate) script: Option<PathBuf>,
    /// It runs, or can be started again. What is only a directory left over is found by its name alone.
    pub(crate) known: bool,
}

impl Candidate {
    pub(crate) fn of(app: &App) -> Self {
        let script = app.start.as_ref().and_then(|s| s.script.as_ref()).map(PathBuf::from);
        Self {
            name: app.name.clone(),
            called: app.called().to_owned(),
            namespace: app.namespace().to_owned(),
            id: app.id(),
            script,
            known: app.is_known(),
        }
    }

    /// Whether its script is one of these; it may be written with links.
    fn has_script(&self, paths: &[PathBuf]) -> bool {
        let Some(script) = &self.script else { return false };
        paths.contains(script) || std::fs::canonicalize(script).is_ok_and(|script| paths.contains(&script))
    }
}

/// The names of the apps that the target means, in the order of the apps; none: it is unknown.
///
/// The first rule that finds one decides, so that an app called `7` is reached as `7`, whatever has the id 7. `paths`
/// are the target as an absolute path, in whatever forms.
pub(crate) fn matching<'a>(target: &OsStr, paths: &[PathBuf], apps: &'a [Candidate]) -> Vec<&'a str> {
    let id = target.to_str().filter(|t| t.bytes().all(|b| b.is_ascii_digit())).and_then(|t| t.parse().ok());
    let all = target == "all";
    let rules: [&dyn Fn(&Candidate) -> bool; 6] = [
        &|app| all && app.known,
        &|app| !all && target == app.name.as_str(),
        &|app| target == app.called.as_str(),
        &|app| app.known && target == app.namespace.as_str(),
        &|app| id.is_some() && app.id == id,
        &|app| app.has_script(paths),
    ];
    let find = |rule: &dyn Fn(&Candidate) -> bool| -> Vec<&str> {
        apps.iter().filter(|app| rule(app)).map(|app| app.name.as_str()).collect()
    };
    rules.into_iter().map(find).find(|found| !found.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use pm_common::app::home;

    use super::*;

    fn app(name: &str, namespace: &str, id: Option<u64>, script: &str) -> Candidate {
        Candidate {
            name: home::directory_name(name),
            called: name.to_owned(),
            namespace: namespace.to_owned(),
            id,
            script: Some(PathBuf::from(script)),
            known: true,
        }
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
            assert_eq!(matching(OsStr::new(target), &[PathBuf::from(target)], &apps), wanted, "{target}");
        }
        assert_eq!(matching(OsStr::new("all"), &[], &[]), [""; 0]);
    }

    #[test]
    fn a_directory_that_was_left_over_is_found_by_its_name_alone() {
        let apps = [Candidate { known: false, ..app("old", "default", None, "/x.js") }];
        assert_eq!(matching(OsStr::new("old"), &[], &apps), ["old"]);
        for target in ["all", "default"] {
            assert_eq!(matching(OsStr::new(target), &[], &apps), [""; 0], "{target}");
        }
    }
}
