//! The ledger: a file with the ids of the events that JetStream has acknowledged to a feed. Each of
//! them must end up in the database.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use micro_runtime::jetstream::PublishHandle;
use tokio::sync::mpsc;

use crate::Result;

/// Ledger file, with one id per line, that a feed appends to.
#[derive(Debug)]
pub struct Ledger {
    file: Option<BufWriter<File>>,
    acknowledged: u64,
}

impl Ledger {
    /// Opens the file to append to it; without a path only counts.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn open(path: Option<&Path>) -> Result<Self> {
        Ok(Self {
            file: path
                .map(open_after_last_line)
                .transpose()?
                .map(BufWriter::new),
            acknowledged: 0,
        })
    }

    /// Waits for acknowledgments, in the order of sending, until the sender is dropped; returns the
    /// number of acknowledged events.
    pub(super) async fn record_acknowledgments(
        mut self,
        mut sent: mpsc::Receiver<(String, PublishHandle)>,
    ) -> Result<u64> {
        loop {
            // Flushed before each wait, so that readers of the file see every acknowledgment.
            let next = match sent.try_recv() {
                Ok(next) => Some(next),
                Err(_) => {
                    self.flush()?;
                    sent.recv().await
                }
            };
            let Some((id, pending)) = next else {
                self.flush()?;
                return Ok(self.acknowledged);
            };
            pending.await?;
            self.acknowledged += 1;
            if let Some(file) = &mut self.file {
                writeln!(file, "{id}")?;
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        if let Some(file) = &mut self.file {
            file.flush()?;
        }
        Ok(())
    }
}

/// Opens the file to append after its last complete line; a killed feed may have left a partial one.
fn open_after_last_line(path: &Path) -> Result<File> {
    let mut options = File::options();
    let mut file = options.create(true).read(true).append(true).open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    file.set_len(end.map_or(0, |end| end as u64 + 1))?;
    Ok(file)
}

/// Reads the ids of the acknowledged events. A partial last line is ignored.
///
/// # Errors
///
/// If the file exists and cannot be read.
pub fn acknowledged_ids(path: &Path) -> Result<HashSet<String>> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        read => read?,
    };
    let lines = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    Ok(lines.map(|line| line.trim_end().to_owned()).collect())
}

/// Returns the number of the last acknowledged event, 0 if there is none. A restarted feed resumes
/// there: it publishes later events again, and the stream drops the copies by their ids.
///
/// # Errors
///
/// As [`acknowledged_ids`].
pub(super) fn last_number(path: &Path) -> Result<u64> {
    let ids = acknowledged_ids(path)?;
    let numbers = ids
        .iter()
        .filter_map(|id| id.rsplit(':').next()?.parse().ok());
    Ok(numbers.max().unwrap_or_default())
}

/// Counts the events of a ledger that grows, and reads each line of it once.
#[derive(Debug)]
pub struct LedgerCounter {
    path: PathBuf,
    bytes_read: u64,
    lines: u64,
}

impl LedgerCounter {
    /// Creates a counter that has read nothing yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            bytes_read: 0,
            lines: 0,
        }
    }

    /// Reads the new lines, and returns the number of all.
    ///
    /// # Errors
    ///
    /// As [`acknowledged_ids`].
    pub fn count(&mut self) -> Result<u64> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
            opened => opened?,
        };
        file.seek(SeekFrom::Start(self.bytes_read))?;
        let mut bytes = Vec::new();
        self.bytes_read += file.read_to_end(&mut bytes)? as u64;
        self.lines += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        Ok(self.lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_last_line_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        std::fs::write(&path, "trades:v:S:1\ntrades:v:S:2\ntrades:v").unwrap();
        assert_eq!(acknowledged_ids(&path).unwrap().len(), 2);
        drop(Ledger::open(Some(&path)).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap().len(), 26);
        assert_eq!(last_number(&path).unwrap(), 2);
        assert_eq!(LedgerCounter::new(path).count().unwrap(), 2);
    }
}
