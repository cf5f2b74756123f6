//! The caller's side of starts: a child for each service, each as soon as those are there that it starts after, and what
//! becomes of it until it serves.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;

use pm_common::app::wait::hopeless::suspended;
use pm_common::app::wait::{Teller, Watch, wait_for_any};
use pm_common::cli::report::{self, EXIT_TIMED_OUT, Failure, OrFail as _};
use pm_common::cli::shell;
use pm_common::policy::app_order::{AppOrder, AppTurn, Refused, Stage};
use pm_common::policy::time::{Mono, Span};
use pm_common::sys::clock;
use pm_common::sys::interrupt_message::Parting;

use crate::launch::awaited::Awaited;
use crate::launch::child::launch;
use crate::launch::patience::{Patience, Until};
use crate::launch::running_service::Started;
use crate::launch::service::Service;
use crate::launch::started_elsewhere::{Elsewhere, Seen};
use crate::launch::stop_first::Ready;

/// Starts a service, and says what became of it once it is ready.
///
/// # Errors
/// What the child could not do, with its code; the chain's own code, if that ends first; 124.
pub(crate) fn start(service: Service, patience: &Patience) -> Result<u8, Failure> {
    let mut why = None;
    let codes = run(&Ready::all(vec![service]), patience, |_, failure| why = Some(failure))?;
    why.map_or_else(|| Ok(codes.first().copied().unwrap_or(0)), Err)
}

/// Starts the services, each as soon as it may; each gets its line. The codes are in no order. Who interrupts the starts
/// has all of them that wait for no other app, or none.
pub(crate) fn start_all(ready: &Ready, patience: &Patience) -> Result<Vec<u8>, Failure> {
    run(ready, patience, |name, failure| report::fatal(format_args!("app '{name}': {}", failure.message), &[]))
}

/// 1 if any has failed; 124 if the time was up for those that are not ready.
pub(crate) fn summary(codes: &[u8]) -> u8 {
    match codes.iter().filter(|code| **code != 0).collect::<Vec<_>>().as_slice() {
        [] => 0,
        failed if failed.iter().all(|code| **code == EXIT_TIMED_OUT) => EXIT_TIMED_OUT,
        _ => 1,
    }
}

/// What has no better evidence is ready once it has been alive for a second: that is not worth a line that stays.
const WORTH_A_LINE: Span = Span::millis(1500);

/// How many are started at a time, and not yet ready. A user may have 128 inotify instances by default, and others need some, too;
/// and so many programs that load at once keep any machine busy, while each has its ready timeout.
const AT_A_TIME: usize = 32;

/// Runs the starts; `failed` is told what could not even be begun.
fn run(ready: &Ready, patience: &Patience, mut failed: impl FnMut(&str, Failure)) -> Result<Vec<u8>, Failure> {
    let mut starts = Starts::new(ready, patience)?;
    let mut teller = Teller::with_line_after(WORTH_A_LINE);
    loop {
        starts.begin(&mut failed)?;
        starts.look()?;
        if starts.order.has_next() && starts.has_room() {
            continue;
        }
        if starts.awaited.is_empty() && starts.elsewhere.is_empty() {
            ready.are_begun("");
            return Ok(starts.codes.into_values().collect());
        }
        starts.tell(&mut teller);
        starts.pause(teller.next())?;
    }
}

/// Starts that are under way, and those that are yet to come.
struct Starts<'a> {
    ready: &'a Ready,
    patience: &'a Patience,
    order: AppOrder,
    awaited: Vec<Awaited>,
    /// Those of other callers that ours start after.
    elsewhere: Vec<Elsewhere>,
    begun: Mono,
    codes: BTreeMap<String, u8>,
    /// What is said to who interrupts us.
    parting: Option<(String, Parting)>,
}

