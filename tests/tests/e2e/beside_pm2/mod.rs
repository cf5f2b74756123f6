//! Fork mode beside PM2 7 itself: the same app and the same command, and then the same state, exit code and restarts.

use pm_tests::front::{Front, Said};
use pm_tests::pm2::Pm2;
use pm_tests::scene::Scene;
use pm_tests::{http, wait};
use serde_json::Value;

mod apart;
mod starts;

/// One of the two that are compared.
enum Side {
    Ours(Front),
    Pm2(Pm2),
}

impl Side {
    fn both(major: u32) -> [Self; 2] {
        [Self::Pm2(Pm2::with_node(major)), Self::Ours(Front::with_node(major))]
    }

    fn scene(&self) -> &Scene {
        match self {
            Self::Ours(front) => &front.scene,
            Self::Pm2(pm2) => &pm2.scene,
        }
    }

    fn run(&self, line: &str) -> Said {
        let line = self.scene().expand(line);
        let words: Vec<_> = line.split_whitespace().collect();
        match self {
            Self::Ours(front) => front.pm(&words),
            Self::Pm2(pm2) => pm2.pm2(&words),
        }
    }

    fn list(&self) -> Vec<Value> {
        match self {
            Self::Ours(front) => front.jlist(),
            Self::Pm2(pm2) => pm2.jlist(),
        }
    }

    fn app(&self, name: &str) -> Value {
        self.list().into_iter().find(|item| item["name"] == name).unwrap_or_default()
    }

    /// `name status mode restarts` of an app, once it has this status.
    fn state(&self, name: &str, status: &str) -> String {
        wait::until(&format!("{name} to be {status}"), || {
            let item = self.app(name);
            let env = &item["pm2_env"];
            (env["status"] == status).then(|| format!("{name} {status} {} {}", env["exec_mode"], env["restart_time"]))
        })
    }

    /// What the app has written to stdout so far.
    fn logs(&self, name: &str) -> String {
        let home = match self {
            Self::Ours(front) => front.scene.dir().join(format!("pm/{name}")),
            Self::Pm2(pm2) => pm2.scene.dir().join("pm2/logs"),
        };
        let is_out = |file: &str| match self {
            Self::Ours(_) => file == "out.log",
            // Each instance has a file of its own.
            Self::Pm2(_) => file.starts_with(&format!("{name}-out")),
        };
        let files = std::fs::read_dir(home).into_iter().flatten().flatten();
        let outs = files.filter(|file| is_out(&file.file_name().to_string_lossy()));
        outs.filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect()
    }

    fn logged(&self, name: &str, text: &str) {
        wait::until(&format!("'{text}' of {name}"), || self.logs(name).contains(text).then_some(()));
    }

    /// Waits until its port answers.
    fn answers(&self) {
        wait::until("an answer", || http::get(self.scene().port, "/").ok());
    }
}

/// What both sides come to, which has to be the same.
fn compare(major: u32, act: impl Fn(&Side) -> Vec<String>) -> Vec<String> {
    let [pm2, ours] = Side::both(major).map(|side| act(&side));
    assert_eq!(ours, pm2, "{major}: ours and PM2's");
    ours
}

