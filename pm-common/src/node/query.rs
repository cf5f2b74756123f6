//! What a Node worker asks of its cluster primary when it calls `listen()` or `bind()`.

/// The kind of address in a query (`addressType` on the wire).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// `4`; with no address it means `::` dual stack with a fall-back to `0.0.0.0`, as in Node's own primary.
    Tcp4,
    /// `6`
    Tcp6,
    /// `-1`: a path of a unix socket.
    Pipe,
    /// `"udp4"`
    Udp4,
    /// `"udp6"`
    Udp6,
    /// `null`: `listen({fd})`, a number in the primary's own table.
    Fd,
}

/// The bytes of an abstract name that fills its address, the NUL that begins it included (`sun_path`, unix(7)).
const LONGEST_NAME: usize = 108;

impl Query {
    /// The query with an abstract name filled up with NULs, which count, as by Node 20: its clients look for that name.
    #[must_use]
    pub fn padded(mut self) -> Self {
        if let Some(name) = self.address.as_mut().filter(|name| self.family == Family::Pipe && name.starts_with('\0')) {
            let missing = LONGEST_NAME.saturating_sub(name.len());
            name.extend(std::iter::repeat_n('\0', missing));
        }
        self
    }
}

/// A `queryServer` (and, with the bound port, a `listening`) message of a worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// A literal IP address or an absolute path; `None` is unspecified.
    pub address: Option<String>,
    /// The TCP or UDP port; 0 for paths and descriptors too.
    pub port: u16,
    /// The kind of address.
    pub family: Family,
    /// The descriptor asked for with `Family::Fd`.
    pub fd: Option<i32>,
    /// Bits as libuv has them: TCP 1 = IPV6ONLY, 2 = REUSEPORT; UDP 1 = IPV6ONLY, 4 = REUSEADDR, 8 = REUSEPORT.
    pub flags: u32,
    /// The length of the accept queue asked for; 511 where the worker gave none, as in Node.
    pub backlog: i32,
    /// Counts the listens of the same address in one worker (it tells several port 0 apart).
    pub index: u64,
    /// What is to be told to every worker of this address (TLS ticket keys); echoed from the first that asked.
    pub data: serde_json::Value,
    /// The unix socket shall be readable by all (`readableAll`).
    pub readable_all: bool,
    /// The unix socket shall be writable by all (`writableAll`).
    pub writable_all: bool,
}
