//! How what was seen is shown: as JSON lines, tables, figures, to people and to programs written for PM2.

pub(crate) mod describe;
pub(crate) mod jlist;
pub(crate) mod json_line;
pub(crate) mod metrics;
pub(crate) mod order;
mod policy_text;
pub(crate) mod row;
pub(crate) mod state_words;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod traffic;
