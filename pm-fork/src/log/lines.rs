//! Cuts what was read into lines, and holds the one that is not complete yet.

/// A line that is longer than this is passed on in pieces: memory is bounded whatever an app writes.
pub(super) const LONGEST: usize = 64 << 10;

/// A line, or a piece of a long one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    /// The text without its newline.
    pub(crate) text: &'a [u8],
    /// The line begins here.
    pub(crate) begins: bool,
    /// The line ends here.
    pub(crate) ends: bool,
}

/// The lines of one stream.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// The line that is not complete.
    held: Vec<u8>,
    /// A piece of it has been passed on.
    begun: bool,
}

impl Lines {
    /// Passes on the lines that `bytes` complete.
    pub(crate) fn push(&mut self, bytes: &[u8], mut take: impl FnMut(Piece<'_>)) {
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(at);
            self.complete(line, &mut take);
            rest = after.get(1..).unwrap_or_default();
        }
        self.held.extend_from_slice(rest);
        while self.held.len() > LONGEST {
            self.pass_piece(&mut take);
        }
    }

    /// Passes on what is held: nothing follows, and a last line is a line, newline or not.
    pub(crate) fn finish(&mut self, mut take: impl FnMut(Piece<'_>)) {
        if self.begun || !self.held.is_empty() {
            self.complete(b"", &mut take);
        }
    }

    fn complete(&mut self, line: &[u8], take: &mut impl FnMut(Piece<'_>)) {
        let begins = !std::mem::take(&mut self.begun);
        if self.held.is_empty() {
            return take(Piece { text: line, begins, ends: true });
        }
        self.held.extend_from_slice(line);
        take(Piece { text: &self.held, begins, ends: true });
        self.held.clear();
    }

    fn pass_piece(&mut self, take: &mut impl FnMut(Piece<'_>)) {
        let cut = before_character(&self.held, LONGEST);
        let begins = !std::mem::replace(&mut self.begun, true);
        take(Piece { text: self.held.get(..cut).unwrap_or_default(), begins, ends: false });
        self.held.drain(..cut);
    }
}

/// `at`, or so far in front of it that no character of UTF-8 is cut.
fn before_character(bytes: &[u8], at: usize) -> usize {
    let continues = |at: usize| bytes.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    (at.saturating_sub(3)..=at).rev().find(|at| !continues(*at)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Owned = (Vec<u8>, bool, bool);

    fn pieces(chunks: &[&[u8]]) -> Vec<Owned> {
        let (mut lines, mut seen) = (Lines::default(), Vec::new());
        let mut take = |p: Piece<'_>| seen.push((p.text.to_vec(), p.begins, p.ends));
        chunks.iter().for_each(|chunk| lines.push(chunk, &mut take));
        lines.finish(&mut take);
        assert!(lines.held.capacity() <= 4 * LONGEST, "memory is bounded");
        seen
    }

    fn line(text: &str) -> Owned {
        (text.as_bytes().to_vec(), true, true)
    }

    #[test]
    fn lines_come_whole_however_they_were_read() {
        assert_eq!(pieces(&[b"a", b"b\n\nc", b"", b"\r\n"]), [line("ab"), line(""), line("c\r")]);
        assert_eq!(pieces(&[]), []);
    }

    #[test]
    fn a_last_line_without_its_newline_is_a_line() {
        assert_eq!(pieces(&[b"a\nb"]), [line("a"), line("b")]);
    }

    #[test]
    fn a_long_line_comes_in_pieces_that_cut_no_character() {
        let text = "ä".repeat(LONGEST);
        let seen = pieces(&[b"-", text.as_bytes(), b"\nnext\n"]);
        let flags: Vec<_> = seen.iter().map(|(_, begins, ends)| (*begins, *ends)).collect();
        assert_eq!(flags, [(true, false), (false, false), (false, true), (true, true)]);
        assert!(seen.iter().all(|(text, ..)| std::str::from_utf8(text).is_ok() && text.len() <= LONGEST + 1));
        assert_eq!(seen.iter().take(3).map(|(text, ..)| text.len()).sum::<usize>(), 1 + text.len());
    }

    #[test]
    fn a_long_line_that_is_exactly_used_up_still_ends() {
        let seen = pieces(&[&[b'x'; LONGEST + 1], b"\n"]);
        assert_eq!(seen.last().map(|(text, begins, ends)| (text.len(), *begins, *ends)), Some((1, false, true)));
    }

    proptest! {
        /// Nothing is lost, added or put in another place.
        #[test]
        fn the_pieces_are_the_input(chunks in prop::collection::vec(prop::collection::vec(
            prop_oneof![4 => Just(b'\n'), 8 => any::<u8>()], 0..40), 0..20), long in 0..3_usize) {
            let filler = vec![b'z'; long * LONGEST + 1];
            let mut all: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            all.push(&filler);
            let mut whole = all.concat();
            whole.push(b'\n');
            let mut joined = Vec::new();
            for (text, _, ends) in pieces(&all) {
                joined.extend(text);
                joined.extend(ends.then_some(b'\n'));
            }
            prop_assert_eq!(joined, whole);
        }
    }
}
