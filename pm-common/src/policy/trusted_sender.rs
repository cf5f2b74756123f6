//! Who is heard on the notification socket of a worker. Its name can be read by anybody (/proc/net/unix), so the
//! kernel's word about the sender decides: whose process it is, and where it stands.
//!
//! The user is the boundary: who has the same uid can act through the worker itself (ptrace(2)). The place guards
//! against mistakes, such as another app that was started with our variables; so a sender that has ended before it could
//! be looked at is heard if its user may speak. But not one of root's where nothing else is root's.
//!
//! What becomes of a message that is refused: `supervise::on_notify`.

use std::fmt;

/// Where the sender of a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standpoint {
    /// In the worker's tree, or orphaned from a worker of ours.
    Inside,
    /// Alive, and anywhere else.
    Outside,
    /// The sender has ended, or is hidden from us (`hidepid`): only its uid is known.
    Unseen,
}

/// The sender of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speaker {
    /// Its real uid, if the kernel told one.
    pub uid: Option<u32>,
    /// Where it stands.
    pub place: Standpoint,
    /// The sender is the process that announced itself as the supervisor of this worker.
    pub supervises: bool,
}

/// The users that may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Users<'a> {
    /// Root, we, and whom the worker runs as.
    pub trusted: &'a [u32],
    /// The uid that the kernel shows for all users that have none in our user namespace; `None`: each has its own.
    pub nameless: Option<u32>,
    /// We, or the worker, run as root. Else root speaks only while it is to be seen: anybody has programs of root's that
    /// say what he likes where he likes (`sudo -S -p TEXT`), and end.
    pub root: bool,
}

/// What kind of word it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Any program may say it of itself (READY=1, STATUS= ...).
    Ordinary,
    /// A pm supervisor announces itself.
    Announcement,
    /// Only the announced supervisor says it.
    OfSupervisor,
}

/// Why a word is not heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Another user's.
    User,
    /// From outside of the worker.
    Outside,
    /// The sender is gone, and announced itself, so that there is nobody to be asked for a reload, or is root, which it
    /// may have been for anybody.
    Gone,
    /// Only the announced supervisor may say that.
    NoSupervisor,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "its user is neither root, nor ours, nor the worker's",
            Self::Outside => "it is no process of this worker",
            Self::Gone => "it had ended",
            Self::NoSupervisor => "it has not announced itself as a supervisor",
        })
    }
}

/// Whether a socket of this owner may be the one above us: root's, ours, or of the users of the supervisor that we run
/// below.
#[must_use]
pub fn is_above(owner: u32, ours: [u32; 2], supervisor: Option<[u32; 3]>) -> bool {
    owner == 0 || ours.contains(&owner) || supervisor.is_some_and(|users| users.contains(&owner))
}

