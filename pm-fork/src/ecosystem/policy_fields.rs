//! How many workers, when they are ready, when they are restarted: the options of pm-restart and pm-cluster.

use std::ffi::OsString;

use pm_common::cli::{cron_pattern, options};
use pm_common::kernel::cpus;
use pm_common::policy::exit::signal_number;
use serde_json::Value;

use super::field_value::Millis;
use super::program_fields::Program;
use super::{Machine, Reader};

/// The longest delay of a growing backoff, as in PM2.
const LONGEST_BACKOFF: Millis = 15_000;
/// The first delay of our own backoff, which is used where the description has none.
const FIRST_BACKOFF: Millis = 100;
/// What PM2 allows, where only the time is given.
const MAX_RESTARTS: u32 = 16;
/// What PM2 takes for a start that failed, where only their number is given.
const MIN_UPTIME: Millis = 1000;
/// The variable with the worker's number.
const INSTANCE_VAR: &str = "NODE_APP_INSTANCE";

/// The options of pm-restart.
pub(crate) fn policy(reader: &mut Reader<'_>) -> Result<Vec<String>, String> {
    let mut options = Vec::new();
    let mut add = |option: &str, value: Option<String>| {
        options.extend(value.map(|value| [format!("--{option}"), value]).into_iter().flatten());
    };
    add("max-mem", max_mem(reader)?);
    add("restart", reader.bool("autorestart")?.filter(|again| !again).map(|_| "never".to_owned()));
    add("stop-codes", stop_codes(reader)?);
    let pause = pause(reader)?;
    add("restart-delay", pause.map(in_words));
    for pattern in cron(reader)? {
        add("cron", Some(pattern));
    }
    add("stable", reader.millis("min_uptime")?.filter(|ms| *ms > 0).map(|ms| format!("{ms}ms")));
    add("intensity", intensity(reader, pause)?);
    add("grace", grace(reader)?);
    add("stop-signal", Some(stop_signal(reader)?));
    add("stop-signal", by_message(reader)?.then(|| "message".to_owned()));
    // PM2 signals the whole tree of an app, so that one behind a shell or npm hears it.
    if reader.bool("treekill")? != Some(false) {
        options.push("--stop-group".to_owned());
    }
    Ok(options)
}

fn max_mem(reader: &Reader<'_>) -> Result<Option<String>, String> {
    let limit = reader.text("max_memory_restart")?.filter(|text| !matches!(text.as_str(), "" | "0"));
    let check = |text: String| match options::size_of(&text) {
        Ok(_) => Ok(text),
        Err(why) => Err(format!("max_memory_restart: '{text}': {why}")),
    };
    limit.map(check).transpose()
}

/// The patterns of cron; as in PM2 `0` and `false` are none.
fn cron(reader: &Reader<'_>) -> Result<Vec<String>, String> {
    let patterns = match reader.app.get("cron_restart") {
        // One pattern is a text of several words.
        Some(Value::String(pattern)) => vec![pattern.clone()],
        _ => reader.words("cron_restart")?,
    };
    let patterns: Vec<_> = patterns.into_iter().filter(|text| !matches!(text.as_str(), "" | "0" | "false")).collect();
    let wrong =
        |pattern: &String| cron_pattern::check(pattern).err().map(|why| format!("cron_restart: '{pattern}': {why}"));
    patterns.iter().find_map(wrong).map_or(Ok(patterns), Err)
}

fn stop_codes(reader: &Reader<'_>) -> Result<Option<String>, String> {
    let words = reader.words("stop_exit_codes")?.join(",");
    let codes: Vec<_> = words.split([',', ' ']).filter(|code| !code.is_empty()).collect();
    match codes.iter().find(|code| code.parse::<u8>().is_err()) {
        Some(wrong) => Err(format!("stop_exit_codes: '{wrong}': an exit code from 0 to 255?")),
        None => Ok((!codes.is_empty()).then(|| codes.join(","))),
    }
}

/// The first and the longest delay in front of a restart.
fn pause(reader: &Reader<'_>) -> Result<Option<(Millis, Millis)>, String> {
    let growing = reader.millis("exp_backoff_restart_delay")?.filter(|ms| *ms > 0);
    let fixed = reader.millis("restart_delay")?.filter(|ms| *ms > 0);
    Ok(growing.map(|first| (first, first.max(LONGEST_BACKOFF))).or_else(|| fixed.map(|delay| (delay, delay))))
}

