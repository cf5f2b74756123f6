//! What the pm tools share.
//!
//! `policy` decides and is pure; `sys` is the only place that touches raw system calls with `unsafe`;
//! everything else joins the two. Tools import from here; `policy` imports nothing of ours.

pub mod notify;
pub mod home;
pub mod options;
pub mod policy;
pub mod policy_options;
pub mod procfs;
pub mod report;
pub mod supervise;
pub mod status;
pub mod sys;
