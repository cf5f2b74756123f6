//! Whom the apps of a description start after: by the names in the file; a circle, and a name that nobody has.

use pm_common::app::home::directory_name;
use pm_common::cli::report::Failure;

use super::{Planned, fail};
use crate::apps::start_order;

impl Planned {
    /// Has the apps of the file start after each other by the names that these have now: a file says `db`, where its app may be
    /// called `db-production` (`append_env_to_name`).
    pub(super) fn resolve(&mut self) {
        for plan in &mut self.plans {
            for one in &mut plan.start.after {
                let is = |(given, name): &&(String, String)| *name != one.app && directory_name(given) == one.app;
                if !self.in_file.iter().any(|(_, name)| *name == one.app)
                    && let Some((_, name)) = self.in_file.iter().find(is)
                {
                    one.app.clone_from(name);
                }
            }
        }
    }

    /// Makes sure that the apps can be started in their order; those that start after what there is not are left out, which is
    /// said and counted.
    ///
    /// # Errors
    /// 125: some start after each other in a circle.
    pub(crate) fn in_order(mut self) -> Result<Self, Failure> {
        self.no_circle()?;
        while let Some((at, why)) = self.unmet() {
            let plan = self.plans.remove(at);
            fail(&mut self.failed, &format!("'{}'", plan.start.called()), &format!("depends_on: {why}"));
            self.broken.push(plan.start.name);
        }
        Ok(self)
    }

    fn no_circle(&self) -> Result<(), Failure> {
        let names: Vec<String> = self.plans.iter().map(|plan| plan.start.name.clone()).collect();
        start_order::no_circle(&names, |name| {
            let planned = self.plans.iter().find(|plan| plan.start.name == name).map(|plan| plan.start.after.clone());
            planned.unwrap_or_else(|| start_order::of_known(&self.context.home, name))
        })
    }

    /// The first that starts after what there is not, and why there is not.
    fn unmet(&self) -> Option<(usize, String)> {
        let is_there = |name: &str| {
            self.plans.iter().any(|plan| plan.start.name == name)
                || self.in_file.iter().any(|(_, known)| known == name)
                || self.context.home.join(name).is_dir()
        };
        self.plans.iter().enumerate().find_map(|(at, plan)| {
            let why = plan.start.after.iter().find_map(|one| {
                if self.broken.contains(&one.app) {
                    return Some(format!("'{}' cannot be started", one.app));
                }
                let in_file: Vec<&str> = self.in_file.iter().map(|(_, name)| name.as_str()).collect();
                (!is_there(&one.app)).then(|| start_order::unknown(&self.context.home, &one.app, &in_file))
            });
            why.map(|why| (at, why))
        })
    }

    /// Whether the app of the file is left out.
    pub(super) fn is_left_out(&self, name: &str) -> bool {
        self.in_file.iter().any(|(_, known)| known == name) && !self.plans.iter().any(|plan| plan.start.name == name)
    }
}
