//! The nearest word to one that is misspelt.

/// How alike two words must be: `strat` and `start` are 0.8.
const ALIKE: f64 = 0.75;

/// The word that is most like this one, if one is like it at all.
pub(crate) fn nearest<'a>(word: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let beginning = |other: &str| word.len() > 2 && other.to_lowercase().starts_with(&word);
    let alike = |other: &str| strsim::normalized_damerau_levenshtein(&word, &other.to_lowercase());
    let all = words.map(|other| (if beginning(other) { 0.9 } else { alike(other) }, other));
    let near = all.filter(|(how, _)| *how >= ALIKE);
    near.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pm::options::FIELDS;
    use crate::pm::verbs::VERBS;

    #[test]
    fn the_nearest_word_is_found_and_none_far_away() {
        let verbs = || VERBS.iter().map(|verb| verb.name);
        for (word, wanted) in [
            ("strat", Some("start")),
            ("lst", Some("list")),
            ("reloda", Some("reload")),
            ("describ", Some("describe")),
            ("LIST", Some("list")),
            ("frobnicate", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, verbs()), wanted, "{word}");
        }
        let options = || FIELDS.iter().map(|field| field.opt.long);
        assert_eq!(nearest("nmae", options()), Some("name"));
        assert_eq!(nearest("max-mem", options()), Some("max-memory-restart"));
        assert_eq!(nearest("port", options()), None);
    }
}
