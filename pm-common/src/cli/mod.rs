//! What the command lines and messages of all tools have in common.

pub mod chain;
pub mod cron_pattern;
pub mod escape;
pub mod globs;
pub mod nearest;
pub mod options;
pub mod policy_options;
pub mod report;
pub mod shell;
pub mod tables;
pub mod working_dir;