/// A delay that grows has two ends.
fn in_words((first, longest): (Millis, Millis)) -> String {
    if first == longest { format!("{first}ms") } else { format!("{first}ms..{longest}ms") }
}

/// PM2 gives up after so many starts in a row that each lasted less than `min_uptime`. As a rate: more restarts than
/// that in the time which they and the delays between them can take, with a second for each to start. Where the delay
/// alone is given, in PM2's own time (God.handleExit): without it our backoff holds a crash loop back for ever.
fn intensity(reader: &Reader<'_>, pause: Option<(Millis, Millis)>) -> Result<Option<String>, String> {
    let (most, uptime) = (reader.number("max_restarts")?, reader.millis("min_uptime")?.filter(|ms| *ms > 0));
    if most.is_none() && uptime.is_none() {
        let window = u64::from(MAX_RESTARTS) * MIN_UPTIME;
        return Ok(pause.map(|_| format!("{MAX_RESTARTS}/{window}ms/{MIN_UPTIME}ms")));
    }
    let backoff = pause.unwrap_or((FIRST_BACKOFF, LONGEST_BACKOFF));
    let (most, uptime) = (most.unwrap_or(MAX_RESTARTS), uptime.unwrap_or(MIN_UPTIME));
    let delays = (0..most.min(1000)).map(|n| backoff.0.saturating_mul(1 << n.min(32)).min(backoff.1)).sum::<Millis>();
    let delays = delays + u64::from(most.saturating_sub(1000)) * backoff.1;
    let window = u64::from(most) * (uptime + 1000) + delays;
    // A year is the longest window that there is.
    let window = window.clamp(1000, 366 * 86_400_000);
    // With none allowed, PM2 gives up at any end.
    Ok(Some(if most == 0 { format!("0/{window}ms") } else { format!("{most}/{window}ms/{uptime}ms") }))
}

fn grace(reader: &Reader<'_>) -> Result<Option<String>, String> {
    let given = reader.millis("kill_timeout")?.filter(|ms| *ms > 0);
    let general = || reader.context.var("PM2_KILL_TIMEOUT")?.parse().ok().filter(|ms: &Millis| *ms > 0);
    Ok(given.or_else(general).map(|ms| format!("{ms}ms")))
}

/// PM2 stops apps with INT, so that is what they have a handler for.
fn stop_signal(reader: &Reader<'_>) -> Result<String, String> {
    let given = reader.text("kill_signal")?;
    let signal = given.as_deref().or_else(|| reader.context.var("PM2_KILL_SIGNAL")).unwrap_or("INT");
    let plain = signal.strip_prefix("SIG").unwrap_or(signal);
    if signal_number(plain).is_none() {
        return Err(format!("kill_signal: '{signal}': a signal such as SIGINT or SIGTERM?"));
    }
    Ok(plain.to_owned())
}

/// Whether the app hears Node's message 'shutdown' in place of the signal.
fn by_message(reader: &Reader<'_>) -> Result<bool, String> {
    let general = || reader.context.var("PM2_KILL_USE_MESSAGE").is_some_and(|value| !value.is_empty());
    Ok(reader.bool("shutdown_with_message")?.unwrap_or_else(general))
}

/// What makes a cluster of the program.
#[derive(Debug, Default)]
pub(crate) struct Cluster {
    /// How many workers it has; `None`: there is no cluster.
    pub(crate) workers: Option<u32>,
    options: Vec<String>,
    /// What pm-restart is told of it.
    lag: Option<String>,
    instance_var: String,
    /// What each worker has one more of than the one before it.
    increment_var: Option<String>,
}

