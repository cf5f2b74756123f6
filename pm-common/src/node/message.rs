//! Node's internal cluster messages: what a worker says to its primary, and what the primary answers.
//!
//! The same in Node 12.22 to 26; each side counts its own `seq` from 0, and `ack` names the other side's.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use serde_json::Value;

use crate::node::query::{Family, Query};

/// The length of the accept queue where the worker gave none, or a useless one (Node's own default).
const BACKLOG: i32 = 511;

/// What a worker says.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// The worker has connected its channel; the application has not started yet.
    Online,
    /// The worker asks for a listener, and waits for the answer that names `seq`.
    Query {
        /// To be named in the answer.
        seq: u64,
        /// What it asks for.
        query: Query,
    },
    /// The worker listens; `port` is the one really bound. Bun says so without having asked.
    Listening(Query),
    /// The worker has closed the listener that it was given under this key.
    Close {
        /// The key of the answer to its query.
        key: String,
    },
    /// The worker disconnects by its own will, and waits for an answer ([`Outgoing::Ack`]), for ever if none comes.
    ExitedAfterDisconnect {
        /// To be named in the answer.
        seq: u64,
    },
    /// What became of a connection passed to it.
    Accepted {
        /// The `seq` that [`Outgoing::NewConn`] got.
        ack: u64,
        /// false: it does not want it (it closes, or has too many); give it to another worker.
        accepted: bool,
    },
    /// The user's `process.send('ready')`.
    Ready,
    /// Another message of the user's, as JSON; where somebody wants them (`Channel::keep_messages`).
    App(String),
    /// The drain script is loaded.
    Loaded,
    /// The worker's Node pads abstract names ([`Query::padded`]).
    PadsNames,
    /// So is the app, and it listens on nothing yet.
    Booted {
        /// The program has loaded something that it could serve with.
        server: bool,
    },
    /// A server of the app's has begun to listen, or was closed: said where that is seen from outside.
    Servers,
    /// A server of the app's was refused what it wanted to listen on, and the app is about to hear of it.
    Refused {
        /// The port; `None`: it is a path.
        port: Option<u16>,
        /// The address without its port, or the path.
        address: String,
        /// The name of the error (errno(3)), as `EADDRINUSE`.
        code: String,
    },
    /// The app connects, and the drain script waits for the answer ([`Outgoing::Connect`]).
    Connects {
        /// To be named in the answer.
        number: u64,
        /// Where to; `None`: nowhere that we know.
        to: Option<SocketAddr>,
    },
    /// The drain script answers [`Outgoing::Ping`].
    Pong,
    /// The drain script answers [`Outgoing::Inspector`].
    Inspects {
        /// Where the debugger listens; 0: the app has opened none, or nobody knows.
        port: u16,
    },
    /// The drain script says that the worker has finished, and waits for the stop signal, which its app listens for.
    Drained,
    /// Not from the worker: the descriptor sent with `seq` did not arrive, and no more attempts are made.
    Undelivered {
        /// The `seq` that the message got.
        seq: u64,
    },
}

/// What the primary says. All but `Disconnect`, `NewConn`, `Ping`, `Inspector`, `Shutdown` and `App` answer a message; `ack` is that message's `seq`.
#[derive(Debug, Clone, Copy)]
pub enum Outgoing<'a> {
    /// To a query: use this listening (or bound UDP) socket.
    Shared {
        /// The query's `seq`.
        ack: u64,
        /// Unique among the worker's open listeners.
        key: &'a str,
        /// The data of the first query for the address.
        data: &'a Value,
        /// The socket.
        handle: &'a Rc<OwnedFd>,
    },
    /// To a query: connections will be passed one by one.
    RoundRobin {
        /// The query's `seq`.
        ack: u64,
        /// Unique among the worker's open listeners.
        key: &'a str,
        /// The data of the first query for the address.
        data: &'a Value,
        /// What the worker shall tell as its address; none for unix sockets.
        sockname: Option<SocketAddr>,
    },
    /// To a query: it cannot be had, and the application gets this error as if it had bound itself.
    Refused {
        /// The query's `seq`.
        ack: u64,
        /// Any.
        key: &'a str,
        /// The data of the query.
        data: &'a Value,
        /// The error's number (errno(3)), of either sign.
        errno: i32,
    },
    /// To `ExitedAfterDisconnect`.
    Ack {
        /// The message's `seq`.
        ack: u64,
    },
    /// A connection for the listener of this key. Keep it until [`Message::Accepted`] names the `seq` that this gets.
    NewConn {
        /// The key of the answer to the worker's query.
        key: &'a str,
        /// The connection.
        connection: &'a Rc<OwnedFd>,
    },
    /// To [`Message::Connects`].
    Connect {
        /// The number that the message gave.
        number: u64,
        /// Nobody is to answer there: the connect fails as it would without us.
        refused: bool,
        /// The worker serves, and need not ask again.
        over: bool,
    },
    /// Whether the event loop turns. The drain script knows of this, Node takes no notice.
    Ping,
    /// Where the debugger listens that the app has opened itself. For the drain script, as [`Outgoing::Ping`].
    Inspector,
    /// Not for Node but for the app: it shall finish, and end. PM2's word, which apps listen for.
    Shutdown,
    /// Not for Node but for the app's `process.on('message')`: JSON.
    App(&'a str),
    /// To close all listeners, finish, and go.
    Disconnect(Leave<'a>),
}

/// What a worker that is to go should know. The drain script does, Node does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leave<'a> {
    /// Connections without a request may wait for one.
    pub linger: bool,
    /// What follows, for which an app that listens for it is to be there: a signal as Node names it, or `shutdown`.
    pub stop: Option<&'a str>,
    /// The one process that the signal is sure to reach; `None`: it reaches all.
    pub leader: Option<i32>,
    /// The milliseconds after which the app may see to the rest by itself.
    pub within: u64,
}

