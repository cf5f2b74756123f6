//! What the end-to-end tests share: a private place for each test, chains of the built tools in it, strict clients.
//!
//! The tests wait for events (a line, an answer, an exit, the end of a pipe); the one deadline of `wait` only ends
//! tests that fail. Whatever a test starts carries a mark in its environment, and all that carries it is killed when
//! the test ends, so that nothing survives a failure.

pub mod any;
pub mod bins;
pub mod booted;
pub mod chain;
pub mod deploy;
pub mod fork;
pub mod front;
pub mod http;
pub mod load;
pub mod node_load;
pub mod pm2;
pub mod podman;
pub mod ports;
pub mod proc;
pub mod roll;
pub mod scene;
pub mod stat;
pub mod wait;
