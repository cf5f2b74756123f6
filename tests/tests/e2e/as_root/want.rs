//! A limit on processes that is raised again. Root itself has none.

use pm_tests::any;

/// Nothing can be found out at the start, for want of processes. Once there are some, the port is shared as ever.
#[test]
fn what_could_not_be_found_out_for_want_of_processes_is_found_out_later() {
    let scene = any::scene();
    scene.open_to_all();
    let user = ["setpriv", "--reuid=www-data", "--clear-groups"];
    let line = format!("{} prlimit --nproc=1: pm-cluster -n 2", user.join(" "));
    let chain = any::start(&scene, &line, "$A/rust-server");
    chain.line("could not start a worker");
    assert!(!chain.messages("--fanout off goes on without").is_empty(), "{}", chain.output());
    let supervisor = chain.pid().to_string();
    let raise = [&user[..], &["prlimit", "--nproc=4096:", "--pid", &supervisor]].concat();
    let raised = scene.command(&raise).status().expect("it runs");
    assert!(raised.success());
    any::serving(&chain, 2);
    assert!(chain.messages("EADDRINUSE").is_empty(), "{}", chain.output());
    chain.stop();
}
