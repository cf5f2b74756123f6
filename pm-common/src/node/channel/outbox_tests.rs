//! The queue against a writer that takes what it likes.

use super::*;

fn null() -> Rc<OwnedFd> {
    Rc::new(OwnedFd::from(std::fs::File::open("/dev/null").expect("opened")))
}

fn nothing_lost(seq: u64) {
    panic!("lost {seq}");
}

fn blocked() -> io::Result<usize> {
    Err(io::ErrorKind::WouldBlock.into())
}

#[test]
fn written_in_any_parts_all_comes_in_order_and_each_descriptor_once_with_its_first_byte() {
    for most in 1..40 {
        let (mut outbox, fd) = (Outbox::default(), null());
        for (seq, text) in
            ["plain1\n", "<first>\n", "<second>\n", "plain2\n", "plain3\n", "<third>\n"].iter().enumerate()
        {
            let handle = text.starts_with('<').then(|| Rc::clone(&fd));
            outbox.push(text.as_bytes().to_vec(), handle, seq as u64);
        }
        let (mut written, mut with, mut calls) = (Vec::new(), Vec::new(), 0);
        while outbox.is_waiting() {
            outbox.flush(&mut nothing_lost, |bytes, pass| {
                calls += 1;
                match calls % 3 {
                    0 => return blocked(),
                    1 => return Err(io::ErrorKind::Interrupted.into()),
                    _ => {}
                }
                if pass.is_some() {
                    with.push(written.len());
                }
                let n = bytes.len().min(most);
                written.extend(&bytes[..n]);
                Ok(n)
            });
        }
        let text = String::from_utf8(written).expect("text");
        assert_eq!(text, "plain1\n<first>\n<second>\nplain2\nplain3\n<third>\n", "{most}");
        assert_eq!(with, text.match_indices('<').map(|(at, _)| at).collect::<Vec<_>>(), "{most}");
        assert_eq!((outbox.handles(), outbox.unsent_bytes), (3, 0));
        for _ in 0..3 {
            assert!(outbox.acknowledged());
        }
        assert!(!outbox.acknowledged());
        assert_eq!((outbox.handles(), outbox.kept(), Rc::strong_count(&fd)), (0, 0, 1));
    }
}

#[test]
fn a_descriptor_that_does_not_arrive_is_sent_four_times_in_all() {
    let (mut outbox, fd, mut passes) = (Outbox::default(), null(), 0);
    outbox.push(b"a\n".to_vec(), Some(Rc::clone(&fd)), 7);
    for attempt in 1..=4 {
        outbox.flush(&mut nothing_lost, |bytes, pass| {
            assert_eq!((bytes, pass.is_some()), (b"a\n".as_slice(), true));
            passes += 1;
            Ok(bytes.len())
        });
        assert_eq!(passes, attempt);
        assert_eq!(outbox.not_arrived(), if attempt < 4 { Ok(()) } else { Err(Some(7)) });
    }
    assert_eq!(outbox.not_arrived(), Err(None));
    assert_eq!((outbox.handles(), outbox.kept(), Rc::strong_count(&fd)), (0, 0, 1));
}

#[test]
fn one_refused_descriptor_does_not_hold_up_the_rest() {
    let (mut outbox, mut lost, mut written) = (Outbox::default(), Vec::new(), Vec::new());
    outbox.push(b"a\n".to_vec(), Some(null()), 3);
    outbox.push(b"b\n".to_vec(), None, 4);
    outbox.flush(&mut |seq| lost.push(seq), |bytes, pass| {
        if pass.is_some() {
            return Err(io::Error::from_raw_os_error(109)); // ETOOMANYREFS
        }
        written.extend(bytes);
        Ok(bytes.len())
    });
    assert_eq!((lost, written, outbox.handles()), (vec![3], b"b\n".to_vec(), 0));
    assert!(outbox.has_room(true));
}

#[test]
fn a_broken_channel_keeps_nothing() {
    let (mut outbox, fd) = (Outbox::default(), null());
    outbox.push(b"a\n".to_vec(), Some(Rc::clone(&fd)), 0);
    outbox.push(b"b\n".to_vec(), None, 1);
    outbox.flush(&mut nothing_lost, |_, _| Err(io::ErrorKind::BrokenPipe.into()));
    outbox.push(b"c\n".to_vec(), Some(Rc::clone(&fd)), 2);
    assert_eq!((outbox.handles(), outbox.kept(), Rc::strong_count(&fd)), (0, 0, 1));
    assert!(!outbox.is_waiting() && !outbox.has_room(false) && !outbox.is_backlogged());
}

#[test]
fn what_is_kept_is_bounded() {
    let (mut outbox, fd) = (Outbox::default(), null());
    let mut sent = 0;
    while outbox.has_room(true) {
        outbox.push(b"x\n".to_vec(), Some(Rc::clone(&fd)), 0);
        outbox.flush(&mut nothing_lost, |bytes, _| Ok(bytes.len()));
        sent += 1;
    }
    assert_eq!((sent, outbox.handles(), outbox.is_backlogged()), (HANDLES, HANDLES, false));
    assert!(outbox.has_room(false), "descriptors on their way do not stop other messages");
    assert!(outbox.acknowledged() && outbox.has_room(true));
    while outbox.has_room(false) {
        outbox.push(vec![b'x'; 1000], None, 0);
        assert_eq!(outbox.is_backlogged(), outbox.unsent_bytes > UNREAD);
    }
    assert!(outbox.is_backlogged() && outbox.kept() < KEPT + 1000);
}
