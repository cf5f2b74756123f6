//! Clients that ask without a pause while a test breaks things, and what each of them lost.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::http::{Connection, Miss};
use crate::wait;

/// What clients do between two requests, at most: enough to leave the processor to what is tested.
const THINK: Duration = Duration::from_millis(5);
/// The same of those that now and then leave their connection idle: shorter than Node keeps one (5 s).
const SLEEP: Duration = Duration::from_secs(3);

/// How clients use connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A connection is kept as long as the server keeps it.
    Kept,
    /// Each request has a connection of its own.
    OneShot,
    /// Sometimes the one, sometimes the other.
    Mixed,
    /// The connection is kept, and idle for most of the time.
    Sleepy,
}

impl Style {
    /// A crowd of this many clients of all styles.
    #[must_use]
    pub fn crowd(count: usize) -> Vec<Self> {
        [Self::Kept, Self::OneShot, Self::Mixed, Self::Sleepy].into_iter().cycle().take(count).collect()
    }
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

/// What all clients of a load are told.
#[derive(Debug, Default)]
struct Told {
    /// To end.
    stop: AtomicBool,
    /// To leave no connection idle: somebody waits for the answers of all.
    hurry: AtomicBool,
}

/// Clients at work.
#[derive(Debug)]
pub struct Load {
    told: Arc<Told>,
    clients: Vec<Client>,
}

impl Load {
    /// Starts `count` clients on a port.
    #[must_use]
    pub fn start(port: u16, count: usize, style: Style) -> Self {
        Self::of(port, "/", &vec![style; count])
    }

    /// Starts a client of each of these styles, that asks for a path.
    #[must_use]
    pub fn of(port: u16, path: &str, styles: &[Style]) -> Self {
        let told = Arc::new(Told::default());
        // Other ports, other numbers; xorshift needs bits to start with.
        let seed = |n: u64| (n << 16 | u64::from(port)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let client = |(n, style): (u64, &Style)| {
            let tally = Arc::new(Mutex::new(Tally::default()));
            let (ours, told) = (Arc::clone(&tally), Arc::clone(&told));
            let mut asker = Asker { port, path: path.to_owned(), style: *style, kept: None, random: seed(n) };
            Client { tally, thread: Some(std::thread::spawn(move || asker.ask_on(&ours, &told))) }
        };
        Self { clients: (1..).zip(styles).map(client).collect(), told }
    }

    /// What each client saw so far.
    #[must_use]
    pub fn tallies(&self) -> Vec<Tally> {
        self.clients.iter().map(|c| c.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }

    /// Waits until every client has had `count` more answers; those whose connection is idle ask at once.
    ///
    /// # Panics
    /// After the deadline: a client gets none.
    #[track_caller]
    pub fn advance(&self, count: u64) {
        let before: Vec<u64> = self.tallies().iter().map(|t| t.ok).collect();
        let advanced = || self.tallies().iter().zip(&before).all(|(now, then)| now.ok >= then + count);
        self.told.hurry.store(true, Ordering::Relaxed);
        wait::until("every client to be answered", || advanced().then_some(()));
        self.told.hurry.store(false, Ordering::Relaxed);
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
        self.told.stop.store(true, Ordering::Relaxed);
        for client in &mut self.clients {
            let _ = client.thread.take().map(JoinHandle::join);
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.told.stop.store(true, Ordering::Relaxed);
    }
}

/// A client at work.
#[derive(Debug)]
struct Asker {
    port: u16,
    path: String,
    style: Style,
    kept: Option<Connection<TcpStream>>,
    random: u64,
}

impl Asker {
    fn ask_on(&mut self, tally: &Mutex<Tally>, told: &Told) {
        while !told.stop.load(Ordering::Relaxed) {
            let answer = self.ask();
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            match answer {
                Ok(body) => {
                    tally.ok += 1;
                    *tally.by_pid.entry(body.trim().parse().unwrap_or(0)).or_default() += 1;
                }
                Err(miss) => tally.misses.push(miss),
            }
            drop(tally);
            self.think(told);
        }
    }

    fn ask(&mut self) -> Result<String, Miss> {
        let keep = match self.style {
            Style::Kept | Style::Sleepy => true,
            Style::OneShot => false,
            Style::Mixed => self.chance(3) > 0,
        };
        let mut connection = match self.kept.take() {
            Some(connection) => connection,
            None => Connection::open(self.port)?,
        };
        let answer = connection.request(&self.path, if keep { "keep-alive" } else { "close" })?;
        if keep && !connection.closing {
            self.kept = Some(connection);
        }
        Ok(answer)
    }

    /// A number below `below`: xorshift, which needs no crate.
    fn chance(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    fn think(&mut self, told: &Told) {
        let sleeps = self.style == Style::Sleepy && self.chance(2) > 0;
        let micros = self.chance(u64::try_from(if sleeps { SLEEP } else { THINK }.as_micros()).unwrap_or(u64::MAX));
        let end = Instant::now() + Duration::from_micros(micros);
        let woken = || told.stop.load(Ordering::Relaxed) || sleeps && told.hurry.load(Ordering::Relaxed);
        // In pieces, so that nobody waits for a sleeper.
        while Instant::now() < end && !woken() {
            std::thread::sleep(end.saturating_duration_since(Instant::now()).min(Duration::from_millis(50)));
        }
    }
}
