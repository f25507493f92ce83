//! Options for the code that prost writes (messages, fields, enums); `extern_path` and `disable_comments` apply to
//! services and methods as well.
//!
//! An attribute goes to prost, which writes it, and into `prost_attributes`, since prost does not show what it was
//! given: `Config::settings` parses that copy, so that an attribute that is no valid Rust is an error with the name of
//! the option, and not one of rustc in a generated file.

use super::Config;
use crate::patterns::Target;

impl Config {
    /// Adds `attribute` to the structs of the messages that `path` matches.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let config = Config::new().message_attribute(".shop.v1.Order", "#[derive(Eq)]");
    /// ```
    pub fn message_attribute(mut self, path: impl Into<String>, attribute: &str) -> Self {
        let path = self.add_pattern("message_attribute", path, Target::Messages);
        self.prost.message_attribute(path.as_str(), attribute);
        self.prost_attributes
            .push(("message_attribute", path, attribute.to_owned()));
        self
    }

    /// Adds `attribute` to the fields, oneofs and enum values that `path` matches.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let config = Config::new().field_attribute(".shop.v1.Order.id", "#[doc(alias = \"number\")]");
    /// ```
    pub fn field_attribute(mut self, path: impl Into<String>, attribute: &str) -> Self {
        let path = self.add_pattern("field_attribute", path, Target::Fields);
        self.prost.field_attribute(path.as_str(), attribute);
        self.prost_attributes
            .push(("field_attribute", path, attribute.to_owned()));
        self
    }

    /// Adds `attribute` to the enums that `path` matches, those of oneofs included.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let config = Config::new().enum_attribute(".shop.v1.Color", "#[non_exhaustive]");
    /// ```
    pub fn enum_attribute(mut self, path: impl Into<String>, attribute: &str) -> Self {
        let path = self.add_pattern("enum_attribute", path, Target::Enums);
        self.prost.enum_attribute(path.as_str(), attribute);
        self.prost_attributes
            .push(("enum_attribute", path, attribute.to_owned()));
        self
    }

    /// Generates `Bytes` for the `bytes` fields that `paths` match.
    ///
    /// `Bytes` shares the buffer that it was decoded from. Default: `Vec<u8>`, which is a copy.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let config = Config::new().bytes([".shop.v1.Picture.data"]);
    /// ```
    pub fn bytes<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        for path in paths {
            let path = self.add_pattern("bytes", path, Target::BytesFields);
            self.bytes.push(path.into_string());
        }
        self
    }

    /// Generates a `BTreeMap` for the `map` fields that `paths` match.
    ///
    /// Default: `HashMap`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let config = Config::new().btree_map(["."]);
    /// ```
    pub fn btree_map<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        for path in paths {
            let path = self.add_pattern("btree_map", path, Target::MapFields);
            self.btree_map.push(path.into_string());
        }
        self
    }

    /// Generates a `Box` around the message of the fields that `path` matches.
    ///
    /// A boxed variant adds no more than a pointer to the size of a oneof's enum. Default: only the
    /// fields of recursive messages are boxed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let config = Config::new().boxed(".shop.v1.Order.details");
    /// ```
    pub fn boxed(mut self, path: impl Into<String>) -> Self {
        let path = self.add_pattern("boxed", path, Target::MessageFields);
        self.prost.boxed(path.as_str());
        self
    }

    /// Uses the code at `rust_path` for the package or message `proto_path`, and generates none.
    ///
    /// `rust_path` is usually in another crate. Services of the package are not generated either.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let config = Config::new().extern_path(".shop.common", "::shop_common");
    /// ```
    pub fn extern_path(
        mut self,
        proto_path: impl Into<String>,
        rust_path: impl Into<String>,
    ) -> Self {
        let path = self.add_pattern("extern_path", proto_path, Target::Types);
        self.prost.extern_path(path.as_str(), rust_path);
        self.extern_paths.push(path);
        self
    }

    /// Omits the comments of the messages, fields, enums, services and methods that `paths` match.
    ///
    /// Default: comments of the `.proto` become documentation.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let config = Config::new().disable_comments([".shop.internal"]);
    /// ```
    pub fn disable_comments<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        for path in paths {
            let path = self.add_pattern("disable_comments", path, Target::Documented);
            self.without_comments.push(path.into_string());
        }
        self
    }

    /// Changes prost's own configuration, for options that this type does not have.
    ///
    /// Do not set paths, files, the service generator, or an option of the same name as one of this
    /// type: those are set by this type.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let config = Config::new().prost(|prost| {
    ///     prost.retain_enum_prefix().skip_debug([".shop.v1.Secret"]);
    /// });
    /// ```
    pub fn prost(mut self, change: impl FnOnce(&mut prost_build::Config)) -> Self {
        change(&mut self.prost);
        self
    }

    /// Returns prost's configuration with all options of this type applied.
    pub(super) fn into_prost(mut self) -> prost_build::Config {
        let runtime = &self.runtime_path;
        self.prost.prost_path(format!("{runtime}::codegen::prost"));
        self.prost
            .prost_types_path(format!("{runtime}::codegen::prost_types"));
        // Each of these calls replaces the paths of an earlier call, which may be the user's.
        if !self.bytes.is_empty() {
            self.prost.bytes(&self.bytes);
        }
        if !self.btree_map.is_empty() {
            self.prost.btree_map(&self.btree_map);
        }
        if !self.without_comments.is_empty() {
            self.prost.disable_comments(&self.without_comments);
        }
        self.prost
    }
}
