//! Ports for Node's inspector: each worker's debugger has one of its own, and none of them is a service of the app.
//!
//! Node's cluster counts the port up for each worker that it starts (lib/internal/cluster/primary.js), for the options
//! and NODE_OPTIONS alike. Here a worker gets the first port from the given one on that is free, so that the same few
//! ports come back after a reload.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::net::TcpListener;

use crate::kernel::procfs::{self, Proc};
use crate::node::locate::is_node;
use crate::policy::WorkerId;
use crate::policy::listening::Listening;
use crate::policy::time::{Mono, Span};

/// Node's port where none is given (`node --help`, `--inspect`).
const DEFAULT_PORT: u16 = 9229;
/// Ports that are tried for one worker.
const MOST_TRIED: usize = 1000;

/// How long an answer is awaited.
const PATIENCE: Span = Span::secs(2);
/// Sockets of which is remembered that they are no debugger's.
const MOST_ANSWERED: usize = 1000;

/// Options of Node that take the next word as their value: the program's name comes after it.
const TAKE_A_WORD: [&str; 12] = [
    "-r",
    "--require",
    "--import",
    "--loader",
    "--experimental-loader",
    "-C",
    "--conditions",
    "--env-file",
    "--env-file-if-exists",
    "--title",
    "--inspect-port",
    "--debug-port",
];

/// What Node's options say about its inspector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspector {
    /// The inspector listens from the start.
    pub starts: bool,
    /// Where; Node's own default if it is not given.
    host: Option<String>,
    /// From which port on.
    pub port: u16,
}

impl Default for Inspector {
    fn default() -> Self {
        Self { starts: false, host: None, port: DEFAULT_PORT }
    }
}

impl Inspector {
    /// Reads Node's own words: those of NODE_OPTIONS first, then those before the program's name.
    pub fn of<'a>(options: &'a str, args: impl Iterator<Item = &'a str>) -> Self {
        let mut inspector = Self::default();
        inspector.read(options.split_whitespace());
        inspector.read(args);
        inspector
    }

    /// Reads the words and the NODE_OPTIONS of a running process of Node.
    #[must_use]
    pub fn of_process(pid: i32) -> Self {
        let mut proc = Proc::default();
        let [options] = proc.variables(pid, ["NODE_OPTIONS"]);
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let words: Vec<String> = proc.words(pid).into_iter().skip(1).map(text).collect();
        Self::of(&text(options.unwrap_or_default()), words.iter().map(String::as_str))
    }

    /// Reads options up to the program's name; gives the number of the word after which a later option wins.
    fn read<'a>(&mut self, words: impl Iterator<Item = &'a str>) -> Option<usize> {
        let (mut last, mut takes) = (None, "");
        for (index, word) in words.enumerate() {
            match (std::mem::take(&mut takes), word.split_once('=')) {
                ("--inspect-port" | "--debug-port", _) => {
                    self.listens_at(word);
                    last = Some(index);
                }
                ("", None) if TAKE_A_WORD.contains(&word) => takes = word,
                ("", None) if word == "--" || !word.starts_with('-') => break,
                ("", value) => {
                    let name = value.map_or(word, |(name, _)| name);
                    let starts = matches!(name, "--inspect" | "--inspect-brk" | "--inspect-wait");
                    if starts || matches!(name, "--inspect-port" | "--debug-port") {
                        self.starts |= starts;
                        value.into_iter().for_each(|(_, at)| self.listens_at(at));
                        last = Some(index);
                    }
                }
                _ => {}
            }
        }
        last
    }

    /// `HOST:PORT`, `HOST` or `PORT`.
    fn listens_at(&mut self, at: &str) {
        let (host, port) = match at.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') || host.starts_with('[') => (host, port),
            _ if at.parse::<u16>().is_ok() => ("", at),
            _ => (at, ""),
        };
        if !host.is_empty() {
            self.host = Some(host.to_owned());
        }
        self.port = port.parse().unwrap_or(self.port);
    }

    /// The option for another port.
    fn option(&self, port: u16) -> OsString {
        let host = self.host.as_ref().map(|host| format!("{host}:")).unwrap_or_default();
        format!("--inspect-port={host}{port}").into()
    }
}

