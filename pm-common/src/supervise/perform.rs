//! Doing what the state machine says.

use std::os::fd::AsFd;

use nix::sys::signal::Signal;

use super::outputs::Opened;
use super::processes::{Process, signal_of};
use super::{Adapter, Driver, Scope, WorkerSetup};
use crate::cli::chain;
use crate::cli::report::{self, EXIT_OWN};
use crate::kernel::procfs;
use crate::policy::WorkerId;
use crate::policy::record::{Record, some_of};
use crate::policy::supervisor::{Action, Event, Request, WhichRelease};
use crate::policy::worker::ReadyBy;
use crate::supervise::notify::{Assignment, NotifySocket};
use crate::sys::fd_limit;
use crate::sys::process::{self, Launch, SpawnError};

impl<A: Adapter> Driver<A> {
    pub(super) fn perform(&mut self, action: Action) {
        match action {
            Action::Spawn { id, release } => self.spawn(id, release),
            Action::ResolveRelease => self.resolve_release(),
            Action::CommitRelease => self.releases.commit(),
            Action::DropRelease => self.releases.drop_next(),
            Action::Drain(id) => self.drain(id, true),
            Action::DrainNow(id) => self.drain(id, false),
            Action::SteerIn(id) => self.adapter.steer_in(id),
            Action::SteerOff(id) => self.adapter.steer_off(id),
            Action::Stop(id) => self.send_stop(id),
            Action::StopLeftovers(id) => self.stop_leftovers(id),
            Action::Kill(id) => self.kill(id),
            Action::Look(id) => self.look_at_work(id),
            Action::Measure(id) => self.measure(id),
            Action::LookForRoom => self.look_for_room(),
            Action::Forward(id, request) => self.forward(id, request),
            Action::CloseUnserved => self.adapter.close_unserved(),
            Action::ReleaseSlot(slot) => self.adapter.release_slot(slot),
            Action::AnnounceReady => {
                self.publish();
                self.manager.ready();
                self.say_ready();
            }
            Action::AnnounceStop(span) => {
                self.manager.tell(&[Assignment::Stopping, Assignment::ExtendTimeout(span)]);
            }
            Action::AnnounceGaveUp => {
                self.gave_up = true;
                self.manager.tell(&[Assignment::PmGaveUp(1)]);
            }
            Action::Say(Record::RollAborted { slot, then, reason }) => {
                self.publisher.roll_aborted(slot);
                self.publish();
                report::warning(Record::RollAborted { slot, then, reason });
                self.say_status();
                self.manager.reloaded();
            }
            Action::Say(record @ (Record::Rolled { .. } | Record::RollRefused { .. })) => {
                self.publish();
                say(&record);
                self.say_status();
                self.manager.reloaded();
            }
            Action::Say(record) => say(&record),
            Action::RunHooks(what) => self.run_hooks(&what),
            Action::Finish(code) => self.code = Some(code),
        }
    }

    /// Publishes the status: who hears of the news may look at once, and a successor would know it.
    pub(super) fn publish(&mut self) {
        self.succession.remember(&self.argv, self.publisher.first(), &self.machine, &self.releases);
        let next = self.set_times.as_ref().and_then(super::CronTimer::next);
        self.publisher.publish(&self.machine, &self.processes, &self.adapter, next);
    }

    /// The line for people, before those are told that wait for what it says. A supervisor below has its own.
    pub(super) fn say_status(&mut self) {
        let ours = match self.scope {
            Scope::Group => true,
            // Of one plain child there is nothing to say, but how a reload went, and that it serves on.
            Scope::Tree => {
                (self.machine.roll().requested > 0 || self.machine.delays_stop())
                    && self.processes.values().all(|process| process.supervisor.is_none())
            }
        };
        if ours {
            self.manager.say_counts(&self.machine);
        }
    }

    fn resolve_release(&mut self) {
        self.manager.reloads();
        self.watching.follow_roots();
        let moves = self.publisher.roll_begins(self.machine.roll().started);
        self.store.forget_releases();
        self.events.push_back(match self.releases.resolve_next() {
            Err(failure) => Event::ResolveFailed(failure.message),
            Ok(_) if moves => Event::Moves,
            Ok(_) => return,
        });
    }

    fn drain(&mut self, id: WorkerId, linger: bool) {
        self.remember_offspring(id);
        // Suspended, it would finish nothing.
        self.have_go_on(id);
        if !self.adapter.drain(id, linger) {
            self.events.push_back(Event::Drained(id));
        }
    }

    fn spawn(&mut self, id: WorkerId, release: WhichRelease) {
        match self.try_spawn(id, release) {
            Ok(process) => {
                self.adapter.started(id, process.child.pid);
                self.hooks.started(id, process.child.pid);
                self.processes.insert(id, process);
            }
            Err(Unstarted { code, message }) => {
                report::warning(message);
                self.adapter.ended(id, None);
                self.events.push_back(Event::SpawnFailed(id, code));
            }
        }
    }

