//! The health check: a request to a worker that has just begun to listen, or a command, before it counts as ready.
//!
//! All workers have one port, so the request is steered: the lanes' program sends what comes from its source port to the
//! lane of the worker in question. A command is told of such a port. Either is tried again until it succeeds, or until
//! the worker has failed to start.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use pm_common::cli::report;
use pm_common::policy::WorkerId;
use pm_common::policy::listening::Listening;
use pm_common::policy::supervisor::Event;
use pm_common::policy::time::{Mono, Span};
use pm_common::policy::worker::ReadyBy;
use pm_common::supervise::Source;
use pm_common::supervise::release::Release;
use pm_common::sys::{clock, socket};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use crate::sockets::Sockets;

mod probe_command;
mod source_port;

use probe_command::{Run, Start};

/// What a worker must show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// The worker answers this request well.
    Url(Url),
    /// This command of the shell succeeds.
    Command(OsString),
}

/// An answer that takes longer is none; the worker is asked again.
const PATIENCE: Span = Span::secs(5);
/// The pause after an answer that was no good.
const PAUSE: Span = Span::millis(250);
/// All that is read of an answer: its first line says enough.
const ENOUGH: usize = 64;

/// What is asked for: `http://[HOST]:PORT/PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    host: String,
    port: u16,
    path: String,
}

impl Url {
    /// Reads a URL; `None`: the text is none, or not of plain HTTP.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("http://")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let bracketed = authority.ends_with(']');
        let (host, port) = authority.rsplit_once(':').filter(|_| !bracketed).unwrap_or((authority, "80"));
        let is_name = |host: &str| host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
        let is_v6 = |host: &str| host.strip_prefix('[').and_then(|h| h.strip_suffix(']')?.parse::<Ipv6Addr>().ok());
        let path = if path.is_empty() { "/" } else { path };
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| digits && *port > 0)?;
        let good = (is_name(host) || is_v6(host).is_some()) && path.chars().all(|c| c.is_ascii_graphic());
        good.then(|| Self { host: host.to_owned(), port, path: path.to_owned() })
    }

    fn request(&self) -> String {
        let host = if self.host.is_empty() { "localhost" } else { &self.host };
        let mut text = String::new();
        let _ = write!(text, "GET {} HTTP/1.1\r\nHost: {host}:{}\r\n", self.path, self.port);
        text + "User-Agent: pm-cluster\r\nConnection: close\r\n\r\n"
    }
}

/// Whether an answer that begins like this is good: 2xx or 3xx. `None`: more is needed to tell.
fn verdict(answer: &[u8]) -> Option<bool> {
    let line = answer.get(..12)?;
    let status = line.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5));
    Some(status.is_some_and(|status| matches!(status, [b'2' | b'3', _, _])))
}

/// The checks under way.
#[derive(Debug)]
pub struct Health {
    question: Question,
    /// Of workers that do not listen yet: what the command begins with.
    starts: BTreeMap<WorkerId, Start>,
    checks: BTreeMap<WorkerId, Check>,
}

#[derive(Debug)]
struct Check {
    listening: Listening,
    attempt: Option<Attempt>,
    /// When to try, or to give up what is being tried.
    at: Mono,
}

#[derive(Debug)]
enum Attempt {
    Asking(Asking),
    Running(Run),
}

#[derive(Debug)]
struct Asking {
    socket: OwnedFd,
    sent: bool,
    answer: Vec<u8>,
}

/// What an attempt has shown so far: nothing, that the worker is well, or what is to be said of it.
type Shown = Option<Result<(), String>>;

impl Health {
    /// Checks of which none is under way yet.
    #[must_use]
    pub fn new(question: Question) -> Self {
        Self { question, starts: BTreeMap::new(), checks: BTreeMap::new() }
    }

    /// Notes the release of a worker that is about to start.
    pub fn prepare(&mut self, who: WorkerId, release: &Release) {
        if matches!(self.question, Question::Command(_)) {
            self.starts.insert(who, Start::of(release));
        }
    }

    /// Notes the pid of a worker that was started.
    pub fn started(&mut self, who: WorkerId, pid: i32) {
        if let Some(start) = self.starts.get_mut(&who) {
            start.pid = pid;
        }
    }

    /// Notes where a worker listens: it is asked if that is where the question goes.
    pub fn listens(&mut self, who: WorkerId, listening: &Listening) {
        let asked = match &self.question {
            Question::Url(url) => listening.tcp().is_some_and(|address| address.port() == url.port),
            Question::Command(_) => true,
        };
        if asked {
            let check = || Check { listening: listening.clone(), attempt: None, at: clock::now() };
            self.checks.entry(who).or_insert_with(check);
        }
    }

