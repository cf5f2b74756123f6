//! End-to-end tests: the built tools, real processes, real connections. Each test is named by what it shows.

// Tests that need root are in a module of their own, so that who has not can leave out exactly these and say so.
mod any_fallback;
mod any_health;
mod any_health_cmd;
mod any_launch;
mod any_listen;
mod any_other;
mod any_rude;
mod any_shut;
mod any_table;
mod as_root;
mod codes;
mod crash;
mod drain;
mod escapes;
mod fork_apps;
mod fork_described;
mod front_boot;
mod front_logs;
mod front_mishaps;
mod front_shells;
mod front_start;
mod front_verbs;
mod hostile;
mod idle;
mod install;
mod lag;
mod links;
mod listen;
mod logs;
mod memory;
mod notify;
mod orphans;
mod outputs;
mod podman;
mod policy;
mod preload;
mod readme;
mod roll_broken;
mod roll_clients;
mod roll_load;
mod roll_mishaps;
mod roll_release;
mod round_robin;
mod runtimes;
mod speakers;
mod stat_front;
mod stat_top;
mod stat_traffic;
mod status;
mod stop;
mod stop_requests;
mod terminal;
mod usage;

/// The line that everything serves, with a fixture that answers its pid.
const MAIN_LINE: &str = "pm-restart --max-mem 512M pm-cluster -n 2 node $F/app.js";
