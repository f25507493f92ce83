//! Handlers that must compile, one per file, each with a test that builds their server.

mod alias_named_like_a_message;
mod aliased_reply;
mod aliased_result;
mod aliased_result_of_the_same_name;
mod by_a_glob_import;
mod conditional_methods;
mod crate_under_another_name;
mod documented_and_instrumented;
mod every_kind;
mod full_paths;
mod future_by_hand;
mod generic_handler;
mod generic_helper_type;
mod hidden_streams;
mod inside_a_function;
mod named_lifetime;
mod options;
mod patterns;
mod renamed_messages;
mod renamed_runtime_types;
mod renamed_trait;
mod shared_self;
mod subscriber;
mod through_a_reexport;
mod two_services;
mod typed_receiver;
mod unary;
mod without_service;
mod written_by_a_macro;

use std::fs;

/// A file without its line above would not be compiled.
#[test]
fn every_file_is_a_case() {
    let source = include_str!("main.rs");
    for file in fs::read_dir("pass").unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let is_declared = source.contains(&format!("\nmod {name};\n"));
        assert!(
            name == "main" || is_declared,
            "no `mod {name};` in pass/main.rs"
        );
    }
}