impl Cluster {
    pub(crate) fn of(reader: &mut Reader<'_>, program: &Program) -> Result<Self, String> {
        let instances = reader.text("instances")?.filter(|text| !text.is_empty());
        let count = instances.as_deref().map(|text| workers(text, reader.machine)).transpose()?;
        let sticky = reader.bool("sticky")? == Some(true);
        let forced = mode(reader)?.or(sticky.then_some(true));
        if sticky && forced == Some(false) {
            return Err("sticky: in fork mode no port is shared, and no client has a worker to stay with".to_owned());
        }
        let stop_start = stop_start(reader)?;
        let several = count.is_some_and(|count| count > 1);
        let cluster = forced.unwrap_or_else(|| count.is_some() && program.clusters);
        let (instance_var, increment_var) = (instance_var(reader)?, increment_var(reader)?);
        let (health, lag) = (health(reader)?, max_lag(reader)?);
        // Workers that share no port cannot be asked one by one, nor are their clients seen.
        let of_cluster = [("health", !health.is_empty()), ("max_lag", lag.is_some())];
        if let Some((field, _)) = of_cluster.into_iter().find(|(_, asked)| *asked && !cluster) {
            return Err(format!("{field}: only workers of a cluster are watched so: exec_mode: 'cluster'"));
        }
        let mut ready = ready(reader, program, cluster || several)?;
        if !health.is_empty() && ready.contains(&"--ready".to_owned()) {
            return Err("health: not beside wait_ready, which waits for a message".to_owned());
        }
        ready.extend(health);
        if !(cluster || several) {
            return Ok(Self { workers: None, options: ready, lag, instance_var, increment_var });
        }
        let mut options = vec!["-n".to_owned(), instances.unwrap_or_else(|| "1".to_owned())];
        if !cluster {
            options.push("--apart".to_owned());
            if forced.is_none() {
                let why = "instances: as in PM2, several processes of what is not JavaScript share no port: exec_mode \
                           cluster has them share one, and fork says that this is meant";
                reader.warnings.push(why.to_owned());
            }
        }
        options.extend(sticky.then(|| "--sticky".to_owned()));
        // Where no port is shared, an old process always ends before the next one starts.
        if stop_start && cluster {
            options.extend(["--reload", "stop-start"].map(str::to_owned));
        }
        options.extend(ready);
        Ok(Self { workers: Some(count.unwrap_or(1)), options, lag, instance_var, increment_var })
    }

    /// The options of a pm-restart in front of it.
    pub(crate) fn of_restart(&self) -> Vec<String> {
        self.lag.iter().flat_map(|lag| ["--max-lag".to_owned(), lag.clone()]).collect()
    }

    /// What stands between the policy and the program: a pm-cluster with its options, or more of pm-restart's.
    pub(crate) fn chain(&self, machine: &dyn Machine) -> Vec<OsString> {
        let tool = self.workers.map(|_| machine.tool("pm-cluster"));
        tool.into_iter().chain(self.options.iter().map(OsString::from)).collect()
    }

    /// pm-cluster gives each worker its number under the usual name; under another one a shell does, which counts up, too.
    pub(crate) fn wrapper(&self) -> Vec<OsString> {
        let number = Some(&self.instance_var).filter(|name| *name != INSTANCE_VAR);
        let number = number.map(|name| format!("export {name}=\"$PM_SLOT\"; "));
        let count = self.increment_var.as_ref().map(|name| format!("export {name}=$((${{{name}:-0}} + PM_SLOT)); "));
        let exports: String = number.into_iter().chain(count).collect();
        if self.workers.is_none() || exports.is_empty() {
            return Vec::new();
        }
        ["sh".to_owned(), "-c".to_owned(), exports + "exec \"$@\"", "sh".to_owned()].map(OsString::from).to_vec()
    }

    /// What PM2 tells an app in its environment.
    pub(crate) fn env(&self, name: &str) -> Vec<(String, String)> {
        let number = self.workers.is_none().then(|| (self.instance_var.clone(), "0".to_owned()));
        number.into_iter().chain([("name".to_owned(), name.to_owned())]).collect()
    }
}

/// The options that say when it is ready, which either supervisor understands.
fn ready(reader: &mut Reader<'_>, program: &Program, cluster: bool) -> Result<Vec<String>, String> {
    let asked = reader.bool("wait_ready")? == Some(true);
    let unheard = program.sends_nothing().filter(|_| asked);
    let by_message = asked && unheard.is_none();
    if let Some(why) = unheard {
        reader.warnings.push(format!("wait_ready: {why}; it is not waited for"));
    }
    let listens = match reader.text("wait")?.as_deref() {
        None => false,
        Some("listen") if asked => {
            return Err("wait: listen: not beside wait_ready, which waits for a message".to_owned());
        }
        Some("listen") => true,
        Some(other) => return Err(format!("wait: '{other}': listen is all that it can be")),
    };
    let timeout = reader.millis("listen_timeout")?.filter(|ms| *ms > 0).map(|ms| format!("{ms}ms"));
    let after = match (listens, by_message) {
        (true, _) => Some("never".to_owned()),
        (false, true) => None,
        (false, false) => timeout.clone(),
    };
    let option = |name: &str, value: Option<String>| value.map(|value| [name.to_owned(), value]);
    let message = by_message.then(|| "message".to_owned());
    let timeout = timeout.filter(|_| cluster || by_message || listens);
    let all = [option("--ready", message), option("--ready-after", after), option("--ready-timeout", timeout)];
    Ok(all.into_iter().flatten().flatten().collect())
}

