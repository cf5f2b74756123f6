//! The table of verbs: what each is called and takes, what it is made of, and what does it; and PM2's that are not here.

use pm_common::cli::options::{Opt, opt, switch};
use pm_common::cli::report::{self, Failure, print};

use crate::pm::call::Verb;
use crate::pm::{boot, logs, manage_verbs, restart_and_reload, show_verbs, start_verb};

const ONLY: Opt = opt("only", "A,B", "of a config file: these apps");
const ENV: Opt = opt("env", "NAME", "of a config file: env_NAME over env");
const UPDATE_ENV: Opt = switch("update-env", "take this shell's variables").short('a');
const FORCE: Opt = switch("force", "of a config file: restart where a reload is not enough").short('f');

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\n");
const UPDATE: &str = "nothing to update: there is no daemon; an app takes the new tools when it is restarted";
// pm-log looks for its files by itself, and what an app has open nobody can exchange.
const RELOAD_LOGS: &str =
    "nothing to do: rotated files are found again with --time or --log-type json, else use copytruncate";

/// Says why there is nothing to do.
fn nothing(why: &str) -> Result<u8, Failure> {
    report::info(why);
    Ok(0)
}

/// All verbs, in the order of the help.
pub(crate) const VERBS: &[Verb] = &[
    Verb {
        about: "Starts a script, a command, a config file, known apps; back when they are ready.",
        options: &[
            ONLY,
            ENV,
            UPDATE_ENV,
            switch("force", "a second app of the script, NAME-2").short('f').rare(),
            switch("no-daemon", "in the foreground, as a container wants it"),
            switch("dry-run", "start nothing, say what would run"),
            switch("attach", "then show the logs").rare(),
        ],
        fields: true,
        example: "pm start app.js -i max --max-memory-restart 512M -- --port 3000",
        made_of: "pm-fork [pm-log] pm-restart [pm-cluster -n N] node app.js (--dry-run)",
        ..Verb::new("start", "[TARGET...] [-- ARGS OF THE APP]", start_verb::run)
    },
    Verb {
        about: "Runs a script, or all apps of a file, in front, as pm-runtime; ends with them.",
        options: &[
            ONLY,
            ENV,
            switch("raw", "lines as they are, without the app's name"),
            switch("json", "each line as an object"),
        ],
        fields: true,
        example: "pm runtime ecosystem.config.js --env production",
        made_of: "pm-restart [pm-cluster] node app.js; several: each with pm-log --echo",
        ..Verb::new("runtime", "[FILE] [-- ARGS OF THE APP]", start_verb::runtime)
    },
    Verb {
        about: "Ends apps, all at once; back when they have ended. They stay in the list.",
        options: &[ONLY, ENV, switch("watch", "and watch files no longer, nor after the next start")],
        example: "pm stop web api",
        made_of: "pm-fork --stop APP: TERM to the supervisor, which drains its workers",
        ..Verb::new("stop", "TARGET...", manage_verbs::stop)
    },
    Verb {
        aliases: &["startOrRestart"],
        about: "Ends apps and starts them as they were started, or as their config file says.",
        options: &[ONLY, ENV, UPDATE_ENV, FORCE],
        fields: true,
        example: "pm restart web --max-memory-restart 300M",
        made_of: "pm-fork --again --restart APP: TERM, the end, a start",
        ..Verb::new("restart", "TARGET... [-- ARGS]", restart_and_reload::run)
    },
    Verb {
        aliases: &["gracefulReload", "startOrReload", "startOrGracefulReload"],
        about: "Replaces all workers, each new one ready first; cluster mode loses no request.",
        options: &[ONLY, ENV, UPDATE_ENV, FORCE, switch("moved", "the new code is meant to listen elsewhere")],
        fields: true,
        example: "pm reload ecosystem.config.js --env production",
        made_of: "pm-stat --wait rolled APP, and pm-fork --signal HUP [--moved] APP",
        ..Verb::new("reload", "TARGET... [-- ARGS]", restart_and_reload::run)
    },
    Verb {
        aliases: &["del"],
        about: "Ends apps and forgets them; their logs go, too.",
        options: &[ONLY, ENV],
        example: "pm delete web",
        made_of: "pm-fork --stop APP; pm-fork --remove APP",
        ..Verb::new("delete", "TARGET...", manage_verbs::delete)
    },
    Verb {
        about: "Gives an app in cluster mode another number of workers.",
        options: &[ONLY, ENV],
        example: "pm scale web +2",
        made_of: "pm-fork --scale N APP: a TTIN or TTOU to pm-cluster for each worker",
        ..Verb::new("scale", "APP N|+N|-N", manage_verbs::scale)
    },
    Verb {
        aliases: &["ls", "l", "ps", "status"],
        about: "Shows what runs, and what could.",
        options: &[opt("sort", "FIELD", "by name, id, cpu, memory ...; memory:desc")],
        example: "pm list --sort memory:desc",
        made_of: "pm-stat --table",
        ..Verb::new("list", "[TARGET...]", show_verbs::list)
    },
    Verb {
        aliases: &["show", "desc", "info"],
        about: "Says all that is known of apps.",
        options: &[ONLY, ENV],
        example: "pm describe web",
        made_of: "pm-stat --describe APP",
        ..Verb::new("describe", "TARGET...", show_verbs::describe)
    },
    Verb {
        about: "Prints the variables that an app's process was started with.",
        options: &[ONLY, ENV],
        example: "pm env web",
        made_of: "/proc/PID/environ",
        ..Verb::new("env", "TARGET...", show_verbs::env)
    },
    Verb {
        about: "Prints the ids of apps.",
        options: &[ONLY, ENV],
        example: "pm id web",
        made_of: "pm-stat APP, the field id",
        ..Verb::new("id", "TARGET...", show_verbs::ids)
    },
    Verb {
        about: "Prints the processes of workers.",
        options: &[ONLY, ENV],
        example: "kill -USR2 $(pm pid web)",
        made_of: "pm-stat APP, the field pid",
        ..Verb::new("pid", "[TARGET...]", show_verbs::pids)
    },
    Verb {
        about: "Prints the list as PM2's JSON.",
        options: &[switch("env", "the environment, too (it may hold passwords)")],
        example: "pm jlist | jq '.[].name'",
        made_of: "pm-stat --jlist",
        ..Verb::new("jlist", "[TARGET...]", show_verbs::jlist)
    },
    Verb {
        about: "Prints the same for people.",
        options: &[switch("env", "the environment, too (it may hold passwords)")],
        example: "pm prettylist",
        made_of: "pm-stat --jlist, as Node shows an object",
        ..Verb::new("prettylist", "[TARGET...]", show_verbs::prettylist)
    },
    Verb {
        aliases: &["dashboard", "dash"],
        about: "The list, live, with the log of one app; q ends it.",
        example: "pm monit",
        made_of: "pm-stat --top",
        ..Verb::new("monit", "[TARGET...]", show_verbs::monit)
    },
    Verb {
        aliases: &["log"],
        about: "Shows the logs of apps, and what comes.",
        options: logs::OPTIONS,
        example: "pm logs web --lines 100 --err",
        made_of: "tail -F ~/.pm/APP/out.log ~/.pm/APP/err.log",
        ..Verb::new("logs", "[TARGET...]", logs::run)
    },
    Verb {
        about: "Empties the logs of apps, or of all.",
        options: &[ONLY, ENV],
        example: "pm flush web",
        made_of: "pm-fork --flush APP",
        ..Verb::new("flush", "[TARGET...]", manage_verbs::flush)
    },
    Verb {
        about: "Has the restarts counted from 0 on.",
        options: &[ONLY, ENV],
        example: "pm reset web",
        made_of: "pm-fork --reset APP",
        ..Verb::new("reset", "TARGET...", manage_verbs::reset)
    },
    Verb {
        about: "Says why there is nothing to do.",
        made_of: "USR1 to the supervisor has pm-log open its files anew",
        example: "pm reloadLogs",
        ..Verb::new("reloadLogs", "", |_| nothing(RELOAD_LOGS))
    },
    Verb {
        about: "Sends the workers of apps a signal.",
        options: &[ONLY, ENV],
        example: "pm sendSignal SIGUSR2 web",
        made_of: "pm-fork --signal SIG --workers APP",
        ..Verb::new("sendSignal", "SIGNAL TARGET...", manage_verbs::send_signal)
    },
    Verb {
        about: "Writes a line to what an app reads, in fork mode.",
        raw: true,
        example: "pm send console '.help'",
        made_of: "pm-fork --send LINE APP: the FIFO ~/.pm/APP/stdin",
        ..Verb::new("send", "APP LINE", manage_verbs::send)
    },
    Verb {
        about: "Shows what an app writes, sends it what is typed, in fork mode; Ctrl-C leaves.",
        example: "pm attach console",
        made_of: "tail -F ~/.pm/APP/*.log, and pm-fork --send LINE APP",
        ..Verb::new("attach", "APP", logs::attach)
    },
    Verb {
        aliases: &["dump"],
        about: "Keeps the list of apps, for resurrect.",
        options: &[switch("force", "an empty list, too").short('f')],
        example: "pm save",
        made_of: "pm-fork --save | pm-fork --keep",
        ..Verb::new("save", "", manage_verbs::save)
    },
    Verb {
        about: "Brings back the apps that were saved: what ran is started.",
        example: "pm resurrect",
        made_of: "pm-fork -f ~/.pm/.saved",
        ..Verb::new("resurrect", "", start_verb::resurrect)
    },
    Verb {
        about: "Saves that there is no app.",
        example: "pm cleardump",
        made_of: "pm-fork --keep",
        ..Verb::new("cleardump", "", manage_verbs::cleardump)
    },
    Verb {
        about: "Ends all apps; they stay in the list.",
        example: "pm kill",
        made_of: "pm-fork --stop, of all",
        ..Verb::new("kill", "", manage_verbs::kill)
    },
    Verb {
        about: "Has a user's saved apps brought back at boot.",
        options: boot::OPTIONS,
        example: "pm startup -u deploy",
        made_of: "a systemd unit or the like for pm resurrect, reload all, kill",
        ..Verb::new("startup", "[systemd|openrc|runit|s6]", boot::startup)
    },
    Verb {
        about: "Takes that back.",
        options: boot::OPTIONS,
        example: "pm unstartup -u deploy",
        made_of: "systemctl disable or the like, and the unit removed",
        ..Verb::new("unstartup", "[systemd|openrc|runit|s6]", boot::unstartup)
    },
    Verb {
        about: "Has logrotate rotate a user's logs.",
        options: boot::OPTIONS,
        example: "pm logrotate -u deploy",
        made_of: "a file in /etc/logrotate.d, with copytruncate",
        ..Verb::new("logrotate", "", boot::logrotate)
    },
    Verb {
        aliases: &["ecosystem"],
        about: "Writes an ecosystem.config.js to begin with.",
        example: "pm init simple",
        made_of: "a file",
        ..Verb::new("init", "[simple]", start_verb::init)
    },
    Verb {
        about: "Answers; no daemon is there to be asked.",
        example: "pm ping",
        made_of: "nothing",
        ..Verb::new("ping", "", |_| print("{ msg: 'pong' }\n"))
    },
    Verb {
        aliases: &["updatePM2"],
        about: "Says why there is nothing to do.",
        example: "pm update",
        made_of: "USR2 to a supervisor has it take the new tool in place",
        ..Verb::new("update", "", |_| nothing(UPDATE))
    },
    Verb {
        about: "Prints the version.",
        example: "pm version",
        made_of: "nothing",
        ..Verb::new("version", "", |_| print(VERSION))
    },
    Verb {
        about: "Prints what all verbs are, or one.",
        example: "pm help reload",
        made_of: "nothing",
        // Answered in front of the table.
        ..Verb::new("help", "[VERB]", |_| print(VERSION))
    },
];

