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

/// The option with a letter, too.
pub(crate) const fn short(letter: char, opt: Opt) -> Opt {
    Opt { short: Some(letter), ..opt }
}

/// The options that set a field.
pub(crate) const FIELDS: &[FieldOpt] = &[
    field(short('n', opt("name", "NAME", "its name [after the script]")), "name", Effect::Value),
    field(short('i', opt("instances", "N|max", "so many; of JavaScript: cluster mode")), "instances", Effect::Value),
    field(opt("namespace", "NAME", "its group of apps"), "namespace", Effect::Value),
    field(opt("cwd", "DIR", "where it runs [here]"), "cwd", Effect::Value),
    field(opt("interpreter", "PROG", "what runs the script; none: itself"), "interpreter", Effect::Value),
    field(opt("interpreter-args", "ARGS", "as --node-args"), "node_args", Effect::Value),
    field(opt("node-args", "ARGS", "options of Node"), "node_args", Effect::Value),
    field(short('x', switch("execute-command", "fork mode")), "exec_mode", Effect::Is("fork")),
    field(opt("exec-mode", "fork|cluster", "whether instances share a port"), "exec_mode", Effect::Value),
    field(switch("sticky", "clients of one address stay with one worker"), "sticky", Effect::Is("true")),
    field(opt("uid", "USER", "run as this user"), "uid", Effect::Value),
    field(short('u', opt("user", "USER", "as --uid")), "uid", Effect::Value),
    field(opt("gid", "GROUP", "and group"), "gid", Effect::Value),
    field(opt("max-memory-restart", "SIZE", "replace a worker above it: 512M"), "max_memory_restart", Effect::Value),
    field(opt("max-restarts", "N", "give up after so many"), "max_restarts", Effect::Or("16")),
    field(opt("min-uptime", "MS", "up so long, a start has succeeded"), "min_uptime", Effect::Value),
    field(opt("restart-delay", "MS", "wait before each restart"), "restart_delay", Effect::Value),
    field(opt("exp-backoff-restart-delay", "MS", "the same, growing"), "exp_backoff_restart_delay", Effect::Value),
    field(switch("no-autorestart", "a job: its end is its end"), "autorestart", Effect::Is("false")),
    field(opt("stop-exit-codes", "N,N", "these are no failure"), "stop_exit_codes", Effect::Codes),
    field(short('k', opt("kill-timeout", "MS", "for a stop, before KILL")), "kill_timeout", Effect::Value),
    field(switch("wait-ready", "ready is: process.send('ready')"), "wait_ready", Effect::Is("true")),
    field(switch("wait-listen", "it must listen"), "wait", Effect::Is("listen")),
    field(opt("listen-timeout", "MS", "to listen, or be ready, within"), "listen_timeout", Effect::Value),
    field(
        switch("shutdown-with-message", "'shutdown' instead of a signal"),
        "shutdown_with_message",
        Effect::Is("true"),
    ),
    field(short('o', opt("output", "FILE", "what it writes to stdout")), "out_file", Effect::Value),
    field(short('e', opt("error", "FILE", "and to stderr")), "error_file", Effect::Value),
    field(short('l', opt("log", "FILE", "both")), "log_file", Effect::Or("true")),
    field(switch("disable-logs", "no files"), "disable_logs", Effect::Is("true")),
    field(switch("merge-logs", "one file for all workers, as always"), "merge_logs", Effect::Is("true")),
    field(switch("time", "a time in front of each line"), "time", Effect::Is("true")),
    field(opt("log-type", "json", "each line is an object"), "log_type", Effect::Value),
    field(opt("log-date-format", "F", "a time; its format is RFC 3339"), "log_date_format", Effect::Value),
    field(opt("filter-env", "PART", "no variable with it in its name"), "filter_env", Effect::Value),
    field(switch("source-map-support", "Node's --enable-source-maps"), "source_map_support", Effect::Is("true")),
    field(switch("no-autostart", "write it down, start nothing"), "autostart", Effect::Is("false")),
    field(switch("no-treekill", "the signal goes to the program alone"), "treekill", Effect::Is("false")),
    field(short('p', opt("pid", "FILE", "a warning: ~/.pm/APP/pid is it")), "pid_file", Effect::Value),
    field(short('c', opt("cron", "T", "not here: a warning")), "cron_restart", Effect::Value),
    field(opt("cron-restart", "T", "not here: a warning"), "cron_restart", Effect::Value),
    field(switch("watch", "not here: a warning"), "watch", Effect::Directory),
    field(opt("ignore-watch", "P", "not here: a warning"), "ignore_watch", Effect::Value),
    field(opt("watch-delay", "MS", "not here: a warning"), "watch_delay", Effect::Value),
];

/// What every verb takes.
pub(crate) const COMMON: &[Opt] = &[
    short('s', switch("silent", "no table behind it")),
    switch("no-color", "no colours"),
    short('h', switch("help", "this text")),
];

/// What these of PM2 say is so here, or was its own business: taken where apps are meant, without effect.
pub(crate) const NOTHING: &[Opt] = &[
    switch("daemon", ""),
    switch("no-vizion", ""),
    switch("no-pmx", ""),
    switch("no-automation", ""),
    switch("disable-trace", ""),
    switch("disable-source-map-support", ""),
    short('m', switch("mini-list", "")),
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
    ("stop", &["--watch"], "leave it out: nothing is watched"),
    ("start", &["-w", "--write"], "pm save keeps what runs"),
    (
        "start",
        &["--v8", "--trace", "--event-loop-inspector", "--deep-monitoring"],
        "leave it out: PM2's own monitoring",
    ),
];
