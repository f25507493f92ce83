//! Options on messages, fields and enums, which prost carries out.

use super::Config;
use crate::patterns::Target;

impl Config {
    /// Puts `attribute` on the structs of the messages that `path` picks.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let config = Config::new().message_attribute(".shop.v1.Order", "#[derive(Eq)]");
    /// ```
    pub fn message_attribute(mut self, path: impl Into<String>, attribute: &str) -> Self {
        let path = self.picks("message_attribute", path, Target::Messages);
        self.prost.message_attribute(path.as_str(), attribute);
        self.prost_attributes
            .push(("message_attribute", path, attribute.to_owned()));
        self
    }

    /// Puts `attribute` on the fields, oneofs and enum values that `path` picks.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let config = Config::new().field_attribute(".shop.v1.Order.id", "#[doc(alias = \"number\")]");
    /// ```
    pub fn field_attribute(mut self, path: impl Into<String>, attribute: &str) -> Self {
        let path = self.picks("field_attribute", path, Target::Fields);
        self.prost.field_attribute(path.as_str(), attribute);
        self.prost_attributes
            .push(("field_attribute", path, attribute.to_owned()));
        self
    }

    /// Puts `attribute` on the enums that `path` picks, oneofs included.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let config = Config::new().enum_attribute(".shop.v1.Color", "#[non_exhaustive]");
    /// ```
    pub fn enum_attribute(mut self, path: impl Into<String>, attribute: &str) -> Self {
        let path = self.picks("enum_attribute", path, Target::Enums);
        self.prost.enum_attribute(path.as_str(), attribute);
        self.prost_attributes
            .push(("enum_attribute", path, attribute.to_owned()));
        self
    }

    /// Makes the `bytes` fields that `paths` pick `Bytes`, which are shared and not copied, instead
    /// of `Vec<u8>`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let config = Config::new().bytes([".shop.v1.Picture.data"]);
    /// ```
    pub fn bytes<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        for path in paths {
            let path = self.picks("bytes", path, Target::BytesFields);
            self.bytes.push(path.into_string());
        }
        self
    }

    /// Makes the `map` fields that `paths` pick a `BTreeMap` instead of a `HashMap`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let config = Config::new().btree_map(["."]);
    /// ```
    pub fn btree_map<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        for path in paths {
            let path = self.picks("btree_map", path, Target::MapFields);
            self.btree_map.push(path.into_string());
        }
        self
    }

    /// Boxes the message in the fields that `path` picks, which keeps a large variant of a oneof
    /// from making the others large.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let config = Config::new().boxed(".shop.v1.Order.details");
    /// ```
    pub fn boxed(mut self, path: impl Into<String>) -> Self {
        let path = self.picks("boxed", path, Target::MessageFields);
        self.prost.boxed(path.as_str());
        self
    }

    /// Uses what another crate has generated for the package or message `proto_path`, and writes
    /// nothing for it.
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
        let path = self.picks("extern_path", proto_path, Target::Types);
        self.prost.extern_path(path.as_str(), rust_path);
        self.elsewhere.push(path);
        self
    }

    /// Leaves the comments of what `paths` pick out of the code: messages, fields, enums, services
    /// and methods.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let config = Config::new().disable_comments([".shop.internal"]);
    /// ```
    pub fn disable_comments<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        for path in paths {
            let path = self.picks("disable_comments", path, Target::Documented);
            self.without_comments.push(path.into_string());
        }
        self
    }

    /// Changes what this type has no option for in prost's own configuration. Paths, files, the
    /// service generator, and the options that have the name of one of ours belong to this type.
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

    pub(super) fn into_prost(mut self) -> prost_build::Config {
        let runtime = &self.runtime_path;
        self.prost.prost_path(format!("{runtime}::codegen::prost"));
        self.prost
            .prost_types_path(format!("{runtime}::codegen::prost_types"));
        // prost forgets what it was told before when it is told these.
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
