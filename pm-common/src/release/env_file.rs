//! The file of `--env-file`: `KEY=VALUE` lines as systemd, docker and dotenv read them alike.

use std::ffi::OsString;

/// The variables of the text, in its order.
///
/// Blank lines and those that begin with `#` are skipped, `export ` in front of a name is allowed. A value is taken to
/// the end of the line without the blanks around it; in single quotes as it is; in double quotes with `\n`, `\"`, `\\`
/// and `\$`. Nothing is substituted.
pub(super) fn parse(text: &str) -> Result<Vec<(OsString, OsString)>, String> {
    let lines = (1..).zip(text.lines()).map(|(number, line)| (number, line.trim()));
    let meant = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    meant.map(|(number, line)| variable(line).map_err(|why| format!("line {number}: {why}"))).collect()
}

fn variable(line: &str) -> Result<(OsString, OsString), &'static str> {
    let line = line.strip_prefix("export ").map_or(line, str::trim_start);
    let (name, value) = line.split_once('=').ok_or("expected NAME=VALUE")?;
    let name = name.trim_end();
    let good = |(index, c): (usize, char)| c == '_' || c.is_ascii_alphabetic() || (index > 0 && c.is_ascii_digit());
    if name.is_empty() || !name.char_indices().all(good) {
        return Err("a name has letters, digits and _ only");
    }
    let value = unquoted(value.trim())?;
    if value.contains('\0') { Err("a value holds a NUL") } else { Ok((name.into(), value.into())) }
}

fn unquoted(value: &str) -> Result<String, &'static str> {
    match value.chars().next() {
        Some('\'') => {
            let inner = value.strip_prefix('\'').and_then(|v| v.strip_suffix('\''));
            inner.filter(|v| !v.contains('\'')).map(str::to_owned).ok_or("the quote is not closed")
        }
        Some('"') => double_quoted(value.get(1..).unwrap_or_default()),
        _ => Ok(value.to_owned()),
    }
}

fn double_quoted(text: &str) -> Result<String, &'static str> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' if chars.as_str().is_empty() => return Ok(out),
            '"' => return Err("something follows the closing quote"),
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some(c @ ('"' | '\\' | '$')) => out.push(c),
                Some(c) => out.extend(['\\', c]),
                None => break,
            },
            c => out.push(c),
        }
    }
    Err("the quote is not closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Result<(String, String), String> {
        let all = parse(line)?;
        let (name, value) = all.first().ok_or("nothing")?.clone();
        Ok((name.into_string().expect("text"), value.into_string().expect("text")))
    }

    #[test]
    fn what_people_write() {
        for (line, name, value) in [
            ("A=b", "A", "b"),
            ("  export A_1 = b c # d ", "A_1", "b c # d"),
            ("A=", "A", ""),
            ("A='$x \"y\"'", "A", "$x \"y\""),
            (r#"A="a\nb\"c\\d\$e\f""#, "A", "a\nb\"c\\d$e\\f"),
            ("URL=http://h/?a=b&c=d", "URL", "http://h/?a=b&c=d"),
        ] {
            assert_eq!(one(line), Ok((name.to_owned(), value.to_owned())), "{line}");
        }
        assert_eq!(parse("# a comment\n\n   \n"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for wrong in ["A", "=b", "1A=b", "A-B=c", "A='b", "A=\"b", "A=\"b\" c", "A=\"b\\"] {
            let why = parse(&format!("OK=1\n{wrong}\n")).expect_err(wrong);
            assert!(why.starts_with("line 2: "), "{why}");
        }
    }
}
