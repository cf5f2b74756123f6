//! Fields that act together, and what surrounds a description.

use super::*;

fn fails(app: Value) -> String {
    planned(app).expect_err("refused")
}

#[test]
fn the_two_descriptions_of_the_readme() {
    let cluster =
        planned(json!({"name": "app", "script": "./app.js", "instances": 0, "exec_mode": "cluster"})).expect("a plan");
    let words: Vec<_> = cluster.start.argv.iter().map(|word| word.to_string_lossy()).collect();
    let chain = "pm-restart --stop-signal INT --stop-group pm-cluster -n 0 --env-file /pm/app/app.env node ./app.js";
    assert_eq!(words.join(" "), chain);
    let fork = planned(json!({})).expect("a plan");
    let words: Vec<_> = fork.start.argv.iter().map(|word| word.to_string_lossy()).collect();
    assert_eq!(words.join(" "), "pm-restart --stop-signal INT --stop-group --env-file /pm/app/app.env node ./app.js");
    assert_eq!(
        (fork.start.name.as_str(), fork.start.namespace.as_str(), fork.start.mode),
        ("app", "default", Mode::Fork)
    );
    assert_eq!(fork.start.script.as_deref(), Some(Path::new("/srv/app.js")));
    assert_eq!((var(&fork, "NODE_APP_INSTANCE"), var(&fork, "name")), (Some("0"), Some("app")));
    assert_eq!(var(&cluster, "NODE_APP_INSTANCE"), None, "pm-cluster numbers its workers");
}

#[test]
fn camel_case_and_other_names_are_understood_and_typing_errors_found() {
    let plan = planned(json!({"maxMemoryRestart": "300M", "outFile": "/o", "execMode": "fork"})).expect("a plan");
    assert_eq!((line(&plan).as_str(), plan.start.out.is_some()), ("pm-restart --max-mem 300M node ./app.js", true));
    for (wrong, meant) in [
        ("instance", "; instances is meant?"),
        ("max_memmory_restart", "; max_memory_restart is meant?"),
        ("waitReadi", "; wait_ready is meant?"),
        ("cronRestart2", "; cron_restart is meant?"),
        ("exec_intrepreter", "; interpreter is meant?"),
        ("whatever_else", "it is ignored"),
    ] {
        let plan = planned(json!({ wrong: 1 })).expect("a plan");
        assert!(
            matches!(plan.warnings.as_slice(), [w] if w.starts_with(wrong) && w.ends_with(meant)),
            "{:?}",
            plan.warnings
        );
    }
    assert_eq!(fails(json!({"out": "/a", "out_file": "/b"})), "out_file: given twice, once as out_file");
    assert!(planned(json!({"out": "/a", "out_file": "/a"})).is_ok());
    assert!(normalise(&json!("app.js")).is_err_and(|why| why.starts_with("an app is described by an object")));
}

#[test]
fn workers_have_files_of_their_own_where_they_are_not_to_be_merged() {
    let argv = |more: Value| {
        let mut app = json!({"instances": 2, "exec_mode": "cluster", "merge_logs": false});
        app.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        planned(app).map(|plan| (line(&plan), plan.warnings)).expect("a plan")
    };
    let split = |files: &str| format!("pm-restart pm-cluster -n 2 {files} node ./app.js");
    assert_eq!(argv(json!({})).0, split("--out out-%s.log --err err-%s.log"));
    let given = argv(json!({"out_file": "/l/o.txt", "error_file": "e"})).0;
    assert_eq!(given, split("--out /l/o-%s.txt --err /srv/e-%s"));
    assert_eq!(argv(json!({"disable_logs": true})).0, split("").replace("  ", " "));
    let (line, warnings) = argv(json!({"time": true}));
    assert_eq!(line, "pm-log --time --max-size 10M pm-restart pm-cluster -n 2 node ./app.js");
    assert!(warnings.iter().any(|warning| warning.starts_with("merge_logs: one pm-log")), "{warnings:?}");
}

