//! What the journal says, and its JSON. Fields that are not known are passed over: a newer version may have written them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::app::status::Id;
use crate::policy::LastEnd;
use crate::policy::exit::Exit;
use crate::policy::listening::Listening;
use crate::policy::record::Then;
use crate::policy::supervisor::{Carried, CarriedRolls, CarriedSlot, Heard, Over, RollView};
use crate::policy::time::Mono;
use crate::policy::worker::{Loads, Why};

/// The form of the JSON; another one is not read.
const FORM: u64 = 1;

/// All that a successor is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The rest of the chain: a successor that runs something else takes no release over.
    pub argv: Vec<OsString>,
    /// The first in the line of succession, who began to count; `None`: an older version does not tell.
    pub first: Option<Id>,
    /// What the state machine goes on from.
    pub machine: Carried,
    /// The release that a start uses, unless the roll under way comes to a good end.
    pub release: KeptRelease,
    /// Releases resolved so far.
    pub resolved: u64,
}

/// A release without its directory, whose descriptor the store holds under this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRelease {
    /// Names it.
    pub number: u64,
    /// The directory as the person named it.
    pub logical: PathBuf,
    /// What its workers execute.
    pub program: PathBuf,
    /// The environment of the workers.
    pub env: Vec<(OsString, OsString)>,
    /// The name of the directory's descriptor in the store.
    pub descriptor: String,
}

impl State {
    /// The text of a journal entry.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let env: Vec<Value> = self.release.env.iter().map(|(key, value)| json!([bytes(key), bytes(value)])).collect();
        let heard =
            |heard: &Heard<Listening>| json!({"baseline": texts(&heard.baseline), "paths": texts(&heard.others)});
        json!({
            "form": FORM,
            "version": env!("CARGO_PKG_VERSION"),
            "argv": self.argv.iter().map(bytes).collect::<Vec<_>>(),
            "first": self.first,
            "workers": {"asked": self.machine.asked, "wanted": self.machine.wanted},
            "slots": self.machine.slots.iter().map(slot_to_json).collect::<Vec<_>>(),
            "heard": self.machine.heard.iter().map(heard).collect::<Vec<_>>(),
            "waived": texts(&self.machine.waived),
            "rolls": rolls_to_json(&self.machine.rolls),
            "release": {
                "number": self.release.number,
                "logical": bytes(self.release.logical.as_os_str()),
                "program": bytes(self.release.program.as_os_str()),
                "env": env,
                "descriptor": self.release.descriptor,
            },
            "resolved": self.resolved,
        })
    }

    /// The value of such a text; `None`: it is something else.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(text).ok()?;
        if value["form"] != FORM {
            return None;
        }
        let release = &value["release"];
        let pair = |pair: &Value| Some((text_of(&pair[0])?, text_of(&pair[1])?));
        let heard = |heard: &Value| {
            Some(Heard { baseline: addresses(&heard["baseline"])?, others: addresses(&heard["paths"])? })
        };
        Some(Self {
            argv: all(&value["argv"], text_of)?,
            first: Id::deserialize(&value["first"]).ok(),
            machine: Carried {
                asked: small(&value["workers"]["asked"])?,
                wanted: small(&value["workers"]["wanted"])?,
                slots: all(&value["slots"], slot_of)?,
                heard: all(&value["heard"], heard).unwrap_or_default(),
                waived: addresses(&value["waived"]).unwrap_or_default(),
                rolls: rolls_of(&value["rolls"])?,
            },
            release: KeptRelease {
                number: release["number"].as_u64()?,
                logical: text_of(&release["logical"])?.into(),
                program: text_of(&release["program"])?.into(),
                env: all(&release["env"], pair)?,
                descriptor: release["descriptor"].as_str()?.to_owned(),
            },
            resolved: value["resolved"].as_u64()?,
        })
    }
}

fn slot_to_json(slot: &CarriedSlot) -> Value {
    let last = slot.last.map(|last| {
        let (code, signal) = match last.exit {
            Some(Exit::Code(code)) => (Some(code), None),
            Some(Exit::Signal(signal)) => (None, Some(signal)),
            None => (None, None),
        };
        json!({"code": code, "signal": signal, "why": last.why.word(), "at": last.at.0})
    });
    json!({
        "generation": slot.generation, "restarts": slot.restarts, "last": last, "occupied": slot.occupied,
        "heard": slot.heard, "over": slot.over.map(Over::word), "quiet": slot.quiet.map(Loads::word),
    })
}

fn slot_of(value: &Value) -> Option<CarriedSlot> {
    let number = |value: &Value| value.as_u64().and_then(|n| u8::try_from(n).ok());
    let last = |last: &Value| {
        let exit = number(&last["code"]).map(Exit::Code).or_else(|| number(&last["signal"]).map(Exit::Signal));
        Some(LastEnd { exit, why: Why::from_word(last["why"].as_str()?)?, at: Mono(last["at"].as_u64()?) })
    };
    Some(CarriedSlot {
        generation: value["generation"].as_u64()?,
        restarts: value["restarts"].as_u64()?,
        last: last(&value["last"]),
        occupied: value["occupied"].as_bool()?,
        over: value["over"].as_str().and_then(Over::from_word),
        heard: value["heard"].as_u64().and_then(|place| usize::try_from(place).ok()),
        quiet: value["quiet"].as_str().and_then(Loads::from_word),
    })
}

/// Addresses in words; what those do not say in full is left out, so that nobody is held to another one.
fn texts(addresses: &BTreeSet<Listening>) -> Vec<String> {
    addresses.iter().filter(|address| address.is_text()).map(ToString::to_string).collect()
}

