//! The messages of apps, which are none of Node's: what they say with `process.send`, for those who want to hear it.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::node::message::Message;
use crate::policy::WorkerId;

/// What apps have said to whoever started them, for those who want to hear it.
#[derive(Debug, Default)]
pub struct AppMessages {
    /// Somebody wants to hear it.
    pub keep: bool,
    kept: Vec<(WorkerId, String)>,
}

impl AppMessages {
    /// Takes those of a worker out of what its channel gave.
    pub fn take_in(&mut self, id: WorkerId, messages: &mut Vec<Message>) {
        messages.retain_mut(|message| match message {
            Message::App(text) => {
                self.kept.push((id, std::mem::take(text)));
                false
            }
            _ => true,
        });
    }

    /// What was said since the last call.
    pub fn take(&mut self) -> Vec<(WorkerId, String)> {
        std::mem::take(&mut self.kept)
    }
}

impl Message {
    /// From a line that is the user's; `None`: it is no JSON, or Node's own.
    #[must_use]
    pub(crate) fn of_app(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?;
        // Looked at as it is written: numbers may be longer than ours.
        let whole: &RawValue = serde_json::from_str(text).ok()?;
        let fields: BTreeMap<String, &RawValue> = serde_json::from_str(whole.get()).unwrap_or_default();
        let command = fields.get("cmd").and_then(|value| serde_json::from_str::<String>(value.get()).ok());
        (!command.is_some_and(|command| command.starts_with("NODE_"))).then(|| Self::App(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nodes_own_or_no_json_is_no_message_and_the_rest_is_kept_as_it_was_written() {
        for text in [r#"{"cmd":"NODE_X"}"#, r#"{"cmd":1,"cmd":"\u004eODE_X","a":1e999}"#, "{\"a\":", "\u{fffd}"] {
            assert_eq!(Message::of_app(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Message::of_app(b"\"\xff\""), None);
        for text in [r#"{"cmd":"mine"}"#, r#"{ "b":1, "a":1e999 }"#, "null", "[1]"] {
            assert_eq!(Message::of_app(text.as_bytes()), Some(Message::App(text.to_owned())));
        }
    }

    #[test]
    fn those_of_apps_are_taken_out_of_what_a_channel_gave() {
        let id = WorkerId { slot: 1, generation: 2 };
        let mut messages = vec![Message::Ready, Message::App("1".into()), Message::Pong, Message::App("2".into())];
        let mut kept = AppMessages::default();
        kept.take_in(id, &mut messages);
        assert_eq!(messages, [Message::Ready, Message::Pong]);
        assert_eq!(kept.take(), [(id, "1".to_owned()), (id, "2".to_owned())]);
        assert_eq!(kept.take(), []);
    }
}
