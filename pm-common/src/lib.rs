//! What the pm tools share.
//!
//! `policy` decides and is pure; `sys` is the only place that touches raw system calls with `unsafe`; `kernel` is what the
//! kernel says of processes and sockets; `node` is Node's own protocol; `app` is an app on disk; `supervise` is the loop
//! of the supervisors; `cli` is what command lines and messages have in common.

pub mod app;
pub mod cli;
pub mod kernel;
pub mod node;
pub mod policy;
pub mod supervise;
pub mod sys;