fn addresses(texts: &Value) -> Option<BTreeSet<Listening>> {
    let all = all(texts, |text| text.as_str().map(Listening::parse))?;
    Some(all.into_iter().flatten().collect())
}

fn rolls_to_json(CarriedRolls { seen, current, at }: &CarriedRolls) -> Value {
    json!({
        "requested": seen.requested, "started": seen.started, "ended": seen.ended, "current": current,
        "ok": seen.ok, "reason": seen.reason, "slot": seen.slot, "at": at, "then": seen.then,
    })
}

fn rolls_of(value: &Value) -> Option<CarriedRolls> {
    let seen = RollView {
        requested: value["requested"].as_u64()?,
        started: value["started"].as_u64()?,
        ended: value["ended"].as_u64()?,
        ok: value["ok"].as_bool(),
        reason: value["reason"].as_str()?.to_owned(),
        slot: small(&value["slot"]),
        then: value["then"].as_str().and_then(Then::from_word),
        running: None,
    };
    Some(CarriedRolls { seen, current: value["current"].as_u64()?, at: small(&value["at"]) })
}

/// Text where it is text; else its bytes as numbers, as JSON knows no others.
fn bytes(text: impl AsRef<std::ffi::OsStr>) -> Value {
    let text = text.as_ref();
    text.to_str().map_or_else(|| json!(text.as_bytes()), |text| json!(text))
}

fn text_of(value: &Value) -> Option<OsString> {
    let byte = |byte: &Value| byte.as_u64().and_then(|n| u8::try_from(n).ok());
    value.as_str().map(OsString::from).or_else(|| Some(OsString::from_vec(all(value, byte)?)))
}

fn small(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|n| u32::try_from(n).ok())
}

fn all<T>(values: &Value, of: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    values.as_array()?.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let last = |exit| Some(LastEnd { exit, why: Why::Crash, at: Mono(7) });
        let slot = |last| CarriedSlot {
            generation: 4,
            restarts: 3,
            last,
            occupied: true,
            heard: Some(0),
            ..CarriedSlot::default()
        };
        let ends = [None, Some(Exit::Code(3)), Some(Exit::Signal(9))];
        let mut slots: Vec<_> = ends.into_iter().map(|exit| slot(last(exit))).collect();
        slots.push(slot(None));
        for (over, quiet) in [(Over::Done, Loads::Nothing), (Over::Failed, Loads::Server)] {
            slots.push(CarriedSlot { over: Some(over), quiet: Some(quiet), ..slot(None) });
        }
        let seen = RollView {
            requested: 5,
            started: 4,
            ended: 3,
            ok: Some(false),
            then: Some(Then::Nothing),
            ..RollView::default()
        };
        let rolls = CarriedRolls { seen, current: 3, at: None };
        let at = |words: &str| Listening::parse(words).expect(words);
        let heard = Heard { baseline: [at("tcp:[::]:1"), at("unix:/a")].into(), others: [at("tcp:[::]:9")].into() };
        let waived = [at("tcp:[::]:9")].into();
        let odd = OsString::from_vec(vec![b'a', 0xff, 0xfe]);
        State {
            argv: vec!["node".into(), odd.clone()],
            first: Some(Id { pid: 7, start: 70 }),
            machine: Carried { asked: 2, wanted: 4, slots, heard: vec![heard], waived, rolls },
            release: KeptRelease {
                number: 3,
                logical: PathBuf::from(odd.clone()),
                program: "/usr/bin/node".into(),
                env: vec![("A".into(), odd.clone()), (odd, "\"\n\u{fc}".into()), ("EMPTY".into(), "".into())],
                descriptor: "pm-release.3".to_owned(),
            },
            resolved: 4,
        }
    }

    #[test]
    fn what_is_written_is_read_whatever_the_bytes() {
        let text = state().to_json().to_string();
        assert_eq!(State::parse(text.as_bytes()), Some(state()));
    }

    #[test]
    fn fields_of_a_later_version_are_passed_over() {
        let mut value = state().to_json();
        value["later"] = json!({"lanes": [1, 2]});
        value["rolls"]["later"] = json!(1);
        value["slots"][0]["later"] = json!(1);
        value["version"] = json!("9.9.9");
        assert_eq!(State::parse(value.to_string().as_bytes()), Some(state()));
    }

    #[test]
    fn what_an_earlier_version_does_not_tell_is_not_known() {
        let mut value = state().to_json();
        let mut known = State { first: None, ..state() };
        value.as_object_mut().expect("an object").remove("first");
        assert_eq!(State::parse(value.to_string().as_bytes()), Some(known.clone()));
        for added in ["heard", "waived"] {
            value.as_object_mut().expect("an object").remove(added);
        }
        known.machine.heard.clear();
        known.machine.waived.clear();
        assert_eq!(State::parse(value.to_string().as_bytes()), Some(known));
    }

    /// Another form, or one field missing or of another kind: nothing, and never a panic.
    #[test]
    fn anything_else_is_nothing() {
        let whole = state().to_json();
        for field in ["form", "argv", "workers", "slots", "rolls", "release", "resolved"] {
            for wrong in [Value::Null, json!(-1), json!("x"), json!([[[]]])] {
                let mut value = whole.clone();
                value[field] = wrong;
                assert_eq!(State::parse(value.to_string().as_bytes()), None, "{field}");
            }
        }
        for text in ["", "null", "[]", "{}", "{\"form\":1}", "\u{0}"] {
            assert_eq!(State::parse(text.as_bytes()), None, "{text}");
        }
    }
}
