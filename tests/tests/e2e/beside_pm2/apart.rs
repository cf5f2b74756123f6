//! Several instances in fork mode: processes that share nothing, and of which no instance ever runs twice.
#![allow(clippy::print_stdout, reason = "what PM2 does is for people")]

use nix::sys::signal::Signal::SIGKILL;
use pm_tests::{http, ports, proc, wait};

use super::Side;

/// Notes in `twice` that its instance ran already, answers on a port of its own, says so, and takes its time to end.
const INSTANCE: &str = "const fs = require('fs')
const me = process.env.ME
const lock = `runs.${me}`
let old
try { old = fs.readFileSync(lock, 'utf8') } catch {}
if (old && fs.existsSync(`/proc/${old}`)) fs.appendFileSync('twice', `${me} `)
fs.writeFileSync(lock, `${process.pid}`)
const { isPrimary } = require('cluster')
require('http').createServer((q, r) => r.end(`${me} ${process.pid} ${isPrimary}`))
  .listen(process.env.PORTS.split(',')[me], () => process.send('ready'))
process.on('SIGINT', () => setTimeout(() => process.exit(0), 300))
";

/// The instances as the list has them, and what each answers on its own port.
fn seen(side: &Side, ports: &[u16]) -> (Vec<String>, Vec<String>) {
    let items = side.list();
    let listed = items.iter().map(|item| {
        let env = &item["pm2_env"];
        format!("{} {} {}", env["status"], env["exec_mode"], env["restart_time"])
    });
    let answers = ports.iter().map(|port| http::get(*port, "/").unwrap_or_else(|miss| format!("{miss:?}")));
    (listed.collect(), answers.collect())
}

fn words(answer: &str) -> (&str, u32, &str) {
    let words: Vec<&str> = answer.split(' ').collect();
    let [me, pid, primary] = words.as_slice() else { panic!("{answer}") };
    (me, pid.parse().expect("a pid"), primary)
}

/// That all are up, each is another process than before, and none runs twice; gives the pids.
fn all_anew(listed: &[String], answers: &[String], before: &[u32]) -> Vec<u32> {
    assert_eq!(listed.len(), answers.len(), "{listed:?}");
    let said: Vec<_> = answers.iter().map(|answer| words(answer)).collect();
    for (number, (me, pid, primary)) in said.iter().enumerate() {
        assert_eq!((me.parse(), *primary), (Ok(number), "true"));
        assert!(!before.contains(pid), "{pid} was there before");
    }
    said.into_iter().map(|(_, pid, _)| pid).collect()
}

#[test]
fn instances_in_fork_mode_are_processes_of_their_own_as_with_pm2() {
    for (name, side) in ["PM2", "here"].into_iter().zip(Side::both(24)) {
        let ports: Vec<u16> = (0..4).map(|_| ports::free()).collect();
        let all = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
        let _ = side.scene().file("app.js", INSTANCE);
        let app = format!(
            "module.exports = {{ apps: [{{ name: 'app', script: 'app.js', instances: 3, exec_mode: 'fork', \
             wait_ready: true, listen_timeout: 30000, kill_timeout: 20000, instance_var: 'ME', env: {{ PORTS: '{all}' }} }}] }}"
        );
        let _ = side.scene().file("ecosystem.config.js", &app);
        assert_eq!(side.run("start ecosystem.config.js").code, 0, "{name}");
        let (listed, answers) = seen(&side, &ports[..3]);
        assert_eq!(listed, [r#""online" "fork_mode" 0"#; 3], "{name}");
        let first = all_anew(&listed, &answers, &[]);

        let reloaded = side.run("reload app");
        assert_eq!(reloaded.code, 0, "{name}: {reloaded:?}");
        let (listed, answers) = seen(&side, &ports[..3]);
        assert_eq!(listed, [r#""online" "fork_mode" 1"#; 3], "{name}");
        let second = all_anew(&listed, &answers, &first);

        // One that crashes is started again, and the others do not notice.
        proc::send(second[1], SIGKILL);
        let crashed = wait::until("the one that was killed", || {
            let pid = words(&http::get(ports[1], "/").ok()?).1;
            (pid != second[1]).then_some(pid)
        });
        let others = [http::get(ports[0], "/"), http::get(ports[2], "/")];
        let others = others.map(|answer| words(&answer.expect("it serves")).1);
        assert_eq!(others, [second[0], second[2]], "{name}: {crashed} alone is new");

        // PM2's fourth has no number that a description could know.
        if name == "here" {
            assert_eq!(side.run("scale app 4").code, 0);
            assert_eq!(words(&http::get(ports[3], "/").expect("a fourth")).0, "3");
            assert_eq!(side.run("scale app 1").code, 0);
            wait::until("one alone", || (side.list().len() == 1).then_some(()));
        }

        let twice = std::fs::read_to_string(side.scene().dir().join("twice")).unwrap_or_default();
        println!("{name}: ran twice: {twice:?}");
        assert!(name == "PM2" || twice.is_empty(), "{name}: ran twice: {twice}");
    }
}

/// PM2 has no cluster of what is not JavaScript, and neither have we, unless it is asked for.
#[test]
fn instances_of_another_language_share_nothing_as_with_pm2() {
    let worker = "import os, signal\nprint('is', os.environ['NODE_APP_INSTANCE'], flush=True)\nsignal.pause()\n";
    super::compare(24, |side| {
        let _ = side.scene().file("worker.py", worker);
        let started = side.run("start worker.py -i 2 --interpreter /usr/bin/python3");
        for number in 0..2 {
            side.logged("worker", &format!("is {number}"));
        }
        let modes = side.list().iter().map(|item| item["pm2_env"]["exec_mode"].to_string()).collect::<Vec<_>>();
        vec![format!("{} {modes:?}", started.code)]
    });
}