/// Whether this word of this sender is heard.
///
/// # Errors
/// Why not.
pub fn hear(word: Word, speaker: Speaker, users: Users<'_>) -> Result<(), Refusal> {
    let uid = speaker.uid.filter(|uid| users.trusted.contains(uid)).ok_or(Refusal::User)?;
    match (word, speaker.place) {
        (_, Standpoint::Outside) => Err(Refusal::Outside),
        // Anybody's: the same number stands for all users from outside of our namespace.
        (_, Standpoint::Unseen) if users.nameless == Some(uid) => Err(Refusal::User),
        (Word::Announcement, Standpoint::Unseen) => Err(Refusal::Gone),
        (_, Standpoint::Unseen) if uid == 0 && !users.root && !speaker.supervises => Err(Refusal::Gone),
        (Word::OfSupervisor, _) if !speaker.supervises => Err(Refusal::NoSupervisor),
        (Word::Ordinary | Word::Announcement | Word::OfSupervisor, Standpoint::Inside | Standpoint::Unseen) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: u32 = 0;
    const OURS: u32 = 1000;
    const WORKERS: u32 = 33;
    const OVERFLOW: u32 = 65534;
    const ANOTHER: u32 = 1001;

    const PLACES: [Standpoint; 3] = [Standpoint::Inside, Standpoint::Outside, Standpoint::Unseen];
    const WORDS: [Word; 3] = [Word::Ordinary, Word::Announcement, Word::OfSupervisor];

    fn each(mut check: impl FnMut(Word, Speaker, Users<'_>)) {
        let trusted: [&[u32]; 2] = [&[ROOT, OURS, WORKERS], &[ROOT, OURS, OVERFLOW]];
        for (trusted, root) in trusted.into_iter().flat_map(|trusted| [(trusted, false), (trusted, true)]) {
            for nameless in [None, Some(OVERFLOW)] {
                for uid in [None, Some(ROOT), Some(OURS), Some(WORKERS), Some(OVERFLOW), Some(ANOTHER)] {
                    for place in PLACES {
                        for supervises in [false, true] {
                            for word in WORDS {
                                check(word, Speaker { uid, place, supervises }, Users { trusted, nameless, root });
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn above_us_is_root_or_we_or_whom_the_supervisor_above_runs_as() {
        let ours = [OURS, WORKERS];
        assert!([ROOT, OURS, WORKERS].iter().all(|owner| is_above(*owner, ours, None)));
        assert!(!is_above(ANOTHER, ours, None) && !is_above(ANOTHER, ours, Some([OURS, OURS, ROOT])));
        assert!(is_above(ANOTHER, ours, Some([ANOTHER, OURS, OURS])));
    }

    #[test]
    fn another_user_is_never_heard() {
        each(|word, speaker, users| {
            if speaker.uid.is_none_or(|uid| !users.trusted.contains(&uid)) {
                assert_eq!(hear(word, speaker, users), Err(Refusal::User), "{word:?} {speaker:?} {users:?}");
            }
        });
    }

    #[test]
    fn who_is_alive_elsewhere_is_never_heard() {
        each(|word, speaker, users| {
            if speaker.place == Standpoint::Outside {
                assert!(hear(word, speaker, users).is_err(), "{word:?} {speaker:?} {users:?}");
            }
        });
    }

    #[test]
    fn only_the_announced_supervisor_speaks_as_one() {
        each(|word, speaker, users| {
            if word == Word::OfSupervisor && !speaker.supervises {
                assert!(hear(word, speaker, users).is_err(), "{speaker:?} {users:?}");
            }
        });
    }

    #[test]
    fn only_who_is_there_announces_itself() {
        each(|word, speaker, users| {
            if word == Word::Announcement && speaker.place != Standpoint::Inside {
                assert!(hear(word, speaker, users).is_err(), "{speaker:?} {users:?}");
            }
        });
    }

    #[test]
    fn a_uid_that_is_anybodys_tells_nothing_of_who_is_gone() {
        each(|word, speaker, users| {
            if speaker.place == Standpoint::Unseen && speaker.uid == Some(OVERFLOW) && users.nameless.is_some() {
                assert_eq!(hear(word, speaker, users), Err(Refusal::User), "{word:?} {speaker:?} {users:?}");
            }
        });
    }

    #[test]
    fn root_is_not_believed_when_it_is_gone_where_nothing_is_roots() {
        each(|word, speaker, users| {
            if speaker.uid == Some(ROOT) && speaker.place == Standpoint::Unseen && !users.root && !speaker.supervises {
                assert!(hear(word, speaker, users).is_err(), "{word:?} {speaker:?} {users:?}");
            }
        });
    }

    #[test]
    fn all_else_is_heard() {
        let mut heard = 0;
        each(|word, speaker, users| {
            let user = speaker.uid.is_some_and(|uid| users.trusted.contains(&uid));
            let named = speaker.place == Standpoint::Inside || speaker.uid != users.nameless;
            let place = match word {
                Word::Announcement => speaker.place == Standpoint::Inside,
                Word::Ordinary | Word::OfSupervisor => speaker.place != Standpoint::Outside,
            };
            let anybodys = speaker.uid == Some(ROOT) && speaker.place == Standpoint::Unseen && !users.root;
            let place = place && (!anybodys || speaker.supervises);
            let may = user && named && place && (word != Word::OfSupervisor || speaker.supervises);
            assert_eq!(hear(word, speaker, users).is_ok(), may, "{word:?} {speaker:?} {users:?}");
            heard += u32::from(may);
        });
        assert!(heard > 50, "{heard}");
    }
}
