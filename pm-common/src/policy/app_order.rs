//! In which order several apps start, where one starts after others; and, the other way round, in which they stop.
//!
//! An app that fails keeps those behind it from starting, unless they insist: what ran before comes back whatever becomes of
//! the others.

use std::collections::BTreeSet;

words! {
    /// How far an app must have come for those that start after it.
    Stage {
        /// The chain has been executed.
        Started = "started",
        /// The app serves, or has ended well.
        Ready = "ready",
    }
}

/// An app that another one starts after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct After {
    /// The name of its directory.
    pub app: String,
    /// How far it must have come.
    pub stage: Stage,
}

/// Where an app stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Waiting,
    UnderWay,
    Reached(Stage),
    Failed,
}

#[derive(Debug, Clone)]
struct OrderedApp {
    app: String,
    after: Vec<After>,
    insists: bool,
    standing: Standing,
}

/// Whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppTurn {
    /// The app.
    pub app: String,
    /// One that it starts after, and that has failed.
    pub despite: Option<String>,
}

/// An app that is not to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The app.
    pub app: String,
    /// The one that it starts after, and that has failed.
    pub failed: String,
}

/// The apps that are to start, or to stop, and how far each has come.
#[derive(Debug, Clone, Default)]
pub struct AppOrder {
    entries: Vec<OrderedApp>,
}

impl AppOrder {
    /// The order of a stop: each behind those that start after it. None fails the others: all are to end.
    #[must_use]
    pub fn backwards(apps: &[(String, Vec<After>)]) -> Self {
        let mut order = Self::default();
        for (app, _) in apps {
            let behind = apps.iter().filter(|(_, after)| after.iter().any(|one| one.app == *app));
            let behind = behind.map(|(other, _)| After { app: other.clone(), stage: Stage::Ready });
            order.add(app, behind.collect(), true);
        }
        order
    }

    /// Adds an app that is to start; `insists`: whatever becomes of those before it.
    pub fn add(&mut self, app: &str, after: Vec<After>, insists: bool) {
        self.entries.push(OrderedApp { app: app.to_owned(), after, insists, standing: Standing::Waiting });
    }

    /// Adds an app that others start after, and that somebody else starts.
    pub fn add_outside(&mut self, app: &str) {
        let entry = OrderedApp { app: app.to_owned(), after: Vec::new(), insists: true, standing: Standing::UnderWay };
        self.entries.push(entry);
    }

    /// Whether the app is one of these.
    #[must_use]
    pub fn has(&self, app: &str) -> bool {
        self.entries.iter().any(|entry| entry.app == app)
    }

    /// The app has come so far.
    pub fn reached(&mut self, app: &str, stage: Stage) {
        self.set(app, Standing::Reached(stage));
    }

    /// The app will not be ready.
    pub fn failed(&mut self, app: &str) {
        self.set(app, Standing::Failed);
    }

    fn set(&mut self, app: &str, standing: Standing) {
        self.entries.iter_mut().filter(|entry| entry.app == app).for_each(|entry| entry.standing = standing);
    }

    /// Takes the next app whose turn it is. Of a circle, which only files written by hand hold, the first one's.
    pub fn take(&mut self) -> Option<AppTurn> {
        let at = self.next().or_else(|| self.of_a_circle())?;
        let entry = &self.entries[at];
        let despite = entry.after.iter().find(|one| self.standing(&one.app) == Some(Standing::Failed));
        let turn = AppTurn { app: entry.app.clone(), despite: despite.map(|one| one.app.clone()) };
        self.entries[at].standing = Standing::UnderWay;
        Some(turn)
    }

    /// Whether there is one whose turn it is, or that is not to start.
    #[must_use]
    pub fn has_next(&self) -> bool {
        self.next().or_else(|| self.of_a_circle()).is_some() || self.to_refuse().is_some()
    }

    fn next(&self) -> Option<usize> {
        let may = |entry: &OrderedApp| entry.after.iter().all(|one| self.is_met(entry, one));
        self.entries.iter().position(|entry| entry.standing == Standing::Waiting && may(entry))
    }

    fn of_a_circle(&self) -> Option<usize> {
        let moves = self.entries.iter().any(|entry| match entry.standing {
            Standing::UnderWay => true,
            Standing::Reached(stage) => stage == Stage::Started,
            Standing::Waiting | Standing::Failed => false,
        });
        let waiting = || self.entries.iter().position(|entry| entry.standing == Standing::Waiting);
        if moves || self.to_refuse().is_some() { None } else { waiting() }
    }

    fn is_met(&self, entry: &OrderedApp, one: &After) -> bool {
        match self.standing(&one.app) {
            None => true,
            Some(Standing::Reached(stage)) => stage == Stage::Ready || one.stage == Stage::Started,
            Some(Standing::Failed) => entry.insists,
            Some(Standing::Waiting | Standing::UnderWay) => false,
        }
    }

    fn standing(&self, app: &str) -> Option<Standing> {
        self.entries.iter().find(|entry| entry.app == app).map(|entry| entry.standing)
    }

    /// Takes an app that is not to start, as one has failed that it starts after.
    pub fn take_refused(&mut self) -> Option<Refused> {
        let (at, failed) = self.to_refuse()?;
        self.entries[at].standing = Standing::Failed;
        Some(Refused { app: self.entries[at].app.clone(), failed })
    }

    fn to_refuse(&self) -> Option<(usize, String)> {
        let has_failed = |one: &&After| self.standing(&one.app) == Some(Standing::Failed);
        self.entries.iter().enumerate().find_map(|(at, entry)| {
            let waits = entry.standing == Standing::Waiting && !entry.insists;
            let failed = entry.after.iter().find(has_failed).filter(|_| waits)?;
            Some((at, failed.app.clone()))
        })
    }

