//! What becomes of a worker's `listen()` and `close()`.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use pm_common::app::status;
use pm_common::cli::report;
use pm_common::node::message::Outgoing;
use pm_common::node::query::{Family, Query};
use pm_common::policy::WorkerId;
use pm_common::policy::listening::Listening;
use pm_common::policy::supervisor::Event;
use pm_common::sys::socket;
use serde_json::Value;

use super::{Primary, key};
use crate::sockets::wanted::Request;
use crate::sockets::{How, Sockets};

impl Primary {
    /// Answers a worker's `listen()`: with a socket, with the promise of connections, or with the error.
    ///
    /// A worker that drains gets no answer, as from Node's own primary: a new listener would keep it alive.
    pub(super) fn answer(
        &mut self,
        id: WorkerId,
        ack: u64,
        query: &Query,
        sockets: &mut Sockets,
        events: &mut VecDeque<Event>,
    ) {
        if self.finished || self.workers.get(&id).is_some_and(|worker| worker.draining) {
            return;
        }
        let opened = Request::of(query).and_then(|request| Ok((sockets.open(id, &request)?, request.key)));
        let warnings = sockets.take_warnings();
        match opened {
            Ok((grant, key)) => {
                let (key, data) = (key.as_str(), &self.data_for(&key, grant.address, query));
                match grant.how {
                    How::Handle(handle) => {
                        let handle = &Rc::new(handle);
                        self.send(id, &Outgoing::Shared { ack, key, data, handle });
                    }
                    How::RoundRobin(sockname) => self.send(id, &Outgoing::RoundRobin { ack, key, data, sockname }),
                }
            }
            Err(errno) => {
                self.send(id, &Outgoing::Refused { ack, key: "", data: &query.data, errno });
                let error = io::Error::from_raw_os_error(-errno);
                let tcp = matches!(query.family, Family::Tcp4 | Family::Tcp6) && query.port > 0;
                let taken = (tcp && errno == -socket::EADDRINUSE).then(|| status::port_taken(query.port));
                let other = || format!("cannot listen reason={}", report::reason(&error));
                let what = taken.or_else(|| warnings.last().cloned()).unwrap_or_else(other);
                events.push_back(Event::Refused { id, what });
            }
        }
        self.warnings.extend(warnings);
    }

    /// What the first worker that had something to say for this address said to all that ask for it.
    fn data_for(&mut self, key: &str, address: u64, query: &Query) -> Value {
        if let Some((_, data)) = self.said_to_all.get(key).filter(|(of, _)| *of == address) {
            return data.clone();
        }
        if !query.data.is_null() {
            self.said_to_all.insert(key.to_owned(), (address, query.data.clone()));
        }
        query.data.clone()
    }

    pub(super) fn listens(&mut self, id: WorkerId, query: &Query, sockets: &mut Sockets, events: &mut VecDeque<Event>) {
        let Some((key, fixed)) = key_of(query, sockets) else { return };
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.open.insert(key.clone());
        worker.progress.listened = true;
        self.blame.listened(&worker.progress);
        sockets.accepting(id, &key);
        events.push_back(Event::Listening { id, address: address_of(&key, sockets), fixed });
    }

    pub(super) fn closes(&mut self, id: WorkerId, key: &str, sockets: &mut Sockets, events: &mut VecDeque<Event>) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.open.remove(key);
        }
        let address = address_of(key, sockets);
        sockets.closed(id, key);
        self.forget_closed(sockets);
        events.push_back(Event::Closed { id, address });
    }

    /// Forgets what was said of addresses that are closed.
    pub(super) fn forget_closed(&mut self, sockets: &Sockets) {
        self.said_to_all.retain(|key, _| sockets.at_key(key).is_some());
    }
}

/// The key of what a worker says it listens on, and whether its successors must listen there too: a port of the kernel's
/// choice was asked for as port 0, and is told as what it became.
fn key_of(query: &Query, sockets: &Sockets) -> Option<(String, bool)> {
    let known = |key: &String| sockets.at_key(key).is_some();
    let asked = Query { port: 0, ..query.clone() };
    let exact = Some(key::key(query)).filter(known).map(|key| (key, true));
    exact.or_else(|| Some(key::key(&asked)).filter(known).map(|key| (key, false)))
}

fn address_of(key: &str, sockets: &Sockets) -> Listening {
    sockets.at_key(key).cloned().unwrap_or(Listening::Unknown)
}

#[cfg(test)]
mod tests {
    use pm_common::node::query::Family;
    use serde_json::json;

    use super::super::stop_handover::Ending;
    use super::*;

    #[test]
    fn what_the_first_worker_says_is_echoed_to_all_until_the_address_is_another() {
        let (address, family, fd, data) = (None, Family::Tcp4, None, Value::Null);
        let (port, flags, backlog, index) = (0, 0, 511, 0);
        let (readable_all, writable_all) = (false, false);
        let query = Query { address, port, family, fd, flags, backlog, index, data, readable_all, writable_all };
        let mut primary = Primary::new(Ending::default(), false);
        let mut said = |number, data| primary.data_for("k", number, &Query { data, ..query.clone() });
        assert_eq!(said(1, json!(null)), json!(null));
        assert_eq!(said(1, json!({"k": 1})), json!({"k": 1}));
        assert_eq!(said(1, json!({"k": 2})), json!({"k": 1}));
        assert_eq!(said(1, json!(null)), json!({"k": 1}));
        assert_eq!(said(2, json!({"k": 3})), json!({"k": 3}));
    }
}
