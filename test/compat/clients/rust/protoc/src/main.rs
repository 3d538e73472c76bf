//! Says where the protoc is that a crate brings along: the client generates its messages with one when it is built.

fn main() {
    println!(
        "{}",
        protoc_bin_vendored::protoc_bin_path()
            .expect("a protoc for this machine")
            .display()
    );
}
