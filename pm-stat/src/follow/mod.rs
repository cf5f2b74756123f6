//! `--follow`: a line of JSON for each change of an app, as long as somebody reads; with an interval, figures too.
//!
//! It sleeps until a file or a process changes. It begins with how things are, told as changes from nothing.

use std::collections::BTreeMap;
use std::ffi::OsString;

use pm_common::app::home::{Home, check_name, directory_name};
use pm_common::cli::report::{Failure, OrFail as _, print};
use pm_common::policy::time::Span;
use pm_common::sys::{clock, fd_limit};
use serde_json::Value;

use crate::look::app::App;
use crate::look::samples::Samples;
use crate::look::usage::Meter;
use crate::show::json_line::line;
use crate::show::row::{self, Row};
use crate::show::traffic;

mod changes;
pub(crate) mod wake_up;

use wake_up::{Changed, Watch};

/// Who is followed, and what is known of them.
#[derive(Debug)]
struct Following<'a> {
    home: &'a Home,
    /// Only these; empty: all.
    named: Vec<String>,
    watch: Watch,
    apps: BTreeMap<String, App>,
}

/// Follows the apps named, or all, those too that come later.
///
/// # Errors
/// 125: the files cannot be read.
pub(crate) fn follow(
    home: Option<&Home>,
    named: &[OsString],
    interval: Option<Span>,
    pss: bool,
) -> Result<u8, Failure> {
    let Some(home) = home else {
        return Err(Failure::own("no directory to look into: neither PM_HOME nor HOME is set"));
    };
    let doing = || format!("cannot watch {}", home.path().display());
    // Each supervisor that is followed is a descriptor.
    fd_limit::raise_descriptors();
    let named = named.iter().map(name).collect::<Result<_, _>>()?;
    let watch = Watch::new(home.path()).or_fail(doing)?;
    let mut following = Following { home, named, watch, apps: BTreeMap::new() };
    let mut meter = Meter::new(pss, Samples::default());
    let mut next = interval.map(|_| clock::now());
    print(&following.take_in(&Changed { list: true, ..Changed::default() }).or_fail(doing)?)?;
    loop {
        if let (Some(at), Some(interval)) = (next, interval)
            && at <= clock::now()
        {
            print(&figures(following.apps.values(), &mut meter))?;
            next = Some(clock::now() + interval);
        }
        let changed = following.watch.wait(next).or_fail(doing)?;
        if changed.reader_gone {
            return Ok(0);
        }
        print(&following.take_in(&changed).or_fail(doing)?)?;
    }
}

fn name(app: &OsString) -> Result<String, Failure> {
    let name = directory_name(&app.to_string_lossy());
    check_name(&name).map_err(|why| Failure::own(format!("no app can be called '{name}': {why}")))?;
    Ok(name)
}

impl Following<'_> {
    /// Looks at who has changed, and says how.
    fn take_in(&mut self, changed: &Changed) -> std::io::Result<String> {
        let mut names = changed.apps.clone();
        if changed.list {
            self.watch.watch_list()?;
            let all = self.home.apps()?;
            let wanted = all.into_iter().filter(|app| self.named.is_empty() || self.named.contains(app));
            let wanted: Vec<_> = wanted.collect();
            names.extend(self.apps.keys().filter(|app| !wanted.contains(app)).cloned());
            names.extend(wanted.into_iter().filter(|app| !self.apps.contains_key(app)));
        }
        let mut text = String::new();
        for name in names {
            let seen = self.watch.look(&name)?;
            text.push_str(&changes::changes(self.apps.get(&name), seen.as_ref(), clock::wall_ms()));
            match seen {
                Some(seen) => _ = self.apps.insert(name, seen),
                None => _ = self.apps.remove(&name),
            }
        }
        Ok(text)
    }
}

/// The figures of all workers: the lines that pm-stat prints, as events.
fn figures<'a>(apps: impl Iterator<Item = &'a App>, meter: &mut Meter) -> String {
    let at_ms = clock::wall_ms();
    let mut rows = row::rows(apps, meter);
    traffic::add(&mut rows);
    meter.samples.turn();
    let line_of = |row: &Row<'_>| {
        let mut fields = vec![("event", Value::from("figures")), ("at_ms", Value::from(at_ms))];
        fields.extend(row.fields().into_iter().filter_map(|(key, value)| Some((key, value?))));
        line(&fields)
    };
    rows.iter().map(line_of).collect()
}