impl Message {
    /// Where a debugger is, if it says that.
    #[must_use]
    pub const fn inspects(&self) -> Option<u16> {
        if let Self::Inspects { port } = self { Some(*port) } else { None }
    }

    /// From the object that a line of the channel holds; `Ok(None)`: nothing that concerns us.
    ///
    /// # Errors
    /// What is wrong with a message that we should know.
    pub fn parse(value: &Value) -> Result<Option<Self>, &'static str> {
        let text = |field: &str| value.get(field).and_then(Value::as_str);
        let seq = || value.get("seq").and_then(Value::as_u64).ok_or("a message without its number");
        let port = || value.get("port").and_then(Value::as_u64).and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0);
        if text("cmd") != Some("NODE_CLUSTER") {
            return Ok(None);
        }
        if let Some(ack) = value.get("ack") {
            let ack = ack.as_u64().ok_or("an acknowledgement of nothing")?;
            return Ok(Some(Self::Accepted { ack, accepted: value.get("accepted") == Some(&Value::Bool(true)) }));
        }
        Ok(match text("act") {
            Some("online") => Some(Self::Online),
            Some("pmLoaded") => Some(Self::Loaded),
            Some("pmBooted") => Some(Self::Booted { server: value.get("server") != Some(&Value::Bool(false)) }),
            Some("pmPadsNames") => Some(Self::PadsNames),
            Some("pmServers") => Some(Self::Servers),
            Some("pmPong") => Some(Self::Pong),
            Some("pmInspects") => Some(Self::Inspects { port: port().unwrap_or(0) }),
            Some("pmConnects") => Some(Self::Connects {
                number: value.get("number").and_then(Value::as_u64).ok_or("a connect without its number")?,
                to: text("address").and_then(|address| Some(SocketAddr::new(address.parse().ok()?, port()?))),
            }),
            Some("pmDrained") => Some(Self::Drained),
            Some("pmRefused") => Some(Self::Refused {
                port: port(),
                address: text("address").unwrap_or("an address").to_owned(),
                code: text("code").unwrap_or("an error").to_owned(),
            }),
            Some("queryServer") => Some(Self::Query { seq: seq()?, query: parse_query(value)? }),
            Some("listening") => Some(Self::Listening(parse_query(value)?)),
            Some("close") => Some(Self::Close { key: text("key").ok_or("a close of nothing")?.to_owned() }),
            Some("exitedAfterDisconnect") => Some(Self::ExitedAfterDisconnect { seq: seq()? }),
            _ => None,
        })
    }
}

fn parse_query(value: &Value) -> Result<Query, &'static str> {
    let field = |name: &str| value.get(name).filter(|v| !v.is_null());
    let number = |name: &str| field(name).and_then(Value::as_i64);
    let switch = |name: &str| field(name).and_then(Value::as_bool).unwrap_or(false);
    let family = family(field("addressType"))?;
    Ok(Query {
        address: address(field("address"), family)?,
        port: port(field("port"), family)?,
        family,
        fd: number("fd").and_then(|fd| i32::try_from(fd).ok()).filter(|fd| *fd >= 0),
        flags: match field("flags") {
            Some(flags) => flags.as_u64().and_then(|n| u32::try_from(n).ok()).ok_or("a query with odd flags")?,
            None => 0,
        },
        backlog: number("backlog").map_or(BACKLOG, backlog),
        index: field("index").and_then(Value::as_u64).unwrap_or(0),
        data: value.get("data").cloned().unwrap_or(Value::Null),
        readable_all: switch("readableAll"),
        writable_all: switch("writableAll"),
    })
}