#[test]
fn the_channel_does_what_pm2s_does() {
    let seen = compare(26, |side| {
        let apps = [
            ("tell", "", "tell", "online"),
            // PM2's monitoring keeps what is done alive, and ends what has closed its channel.
            ("done", "--no-autorestart --no-pmx", "done", "stopped"),
            ("leave", "--no-pmx", "leave", "online"),
            ("shutdown", "--wait-ready --listen-timeout 30000 --shutdown-with-message", "shutdown", "online"),
        ];
        let start = |name, options, way| side.run(&format!("start $F/fork.js --name {name} {options} -- {way}")).code;
        let codes = apps.map(|(name, options, way, _)| start(name, options, way));
        // Ours calls one that could serve and does not online once the ready timeout is over: all are waited for at once.
        let mut seen: Vec<_> = codes
            .iter()
            .zip(apps)
            .map(|(code, (name, .., status))| format!("{code} {}", side.state(name, status)))
            .collect();
        side.logged("tell", r#""connected":true,"send":"function","primary":true"#);
        side.logged("leave", r#""at":"left""#);
        side.answers();
        let said = side.run("stop shutdown");
        seen.push(format!("{} {}", said.code, side.state("shutdown", "stopped")));
        seen
    });
    assert_eq!(seen[0], r#"0 tell online "fork_mode" 0"#);
}

#[test]
fn an_app_that_is_its_own_primary_is_as_with_pm2() {
    compare(16, |side| {
        let _ = side.scene().file("own.js", super::fork_node::PRIMARY);
        let said = side.run("start own.js --wait-ready --listen-timeout 30000");
        // A busy machine may have ended PM2's patience before they listen.
        let both = wait::until("its workers answer", || {
            let mut workers = http::pids(side.scene().port, 16);
            workers.sort_unstable();
            workers.dedup();
            (workers.len() > 1).then_some(workers.len())
        });
        vec![format!("{} {both} {}", said.code, side.state("own", "online"))]
    });
}

#[test]
fn a_consumer_that_is_reloaded_runs_once_as_with_pm2() {
    let seen = compare(26, |side| {
        let _ = side.scene().file("queue.js", super::fork_node::CONSUMER);
        let started = side.run("start queue.js --wait-ready --listen-timeout 30000 --kill-timeout 20000");
        let before = side.app("queue")["pid"].clone();
        let reloaded = side.run("reload queue");
        assert_ne!(side.app("queue")["pid"], before);
        assert!(!side.scene().dir().join("twice").exists(), "it ran twice");
        // A reload in fork mode is a restart, and counts as one.
        vec![format!("{} {} {}", started.code, reloaded.code, side.state("queue", "online"))]
    });
    assert_eq!(seen, [r#"0 0 queue online "fork_mode" 1"#]);
}

#[test]
fn who_reads_its_input_stays_up_as_with_pm2() {
    compare(26, |side| {
        let _ = side.scene().file("console.js", super::stdin::CONSOLE);
        let _ = side.scene().file("loop.py", "import sys\nfor line in sys.stdin: print('heard', line, flush=True)\n");
        let apps = [("console", "console.js"), ("loop", "loop.py --interpreter /usr/bin/python3"), ("cat", "cat")];
        let codes = apps.map(|(app, options)| {
            let started = side.run(&format!("start {options} --name {app}"));
            let sent = side.run(&format!("send {} hello", side.app(app)["pm_id"]));
            side.logged(app, "hello");
            format!("{} {}", started.code, sent.code)
        });
        // Whoever may yet serve is online once the ready timeout is over: all are waited for at once.
        codes.iter().zip(apps).map(|(codes, (app, _))| format!("{codes} {}", side.state(app, "online"))).collect()
    });
}

#[test]
fn what_an_app_of_a_cluster_saves_as_it_is_told_to_end_is_there_as_with_pm2() {
    let seen = compare(22, |side| {
        let scene = side.scene();
        let _ = scene.file("counts", "");
        let started = side.run("start $F/counts.js -i 2 --kill-timeout 20000 -- exit").code;
        side.answers();
        let mut asked = 1;
        let mut ask = || (0..20).for_each(|_| asked += u64::from(http::get(scene.port, "/").is_ok()));
        ask();
        let reloaded = side.run("reload counts").code;
        ask();
        let stopped = side.run("stop counts").code;
        let counts = super::own_stop::counts(scene);
        assert_eq!(super::own_stop::sum(&counts), asked, "{counts:?}");
        vec![format!("{started} {reloaded} {stopped} {}", counts.len())]
    });
    assert_eq!(seen, ["0 0 0 4"]);
}
