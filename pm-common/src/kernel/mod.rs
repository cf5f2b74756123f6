//! What the kernel says: of processes, of sockets, of the limits that hold here.
//!
//! `procfs` reads /proc, of which the memory of a tree, too; `sock_diag` asks the socket monitor, on which `listeners` (who
//! listens), `serving` (queues and connections) and `peer` (who is at the other end) are built; `cgroup` and
//! `memory_room`, `cpus`: what this control group allows.

pub mod cgroup;
pub mod cpus;
pub mod host;
pub mod listeners;
pub mod memory_room;
pub mod peer;
pub mod procfs;
pub mod serving;
pub mod sock_diag;
