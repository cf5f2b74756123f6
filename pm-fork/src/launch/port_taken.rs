//! A port that a program did not get, by what it wrote as it failed: who has it.

use std::path::Path;

use pm_common::app::home::Start;
use pm_common::app::status;

/// What Node, Python, Go, Java and others say of a port that is taken, in small letters.
const TAKEN: [&str; 4] = ["eaddrinuse", "already in use", "connection in use", "is in use"];

/// A smaller number is rather one of something else, where nothing says that it is a port.
const LEAST: u16 = 1024;

/// Who has the port that the app in `dir`, which wrote these lines as it failed, did not get: `port 3000 is taken by app
/// 'web' (pid 4711)`. `None`: they tell of none, or it is the app's own by now.
pub(super) fn taken(dir: &Path, lines: &[String]) -> Option<String> {
    let is_told = |line: &&String| TAKEN.iter().any(|words| line.to_lowercase().contains(words));
    let told: Vec<&String> = lines.iter().filter(is_told).collect();
    if told.is_empty() {
        return None;
    }
    let start = Start::read(dir).ok().flatten().unwrap_or_default();
    let own = format!("app '{}' ", start.name);
    let held = |port: u16| {
        let holder = status::socket_holder(status::port_holder(port)?);
        (!holder.starts_with(&own)).then(|| format!("port {port} is taken by {holder}"))
    };
    let in_its_words = told.into_iter().flat_map(|line| ports(line));
    // Python's error says no port: the line of the program that it quotes may, and how the program was started.
    let quoted = lines.iter().filter(|line| !line.trim_start().starts_with("File ")).flat_map(|line| ports(line));
    let others = quoted.chain(asked_for(&start)).filter(|port| *port >= LEAST);
    in_its_words.chain(others).find_map(held)
}

/// The numbers of a line that can be ports, the last first: it is behind the address.
fn ports(line: &str) -> Vec<u16> {
    let words = line.rsplit(|c: char| !c.is_ascii_digit()).filter(|word| word.len() > 1);
    words.filter_map(|word| word.parse().ok()).filter(|port| *port > 0).collect()
}

/// The ports that the program may have been told: in the variable PORT, or by its arguments.
fn asked_for(start: &Start) -> Vec<u16> {
    let described = start.app_env.iter().flatten().map(|(key, value)| (key.as_str().into(), value.as_str().into()));
    let env = start.env.iter().map(|(key, value)| (key.to_string_lossy(), value.to_string_lossy()));
    let variables = described.chain(env).filter(|(key, _)| key == "PORT").map(|(_, value)| value.into_owned());
    let args = start.argv.iter().map(|word| word.to_string_lossy().into_owned());
    variables.chain(args).flat_map(|text| ports(&text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_told_by_the_line_that_says_it_is_taken() {
        for (line, wanted) in [
            ("Error: listen EADDRINUSE: address already in use :::18431", vec![18431]),
            ("listen tcp 127.0.0.1:8080: bind: address already in use", vec![8080, 127]),
            ("Web server failed to start. Port 8080 was already in use.", vec![8080]),
            ("OSError: [Errno 98] Address already in use", vec![98]),
            ("EADDRINUSE 99999999", vec![]),
        ] {
            assert_eq!(ports(line), wanted, "{line}");
        }
    }

    #[test]
    fn who_has_it_is_told() {
        let socket = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("loopback");
        let port = socket.local_addr().expect("bound").port();
        let place = tempfile::tempdir().expect("a directory");
        let told = |lines: &[&str]| taken(place.path(), &lines.iter().map(|&line| line.to_owned()).collect::<Vec<_>>());
        let its = format!("port {port} is taken by ");
        let is_its = |said: Option<String>| said.is_some_and(|said| said.starts_with(&its));
        assert!(is_its(told(&[&format!("address already in use 127.0.0.1:{port}")])));
        let python = "OSError: [Errno 98] Address already in use";
        assert!(is_its(told(&[&format!("    httpd = HTTPServer(('', {port}), Handler)"), python])));
        assert_eq!(told(&[python]), None, "nothing says which");
        assert_eq!(told(&[&format!("listening on {port}")]), None, "nothing is wrong");
        let start = Start { env: vec![("PORT".into(), port.to_string().into())], ..Start::default() };
        start.write(place.path()).expect("written");
        assert!(is_its(told(&[python])));
        drop(socket);
        assert_eq!(told(&[&format!("address already in use 127.0.0.1:{port}")]), None);
    }
}