#[test]
fn files_that_a_person_has_named_are_rotated_only_if_asked_for() {
    for (app, wanted) in [
        (json!({"out_file": "/o"}), "pm-restart node ./app.js"),
        (json!({"out_file": "/o", "log_rotate": false}), "pm-restart --log-size none node ./app.js"),
        (json!({"out_file": "/o", "log_rotate": true}), "pm-log --max-size 10M --out /o pm-restart node ./app.js"),
        (json!({"out_file": "/o", "log_keep": 2}), "pm-log --max-size 10M --keep 2 --out /o pm-restart node ./app.js"),
        (json!({"out_file": "/dev/stdout", "log_max_size": "5M"}), "pm-restart --log-size 5M node ./app.js"),
        (json!({"out_file": "/o", "time": true}), "pm-log --time --out /o pm-restart node ./app.js"),
        (json!({"time": true, "log_rotate": false}), "pm-log --time pm-restart node ./app.js"),
    ] {
        assert_eq!(line(&planned(app.clone()).expect("a plan")), wanted, "{app}");
    }
}

#[test]
fn a_tilde_is_the_home_of_who_is_to_run_it() {
    let root = Fake { uid: 0, ..Fake::new() };
    let out = |app: Value, home: Option<&str>| {
        let mut context = context();
        context.env.retain(|(key, _)| key != "HOME");
        context.env.extend(home.map(|home| ("HOME".into(), home.into())));
        planned_in(app, &context, &root).map(|plan| plan.start.out.map(|path| path.display().to_string()))
    };
    let path = |text: &str| Ok(Some(text.to_owned()));
    assert_eq!(out(json!({"out": "~/x", "uid": "www"}), Some("/root")), path("/home/www/x"));
    assert_eq!(out(json!({"out": "~/x"}), Some("/root")), path("/root/x"));
    for (app, home) in [(json!({"out": "~/x", "uid": 4711}), Some("/root")), (json!({"out": "~/x"}), None)] {
        let why = out(app, home).expect_err("no home");
        assert_eq!(why, "out_file: '~/x': its user has no home: give the whole path");
    }
}

#[test]
fn every_log_that_is_named_is_written() {
    let of = |out: Value, err: Value, more: Value| {
        let mut app = json!({"log_file": "/l", "out_file": out, "error_file": err});
        app.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let plan = planned(app).expect("a plan");
        assert_eq!(plan.warnings, [""; 0]);
        let text = |path: Option<PathBuf>| path.map_or("-".to_owned(), |path| path.display().to_string());
        (
            text(plan.start.out.clone()),
            text(plan.start.err.clone()),
            line(&plan).replace(" pm-restart node ./app.js", ""),
        )
    };
    let paths = |out: &str, err: &str, chain: &str| (out.to_owned(), err.to_owned(), chain.to_owned());
    let plain = "pm-restart node ./app.js";
    for (out, err) in [(Value::Null, Value::Null), ("NULL".into(), "NULL".into()), ("/dev/null".into(), Value::Null)] {
        assert_eq!(of(out, err, json!({})), paths("/l", "/l", plain), "nothing is lost");
    }
    let chain = "pm-log --out /o --err /e --both /l";
    assert_eq!(of("/o".into(), "/e".into(), json!({})), paths("/o", "/e", chain));
    assert_eq!(of("/o".into(), Value::Null, json!({})), paths("/o", "-", "pm-log --out /o --both /l"));
    let chain = "pm-log --time --out /dev/null --err /e --both /l";
    assert_eq!(of("NULL".into(), "/e".into(), json!({"time": true})), paths("/dev/null", "/e", chain));
}