/// What each worker is asked whether it is well: `health`, an URL, and `health_cmd`.
fn health(reader: &Reader<'_>) -> Result<Vec<String>, String> {
    let asked = |field: &str| -> Result<Option<String>, String> {
        match reader.app.get(field) {
            None | Some(Value::Bool(false)) => Ok(None),
            Some(_) => Ok(reader.text(field)?.filter(|text| !text.is_empty())),
        }
    };
    let (url, command) = (asked("health")?, asked("health_cmd")?);
    if let Some(wrong) = url.as_ref().filter(|url| !url.starts_with("http://")) {
        return Err(format!("health: '{wrong}': http://:PORT/PATH is meant"));
    }
    if url.is_some() && command.is_some() {
        return Err("health: not beside health_cmd: the command can ask for the URL".to_owned());
    }
    let option = |name: &str, value: Option<String>| value.map(|value| [name.to_owned(), value]);
    Ok([option("--health", url), option("--health-cmd", command)].into_iter().flatten().flatten().collect())
}

/// The longest that clients of a worker may wait.
fn max_lag(reader: &Reader<'_>) -> Result<Option<String>, String> {
    if reader.app.get("max_lag") == Some(&Value::Bool(false)) {
        return Ok(None);
    }
    match reader.millis("max_lag")?.filter(|ms| *ms > 0) {
        Some(ms) if ms < 1000 => {
            Err(format!("max_lag: {ms} ms: 1s or more: on a busy machine a worker that is well may wait for less"))
        }
        given => Ok(given.map(|ms| format!("{ms}ms"))),
    }
}

fn workers(text: &str, machine: &dyn Machine) -> Result<u32, String> {
    cpus::parse_workers(text, machine.cpus()).map_err(|_| {
        format!(
            "instances: '{text}': a number of workers? 0 or max is one for each CPU, -1 one fewer; {} at most",
            cpus::MOST_WORKERS
        )
    })
}

/// Whether it shall be a cluster; `None`: that is not said.
fn mode(reader: &Reader<'_>) -> Result<Option<bool>, String> {
    match reader.text("exec_mode")?.as_deref() {
        Some("fork" | "fork_mode") => Ok(Some(false)),
        Some("cluster" | "cluster_mode") => Ok(Some(true)),
        Some(other) => Err(format!("exec_mode: '{other}': fork or cluster?")),
        None => Ok((reader.bool("execute_command")? == Some(true)).then_some(false)),
    }
}

/// Whether an old worker ends before the next one starts.
fn stop_start(reader: &Reader<'_>) -> Result<bool, String> {
    match reader.text("reload")?.as_deref() {
        None | Some("beside") => Ok(false),
        Some("stop-start") => Ok(true),
        Some(other) => Err(format!("reload: '{other}': beside or stop-start?")),
    }
}

fn instance_var(reader: &Reader<'_>) -> Result<String, String> {
    let given = reader.text("instance_var")?;
    let name = given.as_deref().or_else(|| reader.context.var("PM2_PROCESS_INSTANCE_VAR")).unwrap_or(INSTANCE_VAR);
    variable("instance_var", name)
}

fn increment_var(reader: &Reader<'_>) -> Result<Option<String>, String> {
    reader.text("increment_var")?.map(|name| variable("increment_var", &name)).transpose()
}

/// The name of a variable, as a shell knows it.
fn variable(field: &str, name: &str) -> Result<String, String> {
    let plain =
        name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric()) && !name.starts_with(|c: char| c.is_ascii_digit());
    if name.is_empty() || !plain {
        return Err(format!("{field}: '{name}': the name of a variable has letters, digits and _ only"));
    }
    Ok(name.to_owned())
}