    /// The apps whose turn has not come.
    #[must_use]
    pub fn waiting(&self) -> Vec<&str> {
        let waits = |entry: &&OrderedApp| entry.standing == Standing::Waiting;
        self.entries.iter().filter(waits).map(|entry| entry.app.as_str()).collect()
    }

    /// Those that wait for this app.
    #[must_use]
    pub fn behind(&self, app: &str) -> Vec<&str> {
        let waits =
            |entry: &&OrderedApp| entry.standing == Standing::Waiting && entry.after.iter().any(|one| one.app == app);
        self.entries.iter().filter(waits).map(|entry| entry.app.as_str()).collect()
    }

    /// Nobody waits for another one any more.
    pub fn give_up(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.after.clear());
    }
}

/// Apps that start after each other in a circle, the first one again at the end; `after` says whom an app starts after.
pub fn circle(apps: &[String], mut after: impl FnMut(&str) -> Vec<String>) -> Option<Vec<String>> {
    let mut done = BTreeSet::new();
    apps.iter().find_map(|app| follow(app, &mut Vec::new(), &mut done, &mut after))
}

fn follow(
    app: &str,
    path: &mut Vec<String>,
    done: &mut BTreeSet<String>,
    after: &mut impl FnMut(&str) -> Vec<String>,
) -> Option<Vec<String>> {
    if let Some(at) = path.iter().position(|one| one == app) {
        return Some([&path[at..], &[app.to_owned()]].concat());
    }
    if !done.insert(app.to_owned()) {
        return None;
    }
    path.push(app.to_owned());
    let found = after(app).iter().find_map(|next| follow(next, path, done, after));
    path.pop();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(apps: &[&str]) -> Vec<After> {
        apps.iter().map(|app| After { app: (*app).to_owned(), stage: Stage::Ready }).collect()
    }

    fn order(apps: &[(&str, &[&str])]) -> AppOrder {
        let mut order = AppOrder::default();
        apps.iter().for_each(|(app, before)| order.add(app, after(before), false));
        order
    }

    fn turns(order: &mut AppOrder) -> Vec<String> {
        std::iter::from_fn(|| order.take()).map(|turn| turn.app).collect()
    }

    #[test]
    fn each_starts_as_soon_as_all_before_it_are_ready() {
        let mut order = order(&[("web", &["api", "db"]), ("api", &["db"]), ("db", &[]), ("alone", &[])]);
        assert_eq!(turns(&mut order), ["db", "alone"]);
        order.reached("db", Stage::Started);
        assert!(turns(&mut order).is_empty() && order.behind("db") == ["web", "api"]);
        order.reached("db", Stage::Ready);
        assert_eq!((turns(&mut order), order.waiting()), (vec!["api".to_owned()], vec!["web"]));
        order.reached("api", Stage::Ready);
        assert_eq!(turns(&mut order), ["web"]);
        assert!(!order.has_next());
    }

    #[test]
    fn who_needs_it_started_alone_does_not_wait_until_it_is_ready() {
        let mut order = AppOrder::default();
        order.add_outside("db");
        order.add("api", vec![After { app: "db".to_owned(), stage: Stage::Started }], false);
        assert!(turns(&mut order).is_empty());
        order.reached("db", Stage::Started);
        assert_eq!(turns(&mut order), ["api"]);
    }

    #[test]
    fn what_fails_keeps_those_behind_it_from_starting_unless_they_insist() {
        let mut order = order(&[("db", &[]), ("api", &["db"]), ("web", &["api"])]);
        order.add("kept", after(&["db", "gone"]), true);
        assert_eq!(turns(&mut order), ["db"]);
        order.failed("db");
        let refused = |app: &str, failed: &str| Some(Refused { app: app.to_owned(), failed: failed.to_owned() });
        assert_eq!(order.take_refused(), refused("api", "db"));
        assert_eq!(order.take_refused(), refused("web", "api"));
        assert_eq!(order.take(), Some(AppTurn { app: "kept".to_owned(), despite: Some("db".to_owned()) }));
        assert!(!order.has_next() && order.waiting().is_empty());
    }

    #[test]
    fn a_stop_goes_the_other_way_round_and_none_is_left_out() {
        let apps = [("db", vec![]), ("api", after(&["db"])), ("web", after(&["api", "db"]))];
        let mut order = AppOrder::backwards(&apps.map(|(app, after)| (app.to_owned(), after)));
        assert_eq!(turns(&mut order), ["web"]);
        order.failed("web");
        assert_eq!(turns(&mut order), ["api"]);
        order.reached("api", Stage::Ready);
        assert_eq!(turns(&mut order), ["db"]);
    }

    #[test]
    fn a_circle_is_found_and_holds_nobody_up_for_ever() {
        let edges = [("a", vec!["b"]), ("b", vec!["c", "d"]), ("c", vec![]), ("d", vec!["b"])];
        let after_of = |app: &str| {
            let found = edges.iter().find(|(one, _)| *one == app).map(|(_, after)| after.clone());
            found.unwrap_or_default().into_iter().map(str::to_owned).collect()
        };
        assert_eq!(circle(&["a".to_owned()], after_of).expect("one"), ["b", "d", "b"]);
        assert_eq!(circle(&["c".to_owned()], after_of), None);
        let mut order = order(&[("x", &["y"]), ("y", &["x"])]);
        assert_eq!(turns(&mut order), ["x"]);
        order.reached("x", Stage::Ready);
        assert_eq!(turns(&mut order), ["y"]);
    }

    #[test]
    fn who_gives_up_waiting_starts_all() {
        let mut order = order(&[("db", &[]), ("api", &["db"])]);
        assert_eq!(turns(&mut order), ["db"]);
        order.give_up();
        assert_eq!(turns(&mut order), ["api"]);
    }
}
