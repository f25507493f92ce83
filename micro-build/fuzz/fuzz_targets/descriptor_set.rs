//! Any bytes for a `FileDescriptorSet`: an error or code, and never a crash.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use micro_build::Config;
use tempfile::TempDir;

/// The libfuzzer hook ends the process at every panic, also at those that the generator turns into
/// an error. A panic that gets out still does, since it cannot unwind into C.
static OUT_DIR: LazyLock<TempDir> = LazyLock::new(|| {
    std::panic::set_hook(Box::new(|_| {}));
    tempfile::tempdir().expect("a temporary folder")
});

fuzz_target!(|set: &[u8]| {
    let config = Config::new().out_dir(OUT_DIR.path()).include_file("all.rs");
    let _ = config.compile_descriptor_set(set);
});
