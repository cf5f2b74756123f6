use super::*;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::rc::Rc;

const A: WorkerId = WorkerId { slot: 0, generation: 1 };
const B: WorkerId = WorkerId { slot: 1, generation: 2 };
const START: Mono = Mono(1_000_000_000);

/// A hand-off with its workers and its clock.
struct Bench {
    handoff: Handoff,
    workers: Vec<WorkerId>,
    now: Mono,
    seq: u64,
}

impl Bench {
    fn with(workers: &[WorkerId]) -> Self {
        Self { handoff: Handoff::default(), workers: workers.to_vec(), now: START, seq: 0 }
    }

    /// A connection comes; gives the client's end.
    fn comes(&mut self) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let theirs = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let (ours, _) = listener.accept().expect("it waits");
        self.handoff.waiting("key".to_owned(), Rc::new(OwnedFd::from(ours)));
        theirs
    }

    /// Whom it is passed to, and under which number.
    fn passes(&mut self) -> Option<(WorkerId, u64)> {
        let (id, pending) = self.handoff.next(self.now, |_, key| key == "key", self.workers.iter())?;
        self.seq += 1;
        self.handoff.passed(id, Some(self.seq), pending);
        Some((id, self.seq))
    }

    /// Passes one on, to this worker, which refuses it.
    fn is_refused_by(&mut self, who: WorkerId) {
        let (id, seq) = self.passes().expect("somebody to ask");
        assert_eq!(id, who);
        self.handoff.answered(id, seq, false);
    }

    /// Nothing can be passed on before the deadline; gives the time to it, and goes there.
    fn rests(&mut self) -> Span {
        assert_eq!(self.passes(), None);
        let at = self.handoff.deadline().expect("a next try");
        let left = at.since(self.now);
        assert_eq!(self.handoff.next(Mono(at.0 - 1), |_, _| true, self.workers.iter()).map(|(id, _)| id), None);
        self.now = at;
        left
    }
}

#[test]
fn a_refused_connection_goes_to_another_and_not_back() {
    let mut bench = Bench::with(&[A, B]);
    let _client = bench.comes();
    bench.is_refused_by(A);
    assert_eq!(bench.passes(), Some((B, 2)));
    bench.handoff.answered(B, 2, true);
    assert_eq!((bench.passes(), bench.handoff.deadline()), (None, None));
}

#[test]
fn when_all_have_refused_they_are_asked_again_after_a_pause_that_grows() {
    let mut bench = Bench::with(&[A, B]);
    let _client = bench.comes();
    let mut pauses = Vec::new();
    for _ in 0..7 {
        bench.is_refused_by(A);
        bench.is_refused_by(B);
        pauses.push(bench.rests().as_millis());
    }
    assert_eq!(pauses, [50, 100, 200, 400, 800, 1000, 1000]);
}

#[test]
fn what_cannot_be_sent_or_does_not_arrive_counts_as_refused() {
    let mut bench = Bench::with(&[A]);
    let _client = bench.comes();
    let (id, pending) = bench.handoff.next(bench.now, |_, _| true, bench.workers.iter()).expect("one waits");
    bench.handoff.passed(id, None, pending);
    assert_eq!(bench.rests(), FIRST_PAUSE);
    assert_eq!(bench.passes(), Some((A, 1)));
}

#[test]
fn a_new_worker_is_asked_at_once() {
    let mut bench = Bench::with(&[A]);
    let _client = bench.comes();
    bench.is_refused_by(A);
    assert_eq!(bench.passes(), None);
    bench.workers.push(B);
    assert_eq!(bench.passes(), Some((B, 2)));
}

#[test]
fn a_worker_that_takes_one_after_all_is_asked_for_one_more() {
    let mut bench = Bench::with(&[A]);
    let _clients = [bench.comes(), bench.comes(), bench.comes()];
    bench.is_refused_by(A);
    bench.is_refused_by(A);
    let (id, seq) = bench.passes().expect("the third");
    assert_eq!(bench.passes(), None);
    bench.handoff.answered(id, seq, true);
    assert_eq!(bench.passes(), Some((A, seq + 1)));
    assert_eq!(bench.passes(), None);
}

#[test]
fn a_worker_that_has_enough_gets_the_next_once_it_has_answered() {
    let mut bench = Bench::with(&[A, B]);
    let _clients: Vec<TcpStream> = (0..=2 * MOST_UNANSWERED).map(|_| bench.comes()).collect();
    let given: Vec<WorkerId> = std::iter::from_fn(|| bench.passes()).map(|(id, _)| id).collect();
    assert_eq!(given, [A, B].repeat(MOST_UNANSWERED));
    // Who has something to answer has refused nothing: nobody needs to wake up for it.
    assert_eq!(bench.handoff.deadline(), None);
    bench.handoff.answered(B, 2, true);
    assert_eq!(bench.passes().map(|(id, _)| id), Some(B));
}

#[test]
fn no_more_are_accepted_while_many_wait() {
    let mut bench = Bench::with(&[]);
    let _clients: Vec<TcpStream> = (1..MOST_WAITING).map(|_| bench.comes()).collect();
    assert!(bench.handoff.wants("key"));
    let _last = bench.comes();
    assert!(!bench.handoff.wants("key"));
    assert!(bench.handoff.wants("another"));
    assert_eq!((bench.passes(), bench.handoff.deadline()), (None, None), "nobody takes the key");
}

#[test]
fn what_a_dead_worker_has_not_read_goes_to_another() {
    let mut bench = Bench::with(&[A]);
    let mut client = bench.comes();
    client.write_all(b"GET").expect("written");
    assert_eq!(bench.passes(), Some((A, 1)));
    bench.workers = vec![B];
    bench.handoff.gone(A);
    assert_eq!(bench.passes(), Some((B, 2)));
    let theirs = Rc::clone(&bench.handoff.unanswered.get(&(B, 2)).expect("not answered").connection);
    let mut theirs = std::fs::File::from(theirs.try_clone().expect("a duplicate"));
    theirs.read_exact(&mut [0]).expect("it has come");
    bench.workers = vec![A];
    bench.handoff.gone(B);
    assert_eq!(bench.passes(), None, "somebody has begun with it");
}
