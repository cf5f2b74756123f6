//! Doing what the state machine says.

use std::os::fd::AsFd;

use super::processes::Process;
use super::{Adapter, Plan, Supervise};
use crate::notify::{Assignment, NotifySocket};
use crate::policy::WorkerId;
use crate::policy::supervisor::{Action, Event, Request};
use crate::report::{self, EXIT_OWN};
use crate::sys::process::{self, Launch, SpawnError};

impl<A: Adapter> Supervise<A> {
    pub(super) fn perform(&mut self, action: Action) {
        match action {
            Action::ResolveRelease | Action::CommitRelease | Action::DropRelease => {}
            Action::Spawn { id, .. } => self.spawn(id),
            Action::SteerIn(id) => self.adapter.steer_in(id),
            Action::SteerOff(id) => self.adapter.steer_off(id),
            Action::Drain(id) => self.events.push_back(Event::Drained(id)),
            Action::Stop(id) => self.send_stop(id),
            Action::StopLeftovers(id) => self.stop_leftovers(id),
            Action::Kill(id) => self.kill(id),
            Action::Measure(id) => self.measure(id),
            Action::Forward(id, request) => self.forward(id, request),
            Action::ReleaseSlot(slot) => self.adapter.release_slot(slot),
            Action::AnnounceReady => self.tell_upward(&[Assignment::Ready]),
            Action::AnnounceStop(span) => {
                self.tell_upward(&[Assignment::Stopping, Assignment::ExtendTimeout(span)]);
            }
            Action::AnnounceGaveUp => self.tell_upward(&[Assignment::PmGaveUp(1)]),
            Action::Say(record) if record.is_info() => report::info(record),
            Action::Say(record) => report::warning(record),
            Action::Finish(code) => self.code = Some(code),
        }
    }

    fn spawn(&mut self, id: WorkerId) {
        match self.try_spawn(id) {
            Ok(process) => {
                self.adapter.started(id, process.child.pid);
                self.processes.insert(id, process);
            }
            Err(SpawnError { code, error }) => {
                let program = self.argv.first().map(|p| p.to_string_lossy()).unwrap_or_default();
                report::warning(format_args!("cannot run {program}: {}", report::reason(&error)));
                self.adapter.ended(id);
                self.events.push_back(Event::SpawnFailed(id, code));
            }
        }
    }

    fn try_spawn(&mut self, id: WorkerId) -> Result<Process, SpawnError> {
        let lacking = |error| SpawnError { code: EXIT_OWN, error };
        let (notify, name) = NotifySocket::new().map_err(lacking)?;
        let mut plan = Plan::default();
        plan.env.push(("NOTIFY_SOCKET".into(), name.into()));
        plan.env.push(("PM_SLOT".into(), id.slot.to_string().into()));
        plan.env.push(("PM_GENERATION".into(), id.generation.to_string().into()));
        self.adapter.prepare(id, &mut plan).map_err(lacking)?;
        let env = self.base_env.iter().cloned().chain(plan.env).collect();
        let keep = plan.keep.iter().map(AsFd::as_fd).collect();
        let child = process::spawn(&Launch { argv: &self.argv, env, keep })?;
        Ok(Process::new(child, notify))
    }

    fn send_stop(&mut self, id: WorkerId) {
        let signal = self.machine.rules().stop_signal;
        if let Some(process) = self.processes.get(&id).filter(|p| p.is_running()) {
            process::signal(process.child.pidfd.as_fd(), signal);
        }
    }

    fn measure(&mut self, id: WorkerId) {
        let limit = self.machine.rules().max_mem.unwrap_or(u64::MAX);
        let Some(process) = self.processes.get(&id).filter(|p| p.is_running()) else { return };
        if let Some(bytes) = self.proc.effective_memory(process.child.pid, limit) {
            self.events.push_back(Event::Memory(id, bytes));
        }
    }

    fn forward(&mut self, id: WorkerId, request: Request) {
        let number = match request {
            Request::Reload => nix::libc::SIGHUP,
            Request::More => nix::libc::SIGTTIN,
            Request::Fewer => nix::libc::SIGTTOU,
        };
        let Some(process) = self.processes.get(&id) else { return };
        let target = process.supervisor.as_ref().unwrap_or(&process.child.pidfd);
        process::signal(target.as_fd(), u8::try_from(number).unwrap_or(0));
    }

    fn tell_upward(&self, lines: &[Assignment]) {
        if let Some(upward) = &self.upward {
            upward.send(lines);
        }
    }
}
