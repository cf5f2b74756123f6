use proptest::prelude::*;

use super::*;

fn web() -> Entry {
    Entry {
        app: "web".to_owned(),
        id: Some(0),
        namespace: "default".to_owned(),
        mode: "cluster".to_owned(),
        slot: Some(1),
        generation: Some(12),
        pid: Some(4_190_000),
        uptime_s: Some(7300.0),
        restarts: Some(3),
        status: "online",
        cpu_pct: Some(12.34),
        memory: Some(53_896_806),
        traffic: Traffic::default(),
        why: "crash SIGSEGV, 2h ago".to_owned(),
    }
}

fn stopped() -> Entry {
    let (id, namespace) = (Some(1), "default".to_owned());
    Entry { app: "größe".to_owned(), id, namespace, mode: "fork".to_owned(), status: "stopped", ..Entry::default() }
}

#[test]
fn with_room_everything_is_shown() {
    let text = render(&[web(), stopped()], None, false);
    let wanted = "\
id  name   mode     slot  gen      pid  uptime  ↺  status     cpu     mem  last restart
 0  web    cluster     1   12  4190000      2h  3  online   12.3%  51.4mb  crash SIGSEGV, 2h ago
 1  größe  fork        -    -        -       -  -  stopped      -       -
";
    assert_eq!(text, wanted);
}

#[test]
fn names_of_wide_characters_stand_in_line() {
    let named = |app: &str| Entry { app: app.to_owned(), ..web() };
    let text = render(&[named("日本語"), named("👍"), named("e\u{301}t\u{e9}"), named("web")], None, false);
    let before = |line: &str| line.find("cluster").or(line.find("mode")).map(|at| width(line.split_at(at).0));
    let at: Vec<_> = text.lines().map(before).collect();
    assert!(at.iter().all(|column| *column == Some(12)), "{at:?}\n{text}");
}

#[test]
fn a_namespace_is_shown_where_one_is_not_the_default() {
    assert!(!render(&[web()], None, false).contains("namespace"));
    let back = Entry { namespace: "back".to_owned(), ..web() };
    let text = render(&[web(), back], None, false);
    assert!(text.contains("namespace") && text.contains("back") && text.contains("default"), "{text}");
}

#[test]
fn columns_go_in_the_order_of_their_weight() {
    let headers = |room| render(&[web(), stopped()], Some(room), false).lines().next().expect("one").to_owned();
    let words = |room| headers(room).split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
    assert_eq!(words(200), "id name mode slot gen pid uptime ↺ status cpu mem last restart");
    assert_eq!(words(90), "id name mode slot gen pid uptime ↺ status cpu mem last restart");
    assert_eq!(words(84), "id name mode slot pid uptime ↺ status cpu mem last restart");
    assert_eq!(words(76), "id name slot pid uptime ↺ status cpu mem last restart");
    assert_eq!(words(60), "id name slot pid uptime ↺ status cpu mem");
    assert_eq!(words(45), "id name slot ↺ status cpu mem");
    assert_eq!(words(40), "id name slot status cpu mem");
    assert_eq!(words(30), "name status cpu mem");
    assert_eq!(words(20), "name status");
}

fn serving(connections: u64, queue: Option<u64>, queue_shared: Option<u64>) -> Entry {
    Entry { traffic: Traffic { queue, queue_shared, connections: Some(connections) }, ..web() }
}

#[test]
fn connections_have_a_column_where_they_are_known_and_queues_where_something_waits() {
    let headers = |entries: &[Entry]| render(entries, None, false).lines().next().expect("one").to_owned();
    assert!(!headers(&[web()]).contains("conn"));
    let calm = headers(&[serving(3, Some(0), None), stopped()]);
    assert!(calm.contains("mem  conn  last restart"), "{calm}");
    let text = render(&[serving(3, Some(12), None), serving(100, None, Some(7)), stopped()], None, false);
    let cells = |line: &str| line.split_whitespace().skip(11).take(2).map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].contains("mem  conn  queue  last"), "{text}");
    assert_eq!((cells(lines[1]), cells(lines[2])), (vec!["3".into(), "12".into()], vec!["100".into(), "=7".into()]));
    assert!(lines[3].trim_end().ends_with("-      -"), "{text}");
}

#[test]
fn at_80_columns_a_queue_is_seen() {
    let text = render(&[serving(3, Some(12), None), stopped()], Some(80), false);
    let header = text.lines().next().expect("one");
    assert!(header.contains("conn  queue") && header.contains("pid"), "{text}");
    let text = render(&[serving(3, Some(12), None), stopped()], Some(40), false);
    assert!(text.lines().next().is_some_and(|header| header.contains("queue")), "{text}");
    let text = render(&[serving(3, Some(12), None)], None, true);
    assert!(text.contains("\x1b[33m   12\x1b[0m"), "{text:?}");
}

#[test]
fn colours_are_around_the_status_alone() {
    let text = render(&[web(), stopped()], Some(60), true);
    let mut lines = text.lines();
    assert!(lines.next().is_some_and(|l| l.starts_with("\x1b[1mid") && l.ends_with("\x1b[0m")), "{text}");
    assert!(text.contains("\x1b[32monline \x1b[0m") && text.contains("\x1b[31mstopped\x1b[0m"), "{text}");
    let plain = text.replace("\x1b[1m", "").replace("\x1b[32m", "").replace("\x1b[31m", "").replace("\x1b[0m", "");
    assert_eq!(plain, render(&[web(), stopped()], Some(60), false));
}

#[test]
fn a_long_name_is_cut_before_columns_go() {
    let long = Entry { app: "a-very-long-name-of-an-application".to_owned(), ..web() };
    let text = render(&[long], Some(104), false);
    assert!(text.contains('…') && text.contains("gen") && text.contains("crash SIGSEGV"), "{text}");
}

proptest! {
    #[test]
    fn no_line_is_wider_than_the_terminal(
        names in proptest::collection::vec("[a-z日本語é👍 -]{1,60}", 0..5),
        namespace in "default|[a-z]{1,30}",
        why in "[a-z ]{0,50}",
        room in 20_usize..200,
    ) {
        let entry = |name: &String| Entry { app: name.clone(), namespace: namespace.clone(), why: why.clone(), ..web() };
        let entries: Vec<_> = names.iter().map(entry).chain([stopped()]).collect();
        let text = render(&entries, Some(room), false);
        prop_assert_eq!(text.lines().count(), entries.len() + 1);
        for line in text.lines() {
            prop_assert!(width(line) <= room, "{} > {}: {}", width(line), room, line);
        }
        let layout = Layout::of(&entries, Some(room), None);
        for always in [Name, Status] {
            prop_assert!(layout.columns.iter().any(|(c, width)| *c == always && *width > 0));
        }
    }
}
