//! Node's own protocol, as the primary of its cluster speaks it.

use std::os::fd::OwnedFd;
use std::rc::Rc;

pub(crate) mod handoff;
pub(crate) use pm_common::node::inspector;
pub mod key;
pub use pm_common::node::preload;

/// Connections are kept by us until their worker says that it has them.
pub(crate) type Connection = Rc<OwnedFd>;
