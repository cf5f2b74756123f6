//! No descriptor is leaked, whatever a worker sends. Alone in its program, so that the count is exact.

use std::os::fd::{AsFd as _, OwnedFd};
use std::rc::Rc;

use pm_common::node::channel::{Channel, Received};
use pm_common::node::message::Outgoing;
use pm_common::sys::fdpass;
use serde_json::Value;

fn open() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("listed").count()
}

#[test]
fn a_channel_leaves_no_descriptor_behind() {
    let null = Rc::new(OwnedFd::from(std::fs::File::open("/dev/null").expect("opened")));
    let before = open();
    for _ in 0..20 {
        let (ours, theirs) = fdpass::pair().expect("a pair");
        let mut channel = Channel::new(ours);
        let lines =
            ["{\"cmd\":\"NODE_HANDLE\"}\n", "5\n", "{\"cmd\":\"NODE_HANDLE\"", "{\"user\":1", "}\n", "junk", "\n"];
        for line in lines.iter().cycle().take(200) {
            fdpass::send(theirs.as_fd(), line.as_bytes(), Some(null.as_fd())).expect("sent");
            assert_eq!(channel.receive(&mut Vec::new()), Received::Open);
        }
        for ack in 0..10 {
            let shared = Outgoing::Shared { ack, key: "k", data: &Value::Null, handle: &null };
            assert!(channel.send(&shared).is_some());
        }
        assert_eq!((channel.unacknowledged_handles(), open()), (10, before + 2));
        drop((channel, theirs));
        assert_eq!((open(), Rc::strong_count(&null)), (before, 1));
    }
}
