//! Clients that ask without a pause while a test breaks things, and what each of them lost.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::http::{Connection, Miss};
use crate::wait;

/// What a client does between two requests: enough to leave the processor to what is tested.
const THINK: Duration = Duration::from_millis(2);

/// How clients use connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A connection is kept as long as the server keeps it.
    Kept,
    /// Each request has a connection of its own.
    OneShot,
}

/// What one client saw.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Requests answered.
    pub ok: u64,
    /// Answers by worker (the fixtures answer their pid).
    pub by_pid: BTreeMap<u32, u64>,
    /// Requests lost, in order.
    pub misses: Vec<Miss>,
}

#[derive(Debug)]
struct Client {
    tally: Arc<Mutex<Tally>>,
    thread: Option<JoinHandle<()>>,
}

/// Clients at work.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<Client>,
}

impl Load {
    /// Starts `count` clients on a port.
    #[must_use]
    pub fn start(port: u16, count: usize, style: Style) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |_| {
            let tally = Arc::new(Mutex::new(Tally::default()));
            let (ours, stop) = (Arc::clone(&tally), Arc::clone(&stop));
            Client { tally, thread: Some(std::thread::spawn(move || client(port, style, &ours, &stop))) }
        };
        Self { clients: (0..count).map(client).collect(), stop }
    }

    /// What each client saw so far.
    #[must_use]
    pub fn tallies(&self) -> Vec<Tally> {
        self.clients.iter().map(|c| c.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }

    /// Waits until every client has had `count` more answers.
    ///
    /// # Panics
    /// After the deadline: a client gets none.
    #[track_caller]
    pub fn advance(&self, count: u64) {
        let before: Vec<u64> = self.tallies().iter().map(|t| t.ok).collect();
        let advanced = || self.tallies().iter().zip(&before).all(|(now, then)| now.ok >= then + count);
        wait::until("every client to be answered", || advanced().then_some(()));
    }

    /// Ends the clients, each after its request, and adds up.
    #[must_use]
    pub fn end(mut self) -> Tally {
        self.join();
        let mut sum = Tally::default();
        for tally in self.tallies() {
            sum.ok += tally.ok;
            sum.misses.extend(tally.misses);
            tally.by_pid.into_iter().for_each(|(pid, n)| *sum.by_pid.entry(pid).or_default() += n);
        }
        sum
    }

    fn join(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in &mut self.clients {
            let _ = client.thread.take().map(JoinHandle::join);
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn client(port: u16, style: Style, tally: &Mutex<Tally>, stop: &AtomicBool) {
    let mut kept = None;
    while !stop.load(Ordering::Relaxed) {
        let answer = ask(port, style, &mut kept);
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(body) => {
                tally.ok += 1;
                *tally.by_pid.entry(body.trim().parse().unwrap_or(0)).or_default() += 1;
            }
            Err(miss) => tally.misses.push(miss),
        }
        drop(tally);
        std::thread::sleep(THINK);
    }
}

fn ask(port: u16, style: Style, kept: &mut Option<Connection<TcpStream>>) -> Result<String, Miss> {
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => Connection::open(port)?,
    };
    let answer = match style {
        Style::Kept => connection.get("/")?,
        Style::OneShot => connection.request("/", "close")?,
    };
    if style == Style::Kept && !connection.closing {
        *kept = Some(connection);
    }
    Ok(answer)
}
