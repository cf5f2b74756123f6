//! How long a start is waited for, and until when.

use pm_common::policy::time::Span;

/// Until when a start is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Every worker is ready.
    Ready,
    /// The chain has been executed.
    Started,
    /// The process has been made.
    Forked,
}

/// How long, and in the words of the user.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    pub(crate) until: Until,
    pub(crate) timeout: Span,
    pub(crate) text: String,
    /// The user has said how long.
    pub(crate) asked: bool,
    /// What comes after these starts, and is not done if nobody waits for them.
    pub(crate) not_done: Vec<String>,
}

impl Patience {
    /// As long as nobody says how long, and then come `left`.
    pub(crate) fn before(left: &[String]) -> Self {
        Self { not_done: left.to_vec(), ..Self::default() }
    }

    /// What to say to who interrupts so many starts, where these have not begun.
    pub(super) fn parting(&self, starts: usize, not_begun: &[&str]) -> String {
        let left = &self.not_done;
        let all: Vec<&str> = not_begun.iter().copied().chain(left.iter().map(String::as_str)).collect();
        let not_done = if all.is_empty() { String::new() } else { format!(" (not begun: {})", all.join(", ")) };
        match starts {
            0 => format!("not waited for any longer{not_done}"),
            1 => format!("not waited for any longer: the start goes on{not_done}; pm list shows it"),
            _ => format!("not waited for any longer: the starts go on{not_done}; pm list shows them"),
        }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            until: Until::Ready,
            timeout: Span::secs(30),
            text: "30s".to_owned(),
            asked: false,
            not_done: Vec::new(),
        }
    }
}
