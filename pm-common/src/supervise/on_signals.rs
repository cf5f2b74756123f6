//! The signals that the supervisor caught: children that ended, stops, and what was asked for.

use super::{Adapter, Driver};
use crate::kernel::procfs;
use crate::policy::supervisor::{Asker, Event};
use crate::sys::signal_events::{Caught, SignalSender};

impl<A: Adapter> Driver<A> {
    pub(super) fn read_signals(&mut self) {
        for caught in self.signals.caught() {
            match caught {
                Caught::Child => self.reap_orphans(),
                Caught::Written => self.log_was_written(),
                Caught::Stop(kind, sender) => {
                    self.hurry_hooks();
                    self.events.push_back(Event::Stop(kind, asker(sender)));
                }
                Caught::Asked(request) => self.events.push_back(Event::Asked(request)),
            }
        }
    }
}

/// The asker of a stop, by who sent the signal.
fn asker(sender: SignalSender) -> Asker {
    match sender {
        SignalSender::Terminal => Asker::Terminal,
        SignalSender::Process(Some(pid)) if procfs::is_restart_above(pid) => Asker::Above,
        SignalSender::Process(_) => Asker::Other,
    }
}
