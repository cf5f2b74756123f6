//! Which files a watch leaves out.
//!
//! A pattern without a slash is one of names, wherever they are; one with a slash is one of paths, from the directory where it
//! was given. `*`, `?`, `[ab]` and `{a,b}` stop at a slash, `**` does not. What it matches is left out with all below it.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use fast_glob::glob_match;

use super::working_dir;

/// Names that are left out of every watch, unless they are below a path that is named itself: what begins with a dot and
/// `node_modules`, as in PM2; and what apps and editors write beside the code, which no app is to be started anew for.
const ALWAYS: [&str; 9] = [
    ".*",
    "node_modules",
    "logs",
    "*.log",
    "*.log.*",
    "*.pid",
    "*.{db,sqlite,sqlite3}",
    "*.{db,sqlite,sqlite3}-*",
    "{*~,#*#}",
];

/// What a watch leaves out.
#[derive(Debug, Clone)]
pub struct LeftOut {
    names: Vec<String>,
    paths: Vec<String>,
}

impl LeftOut {
    /// What these patterns leave out, as [`anchored`] gives them, and what always is.
    #[must_use]
    pub fn new(patterns: &[String]) -> Self {
        let (paths, names): (Vec<_>, Vec<_>) = patterns.iter().cloned().partition(|pattern| pattern.contains('/'));
        Self { names: ALWAYS.into_iter().map(str::to_owned).chain(names).collect(), paths }
    }

    /// Whether what has this name in a directory, and so this path, is left out.
    #[must_use]
    pub fn has(&self, name: &OsStr, path: &Path) -> bool {
        let matched = |patterns: &[String], text: &[u8]| patterns.iter().any(|pattern| glob_match(pattern, text));
        matched(&self.names, name.as_bytes()) || matched(&self.paths, path.as_os_str().as_bytes())
    }
}

/// Checks that a pattern is one.
///
/// # Errors
/// What is wrong, for people.
pub fn check(pattern: &str) -> Result<(), String> {
    match pattern {
        "" => Err("expected a pattern such as '*.tmp' or 'src/made'".to_owned()),
        _ if pattern.starts_with('!') => Err("what is not to be left out is named by --watch, not by a !".to_owned()),
        _ => fast_glob::validate(pattern).map_err(|error| format!("this is no pattern: {error}")),
    }
}

/// The pattern as it can be matched anywhere: a path in it is from the working directory.
///
/// # Errors
/// The working directory was removed.
pub fn anchored(pattern: &str) -> io::Result<String> {
    let plain = pattern.strip_prefix("./").unwrap_or(pattern);
    let plain = plain.trim_end_matches('/');
    if pattern.starts_with('/') || plain.starts_with("**") || !plain.contains('/') {
        // In front of the slash at its end there was a directory's name.
        return Ok(plain.to_owned());
    }
    let here = literal(&working_dir::absolute("")?);
    Ok(format!("{}/{plain}", here.trim_end_matches('/')))
}

/// The pattern that matches this path alone.
#[must_use]
pub fn literal(path: &str) -> String {
    let special = |c: char| if "*?[]{}!\\".contains(c) { vec!['\\', c] } else { vec![c] };
    path.chars().flat_map(special).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_out(patterns: &[&str], path: &str) -> bool {
        let anchored: Vec<String> = patterns.iter().map(|pattern| anchored(pattern).expect("a directory")).collect();
        let path = working_dir::here().expect("a directory").join(path);
        LeftOut::new(&anchored).has(path.file_name().expect("a name"), &path)
    }

    #[test]
    fn some_names_are_always_left_out() {
        let out = ["node_modules", "a/node_modules", ".git", ".env", "a/.app.js.swp", "logs", "err.log", "out.log.3"];
        let more = ["app.pid", "a/data.sqlite3", "data.db-journal", "app.js~", "#app.js#"];
        for path in out.into_iter().chain(more) {
            assert!(left_out(&[], path), "{path}");
        }
        for path in ["app.js", "src", "log", "a/catalogs", "login.js", "blog.ts", "db.js", "pid.js", "a~b"] {
            assert!(!left_out(&[], path), "{path}");
        }
    }

    #[test]
    fn a_name_counts_anywhere_and_a_path_from_here() {
        for (pattern, out, stays) in [
            ("made", "a/b/made", "a/made.js"),
            ("made/", "made", "maden"),
            ("*.tmp", "a/b.tmp", "a/tmp"),
            ("*.{tmp,bak}", "a/x.bak", "a/x.js"),
            ("src/made", "src/made", "a/src/made"),
            ("./src/made/", "src/made", "src/made2"),
            ("src/*.css", "src/a.css", "src/b/a.css"),
            ("src/**", "src/a/b.css", "src2/a"),
            ("**/*.css", "src/a/b.css", "src/a/css"),
            ("**/public/**", "a/public/x", "a/publi/x"),
            ("[ab].js", "x/a.js", "x/c.js"),
            ("page?.js", "page1.js", "page12.js"),
        ] {
            assert!(left_out(&[pattern], out), "{pattern} {out}");
            assert!(!left_out(&[pattern], stays), "{pattern} {stays}");
        }
        assert!(LeftOut::new(&["/srv/made".to_owned()]).has(OsStr::new("made"), Path::new("/srv/made")));
        let odd = "/srv/a [b]{c,d}!*?\\/x";
        assert!(LeftOut::new(&[literal(odd)]).has(OsStr::new("x"), Path::new(odd)));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for wrong in ["", "[a", "{a,b", "!a"] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
        // What PM2's manual has.
        for right in ["node_modules", "[\\/\\\\]\\./", "**/*.log", "a b"] {
            assert_eq!(check(right), Ok(()), "{right}");
        }
    }
}
