//! What is typed at `pm attach`: each line goes to what the app reads.

use pm_common::app::home::Home;
use rustix::io::Errno;

use crate::apps::{self, stdin_fifo};

/// The longest line that an app can be sent, and more: what is longer is refused when it ends.
const CHUNK: usize = 4096;

/// The lines of our standard input, for one app.
#[derive(Debug)]
pub(super) struct Typed {
    home: Home,
    app: String,
    begun: Vec<u8>,
}

impl Typed {
    /// Nothing has been typed yet.
    pub(super) const fn new(home: Home, app: String) -> Self {
        Self { home, app, begun: Vec::new() }
    }

    /// Sends the lines that have been typed; false: nothing more will be.
    ///
    /// # Errors
    /// The input cannot be read.
    pub(super) fn send(&mut self) -> Result<bool, Errno> {
        let mut chunk = [0; CHUNK];
        let read = match rustix::io::read(rustix::stdio::stdin(), &mut chunk) {
            Err(Errno::INTR | Errno::AGAIN) => return Ok(true),
            other => other?,
        };
        self.begun.extend_from_slice(chunk.get(..read).unwrap_or_default());
        if read == 0 && !self.begun.is_empty() {
            self.begun.push(b'\n');
        }
        while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.begun.drain(..=end).collect();
            if let Err(failure) = stdin_fifo::send(&self.home, &self.app, &line) {
                apps::say(&failure);
            }
        }
        Ok(read > 0)
    }
}
