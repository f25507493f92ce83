//! The tools that suites need. A missing tool is an error that states what to do, never a skip.

use std::path::PathBuf;

use crate::failure::Result;

/// Environment variables by which tests find a tool.
pub(crate) type Variables = Vec<(&'static str, PathBuf)>;

/// A tool that a suite needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    /// Installs the tool under `target/tools` unless it is there, or fails with what to do.
    pub(crate) prepare: fn() -> Result<Variables>,
}

/// The pinned nats-server, or what the variable `NATS_SERVER` names.
pub(crate) const NATS_SERVER: Tool = Tool {
    prepare: || {
        let server = micro_testkit::fetch_nats_server()?;
        Ok(vec![("NATS_SERVER", server)])
    },
};

/// Python with the pinned packages, which tests find by themselves.
pub(crate) const PYTHON: Tool = Tool {
    prepare: || {
        micro_testkit::python_packages()?;
        Ok(vec![])
    },
};

/// A nats-server that the runtime refuses, beside the pinned one.
pub(crate) const OLD_NATS_SERVER: Tool = Tool {
    prepare: || {
        micro_testkit::fetch_nats_server_release("2.10.26")?;
        Ok(vec![])
    },
};
