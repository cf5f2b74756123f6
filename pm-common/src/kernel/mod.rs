//! What the kernel says: of processes, of sockets, of the limits that hold here.
//!
//! `procfs` reads /proc, of which the memory of a tree, too; `sock_diag` asks the socket monitor, on which `foreign_listeners` (who
//! listens), `all_listeners` (queues and connections) and `peer` (who is at the other end) are built; `cgroup` and
//! `memory_left`, `cpus`: what this control group allows.

pub mod all_listeners;
pub mod cgroup;
pub mod cpus;
pub mod foreign_listeners;
pub mod host;
pub mod memory_left;
pub mod peer;
pub mod procfs;
pub mod sock_diag;
