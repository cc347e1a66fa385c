//! Stories of clients, told in `tests/stories/*.txt`, one line of doing at a time, each followed by what clients get.
//! Readable by whoever knows the protocol; `UPDATE=1` writes down what happens now, to be read before it is kept.
//!
//! `#` begins a remark. Frames are written with their action's name, flags with theirs, an error as its code, and a
//! connection's key as its number: the first that the client was given is 1.

// The stage uses less of them than the simulation does.
#[allow(dead_code)]
mod support {
    pub mod app_store;
    pub mod changes;
    pub mod client;
    pub mod describe;
    pub mod disk;
    pub mod frames;
    pub mod grant;
    pub mod host;
    pub mod ledger;
    pub mod memory_store;
    pub mod objects;
    pub mod presence;
    pub mod publish;
    pub mod random;
    pub mod replica;
    pub mod revisions;
    pub mod stage;
    pub mod subscription;
    pub mod vcdiff;
    pub mod views;
}

use std::path::Path;

use support::stage::Stage;

#[test]
fn the_stories_are_told_as_before() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories");
    let mut paths: Vec<_> =
        std::fs::read_dir(directory).expect("the stories").map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    let update = std::env::var_os("UPDATE").is_some();
    for path in paths {
        let before = std::fs::read_to_string(&path).expect("text");
        let now = tell(&before);
        if update {
            std::fs::write(&path, now).expect("the story can be written");
        } else {
            assert!(before == now, "{} is told otherwise now:\n\n{now}", path.display());
        }
    }
}

/// The story with what happens in it now.
fn tell(story: &str) -> String {
    let mut stage = Stage::new();
    let mut told = String::new();
    for line in story.lines().filter(|line| !line.starts_with("    ")) {
        told.push_str(line);
        told.push('\n');
        if !line.is_empty() && !line.starts_with('#') {
            stage.perform(line).iter().for_each(|line| told.push_str(&format!("    {line}\n")));
        }
    }
    told
}
