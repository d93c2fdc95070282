//! Makes the folder whose files are embedded, so that a checkout in which the web UI was never built compiles, too.

fn main() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../web/dist");
    println!("cargo::rerun-if-changed={folder}");
    if let Err(error) = std::fs::create_dir_all(folder) {
        panic!("{folder} cannot be made: {error}");
    }
}