#[test]
fn the_mode_is_that_of_the_fields_together() {
    for (app, chain) in [
        (json!({"instances": 2, "exec_mode": "cluster"}), "pm-restart pm-cluster -n 2 node ./app.js"),
        (json!({"instances": 2, "sticky": true}), "pm-restart pm-cluster -n 2 --sticky node ./app.js"),
        (
            json!({"instances": 2, "health": "http://:80/up", "max_lag": "5s"}),
            "pm-restart --max-lag 5000ms pm-cluster -n 2 --health http://:80/up node ./app.js",
        ),
        (
            json!({"instances": 2, "reload": "stop-start"}),
            "pm-restart pm-cluster -n 2 --reload stop-start node ./app.js",
        ),
        (
            json!({"script": "job.py", "instances": 3, "reload": "stop-start"}),
            "pm-restart pm-cluster -n 3 --apart python3 ./job.py",
        ),
        (json!({"instances": 1, "exec_mode": "fork"}), "pm-restart node ./app.js"),
        (
            json!({"exec_mode": "fork", "wait_ready": true, "listen_timeout": 5000}),
            "pm-restart --ready message --ready-timeout 5000ms node ./app.js",
        ),
        (
            json!({"script": "node app.js", "wait_ready": true}),
            "pm-restart --ready message sh -c node app.js node app.js",
        ),
        // What cannot say so is not waited for.
        (json!({"script": "job.py", "wait_ready": true}), "pm-restart python3 ./job.py"),
        (json!({"script": "npm", "args": "start", "wait_ready": true}), "pm-restart npm start"),
        (json!({"script": "job.py", "instances": 1}), "pm-restart python3 ./job.py"),
        (json!({"script": "job.py", "instances": 3}), "pm-restart pm-cluster -n 3 --apart python3 ./job.py"),
        (
            json!({"script": "job.py", "instances": 3, "exec_mode": "cluster"}),
            "pm-restart pm-cluster -n 3 python3 ./job.py",
        ),
        (json!({"instances": 2, "execute_command": true}), "pm-restart pm-cluster -n 2 --apart node ./app.js"),
        (
            json!({"instances": 2, "wait_ready": true, "listen_timeout": 5000}),
            "pm-restart pm-cluster -n 2 --ready message --ready-timeout 5000ms node ./app.js",
        ),
        (
            json!({"instances": 2, "instance_var": "SLOT"}),
            "pm-restart pm-cluster -n 2 sh -c export SLOT=\"$PM_SLOT\"; exec \"$@\" sh node ./app.js",
        ),
    ] {
        assert_eq!(line(&planned(app.clone()).expect("a plan")), chain, "{app}");
    }
    let forks = |script: &str, mode: Value| {
        planned(json!({"script": script, "instances": 2, "exec_mode": mode})).expect("a plan")
    };
    assert_eq!(
        (forks("app.js", "fork".into()).start.mode, forks("app.js", "fork".into()).warnings),
        (Mode::Apart, vec![])
    );
    let implied = forks("job.py", Value::Null);
    assert!(
        implied.start.mode == Mode::Apart && implied.warnings[0].starts_with("instances: as in PM2"),
        "{implied:?}"
    );
    assert!(forks("job.py", "fork".into()).warnings.is_empty());
}

#[test]
fn what_is_said_of_the_app_itself_counts_before_its_files() {
    let app = json!({"env_file": ".env", "env": {"A": "over"}, "env_x": {"B": "chosen"}, "port": 80});
    let context = Context { env_name: Some("x".to_owned()), ..context() };
    let plan = planned_in(app, &context, &Fake::new()).expect("a plan");
    assert_eq!((var(&plan, "A"), var(&plan, "B"), var(&plan, "PORT")), (Some("over"), Some("chosen"), Some("80")));
    assert_eq!(
        plan.start.app.as_ref().expect("a description")["env"],
        json!({"A": "over", "B": "chosen"}),
        "what changes in the file is a change of env"
    );
    assert!(planned_in(json!({"env_x": "text"}), &context, &Fake::new()).is_err_and(|why| why.starts_with("env_x: ")));
}

#[test]
fn what_is_deployed_to_the_chosen_environment_is_below_all_others() {
    let deployed = json!({"A": "deploy", "B": "deploy", "C": "deploy", "D": 4}).as_object().cloned();
    let context = Context { env_name: Some("x".to_owned()), deployed, ..context() };
    let app = json!({"env_file": ".env", "env": {"C": "env"}});
    let plan = planned_in(app, &context, &Fake::new()).expect("a plan");
    let vars = ["A", "B", "C", "D"].map(|name| var(&plan, name).unwrap_or_default());
    assert_eq!((vars, plan.warnings.len()), (["1", "two\nlines", "env", "4"], 0));
}

