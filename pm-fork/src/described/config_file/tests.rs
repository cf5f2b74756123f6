use pm_common::app::home::Mode;
use serde_json::json;

use super::*;

fn described(text: &str) -> Vec<Value> {
    match json(text).expect("no error") {
        Json::Value(value) => apps(value).expect("apps"),
        Json::Saved(_) | Json::Not(_) => panic!("no description: {text}"),
    }
}

#[test]
fn an_ecosystem_is_an_object_a_list_or_one_app() {
    let (a, b) = (json!({"script": "a.js"}), json!({"script": "b.js"}));
    for (value, expected) in [
        (json!({"apps": [a, b], "deploy": {}}), vec![a.clone(), b.clone()]),
        (json!({"apps": a}), vec![a.clone()]),
        (json!([a, b]), vec![a.clone(), b.clone()]),
        (json!({"pm2": {"apps": [b]}}), vec![b.clone()]),
        (a.clone(), vec![a.clone()]),
        (json!({"deploy": {}}), vec![]),
    ] {
        assert_eq!(described(&value.to_string()), expected, "{value}");
    }
    for wrong in [json!("x"), json!(null), json!(1), json!({"apps": "x"}), json!({})] {
        assert!(apps(wrong.clone()).is_err(), "{wrong}");
    }
}

fn start(name: &str) -> Start {
    let app_env = Some(vec![("A".to_owned(), "b\n".to_owned())]);
    Start {
        name: name.to_owned(),
        argv: vec!["x".into()],
        cwd: "/".into(),
        app_env,
        mode: Mode::Cluster,
        ..Start::default()
    }
}

fn lines(names: &[&str]) -> String {
    let line = |name: &&str| {
        let mut value = start(name).to_json();
        (value["state"], value["workers"]) = ("online".into(), 3.into());
        format!("{value}\n")
    };
    let all: String = names.iter().map(line).collect();
    format!("{all}{{\"saved\":{}}}\n", names.len())
}

#[test]
fn saved_apps_come_back_as_they_were() {
    for names in [&[][..], &["a"], &["a", "b c"]] {
        let Json::Saved(saved) = json(&lines(names)).expect("whole") else { panic!("not saved") };
        let expected = names.iter().map(|name| Saved {
            start: Start { namespace: String::new(), ..start(name) },
            online: true,
            workers: Some(3),
        });
        assert_eq!(saved, expected.collect::<Vec<_>>());
    }
}

#[test]
fn a_saved_file_that_was_cut_anywhere_is_refused() {
    let text = lines(&["a", "b"]);
    for end in 1..text.len() {
        let cut = text.get(..end).expect("ASCII");
        let read = json(cut);
        let refused = match &read {
            Err(why) => why.contains("not whole"),
            // So short that it could be anything.
            Ok(Json::Not(_)) => end < 8,
            Ok(_) => false,
        };
        assert!(refused, "{cut}");
    }
    for (from, to) in [("{\"saved\":2}", "{\"saved\":3}"), ("\"argv\":[\"x\"]", "\"argv\":7"), ("{\"saved\":2}\n", "")]
    {
        assert!(json(&text.replacen(from, to, 1)).is_err(), "{from}");
    }
}

#[test]
fn yaml_is_what_json_would_be() {
    let text = "
# a comment
base: &base
  instances: 2
  env: {A: 'x y', PORT: 3000, ON: true}
apps:
  - <<: *base
    name: web
    script: ./app.js
    max_memory_restart: 300M
    args: [--x, '1']
    watch: false
    min_uptime: 1.5
    note: |
      two
      lines
  - {name: other, script: b.js, env: ~}
";
    let value = yaml::parse(text).expect("YAML");
    let web = json!({
        "instances": 2, "env": {"A": "x y", "PORT": 3000, "ON": true}, "name": "web", "script": "./app.js",
        "max_memory_restart": "300M", "args": ["--x", "1"], "watch": false, "min_uptime": 1.5, "note": "two\nlines\n",
    });
    assert_eq!(value["apps"], json!([web, {"name": "other", "script": "b.js", "env": null}]));
    assert_eq!(yaml::parse(""), Ok(Value::Null));
    for wrong in ["a: [", "a: *nobody", "? {a: b}\n: c"] {
        assert!(yaml::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn aliases_that_multiply_are_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let before = format!("*a{}", n - 1);
        text += &format!("a{n}: &a{n} [{}]\n", vec![before; 10].join(", "));
    }
    assert!(yaml::parse(&text).is_err());
}

#[test]
fn what_is_nested_too_deeply_is_refused_in_a_line() {
    let well = format!("{}x", "- ".repeat(200));
    assert!(yaml::parse(&well).is_ok());
    let lines: String = (0..20_000).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    for deep in ["- ".repeat(100_000), "? ".repeat(100_000), "[".repeat(100_000), "{a: ".repeat(100_000), lines] {
        let why = yaml::parse(&deep).expect_err("too deep");
        assert_eq!(why.lines().count(), 1, "{why}");
    }
}

#[test]
fn what_is_no_file_holds_nobody_up() {
    let place = tempfile::tempdir().expect("a directory");
    for name in ["x.json", "x.yml", "x.config.js"] {
        let fifo = place.path().join(name);
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
        let why = read(&fifo).expect_err("no file");
        assert!(why.code == 125 && why.message.ends_with(": not a regular file"), "{why}");
    }
    let zero = read(Path::new("/dev/zero")).expect_err("no file");
    assert!(zero.message.ends_with(": not a regular file"), "{zero}");
    let huge = place.path().join("huge.json");
    std::fs::File::create(&huge).and_then(|file| file.set_len(LARGEST + 1)).expect("made");
    assert!(read(&huge).expect_err("too much").message.ends_with("larger than 64 MiB"));
}
