//! What a command line of pm-fork asks for.

use std::ffi::OsString;
use std::path::PathBuf;

use pm_common::cli::report::Failure;

use crate::apps::scale::Scale;
use crate::apps::signals::Signal;
use crate::launch::service::Service;

/// What is asked for.
#[derive(Debug)]
pub(crate) enum Request {
    /// Start a chain.
    Chain(Box<Service>),
    /// Start, or look at, what is described.
    Described(Description),
    /// Do something to apps that are known.
    Known(Act, Vec<String>),
}

/// What is done to apps that are known; the last two name none.
#[derive(Debug)]
pub(crate) enum Act {
    /// Start again.
    Again(Again),
    /// End apps.
    Stop,
    /// Send a signal.
    Signal { signal: Signal, update_env: bool, moved: bool },
    /// Write a line to what apps read.
    Send(Vec<u8>),
    /// Have another number of workers.
    Scale(Scale),
    /// Count the restarts from 0 on.
    Reset,
    /// Empty the logs.
    Flush,
    /// Forget apps.
    Remove,
    /// Print all apps.
    Save,
    /// Keep a list of apps.
    Keep,
}

impl Request {
    /// Whether files in the directory of all apps are made, changed or removed. (A chain looks at its directory itself.)
    pub(crate) const fn writes(&self) -> bool {
        match self {
            Self::Chain(_) => false,
            Self::Described(asked) => !asked.dry_run,
            Self::Known(Act::Signal { update_env, moved, .. }, _) => *update_env || *moved,
            Self::Known(..) => true,
        }
    }
}

/// How apps are started again.
#[derive(Debug, Default)]
pub(crate) struct Again {
    pub(crate) update_env: bool,
    /// Whether what runs is started again too.
    pub(crate) restart: bool,
}

/// What is described, and where.
#[derive(Debug, Default)]
pub(crate) struct Description {
    /// The file; `None`: the fields alone.
    pub(crate) file: Option<PathBuf>,
    pub(crate) only: Vec<String>,
    pub(crate) env_name: Option<String>,
    pub(crate) sets: Vec<(String, String)>,
    /// The arguments of the app from fields alone.
    pub(crate) args: Vec<OsString>,
    pub(crate) update: bool,
    pub(crate) dry_run: bool,
    pub(crate) force: bool,
    /// Nobody has given the app its name: where that is another script's, it gets another one.
    pub(crate) implied_name: bool,
    /// What runs is stopped first.
    pub(crate) restart: bool,
}

impl Description {
    /// The description with the arguments of its app.
    ///
    /// # Errors
    /// 125: nothing is described, or it is a file that the arguments cannot be for.
    pub(crate) fn with(self, rest: Vec<OsString>) -> Result<Self, Failure> {
        if self.file.is_none() && self.sets.is_empty() {
            return Err(Failure::own("no FILE: -f says where the apps are described; see pm-fork --help"));
        }
        if self.file.is_some() && !rest.is_empty() {
            return Err(Failure::own(
                "arguments are for an app from --set alone; with -f, say --set args=... for each",
            ));
        }
        Ok(Self { args: rest, ..self })
    }
}
