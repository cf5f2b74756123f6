//! The nearest word to one that is misspelt.

/// How alike two words must be, of 1: `strat` and `start` are 0.8.
const ALIKE: f64 = 0.75;

/// The word that is most like this one, if one is like it at all; a beginning of three letters or more is.
#[must_use]
pub fn nearest<'a>(word: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let begins = |other: &str| word.len() > 2 && other.to_lowercase().starts_with(&word);
    let alike = |other: &str| strsim::normalized_damerau_levenshtein(&word, &other.to_lowercase());
    let all = words.map(|other| (if begins(other) { 0.9 + alike(other) / 10.0 } else { alike(other) }, other));
    let near = all.filter(|(how, _)| *how >= ALIKE);
    near.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_that_begin_so_the_shorter_is_meant() {
        assert_eq!(nearest("instance", ["instances", "instance_var"].into_iter()), Some("instances"));
    }

    #[test]
    fn the_nearest_word_is_found_and_none_far_away() {
        let words = ["start", "list", "reload", "describe", "name", "max-memory-restart"];
        for (word, wanted) in [
            ("strat", Some("start")),
            ("lst", Some("list")),
            ("reloda", Some("reload")),
            ("describ", Some("describe")),
            ("LIST", Some("list")),
            ("nmae", Some("name")),
            ("max-mem", Some("max-memory-restart")),
            ("frobnicate", None),
            ("port", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, words.into_iter()), wanted, "{word}");
        }
    }
}