#[test]
fn an_environment_is_chosen_by_its_name() {
    let app = json!({"env": {"A": "1", "B": "2"}, "env_production": {"B": "3", "C": "4"}, "append_env_to_name": true});
    let plain = planned(app.clone()).expect("a plan");
    assert_eq!((var(&plain, "B"), var(&plain, "C"), plain.start.name.as_str()), (Some("2"), None, "app"));
    let named = |name: &str| Context { env_name: Some(name.to_owned()), ..context() };
    let chosen = planned_in(app.clone(), &named("production"), &Fake::new()).expect("a plan");
    assert_eq!((var(&chosen, "A"), var(&chosen, "B"), var(&chosen, "C")), (Some("1"), Some("3"), Some("4")));
    assert_eq!(chosen.start.name, "app-production");
    assert_eq!(chosen.start.app.as_ref().expect("a description")["env"], json!({"A": "1", "B": "3", "C": "4"}));
    assert!(
        chosen.start.app.as_ref().is_none_or(|app| app.get("env_production").is_none()),
        "another environment is no change of the app"
    );
    let unknown = planned_in(app, &named("staging"), &Fake::new()).expect("a plan");
    assert_eq!((unknown.env_names.as_slice(), var(&unknown, "B")), (["production".to_owned()].as_slice(), Some("2")));
}

#[test]
fn another_user_is_a_matter_of_root() {
    let root = Fake { uid: 0, ..Fake::new() };
    for (app, chain) in [
        (json!({"uid": "www"}), "pm-restart setpriv --reuid=33 --regid=34 --init-groups node ./app.js"),
        (json!({"uid": "www", "gid": "adm"}), "pm-restart setpriv --reuid=33 --regid=4 --init-groups node ./app.js"),
        (
            json!({"uid": "www", "on": {"crash": "./a.sh 1"}}),
            "pm-restart --on crash=setpriv --reuid=33 --regid=34 --init-groups sh -c './a.sh 1' \
             setpriv --reuid=33 --regid=34 --init-groups node ./app.js",
        ),
        (json!({"uid": 4711}), "pm-restart setpriv --reuid=4711 --regid=4711 --clear-groups node ./app.js"),
        (json!({"gid": 7}), "pm-restart setpriv --regid=7 --clear-groups node ./app.js"),
        (
            json!({"uid": "www", "instances": 2}),
            "pm-restart pm-cluster -n 2 setpriv --reuid=33 --regid=34 --init-groups node ./app.js",
        ),
    ] {
        assert_eq!(line(&planned_in(app.clone(), &context(), &root).expect("a plan")), chain, "{app}");
    }
    let plan = planned_in(json!({"uid": "www"}), &context(), &root).expect("a plan");
    assert_eq!((var(&plan, "HOME"), var(&plan, "USER")), (Some("/home/www"), Some("www")));
    let own = planned_in(json!({"uid": "www", "env": {"HOME": "/x"}}), &context(), &root).expect("a plan");
    assert_eq!(var(&own, "HOME"), Some("/x"));
}

#[test]
fn what_the_caller_said_to_pm2_counts_here() {
    let with = |key: &str, value: &str| {
        let mut context = context();
        context.env.push((key.into(), value.into()));
        context
    };
    let chain = |context: &Context, app: Value| {
        planned_in(app, context, &Fake::new())
            .map(|p| p.start.argv.iter().map(|w| w.to_string_lossy()).collect::<Vec<_>>().join(" "))
    };
    assert!(chain(&with("PM2_KILL_SIGNAL", "SIGTERM"), json!({})).expect("a plan").contains("--stop-signal TERM"));
    assert!(chain(&with("PM2_KILL_SIGNAL", "TERM"), json!({"kill_signal": "USR2"})).expect("a plan").contains("USR2"));
    assert!(chain(&with("PM2_KILL_TIMEOUT", "5000"), json!({})).expect("a plan").contains("--grace 5000ms"));
    let var_of = planned_in(json!({}), &with("PM2_PROCESS_INSTANCE_VAR", "I"), &Fake::new()).expect("a plan");
    assert_eq!(var(&var_of, "I"), Some("0"));
}

#[test]
fn a_writer_has_the_paths_of_the_logs() {
    let plan = planned(json!({"time": true, "log_type": "json", "out_file": "/o", "cwd": "sub", "error_file": "e"}))
        .expect("a plan");
    assert_eq!(line(&plan), "pm-log --time --json --out /o --err /srv/sub/e pm-restart node ./app.js");
}

