//! Node's own conversation with the process that started it: what both supervisors know of it. `channel` is one child's
//! end of it, `message` and `query` what is said, `app_messages` what apps say themselves, `locate` tells who is to have one.

pub mod app_messages;
pub mod channel;
pub mod inspector;
pub mod locate;
pub mod message;
pub mod preload;
pub mod query;