/// Verbs of PM2 that are not here, and what to use instead.
pub(crate) const ELSEWHERE: &[(&[&str], &str)] = &[
    (&["deploy"], "copy the code (rsync, git pull), then pm reload ecosystem.config.js"),
    (&["serve", "expose"], "a web server: npx serve DIR, caddy file-server; pm start keeps it running"),
    (&["slist", "sysinfos", "report"], "pm jlist, pm describe APP, pm-stat --check"),
    (&["completion"], "completions come with scripts/install"),
    (
        &["set", "get", "multiset", "unset", "conf", "config"],
        "nothing is configured: options are given to start, or stand in ecosystem.config.js",
    ),
    (
        &["install", "uninstall", "module:update", "module:generate", "publish", "package", "autoinstall"],
        "there are no modules: pm logrotate rotates logs, pm-stat --openmetrics has figures for a collector",
    ),
    (&["trigger"], "pm send APP LINE, or pm sendSignal SIG APP"),
    (
        &["link", "unlink", "plus", "register", "login", "logout", "open", "monitor", "unmonitor"],
        "no service of others: pm monit, and pm-stat --openmetrics for a collector",
    ),
    (&["pull", "forward", "backward"], "git pull, then pm reload APP"),
    (&["inspect", "profile:cpu", "profile:mem"], "pm start app.js --node-args --inspect"),
    (&["examples"], "pm help VERB has one each"),
    (&["create"], "pm init"),
    (&["imonit"], "pm monit"),
    (&["deepUpdate"], "the tools come with scripts/install; an app takes them when it is restarted"),
];

