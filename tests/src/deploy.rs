//! Deploys of the fixture `deploy.js`: releases in directories of their own, a `current` symlink, an `--env-file`.

use std::fs;
use std::os::unix::fs::symlink;

use crate::chain::Chain;
use crate::http;
use crate::ports;
use crate::scene::Scene;

/// Writes a file below the test's directory as a whole, as deploys do.
///
/// # Panics
/// When it cannot.
pub fn write(scene: &Scene, name: &str, text: &str) {
    let (path, new) = (scene.dir().join(name), scene.dir().join(format!("{name}.new")));
    fs::create_dir_all(path.parent().expect("below a directory")).expect("our own directory");
    fs::write(&new, text).and_then(|()| fs::rename(&new, &path)).expect("our own directory");
}

/// Makes a release of this version with this `mode`, and moves `current` to it.
///
/// # Panics
/// When it cannot.
pub fn release(scene: &Scene, version: &str, mode: &str) {
    write(scene, &format!("{version}/version"), version);
    write(scene, &format!("{version}/mode"), mode);
    let (new, current) = (scene.dir().join("current.new"), scene.dir().join("current"));
    symlink(version, &new).and_then(|()| fs::rename(&new, &current)).expect("our own directory");
}

/// A scene whose `current` is a good release of version 1; `PORT2` is another port.
#[must_use]
pub fn scene() -> Scene {
    let scene = Scene::with_node(24).with("PORT2", ports::free().to_string());
    release(&scene, "1", "");
    scene
}

/// Starts the app in `current`, where the person who starts it has gone.
#[must_use]
pub fn start<'a>(scene: &'a Scene, tools: &str) -> Chain<'a> {
    let script = scene.expand(&format!("cd $T/current && exec {tools} node $F/deploy.js"));
    scene.start_words(&["sh", "-c", &script])
}

/// The version that answers.
///
/// # Panics
/// When none does.
#[must_use]
#[track_caller]
pub fn version(scene: &Scene) -> String {
    http::get(scene.port, "/version").expect("served")
}

/// The versions that answer on many connections at the same time.
///
/// # Panics
/// When one is not answered.
#[must_use]
#[track_caller]
pub fn versions(scene: &Scene) -> Vec<String> {
    let open: Vec<_> = (0..32).map(|_| http::Connection::open(scene.port).expect("open")).collect();
    let answers = open.into_iter().map(|mut c| c.request("/version", "close").expect("served"));
    let mut versions: Vec<String> = answers.collect();
    versions.sort();
    versions.dedup();
    versions
}
