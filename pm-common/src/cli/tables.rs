//! The tables of all tools: whoever asks what a command line means, be it one of another tool, asks these.

use std::ffi::OsStr;
use std::path::Path;

use crate::cli::options::{Opt, Tool, opt, switch};

/// All of them, in the order of a chain.
pub static ALL: [&Tool; 5] = [&PM_FORK, &PM_LOG, &PM_RESTART, &PM_CLUSTER, &PM_STAT];

/// The tool that a word of a chain runs, by its name or its path.
#[must_use]
pub fn tool(word: &OsStr) -> Option<&'static Tool> {
    let base = Path::new(word).file_name()?;
    ALL.into_iter().find(|tool| base == tool.name)
}

/// Makes a chain a background service; sees to apps.
pub static PM_FORK: Tool = Tool {
    name: "pm-fork",
    usage: "[options] [--] CHAIN...
       pm-fork -f FILE|- [options]
       pm-fork --set script=FILE [--set KEY=VALUE...] [-- ARGS...]
       pm-fork --again|--stop|--remove|--reset|--flush [options] APP...
       pm-fork --scale N|--signal SIG|--send LINE [options] APP...
       pm-fork --save|--keep",
    about: "Becomes a background service with a name and log files, then runs CHAIN.",
    options: &[
        opt("name", "NAME", "the app's name [after the first file in CHAIN]"),
        opt("namespace", "NAME", "its group of apps [default]").rare(),
        opt("cwd", "DIR", "the directory to run in [this one]"),
        opt("after", "APP", "start once APP is ready, end before it; repeatable").rare(),
        opt("out", "FILE", "append stdout to FILE [out.log of the app]"),
        opt("err", "FILE", "append stderr to FILE [err.log of the app]"),
        opt("wait", "WHAT", "return when it is ready, started; none: at once [ready]").one_of("ready|started|none"),
        opt("timeout", "TIME", "wait no longer, and exit 124 [30s]"),
        opt("file", "FILE", "start the apps of an ecosystem file").short('f').one_of("FILE|-"),
        opt("only", "A,B", "of the file: these apps"),
        opt("env", "NAME", "of the file: env_NAME over env"),
        opt("set", "KEY=VALUE", "a field of PM2's for each app, over what the file says").rare(),
        switch("update", "say what the file changes of apps that run, and write their variables").rare(),
        switch("force", "an app whose name runs gets a number behind its name").rare(),
        switch("dry-run", "start nothing, print what would be"),
        switch("again", "start stopped apps as they were started before").rare(),
        switch("update-env", "with --again, --signal HUP: in this environment").rare(),
        switch("moved", "with --signal HUP: the new release may listen elsewhere").rare(),
        switch("restart", "with --again or -f: stop first what runs, if it can be started again").rare(),
        opt("signal", "SIG", "send the apps' outermost processes a signal").rare(),
        opt("send", "LINE", "write a line to what the apps read, in fork mode").rare(),
        switch("stop", "end apps, and what killed supervisors left of them").rare(),
        switch("workers", "with --signal: their workers, instead").rare(),
        opt("scale", "N|+N|-N", "have so many workers, or so many more or fewer").one_of("N|+N|-N").rare(),
        switch("reset", "count the restarts from 0 on").rare(),
        switch("flush", "empty the logs").rare(),
        switch("remove", "forget stopped apps, and delete their logs").rare(),
        switch("save", "print all apps as -f takes them").rare(),
        switch("keep", "what --save printed, on stdin, becomes the saved list").rare(),
    ],
    examples: "  pm-fork pm-restart --max-mem 512M pm-cluster -n 0 node app.js\n",
    elsewhere: &[],
};

/// Writes lines to files.
pub static PM_LOG: Tool = Tool {
    name: "pm-log",
    usage: "[options] [--] [CHAIN...]
       pm-log --rotate --max-size SIZE [--keep N] --out FILE [--err FILE]",
    about: "Writes the lines of CHAIN, or of its input, to files that it rotates.",
    options: &[
        opt("out", "FILE", "where stdout goes [out.log of the app, else stdout]"),
        opt("err", "FILE", "where stderr goes [err.log of the app, else stderr]"),
        opt("both", "FILE", "where both go, beside these"),
        opt("echo", "TEXT", "write each line, behind TEXT, to our own output, too"),
        switch("time", "put the time (UTC) in front of each line"),
        switch("json", "write each line as a JSON object"),
        opt("max-size", "SIZE", "rotate a file before it is larger than this"),
        opt("every", "DURATION", "rotate at each new period: 1d is at midnight UTC"),
        opt("keep", "N", "rotated files that are kept: FILE.1 to FILE.N [10]"),
        switch("rotate", "rotate the files now, while others write them, and end"),
    ],
    examples: "  pm-fork pm-log --time --max-size 10M pm-restart pm-cluster -n 0 node app.js\n",
    elsewhere: &[("--name", "say it to pm-fork, in front of pm-log")],
};

