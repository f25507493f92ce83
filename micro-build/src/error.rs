//! Errors of code generation, each with the file and line to change.

use std::error::Error as StdError;
use std::fmt;

/// Category of an [`Error`].
///
/// # Examples
///
/// ```
/// let error = micro_build::Config::new()
///     .runtime_path("not a path")
///     .out_dir(".")
///     .compile(&["micro/v1/options.proto"], &[micro_build::proto_dir()])
///     .unwrap_err();
/// assert_eq!(error.kind(), micro_build::ErrorKind::Config);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The files are not valid protobuf, or one of them was not found.
    Compile,
    /// The files are valid protobuf, but a name, subject or option cannot be used.
    Check,
    /// An option of [`Config`](crate::Config) is invalid, or matches nothing.
    Config,
    /// A file could not be read or written, or protoc could not be run.
    Io,
    /// The generator failed on input that it should handle or reject.
    Internal,
}

/// One or more problems that prevented code generation.
///
/// Problems of one kind are reported all at once. `Debug` prints the same text as `Display`, since
/// cargo shows the `Debug` text of an error that a `build.rs` returns from `main`.
///
/// # Examples
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

/// One problem, and its position in a `.proto` file if it has one.
///
/// # Examples
///
/// ```
/// let error = micro_build::compile(&["no/such/file.proto"], &["no"]).unwrap_err();
/// for problem in error.problems() {
///     println!("{:?}, line {:?}: {}", problem.file(), problem.line(), problem.message());
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    at: Option<Location>,
    message: String,
}

/// Position in a `.proto` file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Location {
    /// The name under which the file is imported.
    pub(crate) file: String,
    /// Counted from 1; `None` if the descriptor has no source information.
    pub(crate) line: Option<u32>,
}

impl Error {
    /// Returns the category of all problems.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = micro_build::compile(&["no/such/file.proto"], &["no"]).unwrap_err();
    /// assert_eq!(error.kind(), micro_build::ErrorKind::Compile);
    /// ```
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns every problem, ordered by file and line. There is at least one.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = micro_build::compile(&["no/such/file.proto"], &["no"]).unwrap_err();
    /// assert_eq!(error.problems().len(), 1);
    /// ```
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

    /// Fails with all `problems`, if there are any.
    pub(crate) fn all(kind: ErrorKind, problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() {
            return Ok(());
        }
        Err(Self::of(kind, problems))
    }

    /// Creates an error from one or more `problems`, ordered and without duplicates.
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
    /// Returns the name under which the file is imported, such as `greeter/v1/greeter.proto`.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.at.as_ref().map(|at| at.file.as_str())
    }

    /// Returns the line in [`file`](Self::file), counted from 1.
    ///
    /// `None` if the problem has no position, or if a descriptor set has no source information.
    #[must_use]
    pub fn line(&self) -> Option<u32> {
        self.at.as_ref().and_then(|at| at.line)
    }

    /// Returns the description of the problem, usually with a fix.
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
