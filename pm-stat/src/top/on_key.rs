//! What the keys do to the live table: what is selected, sorted, scrolled, searched for, asked for. Pure.

use super::keys::Stroke;
use crate::show::table::Column;

/// What can be done to the selected app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Restart,
    Reload,
    Stop,
}

impl Act {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Reload => "reload",
            Self::Stop => "stop",
        }
    }
}

/// What the next stroke is for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Input {
    #[default]
    Command,
    /// Whether this shall be done to the app.
    Confirm(Act, String),
    /// A character of what to search for.
    Search(String),
}

/// What the caller has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    Quit,
    Sort,
    Do(Act, String),
}

/// The rows that a page is taken for.
const PAGE: usize = 10;

/// What the user has made of the screen.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) selected: usize,
    pub(super) sort: Column,
    pub(super) reversed: bool,
    pub(super) input: Input,
    /// How many lines of the log are below those that are shown.
    pub(super) scrolled: usize,
    /// What is searched for in the log; empty: nothing.
    pub(super) pattern: String,
}

impl State {
    /// Does what a stroke says. `apps` are those of the rows; `log` the lines of the selected one's log.
    pub(super) fn press(&mut self, stroke: Stroke, apps: &[&str], log: &[&str]) -> Option<Effect> {
        match std::mem::take(&mut self.input) {
            Input::Command => return self.command(stroke, apps, log),
            Input::Confirm(act, app) => {
                return matches!(stroke, Stroke::Char('y' | 'Y')).then_some(Effect::Do(act, app));
            }
            Input::Search(mut text) => match stroke {
                Stroke::Escape => {}
                Stroke::Char('\r' | '\n') => {
                    self.pattern = text;
                    self.scrolled = 0;
                    self.find(log, true);
                }
                Stroke::Char('\x08' | '\x7f') if text.is_empty() => {}
                Stroke::Char('\x08' | '\x7f') => {
                    text.pop();
                    self.input = Input::Search(text);
                }
                other => {
                    text.extend(Some(other).and_then(typed));
                    self.input = Input::Search(text);
                }
            },
        }
        None
    }

    fn command(&mut self, stroke: Stroke, apps: &[&str], log: &[&str]) -> Option<Effect> {
        let searches = !self.pattern.is_empty();
        match stroke {
            Stroke::Char('q' | 'Q') => return Some(Effect::Quit),
            Stroke::Char('n') if searches => self.find(log, false),
            Stroke::Char('N') if searches => self.find_below(log),
            Stroke::Char(c) => return self.letter(c, apps, log),
            Stroke::Escape => (self.pattern, self.scrolled) = (String::new(), 0),
            Stroke::Up => self.select(self.selected.saturating_sub(1), apps),
            Stroke::Down => self.select(self.selected + 1, apps),
            Stroke::Home => self.select(0, apps),
            Stroke::End => self.select(usize::MAX, apps),
            Stroke::PageUp => self.scroll(self.scrolled + PAGE, log),
            Stroke::PageDown => self.scroll(self.scrolled.saturating_sub(PAGE), log),
        }
        None
    }

    fn letter(&mut self, letter: char, apps: &[&str], log: &[&str]) -> Option<Effect> {
        let sort = match letter {
            'c' => Some(Column::Cpu),
            'm' => Some(Column::Memory),
            'n' => Some(Column::Name),
            'u' => Some(Column::Uptime),
            'r' => Some(Column::Restarts),
            _ => None,
        };
        if let Some(by) = sort {
            // The same key again turns the order.
            self.reversed = by == self.sort && !self.reversed;
            self.sort = by;
            return Some(Effect::Sort);
        }
        match letter {
            'R' => self.ask(Act::Restart, apps),
            'L' => self.ask(Act::Reload, apps),
            'S' => self.ask(Act::Stop, apps),
            '/' => self.input = Input::Search(String::new()),
            'k' => self.select(self.selected.saturating_sub(1), apps),
            'j' => self.select(self.selected + 1, apps),
            'g' => self.select(0, apps),
            'G' => self.select(usize::MAX, apps),
            // As less(1) has them.
            '\x02' => self.select(self.selected.saturating_sub(PAGE), apps),
            '\x06' => self.select(self.selected + PAGE, apps),
            'K' => self.scroll(self.scrolled + 1, log),
            'J' => self.scroll(self.scrolled.saturating_sub(1), log),
            _ => {}
        }
        None
    }

    fn ask(&mut self, act: Act, apps: &[&str]) {
        if let Some(app) = apps.get(self.selected) {
            self.input = Input::Confirm(act, (*app).to_owned());
        }
    }

