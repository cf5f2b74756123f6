//! What a start says and costs: the exit code, what the list and a client see at that moment, and the seconds, which are
//! printed beside PM2's.
#![allow(clippy::print_stdout, reason = "the seconds are for people")]

use std::time::Instant;

use pm_tests::http::{self, Miss};
use pm_tests::ports;

use super::Side;

/// A start: what its code is, how the app is listed and whether its port answers when the command returns, and how long
/// that took.
#[derive(Debug)]
struct Start {
    seen: String,
    said: String,
    seconds: f64,
}

fn start(side: &Side, script: &str, options: &str) -> Start {
    // PM2 starts its daemon with whatever is asked first.
    let _ = side.run("ping");
    let began = Instant::now();
    let said = side.run(&format!("start {script} --name app {options}"));
    let seconds = began.elapsed().as_secs_f64();
    let answers = match http::get(side.scene().port, "/") {
        Ok(_) => "answers",
        Err(Miss::Refused) => "refused",
        Err(_) => "lost",
    };
    let status = side.app("app")["pm2_env"]["status"].as_str().unwrap_or("-").to_owned();
    Start { seen: format!("{} {status} {answers}", said.code), said: said.err, seconds }
}

const SERVES: &str =
    "const serve = () => require('http').createServer((q, r) => r.end('x')).listen(process.env.PORT)\n";

/// The apps: a name, the text, the options, what PM2 comes to, and what ours does.
const STARTS: [(&str, &str, &str, &str, &str); 10] = [
    ("job", "setInterval(() => {}, 1e6)", "", "0 online refused", "0 online refused"),
    (
        "soon",
        "setTimeout(() => process.exit(3), 100)",
        "--restart-delay 600000",
        // Before or after its crash, as the machine is fast.
        "0 *",
        "1 waiting restart refused",
    ),
    ("script", "console.log('done')", "--no-autorestart", "0 *", "0 stopped refused"),
    ("server", "serve()", "", "0 online *", "0 online answers"),
    ("cluster", "serve()", "-i 2", "0 online *", "0 online answers"),
    ("later", "setTimeout(serve, 4000); require('http')", "", "0 online *", "0 online answers"),
    ("later cluster", "setTimeout(serve, 4000); require('http')", "-i 2", "0 online *", "0 online answers"),
    ("never", "require('http'); setInterval(() => {}, 1e6)", "", "0 online refused", "0 launching refused"),
    (
        "throws",
        "require('http'); setTimeout(() => { throw new Error('no database') }, 3000)",
        "--restart-delay 600000",
        "0 *",
        "1 waiting restart refused",
    ),
    (
        "throws cluster",
        "require('http'); setTimeout(() => { throw new Error('no database') }, 3000)",
        "-i 2 --restart-delay 600000",
        "0 *",
        // The first that ends is enough.
        "1 *",
    ),
];

fn is_as(seen: &str, expected: &str) -> bool {
    expected.strip_suffix('*').map_or(seen == expected, |head| seen.starts_with(head))
}

#[test]
fn a_start_returns_with_the_truth() {
    are_started(&STARTS[..5]);
}

/// Those that take their time.
#[test]
fn a_start_of_what_is_late_returns_with_the_truth() {
    are_started(&STARTS[5..]);
}

fn are_started(rows: &[(&str, &str, &str, &str, &str)]) {
    for (name, text, options, by_pm2, by_us) in rows {
        let both = || {
            Side::both(24).map(|side| {
                let _ = side.scene().file("app.js", &format!("{SERVES}{text}\n"));
                start(&side, "app.js", options)
            })
        };
        let [mut pm2, mut ours] = both();
        // A start waits so long for one that may yet listen, which a busy machine may have kept from it.
        if ours.seconds > 4.5 && !is_as(&ours.seen, by_us) {
            [pm2, ours] = both();
        }
        println!("{name}: PM2 {:.1} s {}, here {:.1} s {}", pm2.seconds, pm2.seen, ours.seconds, ours.seen);
        assert!(is_as(&pm2.seen, by_pm2), "{name}: PM2: {pm2:?}");
        assert!(is_as(&ours.seen, by_us), "{name}: {ours:?}");
    }
}

/// In fork mode both fail alike where the port has another owner; PM2 calls that a start.
#[test]
fn a_port_that_is_taken_is_no_start() {
    let [pm2, ours] = Side::both(24).map(|side| {
        let _ = side.scene().file("app.js", &format!("{SERVES}serve()\n"));
        assert_eq!(side.run("start app.js --name first").code, 0);
        side.answers();
        start(&side, "app.js", "--restart-delay 600000")
    });
    assert!(pm2.seen.starts_with("0 "), "{pm2:?}");
    assert!(ours.seen.starts_with("1 waiting restart"), "{ours:?}");
    assert!(ours.said.contains("'first'"), "who has it: {ours:?}");
}

