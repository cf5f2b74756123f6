//! The file of `--env-file`: `KEY=VALUE` lines as systemd, docker and dotenv read them alike, and what it takes beyond
//! that to carry any value. (`env_file` in config files is Node's dialect: pm-fork's `ecosystem::dotenv`.)

use std::ffi::OsString;

/// The variables of the text, in its order.
///
/// Blank lines and those that begin with `#` are skipped, `export ` in front of a name is allowed. A value is taken to
/// the end of the line without the blanks around it; in single quotes as it is; in double quotes with `\n`, `\"`, `\\`
/// and `\$`. Quotes may be closed on a later line. Nothing is substituted. A name that no shell would take can stand in
/// double quotes.
///
/// # Errors
/// What is wrong, behind the number of its line.
pub fn parse(text: &str) -> Result<Vec<(OsString, OsString)>, String> {
    let mut rest = Rest { text };
    let mut all = Vec::new();
    while rest.skip_to_meant() {
        let before = text.len() - rest.text.len();
        let line = || text.bytes().take(before).filter(|byte| *byte == b'\n').count() + 1;
        let variable = rest.variable().map_err(|why| format!("line {}: {why}", line()))?;
        all.push((variable.0.into(), variable.1.into()));
    }
    Ok(all)
}

/// The text of a file with these variables: what `parse` makes of it is the same. None may hold a NUL.
#[must_use]
pub fn write(variables: &[(String, String)]) -> String {
    variables.iter().map(|(name, value)| format!("{}={}\n", written_name(name), quoted(value))).collect()
}

fn written_name(name: &str) -> String {
    if is_plain(name) { name.to_owned() } else { quoted(name) }
}

fn quoted(text: &str) -> String {
    let escaped = text.chars().flat_map(|c| match c {
        '\n' => vec!['\\', 'n'],
        '"' | '\\' | '$' => vec!['\\', c],
        c => vec![c],
    });
    std::iter::once('"').chain(escaped).chain(std::iter::once('"')).collect()
}

fn is_plain(name: &str) -> bool {
    let good = |(index, c): (usize, char)| c == '_' || c.is_ascii_alphabetic() || (index > 0 && c.is_ascii_digit());
    !name.is_empty() && name.char_indices().all(good)
}

/// What has not been read yet.
struct Rest<'a> {
    text: &'a str,
}

impl<'a> Rest<'a> {
    /// Goes to the next line that means something; false: there is none.
    fn skip_to_meant(&mut self) -> bool {
        while !self.text.is_empty() {
            let line = self.text.split('\n').next().unwrap_or_default().trim();
            if !line.is_empty() && !line.starts_with('#') {
                return true;
            }
            self.take_line();
        }
        false
    }

    /// Takes the rest of the line.
    fn take_line(&mut self) -> &'a str {
        let (line, rest) = self.text.split_once('\n').unwrap_or((self.text, ""));
        self.text = rest;
        line
    }

    fn variable(&mut self) -> Result<(String, String), &'static str> {
        self.text = self.text.trim_start();
        self.text = self.text.strip_prefix("export ").map_or(self.text, str::trim_start);
        let name = self.name()?;
        let on_line = self.text.split('\n').next().unwrap_or_default();
        self.text = self.text.get(on_line.len() - on_line.trim_start().len()..).unwrap_or_default();
        let value = match self.text.chars().next() {
            Some('\'') => self.single_quoted(),
            Some('"') => self.double_quoted(),
            _ => return no_nul(name, self.take_line().trim().to_owned()),
        }?;
        if self.take_line().trim().is_empty() {
            no_nul(name, value)
        } else {
            Err("something follows the closing quote")
        }
    }

    /// Takes the name and the sign behind it.
    fn name(&mut self) -> Result<String, &'static str> {
        if self.text.starts_with('"') {
            let name = self.double_quoted()?;
            self.text = self.text.strip_prefix('=').ok_or("expected \"NAME\"=VALUE")?;
            return if name.is_empty() || name.contains('=') {
                Err("no variable can have this name")
            } else {
                Ok(name)
            };
        }
        let line = self.text.split('\n').next().unwrap_or_default();
        let (name, _) = line.split_once('=').ok_or("expected NAME=VALUE")?;
        self.text = self.text.get(name.len() + 1..).unwrap_or_default();
        let name = name.trim_end();
        if is_plain(name) { Ok(name.to_owned()) } else { Err("a name has letters, digits and _ only") }
    }

    fn single_quoted(&mut self) -> Result<String, &'static str> {
        let inner = self.text.get(1..).unwrap_or_default();
        let (value, rest) = inner.split_once('\'').ok_or("the quote is not closed")?;
        self.text = rest;
        Ok(value.to_owned())
    }

    fn double_quoted(&mut self) -> Result<String, &'static str> {
        let mut out = String::new();
        let mut chars = self.text.get(1..).unwrap_or_default().chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => {
                    self.text = chars.as_str();
                    return Ok(out);
                }
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
}

