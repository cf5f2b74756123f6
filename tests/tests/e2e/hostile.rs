//! A worker that writes rubbish to its channel harms itself alone.

use pm_tests::load::{Load, Style};
use pm_tests::scene::Scene;
use pm_tests::{http, proc};

/// Slot 1 misbehaves on its raw channel, slot 0 is the usual app.
fn is_withstood(mode: &str) {
    let scene = Scene::with_node(24);
    let script = scene.expand(&format!(
        "if [ $PM_SLOT = 0 ]; then exec node $F/app.js; fi
         exec env -u NODE_CHANNEL_FD -u NODE_UNIQUE_ID -u NODE_OPTIONS RAW_FD=$NODE_CHANNEL_FD node $F/hostile.js {mode}"
    ));
    let chain = scene.start_words(&["pm-cluster", "-n", "2", "sh", "-c", &script]);
    let good = chain.hear("listening", 1)[0]["pid"].clone();
    let supervisor = chain.until("pm-cluster", || scene.process("pm-cluster"));
    chain.hear("hostile", 1);
    let load = Load::start(scene.port, 1, Style::OneShot);
    chain.hear("done", 1);
    load.advance(20);
    let sum = load.end();
    assert!(sum.misses.is_empty(), "{:?}\n{}", sum.misses, chain.output());
    assert!(chain.running(), "{}", chain.output());
    assert_eq!(http::get(scene.port, "/").ok(), Some(good.to_string()));
    let rss = proc::rss(supervisor);
    assert!(rss < 24 << 20, "{rss} bytes after {mode}\n{}", chain.output());
    let open = proc::descriptors(supervisor);
    assert!(open < 200, "{open} descriptors after {mode}\n{}", chain.output());
    let warnings = chain.messages("channel");
    let generations = chain.said("hostile").len();
    assert!(warnings.len() <= generations, "{} warnings\n{}", warnings.len(), chain.output());
    chain.stop();
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
    is_withstood("queries");
}

#[test]
fn queries_of_the_wrong_types_on_the_channel() {
    is_withstood("wrong");
}
