use proptest::prelude::*;

use super::super::on_key::Act;
use super::*;

fn entry(app: &str, slot: u32, cpu: f64) -> Entry {
    Entry {
        app: app.to_owned(),
        namespace: "default".to_owned(),
        slot: Some(slot),
        status: "online",
        cpu_pct: Some(cpu),
        memory: Some(1 << 20),
        uptime_s: Some(100.0 - cpu),
        restarts: Some(u64::from(slot)),
        ..Entry::default()
    }
}

fn view<'a>(entries: &'a [Entry], logs: &'a [LogLine], width: usize, height: usize) -> View<'a> {
    let state = Box::leak(Box::default());
    View { entries, state, logs, held: None, said: &[], host: None, width, height, colour: false }
}

fn stripped(line: &str) -> String {
    [REVERSE, BOLD, RED, RESET, "\x1b[32m", "\x1b[33m"]
        .iter()
        .fold(line.to_owned(), |text, code| text.replace(code, ""))
}

fn log(text: &str, is_err: bool) -> LogLine {
    LogLine { level: if is_err { Level::Err } else { Level::Out }, text: text.to_owned() }
}

#[test]
fn a_small_terminal_has_all_parts() {
    let entries = [entry("web", 0, 1.0), entry("web", 1, 2.0)];
    let lines = frame(&view(&entries, &[log("hello", false), log("oops", true)], 40, 10));
    let lines: Vec<_> = lines.iter().map(|l| stripped(l).trim_end().to_owned()).collect();
    let wanted = [
        "1 app, 1 online  cpu 3.0%  mem 2.0mb",
        "  name▾  slot  ↺  status   cpu    mem",
        ">  -  web",
        "   -  web",
        "── web: last lines of its logs ─────────",
        "  hello",
        "! oops",
        "",
        "",
        "q quit ↑↓ c m n u r sort R L S do / find",
    ];
    assert_eq!(lines.len(), wanted.len());
    assert_eq!(lines[0], wanted[0]);
    assert_eq!(lines[4..], wanted[4..]);
    assert!(lines[1].contains("name▾") && lines[2].starts_with(">  -  web") && lines[3].starts_with("  "), "{lines:?}");
}

#[test]
fn an_app_is_counted_once_and_one_of_which_a_worker_fails_is_failing() {
    let of = |app: &str, status| Entry { status, ..entry(app, 0, 0.0) };
    let entries = [
        of("a", "online"),
        of("a", "waiting restart"),
        of("b", "online"),
        of("b", "launching"),
        of("c", "errored"),
        of("d", "stopped"),
        of("e", "launching"),
    ];
    let host = Some(Host { load: 1.5, cpus: 2, total: 4 << 30, available: 1 << 30 });
    let lines = frame(&View { host, ..view(&entries, &[], 150, 20) });
    let wanted = "5 apps, 1 online, 2 failing, 1 starting, 1 stopped  cpu 0%  mem 7.0mb  host: load 1.50 of 2 cpus  mem 3.0gb of 4.0gb";
    assert_eq!(stripped(&lines[0]).trim_end(), wanted);
}

#[test]
fn what_the_next_key_is_for_is_said() {
    let entries = [entry("web", 0, 0.0)];
    let last = |input, pattern: &str| {
        let state = State { input, pattern: pattern.to_owned(), ..State::default() };
        stripped(frame(&View { state: &state, ..view(&entries, &[], 80, 12) }).last().expect("a line"))
            .trim_end()
            .to_owned()
    };
    assert_eq!(last(Input::Confirm(Act::Stop, "web".to_owned()), ""), "stop web? y: yes, any other key: no");
    assert!(last(Input::Search("日".to_owned()), "").starts_with("search the log for: 日_"));
    assert_eq!(last(Input::Command, "x"), "/x  n above  N below  Esc ends the search");
    assert!(last(Input::Command, "").contains("R restart  L reload  S stop  PgUp log  / find"));
}