fn no_nul(name: String, value: String) -> Result<(String, String), &'static str> {
    if name.contains('\0') || value.contains('\0') { Err("a value holds a NUL") } else { Ok((name, value)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(text: &str) -> Result<Vec<(String, String)>, String> {
        let text_of = |text: OsString| text.into_string().expect("text");
        Ok(parse(text)?.into_iter().map(|(name, value)| (text_of(name), text_of(value))).collect())
    }

    fn one(line: &str) -> Result<(String, String), String> {
        texts(line)?.first().cloned().ok_or_else(|| "nothing".to_owned())
    }

    #[test]
    fn what_people_write() {
        for (line, name, value) in [
            ("A=b", "A", "b"),
            ("  export A_1 = b c # d ", "A_1", "b c # d"),
            ("A=b\r\n", "A", "b"),
            ("A=", "A", ""),
            ("A=   \nB=c", "A", ""),
            ("A='$x \"y\"'", "A", "$x \"y\""),
            (r#"A="a\nb\"c\\d\$e\f""#, "A", "a\nb\"c\\d$e\\f"),
            ("URL=http://h/?a=b&c=d", "URL", "http://h/?a=b&c=d"),
            ("KEY=\"-----BEGIN\nx\n-----END\" \n", "KEY", "-----BEGIN\nx\n-----END"),
            ("A='b\nc'", "A", "b\nc"),
            ("\"npm.x-y\"=z", "npm.x-y", "z"),
        ] {
            assert_eq!(one(line), Ok((name.to_owned(), value.to_owned())), "{line}");
        }
        assert_eq!(parse("# a comment\n\n   \n"), Ok(Vec::new()));
        let two = vec![("A".to_owned(), "b\nc".to_owned()), ("D".to_owned(), "e".to_owned())];
        assert_eq!(texts("# x\nA=\"b\nc\"\n\n D=e"), Ok(two));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for wrong in [
            "A",
            "=b",
            "1A=b",
            "A-B=c",
            "A='b",
            "A=\"b",
            "A=\"b\" c",
            "A=\"b\\",
            "A='b' 'c'",
            "\"\"=a",
            "\"a=b\"=c",
            "\"a\" b",
        ] {
            let why = parse(&format!("OK=1\n{wrong}\n")).expect_err(wrong);
            assert!(why.starts_with("line 2: "), "{why}");
        }
        let later = parse("A=\"1\n2\"\n\nB").expect_err("no value");
        assert!(later.starts_with("line 4: "), "{later}");
    }

    proptest! {
        #[test]
        fn every_value_arrives_unchanged(all in prop::collection::vec(("[^=\0]{1,8}|[A-Z_]{1,4}", "[^\0]*"), 0..6)) {
            prop_assert_eq!(texts(&write(&all)), Ok(all));
        }
    }
}
