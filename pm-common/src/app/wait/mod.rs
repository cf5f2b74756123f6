//! Waiting for an app without polling: pm-stat waits for any, pm-fork for what it has just started.
//!
//! [`app_changes`] sees the app and sleeps until something of it changes; [`goal_reached`] says what the sights mean.

pub mod app_changes;
pub mod goal_reached;
pub mod hopeless;
mod progress_line;
mod silence;

pub use app_changes::{Watch, wait_for_any};
pub use goal_reached::{Decision, Goal, Sight, WaitEnd};
pub use hopeless::Patience;
pub use progress_line::Teller;
pub use silence::Silence;
