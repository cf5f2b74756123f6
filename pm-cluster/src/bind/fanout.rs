//! How the program's own binds are handled, and whether it is given Node's channel. A trial tells; one that lacks
//! descriptors, processes or memory just then tells nothing, and is made again at the next start of a worker.

use std::ffi::OsString;
use std::io;

use pm_common::cli::report::{self, Failure};
use pm_common::policy::worker::ReadyBy;

use super::probe::{self, Choice, FanoutChoice};
use super::{Binds, Fanout};
use crate::command::options::Options;
use pm_common::node::locate::{self, Node, base_name};

/// What the answer depends on.
#[derive(Debug)]
pub(crate) struct FanoutQuestion {
    wanted: FanoutChoice,
    argv: Vec<OsString>,
    node: Node,
    workers: u32,
    /// Who must say over the channel that it is ready can have it.
    needs_channel: bool,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// How binds are handled.
    pub(crate) fanout: Fanout,
    /// The program is given Node's channel.
    pub(crate) with_channel: bool,
    /// The program cannot be run so.
    refused: Option<Failure>,
    /// What a person should be told.
    said: Option<Said>,
}

#[derive(Debug)]
enum Said {
    Warning(String),
    Info(String),
}

impl FanoutQuestion {
    pub(crate) fn new(options: &Options, argv: &[OsString], node: Node) -> Self {
        let needs_channel = options.ready.evidence == ReadyBy::Message;
        let (wanted, workers) = (options.fanout, options.workers);
        Self { wanted, argv: argv.to_vec(), node, workers, needs_channel }
    }

    /// Whether the program asks for its sockets, as far as is known: it is Node. (Deno asks in node:net and what builds on
    /// it, and binds by itself in Deno.serve.)
    pub(crate) fn asks_for_all(&self) -> bool {
        let deno = self.argv.first().is_some_and(|program| base_name(program) == "deno");
        self.node == Node::Itself && !deno && self.wanted == FanoutChoice::Auto
    }

    /// Finds out.
    ///
    /// # Errors
    /// Something is lacking that may be there later (`fd_limit::is_want`).
    pub(crate) fn answer(&self) -> io::Result<Answer> {
        if self.asks_for_all() {
            // A filter would cost it a part of each system call, and without privileges its sudo.
            return Ok(Answer { fanout: Fanout::Off, with_channel: true, refused: None, said: None });
        }
        let Choice { fanout, why } = probe::choose(self.wanted, &self.argv)?;
        let refused = if fanout == Fanout::Off { locate::check(&self.argv, self.workers).err() } else { None };
        let with_channel = self.with_channel(fanout);
        Ok(Answer { fanout, with_channel, refused, said: self.said(fanout, why) })
    }

    /// Whether the program is given Node's channel where binds are handled so.
    pub(crate) fn with_channel(&self, fanout: Fanout) -> bool {
        let helps = fanout == Fanout::Off || self.needs_channel;
        self.node == Node::Itself || (helps && !locate::closes_channel(&self.argv))
    }

    fn said(&self, fanout: Fanout, why: Option<String>) -> Option<Said> {
        match (fanout, why?) {
            // The program asks for its sockets, and there is nothing to be said.
            _ if self.node == Node::Itself => None,
            (Fanout::Off, why) => Some(Said::Warning(format!(
                "cannot share a port among copies that bind it themselves, they get EADDRINUSE reason={why}; see \
                 pm-cluster --probe"
            ))),
            (Fanout::Made, why) => Some(Said::Info(format!("lanes are made here, not by the program reason={why}"))),
            (Fanout::Own, _) => None,
        }
    }
}

impl Answer {
    /// Says what is to be said.
    ///
    /// # Errors
    /// The program cannot be run so.
    pub(crate) fn say_or_refuse(self) -> Result<(), Failure> {
        if let Some(failure) = self.refused {
            return Err(failure);
        }
        match self.said {
            Some(Said::Warning(text)) => report::warning(text),
            Some(Said::Info(text)) => report::info(text),
            None => {}
        }
        Ok(())
    }
}

impl Binds {
    /// Finds out what could not be found out before a worker is to start; once it has: whether workers get Node's channel.
    ///
    /// # Errors
    /// It still lacks what may be there later: such a worker would bind a port that no other could share, and none could
    /// take its place.
    pub(crate) fn settle_fanout(&mut self) -> io::Result<Option<bool>> {
        let Some(question) = &self.open else { return Ok(None) };
        let answer = question.answer().map_err(|error| still_lacking(&error))?;
        self.open = None;
        self.fanout = answer.fanout;
        let with_channel = answer.with_channel;
        if let Err(refused) = answer.say_or_refuse() {
            self.warnings.push(refused.message);
        }
        Ok(Some(with_channel))
    }
}

/// The trial's error with the way out: where it lacks the same at each start, no worker ever runs.
fn still_lacking(error: &io::Error) -> io::Error {
    let why = report::reason(error);
    io::Error::other(format!("{why}, so how it can share a port is not known yet; --fanout off goes on without"))
}