fn family(value: Option<&Value>) -> Result<Family, &'static str> {
    let Some(value) = value else { return Ok(Family::Fd) };
    match (value.as_i64(), value.as_str()) {
        (Some(4), _) => Ok(Family::Tcp4),
        (Some(6), _) => Ok(Family::Tcp6),
        (Some(-1), _) => Ok(Family::Pipe),
        (_, Some("udp4")) => Ok(Family::Udp4),
        (_, Some("udp6")) => Ok(Family::Udp6),
        _ => Err("a query with an unknown kind of address"),
    }
}

/// An abstract name `\0x` arrives resolved against the worker's directory, as `/its/directory/\0x`: that is cut off.
fn address(value: Option<&Value>, family: Family) -> Result<Option<String>, &'static str> {
    let Some(value) = value else { return Ok(None) };
    let text = value.as_str().ok_or("a query whose address is no text")?;
    let nul = if family == Family::Pipe { text.find('\0') } else { None };
    Ok(Some(text.get(nul.unwrap_or(0)..).unwrap_or_default().to_owned()))
}

/// -1 stands for a path there, null for a descriptor.
fn port(value: Option<&Value>, family: Family) -> Result<u16, &'static str> {
    match value {
        Some(_) if family == Family::Pipe => Ok(0),
        Some(n) => n.as_u64().and_then(|n| u16::try_from(n).ok()).ok_or("a query with an odd port"),
        None => Ok(0),
    }
}

/// What is not positive is none: `false`, 0 and -1 come from workers too.
fn backlog(given: i64) -> i32 {
    if given <= 0 { BACKLOG } else { i32::try_from(given).unwrap_or(i32::MAX) }
}

impl<'a> Outgoing<'a> {
    /// The descriptor that travels with the message.
    #[must_use]
    pub const fn handle(&self) -> Option<&'a Rc<OwnedFd>> {
        match self {
            Self::Shared { handle, .. } => Some(handle),
            Self::NewConn { connection, .. } => Some(connection),
            _ => None,
        }
    }

    /// The message as one line, its end included.
    #[must_use]
    pub fn line(&self, seq: u64) -> String {
        match self {
            Self::Shutdown => return "\"shutdown\"\n".to_owned(),
            Self::App(text) => return format!("{text}\n"),
            _ => {}
        }
        let mut line = String::with_capacity(160);
        if self.handle().is_some() {
            // Node finds out what the descriptor is by itself; this type serves all.
            line.push_str(r#"{"cmd":"NODE_HANDLE","type":"net.Native","msg":"#);
        }
        let _ = write!(line, r#"{{"cmd":"NODE_CLUSTER",{},"seq":{seq}}}"#, self.fields());
        if self.handle().is_some() {
            line.push('}');
        }
        line.push('\n');
        line
    }

    fn fields(&self) -> String {
        match *self {
            Self::Shared { ack, key, data, .. } => answer(ack, key, data, "0", None),
            Self::RoundRobin { ack, key, data, sockname } => answer(ack, key, data, "null", sockname),
            Self::Refused { ack, key, data, errno } => {
                answer(ack, key, data, &(-errno.saturating_abs()).to_string(), None)
            }
            Self::Ack { ack } => format!(r#""ack":{ack}"#),
            Self::NewConn { key, .. } => format!(r#""act":"newconn","key":{}"#, quoted(key)),
            Self::Shutdown | Self::App(_) => String::new(),
            Self::Connect { number, refused, over } => {
                format!(r#""act":"pmConnect","number":{number},"refused":{refused},"over":{over}"#)
            }
            Self::Ping => r#""act":"pmPing""#.to_owned(),
            Self::Inspector => r#""act":"pmInspector""#.to_owned(),
            Self::Disconnect(leave) => leave.fields(),
        }
    }
}

impl Leave<'_> {
    fn fields(self) -> String {
        let mut text = r#""act":"disconnect""#.to_owned();
        if !self.linger {
            text.push_str(r#","linger":0"#);
        }
        if let Some(stop) = self.stop {
            let _ = write!(text, r#","stop":"{stop}","within":{}"#, self.within);
        }
        if let Some(leader) = self.leader {
            let _ = write!(text, r#","leader":{leader}"#);
        }
        text
    }
}

fn answer(ack: u64, key: &str, data: &Value, errno: &str, sockname: Option<SocketAddr>) -> String {
    let mut text = format!(r#""errno":{errno},"key":{},"ack":{ack},"data":{data}"#, quoted(key));
    if let Some(name) = sockname {
        let family = if name.is_ipv4() { "IPv4" } else { "IPv6" };
        let (ip, port) = (name.ip(), name.port());
        let _ = write!(text, r#","sockname":{{"address":"{ip}","family":"{family}","port":{port}}}"#);
    }
    text
}

fn quoted(text: &str) -> Value {
    Value::from(text)
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