    /// Ends what is under way for a worker that is gone, drains, or is ready.
    pub fn forget(&mut self, who: WorkerId, sockets: &mut Sockets) {
        self.starts.remove(&who);
        if self.checks.remove(&who).is_some() {
            sockets.steer_source(who, None);
        }
    }

    /// What to wait for.
    pub fn sources(&self) -> impl Iterator<Item = Source<'_, WorkerId>> {
        self.checks.iter().flat_map(|(who, check)| check.attempt.iter().flat_map(|attempt| attempt.sources(*who)))
    }

    /// The processes of the commands that run.
    pub fn children(&self) -> impl Iterator<Item = i32> {
        self.checks.values().filter_map(|check| match &check.attempt {
            Some(Attempt::Running(run)) => Some(run.pid()),
            Some(Attempt::Asking(_)) | None => None,
        })
    }

    /// When `look` is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        self.checks.values().map(|check| check.at).min()
    }

    /// Asks, or asks again, where it is due.
    pub fn look(&mut self, sockets: &mut Sockets, events: &mut VecDeque<Event>) {
        let now = clock::now();
        for (who, check) in self.checks.iter_mut().filter(|(_, check)| check.at <= now) {
            let tried = match check.attempt.take() {
                Some(attempt) => {
                    sockets.steer_source(*who, None);
                    Err(attempt.late())
                }
                None => self.question.begin(*who, check, self.starts.get(who), sockets),
            };
            check.at = now + if tried.is_ok() { PATIENCE } else { PAUSE };
            match tried {
                Ok(attempt) => check.attempt = Some(attempt),
                Err(what) => events.push_back(Event::Refused { id: *who, what }),
            }
        }
    }

    /// Goes on with a check.
    pub fn go_on(&mut self, who: WorkerId, sockets: &mut Sockets, events: &mut VecDeque<Event>) {
        let Some(check) = self.checks.get_mut(&who) else { return };
        let Some(attempt) = check.attempt.as_mut() else { return };
        match attempt.go_on(&self.question) {
            None => {}
            Some(Ok(())) => {
                self.forget(who, sockets);
                events.push_back(Event::SaidReady(who, ReadyBy::Health));
            }
            Some(Err(what)) => {
                (check.attempt, check.at) = (None, clock::now() + PAUSE);
                sockets.steer_source(who, None);
                events.push_back(Event::Refused { id: who, what });
            }
        }
    }
}

impl Question {
    /// Begins an attempt; why that is not possible now, in words.
    fn begin(
        &self,
        who: WorkerId,
        check: &Check,
        start: Option<&Start>,
        sockets: &mut Sockets,
    ) -> Result<Attempt, String> {
        match (self, start) {
            (Self::Url(url), _) => {
                let asking = check.listening.tcp().and_then(|at| ask(who, at, url, sockets));
                asking.map(Attempt::Asking).ok_or_else(|| "health check: cannot connect".to_owned())
            }
            (Self::Command(command), Some(start)) => {
                let port = source_port::free();
                // Its first connection may come before we go on.
                sockets.steer_source(who, Some(port));
                let run = Run::start(command, who, &check.listening, (start, port));
                if run.is_err() {
                    sockets.steer_source(who, None);
                }
                run.map(Attempt::Running)
            }
            (Self::Command(_), None) => Err("health check: the worker is not known".to_owned()),
        }
    }
}

impl Attempt {
    fn sources(&self, who: WorkerId) -> Vec<Source<'_, WorkerId>> {
        match self {
            Self::Asking(Asking { socket, sent, .. }) => {
                vec![Source { token: who, fd: socket.as_fd(), read: *sent, write: !sent }]
            }
            Self::Running(run) => run.sources().map(|fd| Source::to_read(who, fd)).collect(),
        }
    }

    fn go_on(&mut self, question: &Question) -> Shown {
        match (self, question) {
            (Self::Asking(asking), Question::Url(url)) => asking.go_on(url),
            (Self::Asking(_), Question::Command(_)) => None,
            (Self::Running(run), _) => run.go_on(),
        }
    }

    /// What is to be said of one that took too long. A command ends here.
    fn late(self) -> String {
        let what = format!("not done within {}ms", PATIENCE.as_millis());
        match self {
            Self::Asking(_) => format!("health check: {what}"),
            Self::Running(run) => run.complaint(&what),
        }
    }
}

/// Begins to connect; `None`: not possible now.
fn ask(who: WorkerId, listening: SocketAddr, url: &Url, sockets: &mut Sockets) -> Option<Asking> {
    let to = SocketAddr::new(
        url.host.trim_matches(['[', ']']).parse().unwrap_or_else(|_| reachable(listening.ip())),
        url.port,
    );
    let socket = socket::tcp_unbound(to).ok()?;
    let any = if to.is_ipv6() { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(Ipv4Addr::UNSPECIFIED) };
    // Not one of the kernel's choice: a client elsewhere may well have the same, and would be sent to a worker that
    // cannot serve yet.
    let source = source_port::free();
    socket::bind(&socket, SocketAddr::new(any, source)).ok()?;
    sockets.steer_source(who, Some(source));
    match rustix::net::connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Some(Asking { socket, sent: false, answer: Vec::new() }),
        Err(_) => None,
    }
}

