//! The text of an `env_file`, as Node's `--env-file` (22 on) reads it: what is no `KEY=VALUE` is passed over, a value
//! may be in quotes of three kinds and go over lines, `\n` in double ones is a line end, and nothing is substituted. (`--env-file` of the
//! tools is another dialect: `supervise::release::env_file`.)

/// The variables, in the order of their lines; of one that is there twice the last counts.
pub(crate) fn parse(text: &str) -> Vec<(String, String)> {
    let text = text.replace('\r', "");
    let mut rest = trim(&text);
    let mut all = Vec::new();
    while !rest.is_empty() {
        if rest.starts_with(['\n', '#']) {
            rest = after_line(rest);
            continue;
        }
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let Some((key, _)) = line.split_once('=') else {
            rest = trim(after);
            continue;
        };
        let behind = rest.get(key.len() + 1..).unwrap_or_default();
        let key = trim(key);
        if behind.is_empty() || behind.starts_with('\n') {
            // An `export ` in front of it is part of the name here.
            all.push((key.to_owned(), String::new()));
            rest = after_line(behind);
            continue;
        }
        rest = trim(behind);
        if !key.is_empty() {
            let name = key.strip_prefix("export ").map_or(key, trim);
            let (value, after) = value(rest);
            all.push((name.to_owned(), value));
            rest = after;
        }
    }
    all.retain(|(name, _)| !name.is_empty());
    all
}

/// The value at the beginning of the text, and what is behind its line.
fn value(text: &str) -> (String, &str) {
    let quote = text.chars().next().filter(|first| ['"', '\'', '`'].contains(first));
    let quoted = quote.and_then(|quote| text.get(1..)?.split_once(quote));
    let line = text.split('\n').next().unwrap_or_default();
    match (quote, quoted) {
        (Some(quote), Some((inner, after))) => {
            let value = if quote == '"' { inner.replace("\\n", "\n") } else { inner.to_owned() };
            (value, after_line(after))
        }
        // A quote that is not closed is part of the value, to the end of the line.
        (Some(_), None) => (line.to_owned(), trim(after_line(text))),
        (None, _) => (trim(line.split('#').next().unwrap_or_default()).to_owned(), trim(after_line(text))),
    }
}

/// Node's blanks: no others.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n'])
}

fn after_line(text: &str) -> &str {
    text.split_once('\n').map_or("", |(_, after)| after)
}
