//! Turns `.proto` files into descriptors with protox, so that no protoc is needed.

use std::path::Path;

use protox::file::{
    ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver,
};

use crate::descriptors::{FileSet, OPTIONS_FILE, SourceFile};
use crate::error::Error;
use crate::explain::explain;
use crate::proto_dir::OPTIONS_SOURCE;

/// Compiles `protos` and what they import from `includes`.
pub(crate) fn compile(
    protos: &[impl AsRef<Path>],
    includes: &[impl AsRef<Path>],
) -> Result<FileSet, Error> {
    let mut resolver = ChainFileResolver::new();
    for include in includes {
        resolver.add(IncludeFileResolver::new(include.as_ref().to_owned()));
    }
    resolver.add(GoogleFileResolver::new());
    resolver.add(OwnFileResolver);
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).include_source_info(true);
    for proto in protos {
        // protox stops at its first error.
        let opened = compiler.open_file(proto).map(drop);
        opened.map_err(|error| {
            explain(error, &compiler.descriptor_pool(), proto.as_ref(), includes)
        })?;
    }
    let pool = compiler.descriptor_pool();
    let files = compiler.files().filter_map(|metadata| {
        let descriptor = pool.get_file_by_name(metadata.name())?;
        Some(SourceFile {
            raw: descriptor.encode_to_vec().into(),
            path: metadata.path().map(Path::to_owned),
            named: !metadata.is_import(),
            descriptor,
        })
    });
    let files: Vec<SourceFile> = files.collect();
    Ok(FileSet::new(pool, files))
}

/// Finds the files that this crate brings along.
struct OwnFileResolver;

impl FileResolver for OwnFileResolver {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match name {
            OPTIONS_FILE => File::from_source(name, OPTIONS_SOURCE),
            _ => Err(protox::Error::file_not_found(name)),
        }
    }
}