#[test]
fn any_text_arrives_as_it_is() {
    let plan =
        planned(json!({"script": "größe \"x\".js", "args": ["", "a\nb", "-- $x"], "env": {"Ä": "ö"}})).expect("a plan");
    let words: Vec<_> = plan.start.argv.iter().map(|word| word.to_string_lossy()).collect();
    assert!(words.ends_with(&["node", "./größe \"x\".js", "", "a\nb", "-- $x"].map(Into::into)), "{words:?}");
    assert_eq!((plan.start.name.as_str(), var(&plan, "Ä")), ("größe \"x\"", Some("ö")));
}

#[test]
fn a_command_of_the_path_is_run_itself_or_by_the_interpreter_that_is_named() {
    assert_eq!(line(&planned(json!({"script": "npm", "args": "start"})).expect("a plan")), "pm-restart npm start");
    let named = planned(json!({"script": "npm", "interpreter": "bash"})).expect("a plan");
    assert_eq!(line(&named), "pm-restart bash /usr/bin/npm");
    let needless = planned(json!({"script": "npm", "node_args": "-x"})).expect("a plan");
    assert!(needless.warnings[0].starts_with("node_args: "), "{needless:?}");
    let python = planned(json!({"script": "job.py"})).expect("a plan");
    assert_eq!(var(&python, "PYTHONUNBUFFERED"), Some("1"));
}

#[test]
fn the_whole_group_is_told_to_stop_unless_treekill_is_false() {
    for (treekill, told) in [(json!(null), true), (json!(true), true), (json!(false), false), (json!("false"), false)] {
        let plan = planned(json!({"treekill": treekill})).expect("a plan");
        assert_eq!(plan.start.argv.iter().any(|word| word == "--stop-group"), told, "{treekill}");
    }
}

#[test]
fn a_file_or_an_app_of_nearly_that_name_is_told() {
    for (script, near) in [
        ("ap.js", Some("app.js")),
        ("./ap.js", Some("app.js")),
        ("sub/onyl.js", Some("only.js")),
        ("we.b", Some("web")),
        ("frobnicate.js", None),
    ] {
        let why = planned(json!({"script": script})).expect_err(script);
        let told = near.map_or_else(|| "no command of that name".to_owned(), |near| format!("; is {near} meant?"));
        assert!(why.ends_with(&told), "{script}: {why}");
    }
}

#[test]
fn a_node_that_reads_no_types_is_named_unless_a_loader_may_read_them() {
    let old = Fake { old_node: true, ..Fake::new() };
    let of = |app: Value| planned_in(app, &context(), &old).map(|plan| line(&plan));
    let why = of(json!({"script": "a.ts"})).expect_err("no types");
    assert!(why.starts_with("script: /srv/a.ts: Node v16.20.2 reads no TypeScript, 22.18 and later do: "), "{why}");
    for app in [
        json!({"script": "a.ts", "node_args": "--import tsx"}),
        json!({"script": "a.ts", "env": {"NODE_OPTIONS": "--import tsx"}}),
        json!({"script": "a.ts", "interpreter": "/opt/node"}),
        json!({"script": "app.js"}),
    ] {
        assert!(of(app.clone()).is_ok(), "{app}");
    }
}

#[test]
fn a_first_line_that_names_nothing_here_is_said() {
    for (line, missing) in [
        ("#!/usr/bin/nope", Some("nope")),
        ("#!/usr/bin/env nope", Some("nope")),
        ("#!/usr/bin/env -S nope -x", Some("nope")),
        ("#!/usr/bin/env -S A=1 nope", Some("nope")),
        ("#!/usr/bin/env -S A=1 perl -x", None),
        ("#!/usr/bin/perl -w", None),
        ("#!/usr/bin/perl\r", Some("CR LF")),
    ] {
        let mut machine = Fake::new();
        machine.files.insert("/srv/x".into(), Head { executable: true, bytes: format!("{line}\n").into() });
        let planned = planned_in(json!({"script": "x"}), &context(), &machine);
        match missing {
            Some(part) => assert!(planned.as_ref().is_err_and(|why| why.contains(part)), "{line}: {planned:?}"),
            None => assert!(planned.is_ok(), "{line}: {planned:?}"),
        }
    }
}