/// An address at which a listener of this machine is reached.
fn reachable(ip: IpAddr) -> IpAddr {
    if ip.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { ip }
}

impl Asking {
    /// Sends or reads what is possible now.
    fn go_on(&mut self, url: &Url) -> Shown {
        if !self.sent {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            // Into an empty buffer: it goes as a whole, or the connection has failed.
            let sent = rustix::net::send(&self.socket, url.request().as_bytes(), flags);
            self.sent = sent.is_ok();
            return sent.err().map(|errno| Err(broken(errno)));
        }
        let mut room = [0; ENOUGH];
        match rustix::net::recv(&self.socket, &mut room[..], RecvFlags::DONTWAIT) {
            Ok((0, _)) => Some(Err("health check: closed without an answer".to_owned())),
            Ok((got, _)) => {
                self.answer.extend(room.get(..got).unwrap_or_default());
                Some(if verdict(&self.answer)? { Ok(()) } else { Err(answered(&self.answer)) })
            }
            Err(Errno::AGAIN | Errno::INTR) => None,
            Err(errno) => Some(Err(broken(errno))),
        }
    }
}

fn broken(errno: Errno) -> String {
    format!("health check: {}", report::reason(&errno.into()))
}

/// `health check: answered HTTP/1.1 503 Service Unavailable`
fn answered(answer: &[u8]) -> String {
    let line = answer.split(|b| matches!(b, b'\r' | b'\n')).next().unwrap_or_default();
    format!("health check: answered {}", String::from_utf8_lossy(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_port_and_perhaps_a_host() {
        let url = |host: &str, port, path: &str| Some(Url { host: host.to_owned(), port, path: path.to_owned() });
        assert_eq!(Url::parse("http://:3000/ready?x=1"), url("", 3000, "/ready?x=1"));
        assert_eq!(Url::parse("http://127.0.0.1:80"), url("127.0.0.1", 80, "/"));
        assert_eq!(Url::parse("http://example.org/up"), url("example.org", 80, "/up"));
        assert_eq!(Url::parse("http://[::1]:80/x"), url("[::1]", 80, "/x"));
        assert_eq!(Url::parse("http://[::1]"), url("[::1]", 80, "/"));
        for wrong in ["http://[::1", "http://a:b:80/", "http://:+80/", "http://[x]:80/", "http://::1:80/"] {
            assert_eq!(Url::parse(wrong), None, "{wrong}");
        }
        for wrong in ["https://:3000/", ":3000/", "http://:0/", "http://:x/", "http://:3000/a b", "http://:80/\r\nX: y"]
        {
            assert_eq!(Url::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_first_line_decides() {
        assert_eq!(verdict(b"HTTP/1.1 20"), None);
        assert_eq!(verdict(b"HTTP/1.1 200 OK\r\n"), Some(true));
        assert_eq!(verdict(b"HTTP/1.0 302 Found"), Some(true));
        for bad in [&b"HTTP/1.1 503 Unavailable"[..], b"HTTP/1.1 404 Not", b"SSH-2.0-OpenSSH_9"] {
            assert_eq!(verdict(bad), Some(false));
        }
    }

    #[test]
    fn a_command_is_killed_as_soon_as_its_worker_is_forgotten() {
        let directory = std::fs::File::open("/").expect("a directory").into();
        let env = vec![("PATH".into(), "/usr/bin:/bin".into())];
        let release = Release { number: 0, directory: std::rc::Rc::new(directory), env, program: "x".into() };
        let (who, mut sockets, mut events) = (WorkerId { slot: 0, generation: 1 }, Sockets::default(), VecDeque::new());
        let mut health = Health::new(Question::Command("sleep 1000".into()));
        health.prepare(who, &release);
        health.listens(who, &Listening::parse("tcp:127.0.0.1:1").expect("an address"));
        health.look(&mut sockets, &mut events);
        let pid = health.children().next().expect("it runs");
        let watched = pm_common::sys::pidfd::open(pid).expect("our child");
        health.forget(who, &mut sockets);
        let mut fds = [rustix::event::PollFd::new(&watched, rustix::event::PollFlags::IN)];
        let patience = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
        assert_eq!(rustix::event::poll(&mut fds, Some(&patience)), Ok(1), "it has ended");
        assert_eq!((health.children().count(), health.deadline(), events.len()), (0, None, 0));
    }
}