impl<'a> Starts<'a> {
    /// # Errors
    /// An app that others start after cannot be watched.
    fn new(ready: &'a Ready, patience: &'a Patience) -> Result<Self, Failure> {
        let mut order = AppOrder::default();
        for service in &ready.services {
            order.add(&service.start.name, service.start.after.clone(), service.insists());
        }
        let mut elsewhere = Vec::new();
        for one in ready.services.iter().filter(|service| !service.insists()).flat_map(|s| &s.start.after) {
            if !order.has(&one.app) {
                order.add_outside(&one.app);
                elsewhere.push(Elsewhere::new(&one.app)?);
            }
        }
        let mut starts = Self {
            ready,
            patience,
            order,
            awaited: Vec::new(),
            elsewhere,
            begun: clock::now(),
            codes: BTreeMap::new(),
            parting: None,
        };
        starts.look_elsewhere()?;
        starts.say_who_is_missing();
        Ok(starts)
    }

    /// Begins all that may, and says what is not to be begun at all.
    fn begin(&mut self, failed: &mut impl FnMut(&str, Failure)) -> Result<(), Failure> {
        if self.order.has_next() {
            self.ready.hold();
        }
        loop {
            while let Some(refused) = self.order.take_refused() {
                self.refuse(&refused);
            }
            if !self.has_room() {
                return Ok(());
            }
            match self.order.take() {
                Some(turn) => self.begin_one(&turn, failed)?,
                None if self.order.has_next() => {}
                // What was stopped is started again, now.
                None if self.ready.stopped && self.ready.is_interrupted() && !self.order.waiting().is_empty() => {
                    self.order.give_up();
                }
                None => break,
            }
        }
        let waiting = self.order.waiting();
        if waiting.is_empty() || !self.ready.stopped {
            let text = self.patience.parting(self.ready.services.len() - waiting.len(), &waiting);
            self.part_with(&text);
            self.ready.are_begun(&text);
        }
        Ok(())
    }

    /// Whether one more may be started now; who interrupts us wants all of them.
    fn has_room(&self) -> bool {
        self.awaited.len() < AT_A_TIME || self.ready.is_interrupted()
    }

    /// Has this said to who interrupts us.
    fn part_with(&mut self, text: &str) {
        if self.parting.as_ref().is_none_or(|(said, _)| said != text) {
            // The old one takes its line away as it goes.
            self.parting = None;
            self.parting = Some((text.to_owned(), report::parting(text)));
        }
    }

    fn begin_one(&mut self, turn: &AppTurn, failed: &mut impl FnMut(&str, Failure)) -> Result<(), Failure> {
        let (name, ready) = (&turn.app, self.ready);
        let Some(service) = ready.services.iter().find(|service| service.start.name == *name) else { return Ok(()) };
        if let Some(despite) = &turn.despite {
            report::warning(format_args!(
                "app '{name}' is started although '{despite}', which it starts after, has failed: it ran before"
            ));
        }
        let is_last = self.order.waiting().is_empty();
        let text = self.patience.parting(ready.services.len(), &[]);
        if is_last {
            self.part_with(&text);
        }
        let begun = || {
            if is_last {
                ready.are_begun(&text);
            }
        };
        // Others start after it.
        let is_awaited = !self.order.behind(name).is_empty();
        let until = match self.patience.until {
            Until::Forked if is_awaited => Until::Started,
            until => until,
        };
        match launch(service, until, begun) {
            Ok(Some(started)) => {
                self.order.reached(name, Stage::Started);
                match awaits(started, name, if is_awaited { Until::Ready } else { until })? {
                    Some(one) => self.awaited.push(one),
                    None => self.done(name, 0),
                }
            }
            Ok(None) => self.done(name, 0),
            Err(failure) => {
                self.done(name, failure.code);
                failed(name, failure);
            }
        }
        Ok(())
    }

    /// The start of the app has come to this code.
    fn done(&mut self, name: &str, code: u8) {
        self.codes.insert(name.to_owned(), code);
        match code {
            0 => self.order.reached(name, Stage::Ready),
            _ => self.order.failed(name),
        }
    }

    fn refuse(&mut self, Refused { app, failed }: &Refused) {
        let code = self.codes.get(failed).copied();
        let why = match code {
            Some(EXIT_TIMED_OUT) => format!("is not ready after {}", self.patience.text),
            _ => "has failed".to_owned(),
        };
        report::fatal(format_args!("app '{app}' is not started: '{failed}', which it starts after, {why}"), &[]);
        self.codes.insert(app.clone(), if code == Some(EXIT_TIMED_OUT) { EXIT_TIMED_OUT } else { 1 });
    }

