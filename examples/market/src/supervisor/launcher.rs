//! Starts the parts with the settings that all of them share.

use std::path::Path;
use std::process::Command;

use tokio::task::spawn_blocking;

use crate::Result;
use crate::supervisor::process::PartProcess;
use crate::watcher;

/// Folder, nats-server and database of all parts.
pub(super) struct Launcher<'a> {
    pub(super) folder: &'a Path,
    pub(super) url: &'a str,
    pub(super) database: &'a Path,
}

impl Launcher<'_> {
    /// Returns the option that names the database. A path that is not UTF-8 becomes an empty one,
    /// which the part rejects.
    pub(super) fn database_option(&self) -> [&str; 2] {
        ["--db", self.database.to_str().unwrap_or_default()]
    }

    /// Starts this program with the subcommand `name`.
    pub(super) async fn start(&self, name: &str, arguments: &[&str]) -> Result<PartProcess> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(name).args(arguments).env("NATS_URL", self.url);
        PartProcess::start(name, command, self.folder).await
    }

    /// Starts the subscriber in Python. The first run downloads its packages.
    pub(super) async fn start_python(&self) -> Result<PartProcess> {
        let (folder, url) = (self.folder.to_path_buf(), self.url.to_owned());
        let command = spawn_blocking(move || watcher::command(&folder, &url)).await??;
        PartProcess::start("python", command, self.folder).await
    }
}
