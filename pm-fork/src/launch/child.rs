//! A child for a service, which becomes its chain or says why it cannot.

use std::fs::File;
use std::io::{PipeReader, Read as _, Write as _};
use std::os::fd::OwnedFd;

use pm_common::cli::report::{Failure, OrFail as _};
use pm_common::sys::daemon::{self, Fork};
use pm_common::sys::process;

use crate::launch::patience::Until;
use crate::launch::running_service::Started;
use crate::launch::service::{ABOUT_TO_EXEC, FIELDS, Service};

/// Makes the service's process (`begun` is called then: it goes on whatever becomes of us), and waits until it is the chain.
/// `None`: that is not to be waited for.
pub(super) fn launch(service: &Service, until: Until, begun: impl Fn()) -> Result<Option<Started>, Failure> {
    let (reader, writer) = std::io::pipe().or_fail(|| "cannot make a pipe".to_owned())?;
    match daemon::fork_ended_by_term().or_fail(|| "cannot fork".to_owned())? {
        Fork::Parent(child) => {
            begun();
            if until == Until::Forked {
                return Ok(None);
            }
            drop(writer);
            outcome(reader, service, child.as_raw()).map(Some)
        }
        Fork::Child => {
            drop(reader);
            let mut pipe = File::from(OwnedFd::from(writer));
            let failure = service.clone().start(&mut pipe);
            // The parent says it, with the stderr that the user sees.
            let _ = pipe.write_all(&[&[failure.code], failure.message.as_bytes()].concat());
            std::process::exit(i32::from(failure.code))
        }
    }
}

/// Waits for what becomes of the child: the pipe is closed when it executes the chain.
fn outcome(mut pipe: PipeReader, service: &Service, pid: i32) -> Result<Started, Failure> {
    let mut told = Vec::new();
    pipe.read_to_end(&mut told).or_fail(|| "cannot read from the service's process".to_owned())?;
    let (fields, failure) = match told.split_first() {
        Some((&ABOUT_TO_EXEC, rest)) => fields(rest),
        _ => (Default::default(), told.as_slice()),
    };
    match failure {
        [code, message @ ..] => Err(Failure::with_code(*code, String::from_utf8_lossy(message))),
        [] if told.is_empty() => {
            let ended = process::reap(pid).map_or_else(String::new, |exit| format!(": {exit}"));
            Err(Failure::own(format!("the service's process ended before the chain was run{ended}")))
        }
        [] => Ok(Started::new(fields, service, pid)),
    }
}

/// The fields that are each before a NUL, and what is behind them.
fn fields(bytes: &[u8]) -> ([&[u8]; FIELDS], &[u8]) {
    let mut parts = bytes.splitn(FIELDS + 1, |byte| *byte == 0);
    let fields = [(); FIELDS].map(|()| parts.next().unwrap_or_default());
    (fields, parts.next().unwrap_or_default())
}
