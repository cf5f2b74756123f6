//! Waiting for an app without polling: pm-stat waits for any, pm-fork for what it has just started.
//!
//! [`watch`] sees the app and sleeps until something of it changes; [`decide`] says what the sights mean.

pub mod decide;
pub mod patience;
mod silence;
mod teller;
pub mod watch;

pub use decide::{Decision, Goal, Sight, WaitEnd};
pub use patience::Patience;
pub use silence::Silence;
pub use teller::Teller;
pub use watch::{Watch, wait_for_any};
