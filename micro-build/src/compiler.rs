//! Compiles `.proto` files to descriptors with protox, the built-in compiler.

use std::path::Path;

use protox::file::{
    ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver,
};

use crate::descriptors::{FileSet, OPTIONS_FILE, SourceFile};
use crate::error::Error;
use crate::proto_dir::OPTIONS_SOURCE;
use crate::protox_errors::convert;

/// Compiles `protos` and their imports, which are searched in `includes`.
pub(crate) fn compile(
    protos: &[impl AsRef<Path>],
    includes: &[impl AsRef<Path>],
) -> Result<FileSet, Error> {
    let mut resolver = ChainFileResolver::new();
    for include in includes {
        resolver.add(IncludeFileResolver::new(include.as_ref().to_owned()));
    }
    resolver.add(GoogleFileResolver::new());
    resolver.add(BundledFileResolver);
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).include_source_info(true);
    for proto in protos {
        // protox stops at its first error, so there is one problem at most.
        let opened = compiler.open_file(proto).map(drop);
        opened.map_err(|error| {
            convert(error, &compiler.descriptor_pool(), proto.as_ref(), includes)
        })?;
    }
    let pool = compiler.descriptor_pool();
    let files = compiler.files().filter_map(|metadata| {
        let descriptor = pool.get_file_by_name(metadata.name())?;
        Some(SourceFile {
            raw: descriptor.encode_to_vec().into(),
            path: metadata.path().map(Path::to_owned),
            requested: !metadata.is_import(),
            descriptor,
        })
    });
    let files: Vec<SourceFile> = files.collect();
    Ok(FileSet::new(pool, files))
}

/// Resolves the `.proto` files that are part of this crate.
struct BundledFileResolver;

impl FileResolver for BundledFileResolver {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match name {
            OPTIONS_FILE => File::from_source(name, OPTIONS_SOURCE),
            _ => Err(protox::Error::file_not_found(name)),
        }
    }
}
