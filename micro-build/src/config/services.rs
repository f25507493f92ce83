//! Options for traits, clients, servers and events, which the emitters of this crate apply.

use syn::Attribute;
use syn::parse::Parser as _;

use super::Config;
use crate::error::{Error, ErrorKind, Problem};
use crate::patterns::{Pattern, Target};
use crate::settings::{Attributes, Settings};

impl Config {
    /// Adds `attribute` to the traits of the services that `path` matches.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let config = Config::new().trait_attribute(".shop.v1.Orders", "#[cfg(feature = \"server\")]");
    /// ```
    pub fn trait_attribute(mut self, path: impl Into<String>, attribute: &str) -> Self {
        let path = self.add_pattern("trait_attribute", path, Target::Services);
        self.trait_attributes.push((path, attribute.to_owned()));
        self
    }

    /// Adds `attribute` to the client structs of the services that `path` matches.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let config = Config::new().client_attribute(".", "#[derive(shop_derive::Named)]");
    /// ```
    pub fn client_attribute(mut self, path: impl Into<String>, attribute: &str) -> Self {
        let path = self.add_pattern("client_attribute", path, Target::Services);
        self.client_attributes.push((path, attribute.to_owned()));
        self
    }

    /// Adds `attribute` to the server structs of the services that `path` matches.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let config = Config::new().server_attribute("Orders", "#[derive(shop_derive::Named)]");
    /// ```
    pub fn server_attribute(mut self, path: impl Into<String>, attribute: &str) -> Self {
        let path = self.add_pattern("server_attribute", path, Target::Services);
        self.server_attributes.push((path, attribute.to_owned()));
        self
    }

    /// Uses `rust_name` as the Rust name of the service or method at `path`.
    ///
    /// The trait, client and server of a service are named after it. Subjects do not change.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// // `OrderDesk`, `OrderDeskClient` and `OrderDeskServer`, beside a message `Orders`.
    /// let config = Config::new().rename(".shop.v1.Orders", "OrderDesk");
    /// ```
    pub fn rename(mut self, path: impl Into<String>, rust_name: impl Into<String>) -> Self {
        let path = self.add_pattern("rename", path, Target::ServicesAndMethods);
        self.renames.push((path, rust_name.into()));
        self
    }

    /// Sets whether clients are generated. Default: `true`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let server_only = Config::new().build_client(false);
    /// ```
    pub fn build_client(mut self, yes: bool) -> Self {
        self.client = yes;
        self
    }

    /// Sets whether traits and servers are generated. Default: `true`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let client_only = Config::new().build_server(false);
    /// ```
    pub fn build_server(mut self, yes: bool) -> Self {
        self.server = yes;
        self
    }

    /// Sets whether messages with `(micro.v1.event)` become events with filters. Default: `true`.
    ///
    /// If no client, server or event is generated, the messages depend on prost only, at
    /// [`runtime_path`](Self::runtime_path)`::codegen::prost`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let messages_only = Config::new().build_client(false).build_server(false).build_events(false);
    /// ```
    pub fn build_events(mut self, yes: bool) -> Self {
        self.events = yes;
        self
    }

    /// Sets the path at which generated code finds the runtime, and prost through it.
    ///
    /// Default: `::micro_runtime`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let config = Config::new().runtime_path("::shop_prelude::micro");
    /// ```
    pub fn runtime_path(mut self, path: impl Into<String>) -> Self {
        self.runtime_path = path.into();
        self
    }

    /// Returns the options of the emitters, parsed.
    ///
    /// # Errors
    ///
    /// Fails with every path, name and attribute that is not valid Rust.
    pub(super) fn settings(&self) -> Result<Settings, Error> {
        let mut problems = Vec::new();
        let runtime = syn::parse_str(&self.runtime_path).map_err(|error| {
            let message = format!("`runtime_path(\"{}\")`: {error}", self.runtime_path);
            Error::new(ErrorKind::Config, message)
        })?;
        for (pattern, name) in &self.renames {
            if let Err(error) = syn::parse_str::<syn::Ident>(name) {
                let message = format!("`rename(\"{}\", \"{name}\")`: {error}", pattern.as_str());
                problems.push(Problem::anywhere(message));
            }
        }
        for (option, pattern, attribute) in &self.prost_attributes {
            problems.extend(parse(option, pattern, attribute).err());
        }
        let mut parsed = |option: &str, attributes: &[(Pattern, String)]| {
            Attributes(
                attributes
                    .iter()
                    .filter_map(|(pattern, text)| {
                        let attributes = parse(option, pattern, text);
                        let attributes = attributes.map_err(|problem| problems.push(problem));
                        Some((pattern.clone(), attributes.ok()?))
                    })
                    .collect(),
            )
        };
        let settings = Settings {
            runtime,
            client: self.client,
            server: self.server,
            events: self.events,
            trait_attributes: parsed("trait_attribute", &self.trait_attributes),
            client_attributes: parsed("client_attribute", &self.client_attributes),
            server_attributes: parsed("server_attribute", &self.server_attributes),
            without_comments: self.without_comments.iter().map(Pattern::new).collect(),
            extern_paths: self.extern_paths.clone(),
            renames: self.renames.clone(),
            nested_packages: self.include_file.is_some(),
            uses: self.uses.clone(),
        };
        Error::all(ErrorKind::Config, problems)?;
        Ok(settings)
    }
}

fn parse(option: &str, pattern: &Pattern, attribute: &str) -> Result<Vec<Attribute>, Problem> {
    Attribute::parse_outer
        .parse_str(attribute)
        .map_err(|error| {
            let pattern = pattern.as_str();
            Problem::anywhere(format!(
                "`{option}(\"{pattern}\", \"{attribute}\")`: {error}"
            ))
        })
}
