//! Generates code for arbitrary bytes as a `FileDescriptorSet`: an error or code, but no panic.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use micro_build::Config;
use tempfile::TempDir;

/// Output folder, created together with a panic hook that does nothing.
///
/// The hook of libfuzzer aborts at every panic, including those that the generator converts to errors.
/// A panic that the generator does not catch still aborts, since it cannot unwind into C.
static OUT_DIR: LazyLock<TempDir> = LazyLock::new(|| {
    std::panic::set_hook(Box::new(|_| {}));
    tempfile::tempdir().expect("a temporary folder")
});

fuzz_target!(|set: &[u8]| {
    let config = Config::new().out_dir(OUT_DIR.path()).include_file("all.rs");
    let _ = config.compile_descriptor_set(set);
});