/// Who of a process listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The main thread of Node, on the event loop that has its channel.
    Main,
    /// Node's debugger.
    Debugger,
    /// Perhaps a debugger that the app has opened itself: the process is asked, and its answer awaited.
    Unsure,
    /// Another thread, or a program that is not Node, or of which nothing is known.
    Other,
}

/// What a process of Node with a channel says of a debugger that its app may have opened itself, at any port
/// (`inspector.open()`). That has a thread of its own, as a worker thread that serves, and only from Node 24 on a name.
#[derive(Debug, Default)]
pub struct Debugger {
    /// The number of its end of the channel.
    channel: Option<u64>,
    /// The process has a script that answers.
    answers: bool,
    /// Where it is; 0: there is none.
    port: u16,
    /// The sockets that nobody has told it of, and since when.
    in_question: BTreeMap<u64, Mono>,
    /// The sockets that were there when it was asked.
    answered: BTreeSet<u64>,
    /// There is something to be asked.
    asks: bool,
}

impl Debugger {
    /// Of one that is about to start, with its end of the channel, and whether it has a script that answers.
    #[must_use]
    pub fn new(channel: Option<u64>, answers: bool) -> Self {
        Self { channel, answers, ..Self::default() }
    }

    /// Hears where it is: of what was found before it was asked, the rest is no debugger.
    pub fn is_at(&mut self, port: u16) {
        self.port = port;
        self.answered.extend(std::mem::take(&mut self.in_question).into_keys());
        // Later sockets have higher numbers.
        while self.answered.len() > MOST_ANSWERED {
            self.answered.pop_first();
        }
    }

    /// Nothing more will be said.
    pub fn silent(&mut self) {
        self.answers = false;
    }

    /// Whether it is to be asked ([`crate::node::message::Outgoing::Inspector`]); once for each time.
    pub fn asks(&mut self) -> bool {
        std::mem::take(&mut self.asks)
    }

    /// Who of this process, of the tree of the one with the channel, listens there, with this socket.
    pub fn whose(&mut self, pid: i32, socket: u64, address: &Listening, now: Mono) -> Whose {
        let Some(tcp) = address.tcp() else { return Whose::Other };
        let channel = self.channel.filter(|channel| procfs::sockets_of([pid].into_iter()).contains(channel));
        let together = channel.and_then(|channel| procfs::waits_together(pid, socket, channel));
        match channel {
            Some(_) if together == Some(true) => Whose::Main,
            _ if !procfs::is_node(pid) => Whose::Other,
            _ if tcp.port() == Inspector::of_process(pid).port => Whose::Debugger,
            Some(_) if tcp.port() == self.port => Whose::Debugger,
            Some(_) if self.is_in_question(socket, now) => Whose::Unsure,
            // No loop waits for it yet.
            Some(_) if together.is_none() => Whose::Main,
            _ => Whose::Other,
        }
    }

    /// Whether its answer is awaited; one that is deaf for so long serves in its threads.
    fn is_in_question(&mut self, socket: u64, now: Mono) -> bool {
        if !self.answers || self.answered.contains(&socket) {
            return false;
        }
        let since = *self.in_question.entry(socket).or_insert_with(|| {
            self.asks = true;
            now
        });
        now.since(since) < PATIENCE
    }
}

/// The ports that workers' inspectors were given.
#[derive(Debug, Default)]
pub struct Ports(BTreeMap<WorkerId, u16>);

impl Ports {
    /// Gives a worker the first port from `from` on that no other worker has, and that `binds`.
    pub fn give(&mut self, who: WorkerId, from: u16, mut binds: impl FnMut(u16) -> bool) -> Option<u16> {
        let free = |port: &u16| !self.0.values().any(|given| given == port);
        let port = (from..=u16::MAX).take(MOST_TRIED).filter(free).find(|port| binds(*port))?;
        self.0.insert(who, port);
        Some(port)
    }

    /// A worker has ended: its port is free.
    pub fn gone(&mut self, who: WorkerId) {
        self.0.remove(&who);
    }

