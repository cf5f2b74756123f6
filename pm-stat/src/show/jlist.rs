//! `--jlist`: all of it as one JSON array, in the shape that programs written for PM2 read.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;

use pm_common::app::home::{WORKERS, read_file, start_brief};
use pm_common::app::status::SupervisorLine;
use pm_common::cli::tables::PM_CLUSTER;
use pm_common::cli::{chain, shell};
use pm_common::kernel::cpus;
use pm_common::sys::clock;
use serde_json::{Map, Value, json};

use crate::show::json_line::escaped;
use crate::show::row::Row;
use crate::show::state_words;

/// The array, with a newline behind it. The environment holds passwords, so it is shown on request only.
pub(crate) fn jlist(rows: &[Row<'_>], with_env: bool) -> String {
    let mut starts = HashMap::new();
    let mut items: Vec<String> = Vec::new();
    for row in rows {
        let start = starts.entry(row.app.name.as_str()).or_insert_with(|| start_brief::whole(&row.app.dir, with_env));
        let mut item = item(row, start, with_env, clock::wall_ms());
        // As in PM2, an app that is stopped has as many as it had workers.
        let slots = if row.app.runs() || row.worker.is_some() { None } else { slots(&row.app.dir, start) };
        for slot in 0..slots.unwrap_or(1) {
            if slots.is_some() {
                item["pm2_env"]["NODE_APP_INSTANCE"] = slot.into();
            }
            items.push(item.to_string());
        }
    }
    escaped(&format!("[{}]\n", items.join(",")))
}

fn item(row: &Row<'_>, start: &Map<String, Value>, with_env: bool, now_ms: u64) -> Value {
    let usage = row.usage.as_ref();
    let started_ms = usage.map(|u| now_ms.saturating_sub((u.uptime_s * 1000.0) as u64));
    let [out, err] = row.app.logs();
    let described = |key: &str| start.get("app").and_then(|app| app.get(key)).cloned();
    let text = |key: &str| start.get(key).and_then(start_brief::text);
    let mode = row.app.mode().unwrap_or("fork");
    let watches = row.app.acting().is_some_and(SupervisorLine::watches);
    let mut env = json!({
        "name": row.app.called(), "pm_id": row.app.id(), "namespace": row.app.namespace(), "status": state_words::for_programs(row),
        "restart_time": row.restarts.unwrap_or(0), "unstable_restarts": 0, "pm_uptime": started_ms, "created_at": created(row, start),
        "exec_mode": format!("{mode}_mode"), "instances": row.app.acting().map_or_else(|| workers_of(start), |s| json!(s.workers)),
        "NODE_APP_INSTANCE": row.worker.map(|w| w.slot), "pm_cwd": text("cwd"), "pm_exec_path": text("script").or_else(|| text("command")),
        "pm_out_log_path": out.to_string_lossy(), "pm_err_log_path": err.to_string_lossy(),
        "pm_pid_path": row.app.dir.join("pid").to_string_lossy(),
        "node_args": list(described("node_args").or_else(|| described("interpreter_args"))), "args": list(described("args")),
        "exec_interpreter": start.get("interpreter"),
        "instance_var": described("instance_var").unwrap_or_else(|| "NODE_APP_INSTANCE".into()),
        "max_memory_restart": row.app.acting().and_then(|supervisor| supervisor.policy.get("max_mem").cloned()),
        "exit_code": exit_code(row), "watch": watches, "watching": watches,
        "cron_restart": described("cron_restart").map(alone),
    });
    if with_env && let Some(env) = env.as_object_mut() {
        env.insert("env".to_owned(), Value::Object(environment(start)));
    }
    json!({
        "pid": row.pid.unwrap_or(0), "name": row.app.called(), "pm_id": row.app.id(),
        "monit": {"memory": usage.map_or(0, |u| u.rss_bytes), "cpu": usage.map_or(0.0, |u| (u.cpu_pct * 10.0).round() / 10.0)},
        "pm2_env": env,
    })
}

/// The one value of a list of one: PM2 has no list there.
fn alone(value: Value) -> Value {
    match value {
        Value::Array(mut list) if list.len() == 1 => list.remove(0),
        other => other,
    }
}

fn created(row: &Row<'_>, start: &Map<String, Value>) -> Value {
    start.get("started_at_ms").cloned().unwrap_or_else(|| json!(row.supervisor.map(|s| s.since_ms)))
}

/// The workers that an app which does not run had; `None`: it is one process.
fn slots(dir: &Path, start: &Map<String, Value>) -> Option<u32> {
    let argv: Vec<OsString> =
        start.get("argv")?.as_array()?.iter().filter_map(start_brief::text).map(Into::into).collect();
    let cluster = chain::links(&argv).0.into_iter().find(|link| link.tool.name == PM_CLUSTER.name)?;
    let asked_for =
        read_file(dir, WORKERS, 100).ok().and_then(|text| String::from_utf8(text).ok()?.trim().parse().ok());
    let described = || cpus::parse_workers(cluster.value("workers")?.to_str()?, cpus::usable()).ok();
    Some(asked_for.or_else(described).unwrap_or(1).max(1))
}

/// Of an app that does not run: how many workers were asked for.
fn workers_of(start: &Map<String, Value>) -> Value {
    start.get("app").and_then(|app| app.get("instances")).cloned().unwrap_or_else(|| json!(1))
}

fn exit_code(row: &Row<'_>) -> Option<i32> {
    match row.last?.ended.as_ref()? {
        pm_common::app::status::Ended::Code(code) => Some(*code),
        pm_common::app::status::Ended::Signal(_) => None,
    }
}

/// A list, also where the description has one text: then as it is split for the app.
fn list(value: Option<Value>) -> Value {
    match value {
        Some(Value::Array(all)) => Value::Array(all),
        Some(Value::String(text)) => json!(shell::words(&text).unwrap_or_else(|_| vec![text])),
        Some(_) | None => json!([]),
    }
}

fn environment(start: &Map<String, Value>) -> Map<String, Value> {
    // The variables of the description are set over those that the chain is started with.
    let all = ["env", "app_env"].into_iter().filter_map(|key| start.get(key)?.as_object()).flatten();
    all.filter_map(|(name, value)| Some((name.clone(), Value::from(start_brief::text(value)?)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_of_arguments_is_split_as_it_is_for_the_app() {
        assert_eq!(list(Some(json!("--x 'a b' c"))), json!(["--x", "a b", "c"]));
        assert_eq!(list(Some(json!(["a b"]))), json!(["a b"]));
        assert_eq!(list(None), json!([]));
    }
}
