//! The messages as Node's versions send them, and the ones that none should send.

use serde_json::json;

use super::*;

fn parse(text: &str) -> Result<Option<Message>, &'static str> {
    Message::parse(&serde_json::from_str(text).expect("the test's own JSON"))
}

fn query(fields: &str) -> Query {
    let text = format!(r#"{{"cmd":"NODE_CLUSTER","act":"queryServer",{fields},"seq":1}}"#);
    match parse(&text) {
        Ok(Some(Message::Query { seq: 1, query })) => query,
        other => panic!("{text}: {other:?}"),
    }
}

fn plain() -> Query {
    Query {
        address: None,
        port: 3000,
        family: Family::Tcp4,
        fd: None,
        flags: 0,
        backlog: 511,
        index: 0,
        data: Value::Null,
        readable_all: false,
        writable_all: false,
    }
}

#[test]
fn a_plain_listen() {
    let node20 = r#""index":0,"data":null,"address":null,"port":3000,"addressType":4,"backlog":0"#;
    assert_eq!(query(node20), plain());
    let node12 = r#""index":0,"data":null,"address":null,"port":3000,"addressType":4,"fd":null"#;
    assert_eq!(query(node12), plain());
    let node24 =
        r#""index":2,"data":{"ticketKeys":"ab"},"address":"::1","port":0,"addressType":6,"flags":1,"backlog":9"#;
    let asked = Query {
        address: Some("::1".to_owned()),
        port: 0,
        family: Family::Tcp6,
        flags: 1,
        backlog: 9,
        index: 2,
        data: json!({"ticketKeys": "ab"}),
        ..plain()
    };
    assert_eq!(query(node24), asked);
}

#[test]
fn other_kinds_of_address() {
    let path =
        r#""index":0,"data":null,"address":"/tmp/s","port":-1,"addressType":-1,"readableAll":true,"writableAll":true"#;
    let pipe = Query { address: Some("/tmp/s".to_owned()), port: 0, family: Family::Pipe, ..plain() };
    assert_eq!(query(path), Query { readable_all: true, writable_all: true, ..pipe.clone() });
    let name = query(r#""address":"/home/app/\u0000name","port":-1,"addressType":-1"#);
    assert_eq!(name.address.as_deref(), Some("\0name"));
    let garbage = query(r#""address":null,"port":-1,"addressType":-1,"index":0"#);
    assert_eq!(garbage, Query { address: None, ..pipe });
    let fd = query(r#""address":null,"port":null,"addressType":null,"fd":77"#);
    assert_eq!(fd, Query { port: 0, family: Family::Fd, fd: Some(77), ..plain() });
    let udp_fd = query(r#""address":null,"port":null,"addressType":"udp6","fd":9,"flags":null"#);
    assert_eq!((udp_fd.family, udp_fd.fd, udp_fd.flags), (Family::Udp6, Some(9), 0));
    let udp = query(r#""address":"0.0.0.0","port":53,"addressType":"udp4","fd":-1,"flags":4"#);
    assert_eq!((udp.family, udp.port, udp.fd, udp.flags), (Family::Udp4, 53, None, 4));
}

#[test]
fn a_backlog_that_is_none() {
    for none in ["0", "-1", "false", "null", "\"5\"", "1.5", "{}"] {
        assert_eq!(query(&format!(r#""port":1,"addressType":4,"backlog":{none}"#)).backlog, 511, "{none}");
    }
    assert_eq!(query(r#""port":1,"addressType":4,"backlog":99999999999"#).backlog, i32::MAX);
}

#[test]
fn the_other_messages() {
    assert_eq!(parse(r#"{"cmd":"NODE_CLUSTER","act":"online","seq":0}"#), Ok(Some(Message::Online)));
    assert_eq!(parse(r#"{"cmd":"NODE_CLUSTER","act":"online"}"#), Ok(Some(Message::Online)));
    let bun = r#"{"cmd":"NODE_CLUSTER","act":"listening","address":null,"port":3000,"addressType":4}"#;
    assert_eq!(parse(bun), Ok(Some(Message::Listening(plain()))));
    let connects = |fields: &str| parse(&format!(r#"{{"cmd":"NODE_CLUSTER","act":"pmConnects",{fields}}}"#));
    let to = Some("[::1]:3000".parse().expect("an address"));
    assert_eq!(connects(r#""number":2,"address":"::1","port":3000"#), Ok(Some(Message::Connects { number: 2, to })));
    let nowhere = Ok(Some(Message::Connects { number: 2, to: None }));
    assert_eq!(connects(r#""number":2,"address":"fe80::1%lo","port":3000"#), nowhere);
    assert_eq!(connects(r#""number":2,"address":"::1","port":0"#), nowhere);
    assert!(connects(r#""address":"::1","port":3000"#).is_err());
    let close = Message::Close { key: "k".to_owned() };
    assert_eq!(parse(r#"{"cmd":"NODE_CLUSTER","act":"close","key":"k","seq":3}"#), Ok(Some(close)));
    let leaving = Message::ExitedAfterDisconnect { seq: 7 };
    assert_eq!(parse(r#"{"cmd":"NODE_CLUSTER","act":"exitedAfterDisconnect","seq":7}"#), Ok(Some(leaving)));
    for (given, accepted) in [(r#","accepted":true"#, true), (r#","accepted":false"#, false), ("", false)] {
        let text = format!(r#"{{"cmd":"NODE_CLUSTER","ack":4{given},"seq":3}}"#);
        assert_eq!(parse(&text), Ok(Some(Message::Accepted { ack: 4, accepted })));
    }
}

#[test]
fn what_does_not_concern_us_is_nothing() {
    for text in ["null", "5", "[]", "\"x\"", "{}", r#"{"cmd":7}"#, r#"{"cmd":"NODE_FOO","act":"online"}"#] {
        assert_eq!(parse(text), Ok(None), "{text}");
    }
    assert_eq!(parse(r#"{"cmd":"NODE_CLUSTER","act":"fromTheFuture"}"#), Ok(None));
    assert_eq!(parse(r#"{"cmd":"NODE_CLUSTER","act":["online"]}"#), Ok(None));
}

#[test]
fn what_should_concern_us_but_is_wrong_is_refused() {
    let asked = |fields: &str| parse(&format!(r#"{{"cmd":"NODE_CLUSTER","act":"queryServer",{fields}}}"#));
    for wrong in [
        r#""port":1,"addressType":4"#,
        r#""port":1,"addressType":4,"seq":"1""#,
        r#""port":1,"addressType":4,"seq":-1"#,
        r#""port":1,"addressType":4,"seq":1.5"#,
        r#""port":65536,"addressType":4,"seq":1"#,
        r#""port":-1,"addressType":4,"seq":1"#,
        r#""port":"80","addressType":4,"seq":1"#,
        r#""port":1,"addressType":5,"seq":1"#,
        r#""port":1,"addressType":"tcp","seq":1"#,
        r#""port":1,"addressType":[],"seq":1"#,
        r#""port":1,"addressType":4,"address":{},"seq":1"#,
        r#""port":1,"addressType":4,"flags":-1,"seq":1"#,
        r#""port":1,"addressType":4,"flags":4294967296,"seq":1"#,
    ] {
        assert!(asked(wrong).is_err(), "{wrong}");
    }
    for wrong in [
        r#"{"cmd":"NODE_CLUSTER","ack":"1"}"#,
        r#"{"cmd":"NODE_CLUSTER","ack":null,"accepted":true}"#,
        r#"{"cmd":"NODE_CLUSTER","act":"close","key":5}"#,
        r#"{"cmd":"NODE_CLUSTER","act":"close"}"#,
        r#"{"cmd":"NODE_CLUSTER","act":"exitedAfterDisconnect"}"#,
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

/// One line, as JSON.
fn said(outgoing: &Outgoing<'_>, seq: u64) -> Value {
    let line = outgoing.line(seq);
    assert_eq!((line.find('\n'), &line[..13]), (Some(line.len() - 1), "{\"cmd\":\"NODE_"), "{line}");
    serde_json::from_str(&line).expect("JSON")
}

#[test]
fn answers_without_a_handle() {
    let data = json!({"ticketKeys": "ab\n"});
    let key = "k\"\n";
    let sockname = Some("[::1]:3000".parse().expect("an address"));
    assert_eq!(
        said(&Outgoing::RoundRobin { ack: 1, key, data: &data, sockname }, 0),
        json!({"cmd": "NODE_CLUSTER", "errno": null, "key": key, "ack": 1, "data": data, "seq": 0,
               "sockname": {"address": "::1", "family": "IPv6", "port": 3000}})
    );
    assert_eq!(
        said(&Outgoing::RoundRobin { ack: 1, key, data: &data, sockname: None }, 9),
        json!({"cmd": "NODE_CLUSTER", "errno": null, "key": key, "ack": 1, "data": data, "seq": 9})
    );
    for errno in [98, -98] {
        assert_eq!(
            said(&Outgoing::Refused { ack: 2, key, data: &Value::Null, errno }, 5),
            json!({"cmd": "NODE_CLUSTER", "errno": -98, "key": key, "ack": 2, "data": null, "seq": 5})
        );
    }
    assert_eq!(said(&Outgoing::Ack { ack: 3 }, 1), json!({"cmd": "NODE_CLUSTER", "ack": 3, "seq": 1}));
    let now = Outgoing::Disconnect(Leave { linger: false, ..Leave::default() });
    assert_eq!(said(&now, 1), json!({"cmd": "NODE_CLUSTER", "act": "disconnect", "linger": 0, "seq": 1}));
    assert_eq!(
        said(&Outgoing::Disconnect(Leave { linger: true, ..Leave::default() }), 1),
        json!({"cmd": "NODE_CLUSTER", "act": "disconnect", "seq": 1})
    );
    let heard = Outgoing::Disconnect(Leave { linger: true, stop: Some("SIGINT"), leader: Some(7), within: 7000 });
    assert_eq!(
        said(&heard, 1),
        json!({"cmd": "NODE_CLUSTER", "act": "disconnect", "stop": "SIGINT", "within": 7000, "leader": 7, "seq": 1})
    );
}

#[test]
fn messages_with_a_handle_travel_in_an_envelope() {
    let fd = Rc::new(OwnedFd::from(std::fs::File::open("/dev/null").expect("opened")));
    let envelope = |msg: Value| json!({"cmd": "NODE_HANDLE", "type": "net.Native", "msg": msg});
    assert_eq!(
        said(&Outgoing::Shared { ack: 1, key: "k", data: &Value::Null, handle: &fd }, 0),
        envelope(json!({"cmd": "NODE_CLUSTER", "errno": 0, "key": "k", "ack": 1, "data": null, "seq": 0}))
    );
    assert_eq!(
        said(&Outgoing::NewConn { key: "k", connection: &fd }, 4),
        envelope(json!({"cmd": "NODE_CLUSTER", "act": "newconn", "key": "k", "seq": 4}))
    );
}

#[test]
fn a_question_that_only_the_drain_script_answers() {
    assert_eq!(Outgoing::Ping.line(3), "{\"cmd\":\"NODE_CLUSTER\",\"act\":\"pmPing\",\"seq\":3}\n");
    assert_eq!(parse(r#"{"cmd":"NODE_CLUSTER","act":"pmPong"}"#), Ok(Some(Message::Pong)));
    assert_eq!(Outgoing::Inspector.line(3), "{\"cmd\":\"NODE_CLUSTER\",\"act\":\"pmInspector\",\"seq\":3}\n");
    for (said, port) in [("9300", 9300), ("0", 0), ("\"x\"", 0), ("99999", 0)] {
        let said = format!(r#"{{"cmd":"NODE_CLUSTER","act":"pmInspects","port":{said}}}"#);
        assert_eq!(parse(&said), Ok(Some(Message::Inspects { port })));
    }
    assert_eq!(parse(r#"{"cmd":"NODE_OTHER","act":"pmPong"}"#), Ok(None), "an app's own");
}