    /// The command line of a worker that is Node itself, where its inspector starts with it; `None`: as it was.
    pub fn command_line(&mut self, who: WorkerId, argv: &[OsString], options: &OsStr) -> Option<Vec<OsString>> {
        let node = argv.iter().position(|word| is_node(word))? + 1;
        let words: Vec<String> = argv.iter().skip(node).map(|word| word.to_string_lossy().into_owned()).collect();
        let mut inspector = Inspector::of(&options.to_string_lossy(), std::iter::empty());
        let after = inspector.read(words.iter().map(String::as_str)).map_or(node, |last| node + last + 1);
        // Port 0 is one of the kernel's choice: each worker has its own.
        if !inspector.starts || inspector.port == 0 {
            return None;
        }
        let host = inspector.host.clone().unwrap_or_else(|| "127.0.0.1".to_owned());
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = self.give(who, inspector.port, |port| TcpListener::bind((host.as_str(), port)).is_ok())?;
        let mut changed = argv.to_vec();
        changed.insert(after, inspector.option(port));
        Some(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> (bool, Option<String>, u16) {
        let Inspector { starts, host, port } = Inspector::of("", line.split(' '));
        (starts, host, port)
    }

    #[test]
    fn options_are_read_as_node_reads_them() {
        let local = |host: &str| Some(host.to_owned());
        for (line, known) in [
            ("--inspect app.js", (true, None, 9229)),
            ("--inspect-brk=9300 app.js", (true, None, 9300)),
            ("--inspect-wait=0.0.0.0:9300 app.js", (true, local("0.0.0.0"), 9300)),
            ("--inspect=[::1]:9300 app.js", (true, local("[::1]"), 9300)),
            ("--inspect=localhost app.js", (true, local("localhost"), 9229)),
            ("--inspect-port=9300 app.js", (false, None, 9300)),
            ("--inspect --inspect-port 9300 app.js", (true, None, 9300)),
            ("-r ./x --inspect app.js", (true, None, 9229)),
            ("--inspect=0 app.js", (true, None, 0)),
            ("app.js --inspect", (false, None, 9229)),
            ("-- --inspect", (false, None, 9229)),
            ("--inspect-publish-uid=http app.js", (false, None, 9229)),
        ] {
            assert_eq!(read(line), known, "{line}");
        }
        let both = Inspector::of("--inspect=9300 -r x", ["--inspect-port=1.1.1.1:9400", "x"].into_iter());
        assert_eq!(both, Inspector { starts: true, host: local("1.1.1.1"), port: 9400 });
    }

    #[test]
    fn each_worker_has_a_port_of_its_own_and_the_same_ones_come_back() {
        let (mut ports, id) = (Ports::default(), |slot| WorkerId { slot, generation: 1 });
        assert_eq!(ports.give(id(0), 9229, |_| true), Some(9229));
        assert_eq!(ports.give(id(1), 9229, |port| port != 9230), Some(9231), "another program has that");
        ports.gone(id(0));
        assert_eq!(ports.give(id(2), 9229, |_| true), Some(9229));
        assert_eq!(ports.give(id(3), 65_000, |_| false), None);
    }

    #[test]
    fn a_node_gets_the_option_where_it_wins_over_the_others() {
        let line = |line: &str, options: &str| {
            let argv: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let changed = Ports::default().command_line(WorkerId { slot: 0, generation: 1 }, &argv, options.as_ref());
            changed.map(|argv| argv.join(OsStr::new(" ")).into_string().expect("UTF-8"))
        };
        let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr()).expect("a port").port();
        let given = format!("node --inspect={free} -r x app.js --inspect=1");
        let changed = format!("node --inspect={free} --inspect-port={free} -r x app.js --inspect=1");
        assert_eq!(line(&given, ""), Some(changed));
        let changed = format!("env A=b /usr/bin/node --inspect-port={free} app.js");
        assert_eq!(line("env A=b /usr/bin/node app.js", &format!("--inspect={free}")), Some(changed));
        for none in ["node app.js", "node app.js --inspect", "node --inspect=0 app.js", "python3 --inspect x"] {
            assert_eq!(line(none, ""), None, "{none}");
        }
    }
}
