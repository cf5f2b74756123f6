//! The options of the verbs that more than one has, and those that set a field of an app: PM2's, with the field's name.

use pm_common::cli::options::{Opt, opt, switch};

/// What an option makes of its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Its value.
    Value,
    /// Always this.
    Is(&'static str),
    /// The next word, or this, if that is an option.
    Or(&'static str),
    /// The next words that are numbers, one by one.
    Codes,
    /// The next word, if that is a directory.
    Directory,
}

/// An option that sets a field of an app.
#[derive(Debug)]
pub(crate) struct FieldOpt {
    pub(crate) opt: Opt,
    pub(crate) name: &'static str,
    pub(crate) effect: Effect,
}

const fn field(opt: Opt, name: &'static str, effect: Effect) -> FieldOpt {
    FieldOpt { opt, name, effect }
}

/// One that `pm VERB --help` only names.
const fn rare(opt: Opt, name: &'static str, effect: Effect) -> FieldOpt {
    field(opt.rare(), name, effect)
}

/// The options that set a field.
pub(crate) const FIELDS: &[FieldOpt] = &[
    field(opt("name", "NAME", "its name [after the script]").short('n'), "name", Effect::Value),
    field(opt("instances", "N|max", "so many; of JavaScript: cluster mode").short('i'), "instances", Effect::Value),
    rare(opt("namespace", "NAME", "its group of apps"), "namespace", Effect::Value),
    rare(opt("cwd", "DIR", "where it runs [here]"), "cwd", Effect::Value),
    rare(opt("interpreter", "PROG", "what runs the script; none: itself"), "interpreter", Effect::Value),
    rare(opt("interpreter-args", "ARGS", "as --node-args"), "node_args", Effect::Value),
    rare(opt("node-args", "ARGS", "options of Node"), "node_args", Effect::Value),
    rare(switch("execute-command", "as --exec-mode fork").short('x'), "exec_mode", Effect::Is("fork")),
    rare(opt("exec-mode", "fork|cluster", "whether instances share a port"), "exec_mode", Effect::Value),
    rare(switch("sticky", "clients of one address stay with one worker"), "sticky", Effect::Is("true")),
    rare(
        opt("reload", "HOW", "new workers beside old ones, or stop-start").one_of("beside|stop-start"),
        "reload",
        Effect::Value,
    ),
    rare(opt("uid", "USER", "run as this user"), "uid", Effect::Value),
    rare(opt("user", "USER", "as --uid").short('u'), "uid", Effect::Value),
    rare(opt("gid", "GROUP", "and group"), "gid", Effect::Value),
    field(opt("max-memory-restart", "SIZE", "replace a worker above it: 512M"), "max_memory_restart", Effect::Value),
    rare(opt("max-restarts", "N", "give up after so many"), "max_restarts", Effect::Or("16")),
    rare(opt("min-uptime", "MS", "up so long, a start has succeeded"), "min_uptime", Effect::Value),
    rare(opt("restart-delay", "MS", "wait before each restart"), "restart_delay", Effect::Value),
    rare(
        opt("exp-backoff-restart-delay", "MS", "as --restart-delay, and growing"),
        "exp_backoff_restart_delay",
        Effect::Value,
    ),
    rare(switch("no-autorestart", "a job: its end is its end"), "autorestart", Effect::Is("false")),
    rare(opt("stop-exit-codes", "N,N", "after these it stays down"), "stop_exit_codes", Effect::Codes),
    rare(opt("kill-timeout", "MS", "for a stop, before KILL").short('k'), "kill_timeout", Effect::Value),
    rare(switch("wait-ready", "ready is: process.send('ready')"), "wait_ready", Effect::Is("true")),
    rare(switch("wait-listen", "it must listen"), "wait", Effect::Is("listen")),
    rare(opt("listen-timeout", "MS", "to listen, or be ready, within"), "listen_timeout", Effect::Value),
    rare(
        switch("shutdown-with-message", "'shutdown' instead of a signal"),
        "shutdown_with_message",
        Effect::Is("true"),
    ),
    rare(opt("output", "FILE", "what it writes to stdout").short('o'), "out_file", Effect::Value),
    rare(opt("error", "FILE", "and to stderr").short('e'), "error_file", Effect::Value),
    rare(opt("log", "FILE", "both").short('l'), "log_file", Effect::Or("true")),
    rare(switch("disable-logs", "no files"), "disable_logs", Effect::Is("true")),
    rare(switch("merge-logs", "as always: one file for all workers"), "merge_logs", Effect::Is("true")),
    rare(switch("time", "a time in front of each line"), "time", Effect::Is("true")),
    rare(opt("log-type", "json", "each line is an object"), "log_type", Effect::Value),
    rare(opt("log-date-format", "F", "as --time; its format is RFC 3339"), "log_date_format", Effect::Value),
    rare(opt("log-max-size", "SIZE", "rotate its logs above it [10M]"), "log_max_size", Effect::Value),
    rare(opt("log-keep", "N", "as many rotated ones [10]"), "log_keep", Effect::Value),
    rare(switch("no-log-rotate", "do not rotate its logs"), "log_rotate", Effect::Is("false")),
    rare(opt("filter-env", "PART", "no variable with it in its name"), "filter_env", Effect::Value),
    rare(switch("source-map-support", "Node's --enable-source-maps"), "source_map_support", Effect::Is("true")),
    rare(opt("after", "APP", "start once APP is ready, end before it"), "depends_on", Effect::Value),
    rare(switch("no-autostart", "write it down, start nothing"), "autostart", Effect::Is("false")),
    rare(switch("no-treekill", "the signal goes to the program alone"), "treekill", Effect::Is("false")),
    rare(opt("pid", "FILE", "a warning: ~/.pm/APP/pid is it").short('p'), "pid_file", Effect::Value),
    rare(opt("cron", "T", "as --cron-restart").short('c'), "cron_restart", Effect::Value),
    rare(opt("cron-restart", "PATTERN", "restart it at set times: '0 3 * * *'"), "cron_restart", Effect::Value),
    rare(switch("watch", "restart it when files change: here, or in DIR"), "watch", Effect::Directory),
    rare(opt("ignore-watch", "GLOB", "with --watch: but not these"), "ignore_watch", Effect::Value),
    rare(opt("on", "EVENT=CMD", "run CMD at crash, gave-up, aborted, ready ..."), "on", Effect::Value),
    rare(opt("health", "URL", "of a cluster: ready once this is answered well"), "health", Effect::Value),
    rare(opt("health-cmd", "CMD", "as --health: once CMD exits with 0"), "health_cmd", Effect::Value),
    rare(opt("max-lag", "TIME", "of a cluster: replace who lets clients wait"), "max_lag", Effect::Value),
    rare(opt("watch-delay", "MS", "with --watch: so long after the last"), "watch_delay", Effect::Value),
];

/// What every verb takes.
pub(crate) const COMMON: &[Opt] = &[
    switch("silent", "no table behind it").short('s').rare(),
    switch("no-color", "no colours").rare(),
    switch("help", "this text").short('h'),
];

/// What these of PM2 say is so here, or was its own business: taken where apps are meant, without effect.
pub(crate) const NOTHING: &[Opt] = &[
    switch("daemon", ""),
    switch("no-vizion", ""),
    switch("no-pmx", ""),
    switch("no-automation", ""),
    switch("disable-trace", ""),
    switch("disable-source-map-support", ""),
    switch("mini-list", "").short('m'),
    opt("parallel", "N", ""),
    opt("ext", "LIST", ""),
];

/// Options of a verb that PM2 or tail(1) has, and what to do instead.
pub(crate) const ELSEWHERE: &[(&str, &[&str], &str)] = &[
    ("logs", &["--filter", "--grep"], "pm logs APP --raw | grep TEXT, or --highlight TEXT"),
    ("logs", &["-n", "--tail"], "it is --lines N"),
    ("logs", &["-f", "--follow"], "it follows, unless --nostream is given"),
    ("logs", &["--error"], "it is --err"),
    ("list", &["-w", "--watch"], "pm monit, or pm-stat --follow"),
    ("start", &["-w", "--write"], "pm save keeps what runs"),
    (
        "start",
        &["--v8", "--trace", "--event-loop-inspector", "--deep-monitoring"],
        "leave it out: PM2's own monitoring",
    ),
];
