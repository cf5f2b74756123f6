//! The order of the apps in front: each starts once those are ready that it starts after, however long that takes, as this
//! process stays; and ends before them.

use nix::sys::signal::Signal;
use pm_common::cli::report::{self, Failure};
use pm_common::policy::app_order::{AppOrder, Refused, Stage};

use super::InFront;
use crate::apps::{self, start_order};
use crate::launch::service::Service;
use crate::launch::started_elsewhere::{Elsewhere, Seen};

/// Who is still to start or to end, and whom that waits for.
#[derive(Debug, Default)]
pub(super) struct FrontOrder {
    services: Vec<Service>,
    starts: AppOrder,
    /// Those that run, and that others wait for.
    watched: Vec<Elsewhere>,
    ends: AppOrder,
}

impl FrontOrder {
    /// The order of these; whom nobody starts here is not waited for.
    pub(super) fn of(services: Vec<Service>) -> Self {
        let mut starts = AppOrder::default();
        for service in &services {
            let (name, after) = (&service.start.name, service.start.after.clone());
            for missing in after.iter().filter(|one| !services.iter().any(|other| other.start.name == one.app)) {
                let before = &missing.app;
                report::warning(format_args!(
                    "app '{name}' starts after '{before}', which is not started here: it is not waited for"
                ));
            }
            starts.add(name, after, false);
        }
        Self { services, starts, ..Self::default() }
    }

    /// What shows that an app which others wait for is ready.
    pub(super) fn watched(&self) -> impl Iterator<Item = &Elsewhere> {
        self.watched.iter()
    }

    /// The app has ended, `well` or not.
    pub(super) fn ended(&mut self, app: &str, well: bool) {
        self.watched.retain(|one| one.name != app);
        self.ends.reached(app, Stage::Ready);
        match well {
            true => self.starts.reached(app, Stage::Ready),
            false => self.starts.failed(app),
        }
    }
}

impl InFront {
    /// Starts all whose turn has come.
    ///
    /// # Errors
    /// 125: one that others start after cannot be watched.
    pub(super) fn begin(&mut self) -> Result<(), Failure> {
        self.look_at_watched()?;
        while self.stopped_by.is_none() && self.order.starts.has_next() {
            while let Some(Refused { app, failed }) = self.order.starts.take_refused() {
                self.say(&app, &format!("app '{app}' is not started: '{failed}', which it starts after, has failed"));
                self.failed.get_or_insert(1);
            }
            let Some(turn) = self.order.starts.take() else { continue };
            let at = self.order.services.iter().position(|service| service.start.name == turn.app);
            let Some(service) = at.map(|at| self.order.services.swap_remove(at)) else { continue };
            if self.start(&service) {
                self.order.starts.reached(&turn.app, Stage::Started);
                self.watch(&turn.app)?;
            } else {
                self.order.starts.failed(&turn.app);
            }
        }
        Ok(())
    }

    /// Watches an app that others wait for.
    fn watch(&mut self, app: &str) -> Result<(), Failure> {
        let behind = self.order.starts.behind(app).join("', '");
        if behind.is_empty() {
            return Ok(());
        }
        let mut one = Elsewhere::new(app)?;
        if one.look()? == Seen::Ready {
            self.order.starts.reached(app, Stage::Ready);
        } else {
            self.say(app, &format!("to be started once '{app}' is ready: '{behind}'"));
            self.order.watched.push(one);
        }
        Ok(())
    }

    /// One that fails again and again may be ready later: as long as its supervisor tries, it is waited for.
    fn look_at_watched(&mut self) -> Result<(), Failure> {
        let FrontOrder { watched, starts, .. } = &mut self.order;
        for mut one in std::mem::take(watched) {
            if one.look()? == Seen::Ready {
                starts.reached(&one.name, Stage::Ready);
            } else if !starts.behind(&one.name).is_empty() {
                watched.push(one);
            }
        }
        Ok(())
    }

    /// Ends all, each once those have ended that start after it; a second signal goes to all at once.
    pub(super) fn stop(&mut self, signal: Signal) {
        if self.stopped_by.is_some() {
            self.pass_on(signal);
            return;
        }
        self.stopped_by = Some(signal);
        let home = apps::home().map(|home| home.path().to_owned()).unwrap_or_default();
        let running = self.members.iter().filter(|member| member.pid.is_some());
        let running: Vec<_> =
            running.map(|member| (member.name.clone(), start_order::of_known(&home, &member.name))).collect();
        self.order.ends = AppOrder::backwards(&running);
        self.end_next();
    }

    /// Tells those to end whose turn has come.
    pub(super) fn end_next(&mut self) {
        let Some(signal) = self.stopped_by else { return };
        while let Some(turn) = self.order.ends.take() {
            self.members.iter().filter(|member| member.name == turn.app).for_each(|member| member.send(signal));
        }
    }
}
