//! Two slots written in turn: whatever a kill interrupts, one of them is whole. Pure: bytes in, bytes out.
//!
//! Each begins with its length, a counter and a checksum (8 bytes each, little endian); then comes the text. The newest
//! slot whose checksum is right counts.

/// The length of what precedes the text, in bytes.
pub(super) const HEADER: usize = 24;

/// What a slot held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Counts up with each one that is written; which slot it is in follows from it.
    pub(super) counter: u64,
    /// What was written.
    pub(super) text: Vec<u8>,
}

impl Entry {
    /// The slot for this entry, 0 or 1.
    #[must_use]
    pub(super) const fn slot(&self) -> u64 {
        self.counter % 2
    }

    /// The bytes of the slot.
    #[must_use]
    pub(super) fn encode(&self) -> Vec<u8> {
        let length = u64::try_from(self.text.len()).unwrap_or(u64::MAX);
        let sum = checksum(length, self.counter, &self.text);
        let mut bytes = Vec::with_capacity(HEADER + self.text.len());
        for number in [length, self.counter, sum] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.text);
        bytes
    }

    /// The entry in a slot; `None`: it was never written, or not to its end.
    #[must_use]
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let [length, counter, sum] = header(bytes)?;
        let end = HEADER.checked_add(usize::try_from(length).ok()?)?;
        let text = bytes.get(HEADER..end).filter(|_| length > 0)?;
        (checksum(length, counter, text) == sum).then(|| Self { counter, text: text.to_vec() })
    }
}

/// How many bytes a slot that begins so has in all, whether it is right or not.
#[must_use]
pub(super) fn whole_length(start: &[u8]) -> Option<usize> {
    let [length, ..] = header(start)?;
    HEADER.checked_add(usize::try_from(length).ok()?)
}

/// The newest entry of two slots.
#[must_use]
pub(super) fn newest(slots: [&[u8]; 2]) -> Option<Entry> {
    slots.into_iter().filter_map(Entry::decode).max_by_key(|entry| entry.counter)
}

fn header(bytes: &[u8]) -> Option<[u64; 3]> {
    let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at * 8..at * 8 + 8)?.try_into().ok()?));
    Some([number(0)?, number(1)?, number(2)?])
}

/// FNV-1a of 64 bits over the numbers and the text: it is to find what was torn, not who forges.
fn checksum(length: u64, counter: u64, text: &[u8]) -> u64 {
    let numbers = [length.to_le_bytes(), counter.to_le_bytes()];
    let all = numbers.as_flattened().iter().chain(text);
    all.fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(counter: u64, text: &str) -> Entry {
        Entry { counter, text: text.as_bytes().to_vec() }
    }

    /// What is in the slot when the write of `new` over `old` ends after `at` bytes.
    fn torn(old: &[u8], new: &[u8], at: usize) -> Vec<u8> {
        let mut bytes = old.to_vec();
        bytes.resize(bytes.len().max(at), 0);
        bytes[..at].copy_from_slice(&new[..at]);
        bytes
    }

    #[test]
    fn a_write_that_is_torn_at_any_byte_leaves_the_one_before_it() {
        let texts = ["{}", "{\"a\":1}", "{\"a\":12345,\"b\":[1,2,3]}", "{\"a\":2}"];
        for (oldest, before) in texts.iter().zip(texts.iter().cycle().skip(1)) {
            for newest_text in texts {
                let (old, kept, new) = (entry(6, oldest), entry(7, before), entry(8, newest_text));
                let (old, kept_bytes, new_bytes) = (old.encode(), kept.encode(), new.encode());
                for at in 0..new_bytes.len() {
                    let bytes = torn(&old, &new_bytes, at);
                    // The same text, so that the rest of the old one completes it.
                    let whole = bytes.starts_with(&new_bytes);
                    let expected = if whole { &new } else { &kept };
                    assert_eq!(newest([&bytes, &kept_bytes]).as_ref(), Some(expected), "at {at}");
                }
                assert_eq!(newest([&torn(&old, &new_bytes, new_bytes.len()), &kept_bytes]), Some(new));
            }
        }
    }

    #[test]
    fn the_first_write_that_is_torn_leaves_nothing() {
        let bytes = entry(1, "{\"a\":1}").encode();
        for at in 0..bytes.len() {
            assert_eq!(newest([&[], &torn(&[], &bytes, at)]), None, "at {at}");
            // As a file shows it that has no more than zeros behind what was written.
            let mut padded = torn(&[], &bytes, at);
            padded.resize(bytes.len() + 8, 0);
            assert_eq!(newest([&[0; 64], &padded]), None, "at {at}");
        }
    }

    /// Each bit of a slot counts.
    #[test]
    fn a_bit_that_has_turned_is_found() {
        let bytes = entry(3, "{\"workers\":4}").encode();
        for at in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[at / 8] ^= 1 << (at % 8);
            assert_eq!(Entry::decode(&wrong), None, "bit {at}");
        }
    }

    #[test]
    fn garbage_is_nothing() {
        for garbage in [&b""[..], b"x", &[0xff; 100], &[0; 100], b"{\"version\":1}"] {
            assert_eq!(newest([garbage, garbage]), None);
            let good = entry(1, "{}").encode();
            assert_eq!(newest([garbage, &good]).map(|e| e.counter), Some(1));
        }
        assert_eq!(whole_length(&[0xff; 24]), None, "longer than any memory");
        assert_eq!(whole_length(&entry(1, "{}").encode()), Some(26));
    }

    #[test]
    fn entries_alternate() {
        assert_eq!([entry(1, "a").slot(), entry(2, "b").slot(), entry(3, "c").slot()], [1, 0, 1]);
    }
}