#[test]
fn what_is_said_stands_below_the_log_and_a_line_that_was_found_is_marked() {
    let entries = [entry("web", 0, 0.0)];
    let state = State { pattern: "HEL".to_lowercase(), scrolled: 3, ..State::default() };
    let said = ["pm-fork: fatal: x".to_owned(), "stop web: failed".to_owned()];
    let logs = [log("a", true), log("Hello", false)];
    let lines =
        frame(&View { state: &state, said: &said, held: Some(9), colour: true, ..view(&entries, &logs, 60, 12) });
    assert_eq!(lines.len(), 12);
    assert!(lines[3].contains("web: lines 5 to 6 of 9"), "{lines:?}");
    assert_eq!([&lines[4], &lines[5]], [&format!("{RED}! a{RESET}"), &format!("{REVERSE}  Hello{RESET}")]);
    assert_eq!([stripped(&lines[9]), stripped(&lines[10])], said);
}

#[test]
fn the_selected_one_is_always_in_sight() {
    let entries: Vec<_> = (0..100).map(|n| entry("web", n, 0.0)).collect();
    for selected in [0, 1, 50, 98, 99] {
        let state = State { selected, ..State::default() };
        let view = View { state: &state, ..view(&entries, &[], 80, 10) };
        let lines = frame(&view);
        let marked = lines.iter().filter(|l| l.starts_with(REVERSE) && stripped(l).starts_with("> ")).count();
        assert_eq!(marked, 1, "{selected}: {lines:?}");
        assert!(lines.iter().any(|l| stripped(l).split_whitespace().any(|w| w == selected.to_string())), "{selected}");
    }
}

#[test]
fn rows_are_sorted_by_what_was_asked_for() {
    let order = |by, reversed| {
        let mut entries = vec![entry("b", 1, 5.0), entry("a", 2, 9.0), entry("a", 0, 5.0)];
        entries.push(Entry { app: "c".to_owned(), status: "stopped", ..Entry::default() });
        sort(&mut entries, |e| e, by, reversed);
        entries
            .iter()
            .map(|e| format!("{}{}", e.app, e.slot.map_or(String::new(), |s| s.to_string())))
            .collect::<Vec<_>>()
    };
    assert_eq!(order(Column::Name, false), ["a0", "a2", "b1", "c"]);
    assert_eq!(order(Column::Name, true), ["c", "b1", "a2", "a0"]);
    assert_eq!(order(Column::Cpu, false), ["a2", "a0", "b1", "c"]);
    assert_eq!(order(Column::Restarts, false), ["a2", "b1", "a0", "c"]);
    assert_eq!(order(Column::Uptime, false), ["a2", "a0", "b1", "c"]);
    assert_eq!(order(Column::Memory, false), ["a0", "a2", "b1", "c"]);
}

proptest! {
    #[test]
    fn nothing_is_larger_than_the_terminal(
        width in 1_usize..200,
        height in 1_usize..60,
        count in 0_usize..40,
        selected in 0_usize..50,
        name in "[a-z日本語👍]{1,50}",
        colour: bool,
        said in 0_usize..8,
        pattern in "(line)?",
    ) {
        let entries: Vec<_> = (0..count).map(|n| entry(&name, n as u32, 1.0)).collect();
        let logs: Vec<_> = (0..height).map(|n| log(&"長い line ".repeat(30), n % 2 == 0)).collect();
        let said: Vec<_> = (0..said).map(|_| "了解 done ".repeat(20)).collect();
        let state = State { selected, pattern, ..State::default() };
        let lines = frame(&View { state: &state, said: &said, colour, ..view(&entries, &logs, width, height) });
        prop_assert_eq!(lines.len(), height);
        for line in &lines {
            let columns = crate::show::text::width(&stripped(line));
            prop_assert!(columns <= width, "{} > {}: {}", columns, width, line);
        }
    }
}