    /// Looks at all that are waited for.
    fn look(&mut self) -> Result<(), Failure> {
        for mut one in std::mem::take(&mut self.awaited) {
            let late = one.since + self.patience.timeout <= clock::now();
            match one.look()? {
                None if late => self.done(&one.name, one.timed_out(&self.patience.text)),
                None => self.awaited.push(one),
                Some(code) => self.done(&one.name, code),
            }
        }
        self.look_elsewhere()
    }

    fn look_elsewhere(&mut self) -> Result<(), Failure> {
        let is_late = self.begun + self.patience.timeout <= clock::now();
        for mut one in std::mem::take(&mut self.elsewhere) {
            match one.look()? {
                // Nobody waits for it any more.
                _ if self.order.behind(&one.name).is_empty() => {}
                Seen::Ready => self.order.reached(&one.name, Stage::Ready),
                Seen::Failed(why) => {
                    report::fatal(why, &[]);
                    self.order.failed(&one.name);
                }
                _ if is_late => {
                    self.order.failed(&one.name);
                    self.codes.insert(one.name.clone(), EXIT_TIMED_OUT);
                }
                seen => {
                    if seen == Seen::Started {
                        self.order.reached(&one.name, Stage::Started);
                    }
                    self.elsewhere.push(one);
                }
            }
        }
        Ok(())
    }

    /// Who waits for what does not run would wait long without a word of it.
    fn say_who_is_missing(&self) {
        for one in self.elsewhere.iter().filter(|one| !one.runs) {
            let (name, typed) = (&one.name, shell::quoted(&one.name));
            let behind = self.order.behind(name).join("', '");
            report::info(format_args!(
                "'{name}' does not run, and is waited for ({} at most) before '{behind}' is started: pm start {typed}",
                self.patience.text
            ));
        }
    }

    /// Names the first that is waited for, and what it says of itself.
    fn tell(&self, teller: &mut Teller) {
        let suspended_one = self.awaited.iter().find(|one| !one.sight.suspended.is_empty());
        let more = (self.awaited.len() + self.elsewhere.len()).saturating_sub(1);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let then = |name: &str| match self.order.behind(name).as_slice() {
            [] => String::new(),
            behind => format!(", before '{}'", behind.join("', '")),
        };
        if let Some(one) = suspended_one.or_else(|| self.awaited.first()) {
            let goal = format!("waiting for app '{}'{more} to be ready{}", one.started.name, then(&one.name));
            teller.tell(&goal, &one.decision.awaited(&one.sight), suspended(&one.sight).as_deref());
        } else if let Some(one) = self.elsewhere.first() {
            let goal = format!("waiting for app '{}'{more} to be ready{}", one.name, then(&one.name));
            teller.tell(&goal, &one.state(), None);
        }
    }

    fn pause(&self, told: Mono) -> Result<(), Failure> {
        let apps = self.awaited.iter().map(|one| &one.watch).chain(self.elsewhere.iter().map(|one| &one.watch));
        let apps: Vec<&Watch> = apps.collect();
        let children: Vec<_> = self.awaited.iter().map(|one| one.pidfd.as_fd()).collect();
        let begun = self.awaited.iter().map(|one| one.since).chain((!self.elsewhere.is_empty()).then_some(self.begun));
        let late = begun.map(|since| since + self.patience.timeout);
        let next = self.awaited.iter().filter_map(Awaited::next_look).chain(late).chain([told]).min();
        wait_for_any(&apps, &children, next).or_fail(|| "cannot wait for the apps".to_owned())
    }
}

/// `None`: it is as good as it gets, and that has been said.
fn awaits(started: Started, name: &str, until: Until) -> Result<Option<Awaited>, Failure> {
    if until != Until::Ready {
        started.say("", "");
        return Ok(None);
    }
    if !started.supervised || started.dir.as_os_str().is_empty() {
        started.say("", "; it runs, and nothing says when it is ready");
        return Ok(None);
    }
    Awaited::new(started, name).map(Some)
}
