//! What can go wrong, told so that the reader knows which line of which file to change.

use std::error::Error as StdError;
use std::fmt;

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The files are not valid protobuf, or one of them was not found.
    Compile,
    /// The files are valid protobuf, but cannot become a service on the bus.
    Check,
    /// An option of [`Config`](crate::Config) is wrong, or does nothing.
    Config,
    /// A file could not be read or written.
    Io,
    /// The generator failed on input that it should have handled.
    Internal,
}

/// One or more problems that kept the code from being generated.
///
/// Problems of one kind are reported all at once. `Debug` prints the same text as `Display`, since
/// that is what cargo shows when a `build.rs` returns the error from `main`.
///
/// ```
/// let error = micro_build::compile(&["no/such/file.proto"], &["no"]).unwrap_err();
/// assert_eq!(error.kind(), micro_build::ErrorKind::Compile);
/// assert!(error.to_string().contains("no/such/file.proto"));
/// ```
pub struct Error {
    kind: ErrorKind,
    problems: Vec<Problem>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// One thing to change, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    at: Option<Location>,
    message: String,
}

/// A place in a `.proto` file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Location {
    /// The name under which the file is imported.
    pub(crate) file: String,
    /// Counted from 1; unknown where the compiler left source information out.
    pub(crate) line: Option<u32>,
}

impl Error {
    /// What kind of thing went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Every problem, in the order of files and lines.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::one(kind, Problem::anywhere(message))
    }

    pub(crate) fn one(kind: ErrorKind, problem: Problem) -> Self {
        Self {
            kind,
            problems: vec![problem],
            source: None,
        }
    }

    pub(crate) fn with_source(
        mut self,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Fails with all `problems`, or does nothing if there is none.
    pub(crate) fn all(kind: ErrorKind, problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() {
            return Ok(());
        }
        Err(Self::of(kind, problems))
    }

    /// The error with all `problems`, of which there is one at least.
    pub(crate) fn of(kind: ErrorKind, mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| a.at.cmp(&b.at));
        problems.dedup();
        Self {
            kind,
            problems,
            source: None,
        }
    }
}

impl Problem {
    /// The name under which the file is imported, such as `greeter/v1/greeter.proto`.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.at.as_ref().map(|at| at.file.as_str())
    }

    /// The line in [`file`](Self::file), counted from 1.
    #[must_use]
    pub fn line(&self) -> Option<u32> {
        self.at.as_ref().and_then(|at| at.line)
    }

    /// What is wrong and what to write instead.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn at(at: &Location, message: impl Into<String>) -> Self {
        Self {
            at: Some(at.clone()),
            message: message.into(),
        }
    }

    pub(crate) fn anywhere(message: impl Into<String>) -> Self {
        Self {
            at: None,
            message: message.into(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [problem] = self.problems.as_slice() {
            return problem.fmt(f);
        }
        write!(f, "{} problems", self.problems.len())?;
        self.problems
            .iter()
            .try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Some(at) => write!(f, "{at}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        self.line.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}