/// From the stop signal to KILL.
const GRACE: Opt = opt("grace", "TIME", "from the stop signal to KILL (8s)");
/// From TERM to the begin of the stop.
const STOP_DELAY: Opt = opt("stop-delay", "TIME", "after TERM workers go on serving for this long (0s)").rare();
/// What asks a worker to stop.
const STOP_SIGNAL: Opt =
    opt("stop-signal", "SIG", "asks a worker to stop; message: 'shutdown' (TERM)").one_of("SIG|message");
/// Whom that goes to.
const STOP_GROUP: Opt = switch("stop-group", "asks all of its process group, not its leader alone").rare();

/// Restarts a chain.
pub static PM_RESTART: Tool = Tool {
    name: "pm-restart",
    usage: "[options] [--] CHAIN...",
    about: "Restarts CHAIN when it ends or grows too fat; of a pm-cluster, each worker.",
    options: &[
        opt("name", "NAME", "the app's name (derived from CHAIN)"),
        opt("max-mem", "SIZE", "memory of a worker and all it started: 512M (none)"),
        opt("max-lag", "TIME", "longest wait of a pm-cluster worker's clients (none)"),
        opt("restart", "WHEN", "always, on-failure or never (always)").one_of("always|on-failure|never"),
        opt("stop-codes", "LIST", "exit codes after which it is not restarted: 0,3"),
        opt("backoff", "MIN..MAX", "delay between failed starts, doubling (100ms..15s)").one_of("FIRST..LONGEST"),
        opt("restart-delay", "TIME", "instead: exactly this before each; MIN..MAX: growing")
            .one_of("TIME|FIRST..LONGEST")
            .rare(),
        opt("cron", "PATTERN", "replace it at set times: '0 3 * * *'; repeatable"),
        opt("watch", "PATH", "replace it when files there change; repeatable"),
        opt("ignore", "GLOB", "with --watch: but not these; repeatable").rare(),
        opt("watch-delay", "TIME", "with --watch: once all is quiet for this long (200ms)").rare(),
        opt("on", "EVENT=CMD", "run CMD at crash, gave-up, aborted, ready ...; repeatable").rare(),
        opt("log-size", "SIZE", "in the background: rotate logs above it; or none (10M)").one_of("SIZE|none").rare(),
        opt("log-keep", "N", "and keep so many rotated ones (10)").rare(),
        opt("stable", "TIME", "up this long, earlier failures are forgotten (10s)").rare(),
        opt("intensity", "N/TIME", "more restarts than N within TIME: give up (16/60s)"),
        GRACE,
        STOP_DELAY,
        STOP_SIGNAL,
        STOP_GROUP,
        opt("ready", "EVIDENCE", "listen, message ('ready') or notify (listen)").one_of("listen|message|notify"),
        opt("ready-after", "TIME", "with listen: up so long is ready, too; or never (1s; Node: 5s)").rare(),
        opt("ready-timeout", "TIME", "not ready by then: the start has failed (30s)"),
        opt("env-file", "FILE", "variables for CHAIN; a HUP reads them again"),
        opt("mem-interval", "TIME", "how often memory is looked at, with --max-mem (1s)").rare(),
    ],
    examples: "  pm-restart node app.js\n  pm-restart --max-mem 512M pm-cluster -n 0 node app.js\n",
    elsewhere: &[
        ("-n", BELONGS_TO_CLUSTER),
        ("--workers", BELONGS_TO_CLUSTER),
        ("--balance", BELONGS_TO_CLUSTER),
        ("--soak", BELONGS_TO_CLUSTER),
        ("-i", "copies are made by pm-cluster, behind: pm-restart [options] pm-cluster -n N PROG ARGS..."),
        ("--max-memory-restart", "the limit is --max-mem"),
    ],
};

/// What is said of its options to who gives them to pm-restart.
pub const BELONGS_TO_CLUSTER: &str =
    "it belongs to pm-cluster, behind: pm-restart [options] pm-cluster [options] PROG ARGS...";

