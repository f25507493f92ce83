//! Options on traits, clients and servers, which our own emitters carry out.

use syn::Attribute;
use syn::parse::Parser as _;

use super::Config;
use crate::error::{Error, ErrorKind, Problem};
use crate::patterns::{Pattern, Target};
use crate::settings::{Attributes, Settings};

impl Config {
    /// Puts `attribute` on the traits of the services that `path` picks.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let config = Config::new().trait_attribute(".shop.v1.Orders", "#[cfg(feature = \"server\")]");
    /// ```
    pub fn trait_attribute(mut self, path: impl Into<String>, attribute: &str) -> Self {
        let path = self.picks("trait_attribute", path, Target::Services);
        self.trait_attributes.push((path, attribute.to_owned()));
        self
    }

    /// Puts `attribute` on the client structs of the services that `path` picks.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let config = Config::new().client_attribute(".", "#[derive(shop_derive::Named)]");
    /// ```
    pub fn client_attribute(mut self, path: impl Into<String>, attribute: &str) -> Self {
        let path = self.picks("client_attribute", path, Target::Services);
        self.client_attributes.push((path, attribute.to_owned()));
        self
    }

    /// Puts `attribute` on the server structs of the services that `path` picks.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// let config = Config::new().server_attribute("Orders", "#[derive(shop_derive::Named)]");
    /// ```
    pub fn server_attribute(mut self, path: impl Into<String>, attribute: &str) -> Self {
        let path = self.picks("server_attribute", path, Target::Services);
        self.server_attributes.push((path, attribute.to_owned()));
        self
    }

    /// Gives the service or method at `path` another name in Rust; trait, client and server of a
    /// service follow. Subjects stay as they are.
    ///
    /// # Examples
    ///
    /// ```
    /// # use micro_build::Config;
    /// // `OrderDesk`, `OrderDeskClient` and `OrderDeskServer`, beside a message `Orders`.
    /// let config = Config::new().rename(".shop.v1.Orders", "OrderDesk");
    /// ```
    pub fn rename(mut self, path: impl Into<String>, rust_name: impl Into<String>) -> Self {
        let path = self.picks("rename", path, Target::ServicesAndMethods);
        self.renames.push((path, rust_name.into()));
        self
    }

    /// Whether clients are generated; they are by default.
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

    /// Whether traits and servers are generated; they are by default.
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

    /// Whether messages with `(micro.v1.event)` become events, with their filters; they do by default.
    /// Without, they are plain messages, which need no runtime.
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

    /// Where generated code finds the runtime, and through it prost: `::micro_runtime` by default.
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
            elsewhere: self.elsewhere.clone(),
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
