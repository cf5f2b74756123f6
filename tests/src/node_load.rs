//! Clients in Node, for what those of `load` do not speak: https and http2.

use std::process::{ChildStdin, Stdio};

use serde_json::Value;

use crate::bins;
use crate::chain::Chain;
use crate::scene::Scene;

/// The clients speak with the newest Node, whatever the server runs on.
const CLIENT_NODE: u32 = 24;

/// Clients at work.
#[derive(Debug)]
pub struct NodeLoad<'a> {
    chain: Chain<'a>,
    stdin: ChildStdin,
}

impl<'a> NodeLoad<'a> {
    /// Starts so many clients of a kind (https, h2, h2c, http) on the test's port, and waits for their first answer.
    ///
    /// # Panics
    /// When they get none.
    #[must_use]
    pub fn start(scene: &'a Scene, kind: &str, clients: usize) -> Self {
        let node = bins::node(CLIENT_NODE).join("node");
        let (port, clients) = (scene.port.to_string(), clients.to_string());
        let words = [node.to_str().expect("UTF-8"), &scene.expand("$F/load.js"), kind, &port, &clients];
        let mut command = scene.command(&words);
        command.stdin(Stdio::piped());
        let chain = Chain::spawn(scene, command);
        let stdin = chain.stdin().expect("piped");
        chain.hear("loading", 1);
        Self { chain, stdin }
    }

    /// Ends the clients, each after its request: how many were `requests` answered, how many `refused` and asked again
    /// (see the fixture), and the `losses`.
    ///
    /// # Panics
    /// When they do not end.
    #[must_use]
    pub fn end(self) -> Value {
        drop(self.stdin);
        let said = self.chain.hear("load", 1).remove(0);
        assert!(self.chain.wait().success(), "{}", self.chain.output());
        said
    }
}