    fn try_spawn(&mut self, id: WorkerId, release: WhichRelease) -> Result<Process, Unstarted> {
        fd_limit::raise_descriptors();
        let outputs = self.outputs.open(id.slot).map_err(|e| Unstarted { code: EXIT_OWN, message: e.to_string() })?;
        if let Some(file) = self.outputs.err_of(id.slot) {
            self.publisher.errors_go_to(id.slot, file);
        }
        let errors = self.publisher.errors_from_now(id.slot);
        let program = self.argv.first().map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
        let lacking = |error| cannot_run(&program, &SpawnError { code: EXIT_OWN, error });
        let (notify, name) = NotifySocket::new().map_err(lacking)?;
        let mut setup = WorkerSetup::default();
        setup.env.push(("NOTIFY_SOCKET".into(), name.clone().into()));
        setup.env.push(("PM_SLOT".into(), id.slot.to_string().into()));
        setup.env.push(("PM_GENERATION".into(), id.generation.to_string().into()));
        // Workers of a cluster are apps, and pm-cluster looks after them in other ways.
        setup.env.extend((self.scope == Scope::Tree).then(|| self.manager.watchdog_for_child()).flatten());
        let from = self.releases.get(release);
        self.adapter.prepare(id, from, &mut setup).map_err(lacking)?;
        if self.scope == Scope::Tree {
            self.store.pass(&mut setup);
        }
        let directory = from.directory.as_fd();
        let env = from.env.iter().cloned().chain(setup.env).collect();
        let keep = setup.keep.iter().map(AsFd::as_fd).collect();
        let watch = setup.watch.as_ref().map(|(to, told)| (to.as_fd(), *told));
        let place = setup.place.as_ref().map(|(fd, number)| (fd.as_fd(), *number));
        let sockets = setup.sockets.iter().map(AsFd::as_fd).collect();
        let (argv, Opened { out, err }) = (setup.argv.as_deref().unwrap_or(&self.argv), outputs);
        let child = process::spawn(Launch {
            program: &from.program,
            argv,
            directory,
            env,
            input: self.input.pass(),
            out,
            err,
            keep,
            place,
            watch,
            traceable: setup.traceable,
            sockets,
            alone: false,
        });
        let child = child.map_err(|error| cannot_run(&program, &error))?;
        Ok(Process::new(child, (notify, name), errors))
    }

    /// The stop signal is the app's; to a supervisor below it would mean something else (HUP: reload), so that one is
    /// told in its own words, even if it has not announced itself yet.
    fn send_stop(&mut self, id: WorkerId) {
        self.remember_offspring(id);
        let Some(process) = self.processes.get_mut(&id).filter(|p| p.is_running()) else { return };
        process.asked = true;
        let leads = process.leader_supervises
            || self.proc.stat(process.child.pid).is_some_and(|stat| procfs::is_cluster(&stat));
        let rules = self.machine.rules();
        match self.machine.stop_kind() {
            Some(kind) if leads => process.signal_leader(signal_of(kind) as u8),
            // A shell would wait, deaf to INT, for the supervisor that it runs.
            _ if leads || process.supervisor.is_some() => process.signal_leader(Signal::SIGTERM as u8),
            _ if rules.stop_message && self.adapter.say_stop(id) => {}
            _ if rules.stop_group => process.stop_group(rules.stop_signal),
            _ => process.signal_leader(rules.stop_signal),
        }
        self.have_go_on(id);
    }

    /// Has a worker go on that was suspended, as it is to end: it acts on no signal before (so does systemd, systemd.kill(5)).
    fn have_go_on(&mut self, id: WorkerId) {
        let Some(process) = self.processes.get_mut(&id).filter(|process| process.is_running()) else { return };
        if process.go_on() {
            let (slot, pid) = (id.slot, process.child.pid);
            report::info(format_args!("a worker was suspended, and goes on to end slot={slot} pid={pid}"));
        }
    }

    fn forward(&mut self, id: WorkerId, request: Request) {
        let number = match request {
            Request::Reload => nix::libc::SIGHUP,
            Request::More => nix::libc::SIGTTIN,
            Request::Fewer => nix::libc::SIGTTOU,
        };
        let Some(process) = self.processes.get(&id) else { return };
        let target = process.supervisor.as_ref().map_or(&process.child.pidfd, |(pidfd, _)| pidfd);
        // One that may not be signalled is not told: it is said when it is to end.
        let _ = process::signal(target.as_fd(), u8::try_from(number).unwrap_or(0));
    }

    /// The line to look for in a log: what serves, and where. pm-restart leaves it to the cluster below.
    fn say_ready(&self) {
        let mut listening = self.adapter.listening();
        listening.retain(|id, _| self.processes.contains_key(id));
        let mut addresses: Vec<String> = listening.into_values().flat_map(|listens| listens.addresses).collect();
        addresses.sort();
        addresses.dedup();
        if self.scope == Scope::Group {
            let (wanted, ready) = self.machine.counts();
            let guesses = || self.machine.snapshot().iter().any(|view| view.ready_by == Some(ReadyBy::Alive));
            let listen = match addresses.is_empty() {
                false => format!(" listen={}", some_of(&addresses)),
                true if guesses() => " listen=nothing yet".to_owned(),
                // They serve nobody.
                true => String::new(),
            };
            report::info(format_args!("ready workers={ready}/{wanted}{listen}"));
        }
    }
}

fn say(record: &Record) {
    if record.is_info() { report::info(record) } else { report::warning(record) }
}

/// Why a worker could not be started.
struct Unstarted {
    /// As in `SpawnError`.
    code: u8,
    /// For people.
    message: String,
}

fn cannot_run(program: &str, SpawnError { code, error }: &SpawnError) -> Unstarted {
    let message = format!("cannot run {program}: {}{}", report::reason(error), chain::hint(program));
    Unstarted { code: *code, message }
}