/// The verb of this name.
pub(crate) fn find(word: &str) -> Option<&'static Verb> {
    VERBS.iter().find(|verb| verb.is_called(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pm::options::{COMMON, FIELDS, NOTHING};

    /// The verbs and options that scripts/PM2.md says work are known.
    #[test]
    fn what_the_table_says_works_is_there() {
        let table = include_str!("../../../scripts/PM2.md");
        let rows: Vec<_> = table.lines().filter(|l| l.starts_with("| `") && l.contains(" | works")).collect();
        assert!(rows.len() > 50, "{}", rows.len());
        let of_verbs = VERBS.iter().flat_map(|verb| verb.options);
        let options = of_verbs.chain(COMMON).chain(NOTHING).chain(FIELDS.iter().map(|field| &field.opt));
        let long: Vec<_> = options.map(|opt| opt.long).chain(["version"]).collect();
        for row in rows.iter().take_while(|row| !row.starts_with("| `script`")) {
            let (first, _) = row.split_once(" | ").expect("two columns");
            let words = first.split('`').skip(1).step_by(2).flat_map(|code| code.split(' '));
            for word in words {
                if let Some(option) = word.strip_prefix("--").filter(|option| !option.is_empty()) {
                    assert!(long.contains(&option), "{word} of {row}");
                }
            }
            let code: Vec<_> = first.split('`').skip(1).step_by(2).filter(|code| !code.starts_with('-')).collect();
            for verb in code.iter().filter_map(|code| code.split(' ').next()) {
                let is_verb = verb.chars().all(char::is_lowercase) && !["max", "none", "all"].contains(&verb);
                assert!(!is_verb || find(verb).is_some(), "{verb} of {row}");
            }
        }
    }

    #[test]
    fn a_word_means_one_verb_and_a_letter_one_option() {
        let words: Vec<_> = VERBS.iter().flat_map(|verb| verb.aliases.iter().chain([&verb.name])).collect();
        assert!(words.iter().all(|word| words.iter().filter(|other| other == &word).count() == 1), "{words:?}");
        assert!(ELSEWHERE.iter().flat_map(|(names, _)| *names).all(|name| find(name).is_none()));
        for verb in VERBS {
            let fields = if verb.fields { FIELDS } else { &[] };
            let options = verb.options.iter().chain(COMMON).chain(fields.iter().map(|field| &field.opt));
            let letters: Vec<_> = options.filter_map(|opt| opt.short).collect();
            let once = |letter: &char| letters.iter().filter(|other| *other == letter).count() == 1;
            assert!(letters.iter().all(once), "{}: {letters:?}", verb.name);
        }
    }
}