/// Runs workers behind one address.
pub static PM_CLUSTER: Tool = Tool {
    name: "pm-cluster",
    usage: "[options] [--] PROG ARGS...
       pm-cluster --probe",
    about: "Runs N copies of PROG behind one address; replaces those that die.",
    options: &[
        opt("workers", "N", "copies; 0: one per usable CPU, -1: one fewer (0)").short('n').one_of("N|max"),
        opt("name", "NAME", "the app's name (derived from PROG and ARGS)"),
        GRACE,
        STOP_DELAY,
        STOP_SIGNAL,
        STOP_GROUP,
        opt("ready", "EVIDENCE", "listen, message ('ready') or notify (listen)").one_of("listen|message|notify"),
        opt("health", "URL", "ready once this is answered well: http://:PORT/PATH").one_of("http://[HOST]:PORT/PATH"),
        opt("health-cmd", "CMD", "ready once this command (sh -c) exits with 0"),
        opt("ready-after", "TIME", "with listen: up so long is ready, too; or never (1s; Node: 5s)").rare(),
        opt("ready-timeout", "TIME", "not ready by then: the start has failed (30s)"),
        opt("soak", "TIME", "a reload's first worker must live this long (1s)"),
        opt("parallel", "K", "workers that a reload starts at a time (1)").rare(),
        opt("overlap", "K", "workers that may still be draining while a reload goes on (N)").rare(),
        opt("env-file", "FILE", "variables for workers, read again at each reload"),
        opt("out", "FILE", "append the workers' output; %s in FILE is the slot"),
        opt("err", "FILE", "the same for their errors"),
        switch("no-preload", "no drain script in Node workers").rare(),
        switch("no-close-rewrite", "do not tell clients of a draining server to move on").rare(),
        opt("reload", "HOW", "new workers beside the old ones, or stop-start (beside)")
            .one_of("beside|stop-start")
            .rare(),
        switch("apart", "copies share no port, and none overlaps its successor").rare(),
        opt("balance", "HOW", "lanes, shared or rr (lanes)").one_of("lanes|shared|rr"),
        switch("sticky", "clients of one address stay with one worker").rare(),
        opt("listen", "ADDR", "open [HOST]:PORT or unix:PATH, pass it (LISTEN_FDS)")
            .one_of("[HOST]:PORT|unix:PATH[,mode=OCTAL][,owner=USER[:GROUP]]"),
        opt("fanout", "HOW", "programs that bind: auto, lanes, shared, inherit or off (auto)")
            .one_of("auto|lanes|shared|inherit|off")
            .rare(),
        switch("probe", "print what this machine allows, and end").rare(),
    ],
    examples: "  pm-restart --max-mem 512M pm-cluster -n 4 node app.js\n",
    elsewhere: &[
        ("--max-mem", BELONGS_TO_RESTART),
        ("--max-lag", BELONGS_TO_RESTART),
        ("--restart", BELONGS_TO_RESTART),
        ("--stop-codes", BELONGS_TO_RESTART),
        ("--backoff", BELONGS_TO_RESTART),
        ("--stable", BELONGS_TO_RESTART),
        ("--intensity", BELONGS_TO_RESTART),
        ("--mem-interval", BELONGS_TO_RESTART),
        ("--watch", BELONGS_TO_RESTART),
        ("--on", BELONGS_TO_RESTART),
        ("-i", "the number of workers is -n"),
        ("--instances", "the number of workers is -n"),
    ],
};

const BELONGS_TO_RESTART: &str =
    "it belongs to pm-restart, in front: pm-restart [options] pm-cluster [options] PROG ARGS...";

/// Says what runs.
pub static PM_STAT: Tool = Tool {
    name: "pm-stat",
    usage: "[options] [APP...]
       pm-stat --match TARGET...
       pm-stat --wait WHAT [--timeout TIME] [--since N] APP",
    about: "Says what runs, of the apps named or of all: as JSON lines, or as is asked for.",
    options: &[
        switch("table", "a table for people"),
        opt("sort", "FIELD", "with --table: by name, cpu, memory ...; memory:desc")
            .one_of("FIELD|FIELD:asc|FIELD:desc"),
        switch("describe", "all that is known of APP, for people"),
        switch("check", "exit 0 if all is as it shall be; else 1, and why"),
        switch("follow", "a JSON line for each change, until nobody reads"),
        opt("interval", "TIME", "with --follow: figures too, so often"),
        switch("top", "the table, live on a terminal; q quits"),
        switch("openmetrics", "figures for Prometheus and other collectors"),
        switch("jlist", "one JSON array as programs written for PM2 read it"),
        switch("env", "with --jlist: the environment too (it may hold passwords)"),
        switch("match", "names of apps, by: all, name, id, namespace, script path"),
        opt("wait", "WHAT", "until APP is: rolled, ready, stopped, workers=N").one_of("rolled|ready|stopped|workers=N"),
        opt("timeout", "TIME", "wait no longer, and exit 124 (for ever)"),
        opt("since", "N", "rolled: by the first roll above N (last asked, or next)"),
        switch("pss", "memory with shared pages divided among their sharers"),
    ],
    examples: "  pm-stat | jq 'select(.state != \"ready\")'\n  \
               pm-stat --wait rolled --timeout 60s app & kill -HUP PID; wait $!\n",
    elsewhere: &[],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_fits_a_screen() {
        for tool in ALL {
            let help = tool.help();
            assert!(help.lines().count() <= 24, "{help}");
            assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
        }
    }
}
