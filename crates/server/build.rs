//! Makes the folder whose files are embedded, so that a checkout in which the web UI was never built compiles, too.

fn main() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../web/dist");
    if let Err(error) = std::fs::create_dir_all(folder) {
        panic!("{folder} cannot be made: {error}");
    }
    // A debug build reads the files when it is asked for them; only what is embedded has to be compiled again.
    let embedded = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    println!(
        "cargo::rerun-if-changed={}",
        if embedded { folder } else { "build.rs" }
    );
}
