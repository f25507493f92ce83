//! Errors of converting a file with an edition.

use std::error::Error as StdError;
use std::fmt;

use prost::DecodeError;

/// Reason why a file cannot be converted.
#[derive(Debug)]
pub enum Error {
    /// The bytes are not a `FileDescriptorProto`: its name and syntax cannot be decoded.
    NotADescriptor(DecodeError),
    /// The file has an edition and a name, but the rest of it cannot be decoded.
    Undecodable {
        /// The name under which the file is imported.
        file: String,
        /// The error of the decoder.
        source: DecodeError,
    },
    /// A file contains fields that need proto2 and fields that need proto3.
    Inexpressible {
        /// The name under which the file is imported.
        file: String,
        /// The names of the fields that are `LEGACY_REQUIRED` or `DELIMITED`; at least one.
        fields: Vec<String>,
    },
    /// The global descriptor pool of prost-reflect does not contain descriptor.proto.
    NoDescriptorProto,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotADescriptor(error) => write!(f, "this is no `FileDescriptorProto`: {error}"),
            Self::Undecodable { file, source } => write!(f, "`{file}`: {source}"),
            // The message names the first field only; micro-build reports all of them.
            Self::Inexpressible { file, fields } => write!(
                f,
                "field `{}` of `{file}` is `LEGACY_REQUIRED` or `DELIMITED` in a file with \
                 `IMPLICIT` fields, which neither proto2 nor proto3 can say",
                fields.first().map_or("", String::as_str)
            ),
            Self::NoDescriptorProto => f.write_str("descriptor.proto is missing"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::NotADescriptor(source) | Self::Undecodable { source, .. } => Some(source),
            Self::Inexpressible { .. } | Self::NoDescriptorProto => None,
        }
    }
}
