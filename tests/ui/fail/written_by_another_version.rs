//! Generated code of another micro-build version.

/// The last line of a generated service.
const _: () = micro_runtime::codegen::written_by("0.0.1");

fn main() {}