/// One that hears of it and lives on is left alone by both.
#[test]
fn who_hears_that_its_port_is_taken_and_lives_on_is_left_alone() {
    let hears = "setInterval(() => {}, 1e6)\n\
        require('http').createServer().on('error', (e) => console.log(e.code)).listen(process.env.PORT)\n";
    let seen = Side::both(24).map(|side| {
        let _ = side.scene().file("first.js", &format!("{SERVES}serve()\n"));
        let _ = side.scene().file("app.js", hears);
        assert_eq!(side.run("start first.js --name first").code, 0);
        side.answers();
        // PM2's own time in fork mode: it has none.
        let start = start(&side, "app.js", "--listen-timeout 1000");
        let app = side.app("app");
        (start, app["pm2_env"]["restart_time"].as_u64(), app["pid"].as_u64().is_some_and(|pid| pid > 0))
    });
    let [(pm2, ..), (ours, ..)] = &seen;
    assert!(seen.iter().all(|(_, restarts, lives)| (*restarts, *lives) == (Some(0), true)), "{seen:?}");
    assert_eq!((pm2.seen.as_str(), ours.seen.as_str()), ("0 online answers", "1 launching answers"), "{seen:?}");
    assert!(ours.said.contains("goes on, and listens on nothing: port ") && ours.said.contains("'first'"), "{ours:?}");
}

/// Milliseconds between each end of the app and its next start, as the app itself has written them down.
fn pauses(side: &Side, options: &str, count: usize) -> Vec<u64> {
    let text = "const { appendFileSync } = require('fs')\n\
                appendFileSync('times', `start ${Date.now()}\\n`)\n\
                process.on('exit', () => appendFileSync('times', `end ${Date.now()}\\n`))\n\
                setTimeout(() => process.exit(1), 20)\n";
    let _ = side.scene().file("app.js", text);
    let _ = side.run(&format!("start app.js --name app {options}"));
    let times = pm_tests::wait::until("restarts", || {
        let text = std::fs::read_to_string(side.scene().dir().join("times")).ok()?;
        (text.lines().filter(|line| line.starts_with("start")).count() > count).then_some(text)
    });
    let times: Vec<u64> = times.lines().filter_map(|line| line.split(' ').nth(1)?.parse().ok()).collect();
    times[1..].chunks(2).filter_map(|pair| Some(pair.get(1)?.saturating_sub(pair[0]))).take(count).collect()
}

/// Never sooner than was asked for; what a boot takes on top is the machine's.
#[test]
fn a_restart_delay_is_what_was_asked_for() {
    for (options, asked) in
        [("--restart-delay 700", [700, 700, 700]), ("--exp-backoff-restart-delay 200", [200, 300, 450])]
    {
        let both = Side::both(24).map(|side| pauses(&side, options, asked.len()));
        println!("{options}: PM2 {:?} ms, here {:?} ms", both[0], both[1]);
        for (who, pauses) in ["PM2", "ours"].into_iter().zip(&both) {
            // A millisecond of rounding: the app's clock is not the supervisor's.
            assert!(pauses.iter().zip(asked).all(|(pause, asked)| *pause + 2 >= asked), "{who} {options}: {pauses:?}");
        }
    }
}

/// PM2 says that all is well; ours shows what the app wrote, to both, and what to do.
#[test]
fn a_crash_at_the_start_is_shown() {
    let [pm2, ours] = Side::both(24).map(|side| {
        let _ = side.scene().file("app.js", "console.log('reading config'); throw new Error('no config')\n");
        start(&side, "app.js", "")
    });
    assert!(pm2.seen.starts_with("0 ") && !pm2.said.contains("no config"), "{pm2:?}");
    assert!(ours.seen.starts_with("1 "), "{ours:?}");
    for part in ["reading config", "no config", "pm logs app", "pm stop app"] {
        assert!(ours.said.contains(part), "{part}: {ours:?}");
    }
    let [pm2, ours] = Side::both(24).map(|side| {
        let _ = side.scene().file("app.js", "console.log('all is done')\n");
        start(&side, "app.js", "")
    });
    assert!(pm2.seen.starts_with("0 "), "{pm2:?}");
    assert!(ours.said.contains("a job? --no-autorestart"), "{ours:?}");
}

/// Each worker's inspector has a port of its own with both, and a client is answered.
#[test]
fn inspectors_share_no_port_as_with_pm2() {
    let seen = Side::both(24).map(|side| {
        let text = format!("{SERVES}serve()\nconsole.log('debug', require('inspector').url())\n");
        let _ = side.scene().file("app.js", &text);
        let port = ports::free();
        let said = side.run(&format!("start app.js --name app -i 2 --node-args=--inspect={port}"));
        side.answers();
        let urls = pm_tests::wait::until("two inspectors", || {
            let all = side.logs("app");
            let mut urls: Vec<_> = all.lines().filter_map(|line| line.split("debug ws://").nth(1)).collect();
            urls.sort_unstable();
            urls.dedup_by_key(|url| url.split('/').next());
            (urls.len() >= 2).then_some(urls.len())
        });
        format!("{} {urls}", said.code)
    });
    assert_eq!(seen[0], seen[1]);
}
