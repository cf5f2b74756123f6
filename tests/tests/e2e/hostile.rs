//! A worker that writes rubbish to its channel harms itself alone.

use pm_tests::chain::Chain;
use pm_tests::load::{Load, Style};
use pm_tests::scene::Scene;
use pm_tests::{http, proc};

/// Slot 1 misbehaves on its raw channel, slot 0 is the usual app. Nothing may grow beyond `most` descriptors.
fn is_withstood_with(mode: &str, limit: &str, most: usize) {
    let scene = Scene::with_node(24);
    let script = scene.expand(&format!(
        "if [ $PM_SLOT = 0 ]; then exec node $F/app.js; fi
         exec env -u NODE_CHANNEL_FD -u NODE_UNIQUE_ID -u NODE_OPTIONS RAW_FD=$NODE_CHANNEL_FD node $F/hostile.js {mode}"
    ));
    let chain = scene.start_words(&["prlimit", limit, "pm-cluster", "-n", "2", "sh", "-c", &script]);
    let good = chain.hear("listening", 1)[0]["pid"].clone();
    let supervisor = chain.until("pm-cluster", || scene.process("pm-cluster"));
    chain.hear("hostile", 1);
    let load = Load::start(scene.port, 1, Style::OneShot);
    chain.hear("done", 1);
    is_answered(load, &chain);
    assert!(chain.running(), "{}", chain.output());
    assert_eq!(http::get(scene.port, "/").ok(), Some(good.to_string()));
    let rss = proc::rss(supervisor);
    assert!(rss < 24 << 20, "{rss} bytes after {mode}\n{}", chain.output());
    let open = proc::descriptors(supervisor);
    assert!(open <= most, "{open} descriptors after {mode}\n{}", chain.output());
    let warnings = chain.messages("channel");
    let generations = chain.said("hostile").len();
    // Nor is there anything that the successor of a good worker lacks.
    proc::send(u32::try_from(good.as_u64().expect("a pid")).expect("a pid"), nix::sys::signal::Signal::SIGKILL);
    chain.hear("listening", 2);
    is_answered(Load::start(scene.port, 1, Style::OneShot), &chain);
    assert!(warnings.len() <= generations, "{} warnings\n{}", warnings.len(), chain.output());
    chain.stop();
}

fn is_answered(load: Load, chain: &Chain) {
    load.advance(20);
    let sum = load.end();
    assert!(sum.misses.is_empty(), "{:?}\n{}", sum.misses, chain.output());
}

fn is_withstood(mode: &str) {
    is_withstood_with(mode, "--nofile=4096", 100);
}

#[test]
fn junk_on_the_channel() {
    is_withstood("junk");
}

#[test]
fn a_line_without_an_end_on_the_channel() {
    is_withstood("endless");
}

#[test]
fn brackets_without_an_end_on_the_channel() {
    is_withstood("deep");
}

#[test]
fn a_flood_of_messages_on_the_channel() {
    is_withstood("flood");
}

#[test]
fn acknowledgements_of_nothing_on_the_channel() {
    is_withstood("acks");
}

#[test]
fn handles_that_never_come_on_the_channel() {
    is_withstood("handles");
}

#[test]
fn thousands_of_queries_on_the_channel() {
    is_withstood_with("queries", "--nofile=8192", 4096);
}

#[test]
fn thousands_of_queries_whose_answers_are_read() {
    is_withstood_with("queries+read", "--nofile=8192", 4096);
}

/// With the usual limit of descriptors, too: what one worker asks for leaves enough for the others.
#[test]
fn thousands_of_queries_with_few_descriptors() {
    is_withstood_with("queries+read", "--nofile=256", 256);
}

#[test]
fn queries_of_the_wrong_types_on_the_channel() {
    is_withstood("wrong");
}
