//! What the command lines and messages of all tools have in common.

pub mod chain;
pub mod nearest;
pub mod options;
pub mod policy_options;
pub mod report;
pub mod shell;
pub mod shown;
pub mod tables;
pub mod timetable;
