//! `#[service]` on an enum.

use micro_runtime::service;

#[service]
enum Language {
    English,
}

fn main() {
    let _ = Language::English;
}
