use proptest::prelude::*;

use super::*;

/// The text with what is to be written over it.
fn told(text: &str) -> Result<String, Untold> {
    let overwrite = closing(text.as_bytes())?;
    let mut bytes = text.as_bytes().to_vec();
    bytes[overwrite.at..overwrite.end()].copy_from_slice(&overwrite.bytes);
    Ok(String::from_utf8(bytes).expect("text"))
}

const DATE: &str = "Date: Sun, 29 Nov 2026 00:00:00 GMT\r\n";

#[test]
fn keep_alive_becomes_close() {
    for (head, after) in [
        ("Connection: keep-alive", "Connection: close"),
        ("connection: Keep-Alive", "connection: close"),
        ("Connection:keep-alive", "Connection: close"),
        ("Connection: \t keep-alive  ", "Connection: close"),
    ] {
        let text = |line: &str| format!("HTTP/1.1 200 OK\r\n{DATE}{line}\r\nContent-Length: 1\r\n\r\nx");
        assert_eq!(told(&text(head)), Ok(text(&format!("{after:<0$}", head.len()))));
    }
}

#[test]
fn a_line_that_nobody_needs_makes_room() {
    let text = |line: &str| format!("HTTP/1.1 200 OK\r\n{line}\r\nContent-Length: 0\r\n\r\n");
    for line in [DATE.trim_end(), "Keep-Alive: timeout=5", "server: uvicorn/0.54.0", "dAtE:Sun, 29 Nov 2026"] {
        let told = told(&text(line)).expect("room");
        assert_eq!(told, text(&format!("{:<1$}", "Connection: close", line.len())));
    }
}

#[test]
fn of_several_lines_that_may_go_the_lifetime_goes_first() {
    let text = format!("HTTP/1.1 200 OK\r\nServer: a-long-name-it-is\r\n{DATE}Keep-Alive: timeout=5\r\n\r\n");
    let first = told(&text).expect("room");
    assert!(
        first.contains(DATE) && first.contains("Server") && first.contains("\r\nConnection: close    \r\n\r\n"),
        "{first}"
    );
    let text = format!("HTTP/1.1 200 OK\r\nKeep-Alive: 5\r\nServer: a-long-name-it-is\r\n{DATE}\r\n");
    let told = told(&text).expect("room");
    assert!(told.contains("Server") && !told.contains("Date"), "{told}");
}

