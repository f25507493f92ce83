//! The ledger: which events JetStream has acknowledged. What is in it must be in the database.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use micro_runtime::Pending;
use tokio::sync::mpsc;

use crate::Result;

/// A file with the id of one acknowledged event in each line.
#[derive(Debug)]
pub struct Ledger {
    file: Option<BufWriter<File>>,
    acknowledged: u64,
}

impl Ledger {
    /// Goes on with the file, or keeps none.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn open(path: Option<&Path>) -> Result<Self> {
        Ok(Self {
            file: path.map(whole_lines).transpose()?.map(BufWriter::new),
            acknowledged: 0,
        })
    }

    /// Waits for acknowledgments, in the order of sending, until the sender is gone; returns how
    /// many there were.
    pub(super) async fn keep(mut self, mut sent: mpsc::Receiver<(String, Pending)>) -> Result<u64> {
        loop {
            // What is read by others is complete whenever there is nothing to do.
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

/// Opens the file behind its last whole line; a feed that was killed may have left half of one.
fn whole_lines(path: &Path) -> Result<File> {
    let mut options = File::options();
    let mut file = options.create(true).read(true).append(true).open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    file.set_len(end.map_or(0, |end| end as u64 + 1))?;
    Ok(file)
}

/// Reads which events were acknowledged. A last line that is cut off does not count.
///
/// # Errors
///
/// If the file is there and cannot be read.
pub fn acknowledged(path: &Path) -> Result<HashSet<String>> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        read => read?,
    };
    let whole = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    Ok(whole.map(|line| line.trim_end().to_owned()).collect())
}

/// The number of the last acknowledged event, 0 if there is none: a feed that is started again goes
/// on there. What was sent behind it is sent again, and the stream tells it by its id.
///
/// # Errors
///
/// As [`acknowledged`].
pub(super) fn last_number(path: &Path) -> Result<u64> {
    let ids = acknowledged(path)?;
    let numbers = ids
        .iter()
        .filter_map(|id| id.rsplit(':').next()?.parse().ok());
    Ok(numbers.max().unwrap_or_default())
}

/// Counts the acknowledged events of a ledger that grows, and reads each line of it once.
#[derive(Debug)]
pub struct Tally {
    path: PathBuf,
    read: u64,
    lines: u64,
}

impl Tally {
    /// Begins with none.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            read: 0,
            lines: 0,
        }
    }

    /// How many there are now.
    ///
    /// # Errors
    ///
    /// As [`acknowledged`].
    pub fn count(&mut self) -> Result<u64> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
            opened => opened?,
        };
        file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = Vec::new();
        self.read += file.read_to_end(&mut bytes)? as u64;
        self.lines += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        Ok(self.lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_is_no_event() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        std::fs::write(&path, "trades:v:S:1\ntrades:v:S:2\ntrades:v").unwrap();
        assert_eq!(acknowledged(&path).unwrap().len(), 2);
        drop(Ledger::open(Some(&path)).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap().len(), 26);
        assert_eq!(last_number(&path).unwrap(), 2);
        assert_eq!(Tally::new(path).count().unwrap(), 2);
    }
}
