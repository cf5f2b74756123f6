//! Text for people: its width on a terminal, and times, sizes and loads in few characters.

use pm_common::app::status::{Ended, Last};
use pm_common::cli::escape::is_harmful;
use pm_common::policy::worker::Why;
use pm_common::sys::clock;
use unicode_width::UnicodeWidthStr as _;

/// What stands for the rest of a text that was cut.
const ELLIPSIS: char = '…';

/// How many columns the text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// Without what would move the cursor, change colours or turn the direction of the text.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if is_harmful(c) { '\u{fffd}' } else { c }).collect()
}

/// The text in at most so many columns, with an ellipsis where something is missing.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        kept.push(c);
        if width(&kept) >= columns {
            kept.pop();
            break;
        }
    }
    if columns > 0 {
        kept.push(ELLIPSIS);
    }
    kept
}

/// The text in exactly so many columns, cut or with blanks in front (`right`) or behind.
pub(crate) fn fit(text: &str, columns: usize, right: bool) -> String {
    let text = cut(text, columns);
    let blanks = " ".repeat(columns.saturating_sub(width(&text)));
    if right { blanks + &text } else { text + &blanks }
}

/// How long something lasts: `84s`, `5m`, `3h`, `12D`; a unit is used from two of it on, as people who know PM2 expect.
pub(crate) fn span(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    let units = [(365 * 86_400, "Y"), (30 * 86_400, "M"), (86_400, "D"), (3600, "h"), (60, "m")];
    let unit = units.iter().find(|(length, _)| seconds >= 2 * length);
    unit.map_or_else(|| format!("{seconds}s"), |(length, name)| format!("{}{name}", seconds / length))
}

/// A size: `51.4mb`.
pub(crate) fn bytes(size: u64) -> String {
    let units = [(30, "gb"), (20, "mb"), (10, "kb")];
    let unit = units.iter().find(|(shift, _)| size >= 1 << shift);
    unit.map_or_else(
        || format!("{size}b"),
        |(shift, name)| format!("{:.1}{name}", size as f64 / (1_u64 << shift) as f64),
    )
}

/// A load in percent of one CPU.
pub(crate) fn percent(load: f64) -> String {
    if load < 0.05 { "0%".to_owned() } else { format!("{load:.1}%") }
}

/// How a worker ended: `crash SIGSEGV`, `memory`, `exit 3`.
pub(crate) fn how(last: &Last) -> String {
    let why = Why::from_word(&last.why);
    match &last.ended {
        // Of a stop that we asked for, the signal says nothing.
        Some(Ended::Signal(name)) if matches!(why, Some(Why::Crash | Why::Oom)) => format!("{} {name}", last.why),
        Some(Ended::Code(code)) if matches!(why, Some(Why::Exit | Why::Crash | Why::Spawn)) => format!("exit {code}"),
        Some(_) | None => last.why.clone(),
    }
}

/// The present on two clocks, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// Since 1970; somebody may set it.
    pub(crate) wall_ms: u64,
    /// Since boot, time asleep included.
    pub(crate) boot_ms: u64,
}

impl Now {
    pub(crate) fn read() -> Self {
        Self { wall_ms: clock::wall_ms(), boot_ms: clock::since_boot().as_millis() }
    }

    /// How long ago that was: by the clock that nobody sets, where it is known.
    fn since(self, last: &Last) -> u64 {
        let by_wall = || self.wall_ms.saturating_sub(last.at_ms);
        last.at_boot_ms.map_or_else(by_wall, |at| self.boot_ms.saturating_sub(at))
    }
}

/// How a worker ended last, with its age.
pub(crate) fn ended(last: &Last, now: Now) -> String {
    format!("{}, {} ago", how(last), span(now.since(last) as f64 / 1000.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_count_twice_and_marks_not_at_all() {
        assert_eq!(["abc", "größe", "日本", "e\u{301}", "👍", ""].map(width), [3, 5, 4, 1, 2, 0]);
        assert_eq!(cut("日本語", 6), "日本語");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…", "half a character is none");
        assert_eq!((cut("abc", 1).as_str(), cut("abc", 0).as_str(), cut("", 0).as_str()), ("…", "", ""));
        for columns in 0..12 {
            for text in ["", "a", "日本語日本語", "e\u{301}e\u{301}e\u{301}xyzxyzxyzxyz", "👍🏽👍🏽👍🏽👍🏽"]
            {
                assert_eq!(width(&fit(text, columns, true)), columns, "{text} in {columns}");
            }
        }
    }

    #[test]
    fn nothing_moves_the_cursor() {
        assert_eq!(clean("a\x1b[2Jb\u{202e}c\u{9b}"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}");
    }

    #[test]
    fn figures_are_short() {
        assert_eq!(
            [0.4, 84.0, 119.9, 120.0, 7200.0, 86_400.0 * 3.0].map(span),
            ["0s", "84s", "119s", "2m", "2h", "3D"]
        );
        assert_eq!([86_400.0 * 70.0, 86_400.0 * 800.0].map(span), ["2M", "2Y"]);
        assert_eq!([900, 2048, 53_896_806, 3 << 30].map(bytes), ["900b", "2.0kb", "51.4mb", "3.0gb"]);
        assert_eq!([0.0, 0.04, 0.1, 99.96, 250.0].map(percent), ["0%", "0%", "0.1%", "100.0%", "250.0%"]);
    }

    #[test]
    fn why_it_ended_is_said_with_what_tells_something() {
        let last = |why: &str, ended| ended_of(why, ended);
        assert_eq!(last("crash", Some(Ended::Signal("SIGSEGV".to_owned()))), "crash SIGSEGV, 5s ago");
        assert_eq!(last("exit", Some(Ended::Code(0))), "exit 0, 5s ago");
        assert_eq!(last("crash", Some(Ended::Code(3))), "exit 3, 5s ago", "no count of crashes");
        assert_eq!(last("memory", Some(Ended::Signal("SIGKILL".to_owned()))), "memory, 5s ago");
        assert_eq!(last("reload", None), "reload, 5s ago");
    }

    fn ended_of(why: &str, how: Option<Ended>) -> String {
        let last = Last { ended: how, why: why.to_owned(), at_ms: 1000, at_boot_ms: None };
        ended(&last, Now { wall_ms: 6000, boot_ms: 0 })
    }

    #[test]
    fn an_age_is_not_that_of_a_clock_that_was_set() {
        let last = Last { ended: None, why: "reload".to_owned(), at_ms: 1000, at_boot_ms: Some(70_000) };
        for wall_ms in [0, 6000, 3_600_000] {
            assert_eq!(ended(&last, Now { wall_ms, boot_ms: 75_000 }), "reload, 5s ago");
        }
    }
}