    /// Selects a row; the log of another app is seen from its end.
    pub(super) fn select(&mut self, row: usize, apps: &[&str]) {
        let before = apps.get(self.selected);
        self.selected = row.min(apps.len().saturating_sub(1));
        if apps.get(self.selected) != before {
            self.scrolled = 0;
        }
    }

    fn scroll(&mut self, lines: usize, log: &[&str]) {
        self.scrolled = lines.min(log.len().saturating_sub(1));
    }

    /// Scrolls to the nearest line above with the pattern, or where `here`, in the lowest one shown: it becomes that.
    fn find(&mut self, log: &[&str], here: bool) {
        let from = self.scrolled + usize::from(!here);
        let found = log.iter().rev().skip(from).position(|line| has(line, &self.pattern));
        self.scrolled = found.map_or(self.scrolled, |at| from + at);
    }

    /// Goes to the nearest line below that has what is looked for.
    fn find_below(&mut self, log: &[&str]) {
        let below = log.iter().rev().take(self.scrolled).rposition(|line| has(line, &self.pattern));
        self.scrolled = below.unwrap_or(self.scrolled);
    }
}

/// The character that is text.
fn typed(stroke: Stroke) -> Option<char> {
    match stroke {
        Stroke::Char(c) if !c.is_control() => Some(c),
        _ => None,
    }
}

/// Whether the line has the text: whatever the case of its letters, if the text has no capital (as in less -i).
pub(super) fn has(line: &str, text: &str) -> bool {
    if text.chars().any(char::is_uppercase) { line.contains(text) } else { line.to_lowercase().contains(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APPS: [&str; 4] = ["api", "web", "web", "x"];
    const LOG: [&str; 6] = ["An error", "b", "error 2", "d", "e", "f"];

    fn press(state: &mut State, text: &str) -> Option<Effect> {
        text.chars().map(|c| state.press(Stroke::Char(c), &APPS, &LOG)).last().flatten()
    }

    #[test]
    fn what_ends_an_app_is_asked_for_by_a_second_key() {
        let mut state = State { selected: 1, ..State::default() };
        for (key, act) in [("R", Act::Restart), ("L", Act::Reload), ("S", Act::Stop)] {
            assert_eq!(press(&mut state, key), None);
            assert_eq!(state.input, Input::Confirm(act, "web".to_owned()));
            // Who selects another row meanwhile has said no.
            assert_eq!(state.press(Stroke::Down, &APPS, &LOG), None);
            assert_eq!(state.input, Input::Command);
            assert_eq!(press(&mut state, &format!("{key}y")), Some(Effect::Do(act, "web".to_owned())));
        }
        assert_eq!(State::default().press(Stroke::Char('S'), &[], &[]), None, "there is no app");
        assert_eq!(press(&mut state, "q"), Some(Effect::Quit));
    }

    #[test]
    fn a_log_is_searched_upwards_and_back() {
        let mut state = State::default();
        assert_eq!(press(&mut state, "/erq\x7fror\r"), None, "no command while text is typed");
        assert_eq!((state.pattern.as_str(), state.scrolled), ("error", 3));
        press(&mut state, "n");
        assert_eq!(state.scrolled, 5);
        press(&mut state, "n");
        assert_eq!(state.scrolled, 5, "there is none above");
        press(&mut state, "N");
        assert_eq!(state.scrolled, 3);
        state.press(Stroke::Escape, &APPS, &LOG);
        assert_eq!((state.pattern.as_str(), state.scrolled), ("", 0));
        assert_eq!(press(&mut state, "n"), Some(Effect::Sort));
        assert!(has("An Error", "error") && !has("An error", "Error") && has("größe ÄÖ", "äö"));
    }

    #[test]
    fn a_log_is_scrolled_within_its_lines_and_another_app_is_seen_from_its_end() {
        let mut state = State { selected: 1, ..State::default() };
        press(&mut state, "K");
        assert_eq!(state.scrolled, 1);
        state.press(Stroke::PageUp, &APPS, &LOG);
        assert_eq!(state.scrolled, 5);
        state.press(Stroke::Down, &APPS, &LOG);
        assert_eq!((state.selected, state.scrolled), (2, 5), "the same app");
        state.press(Stroke::Down, &APPS, &LOG);
        assert_eq!((state.selected, state.scrolled), (3, 0));
        state.press(Stroke::PageUp, &APPS, &LOG);
        state.press(Stroke::PageDown, &APPS, &LOG);
        assert_eq!(state.scrolled, 0);
        press(&mut state, "g");
        assert_eq!(state.selected, 0);
        state.press(Stroke::End, &APPS, &LOG);
        assert_eq!(state.selected, 3);
    }
}
