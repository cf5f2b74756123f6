//! What the kernel says: of processes, of sockets, of the limits that hold here.

pub mod cgroup;
pub mod cpus;
pub mod host;
pub mod listeners;
pub mod memory_room;
pub mod peer;
pub mod procfs;
pub mod serving;
pub mod sock_diag;
