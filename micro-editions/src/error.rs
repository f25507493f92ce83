//! Why a file cannot be restated.

use std::error::Error as StdError;
use std::fmt;

use prost::DecodeError;

/// Why a file cannot be restated.
#[derive(Debug)]
pub enum Error {
    /// The bytes are no `FileDescriptorProto`; not even its name could be read.
    NotADescriptor(DecodeError),
    /// The file has an edition and a name, but the rest of it cannot be decoded.
    Undecodable {
        /// The name under which the file is imported.
        file: String,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// Fields that need proto2 stand in a file with fields that need proto3.
    Inexpressible {
        /// The name under which the file is imported.
        file: String,
        /// Those that are `LEGACY_REQUIRED` or `DELIMITED`, at least one, as the file names them.
        fields: Vec<String>,
    },
    /// prost-reflect came without descriptor.proto, which it never should.
    NoDescriptorProto,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotADescriptor(error) => write!(f, "this is no `FileDescriptorProto`: {error}"),
            Self::Undecodable { file, source } => write!(f, "`{file}`: {source}"),
            // One is enough for a sentence.
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
