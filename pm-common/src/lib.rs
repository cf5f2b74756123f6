//! What the pm tools share.
//!
//! `policy` decides and is pure; `sys` is the only place that touches raw system calls with `unsafe`;
//! everything else joins the two. Tools import from here; `policy` imports nothing of ours.

pub mod cgroup;
pub mod chain;
pub mod connections;
pub mod cpus;
pub mod foreign;
pub mod home;
pub mod node;
pub mod notify;
pub mod options;
pub mod orphans;
pub mod policy;
pub mod policy_options;
pub mod procfs;
pub mod release;
pub mod report;
pub mod status;
pub mod supervise;
pub mod sys;
pub mod wait;
