use serde_json::json;

use super::*;

fn setting(app: Value, sets: &[(&str, &str)]) -> Result<Value, String> {
    let mut app = app.as_object().cloned().expect("an object");
    let sets: Vec<_> = sets.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    set(&mut app, &sets).map(|()| Value::Object(app))
}

#[test]
fn text_becomes_what_the_field_wants() {
    for (sets, app) in [
        (&[("instances", "2"), ("autorestart", "false")][..], json!({"instances": "2", "autorestart": false})),
        (
            &[("args", "a b"), ("args", ""), ("stop_exit_codes", "3")],
            json!({"args": ["a b", ""], "stop_exit_codes": ["3"]}),
        ),
        (
            &[("env", "A=b=c\n"), ("env", "D="), ("env_x", "E=f")],
            json!({"env": {"A": "b=c\n", "D": ""}, "env_x": {"E": "f"}}),
        ),
        (&[("envProduction", "A=1")], json!({"env_production": {"A": "1"}})),
        (&[("maxMemoryRestart", "1G"), ("out", "x")], json!({"max_memory_restart": "1G", "out_file": "x"})),
        (&[("node_args", "--a '--b c'"), ("node_args", "-d")], json!({"node_args": ["--a", "--b c", "-d"]})),
        (&[("watch", "src"), ("watch", "lib"), ("log_file", "x")], json!({"watch": ["src", "lib"], "log_file": "x"})),
    ] {
        assert_eq!(setting(json!({}), sets), Ok(app), "{sets:?}");
    }
    for (key, value, why) in [
        ("autorestart", "perhaps", "autorestart: 'perhaps': true or false?"),
        ("env", "A", "env: 'A': NAME=VALUE is meant"),
        ("instanecs", "2", "instanecs: no such field; instances is meant?"),
    ] {
        assert_eq!(setting(json!({}), &[(key, value)]), Err(why.to_owned()));
    }
}

#[test]
fn what_is_set_counts_and_a_list_takes_the_place_of_the_files() {
    let file = json!({"name": "a", "args": ["x", "y"], "env": {"A": "1", "B": "2"}});
    let after = setting(file, &[("name", "b"), ("args", "z"), ("args", "w"), ("env", "B=3")]);
    assert_eq!(after, Ok(json!({"name": "b", "args": ["z", "w"], "env": {"A": "1", "B": "3"}})));
}

#[test]
fn a_misspelt_field_is_told_the_nearest_and_another_none() {
    for (key, near) in [
        ("wtach", Some("watch")),
        ("instanecs", Some("instances")),
        ("maxMemoryRestrat", Some("max_memory_restart")),
        ("err_flie", Some("error_file")),
        ("foo", None),
        ("color", None),
    ] {
        assert_eq!(meant(key), near, "{key}");
    }
}