#[test]
fn no_room_no_change() {
    for lines in
        ["", "Server: x\r\n", "Transfer-Encoding: chunked\r\n", "Content-Length: 1\r\nTransfer-Encoding: gzip\r\n"]
    {
        assert_eq!(told(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n")), Err(Untold::NoRoom), "{lines}");
    }
    // Some clients keep it then.
    for line in ["Keep-Alive: 5", "Proxy-Connection: keep-alive"] {
        assert_eq!(
            told(&format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n{line}\r\n\r\n")),
            Err(Untold::NoRoom),
            "{line}"
        );
    }
}

#[test]
fn without_a_line_to_spare_it_becomes_a_response_of_the_older_version() {
    for rest in
        ["200 OK\r\nServer: x\r\ncontent-length: 1\r\n\r\nx", "204 No Content\r\n\r\n", "304 x\r\nETag: 1\r\n\r\n"]
    {
        assert_eq!(told(&format!("HTTP/1.1 {rest}")), Ok(format!("HTTP/1.0 {rest}")));
        assert_eq!(told(&format!("HTTP/1.0 {rest}")), Err(Untold::Closes), "it is one");
    }
}

/// The status line alone may be text that is sent before heads of chunks too.
#[test]
fn the_version_changes_only_where_the_head_is_in_one_piece() {
    let overwrite = closing(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx").expect("room");
    assert_eq!(overwrite.in_memory(&[(100, 38), (200, 1)]), Some(107));
    assert_eq!(overwrite.in_memory(&[(100, 17), (200, 22)]), None);
    assert_eq!(overwrite.in_memory(&[(100, 37), (200, 2)]), None);
}

#[test]
fn what_closes_already_stays() {
    assert_eq!(told(&format!("HTTP/1.1 200 OK\r\n{DATE}Connection: Close\r\n\r\n")), Err(Untold::Closes));
}

#[test]
fn an_interim_answer_is_no_answer() {
    for status in ["100 Continue", "101 Switching Protocols", "103 Early Hints", "199"] {
        assert_eq!(told(&format!("HTTP/1.1 {status}\r\n{DATE}\r\n")), Err(Untold::Interim), "{status}");
    }
}

#[test]
fn what_speaks_of_the_connection_in_other_words_is_left_alone() {
    for lines in [
        "Connection: upgrade",
        "Connection: Upgrade, keep-alive",
        "Connection: keep-alive, foo",
        "Connection:",
        "Connection: keep-alive\r\nConnection: keep-alive",
        "Upgrade: h2c",
        "Connection: keep-alive\r\nUpgrade: websocket",
        " folded: yes",
        "no colon",
        ": no name",
        "spaced : name",
    ] {
        assert_eq!(told(&format!("HTTP/1.1 200 OK\r\n{DATE}{lines}\r\n\r\n")), Err(Untold::Otherwise), "{lines}");
    }
}

#[test]
fn a_head_that_is_not_all_there_is_left_alone() {
    let whole = format!("HTTP/1.1 200 OK\r\n{DATE}Connection: keep-alive\r\n\r\n");
    assert!(told(&whole).is_ok());
    for end in 0..whole.len() {
        let expected = if end < 12 { Untold::NoHead } else { Untold::Unfinished };
        assert_eq!(told(&whole[..end]), Err(expected), "{end}");
    }
    assert_eq!(told(&whole.replace("\r\n", "\n")), Err(Untold::Unfinished), "no line of HTTP ends so");
    assert_eq!(told(&whole.replacen("keep-alive\r", "keep-alive", 1)), Err(Untold::Unfinished));
}

#[test]
fn what_is_no_head_is_not_looked_at() {
    for text in
        ["", "x", "HTTP/1.", "HTTP/2 200 OK\r\n\r\n", "HTTP/1.2 200 OK\r\n", "HTTP/1.1 2000\r\n", "HTTP/1.1 abc\r\n"]
    {
        assert_eq!(told(text), Err(Untold::NoHead), "{text}");
    }
    assert!(!may_begin(b"HTTP/2") && !may_begin(b"\x17\x03\x03HTTP/1.1") && may_begin(b"HTTP/1.1 200"));
}

#[test]
fn the_head_that_comes_after_the_first_is_left_alone() {
    let one = format!("HTTP/1.1 200 OK\r\n{DATE}Content-Length: 0\r\n\r\n");
    let both = told(&format!("{one}{one}")).expect("room");
    assert!(both.ends_with(&one) && both.matches("Connection: close").count() == 1, "{both}");
    let untold = "HTTP/1.1 200 OK\r\n\r\n";
    assert_eq!(told(&format!("{untold}{one}")), Err(Untold::NoRoom));
}

#[test]
fn a_change_goes_where_its_line_lies() {
    let overwrite = Overwrite { at: 5, bytes: b"abcd".to_vec(), within: 3..9 };
    assert_eq!(overwrite.in_memory(&[(100, 50)]), Some(105));
    assert_eq!(overwrite.in_memory(&[(100, 3), (200, 0), (300, 6), (400, 2)]), Some(302));
    assert_eq!(overwrite.in_memory(&[(100, 2), (200, 7)]), Some(203));
    for split in 4..9 {
        assert_eq!(overwrite.in_memory(&[(100, split), (200, 50)]), None, "{split}");
    }
    assert_eq!(overwrite.in_memory(&[(100, 8)]), None);
    assert_eq!(overwrite.in_memory(&[]), None);
}

#[test]
fn the_line_of_a_change_begins_with_its_name() {
    let change =
        |line: &str| closing(format!("HTTP/1.1 200 OK\r\n{line}\r\n\r\n").as_bytes()).map(|o| (o.within.start, o.at));
    assert_eq!(change("Connection: keep-alive"), Ok((17, 28)));
    assert_eq!(change(DATE.trim_end()), Ok((17, 17)));
}

proptest! {
    /// Whatever is written: the length stays, all but one line stays, and a client that reads the result closes.
    #[test]
    fn nothing_else_changes(
        names in proptest::collection::vec("[A-Za-z-]{1,12}|Date|Server|Connection|Keep-Alive|Upgrade|Content-Length|Transfer-Encoding", 0..8),
        values in proptest::collection::vec("keep-alive|close|[ -~]{0,40}", 8),
        body in proptest::collection::vec(any::<u8>(), 0..64),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = b"HTTP/1.1 200 OK\r\n".to_vec();
        for (name, value) in names.iter().zip(&values) {
            bytes.extend(format!("{name}: {value}\r\n").bytes());
        }
        bytes.extend(b"\r\n");
        let head = bytes.len();
        bytes.extend(body);
        if let Ok(overwrite) = closing(&bytes) {
            prop_assert!(overwrite.end() <= head - 4);
            let mut after = bytes.clone();
            after[overwrite.at..overwrite.end()].copy_from_slice(&overwrite.bytes);
            prop_assert_eq!(closing(&after), Err(Untold::Closes));
            let line = |bytes: &[u8], n: usize| bytes[..head].split(|b| *b == b'\n').nth(n).map(<[u8]>::to_vec);
            let changed = (0..names.len() + 2).filter(|n| line(&bytes, *n) != line(&after, *n)).count();
            prop_assert_eq!(changed, 1);
            prop_assert_eq!(closing(&bytes[..head]), Ok(overwrite));
        }
        let short = &bytes[..cut.index(head)];
        prop_assert!(closing(short).is_err());
    }

    /// However it lies in memory: the bytes of one piece are written over, and they are the right ones.
    #[test]
    fn only_one_piece_is_touched(lengths in proptest::collection::vec(0_usize..40, 1..9), line in 0_usize..60, name in 0_usize..9, length in 1_usize..20) {
        let at = line + name;
        let overwrite = Overwrite { at, bytes: vec![0; length], within: line..at + length };
        let pieces: Vec<_> = lengths.iter().enumerate().map(|(n, length)| (n * 1000, *length)).collect();
        if let Some(address) = overwrite.in_memory(&pieces) {
            let (n, offset) = (address / 1000, address % 1000);
            prop_assert!(offset >= name && offset + length <= lengths[n]);
            prop_assert_eq!(lengths[..n].iter().sum::<usize>() + offset, at);
        }
    }

    #[test]
    fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = closing(&[b"HTTP/1.1 200 OK\r\n", &bytes[..]].concat());
        let _ = closing(&bytes);
    }
}
