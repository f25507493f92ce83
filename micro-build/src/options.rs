//! Reads the custom options of `micro/v1/options.proto` from the descriptors; prost drops them.

use prost_reflect::{
    DynamicMessage, ExtensionDescriptor, MessageDescriptor, MethodDescriptor, ReflectMessage,
    ServiceDescriptor,
};
use semver::Version;

use crate::descriptors::{FileSet, SourceLocations};
use crate::error::{Location, Problem};
use crate::model::{MethodOptions, ServiceOptions};

/// Field number of all extensions of `micro/v1/options.proto`.
const EXTENSION_NUMBER: u32 = 1_632_020;
/// The same number, in the type of a path of `SourceCodeInfo`.
const EXTENSION_PATH_NUMBER: i32 = 1_632_020;
/// Field number of `options` in `ServiceDescriptorProto`.
const SERVICE_OPTIONS_FIELD: i32 = 3;
/// Field number of `options` in `MethodDescriptorProto`.
const METHOD_OPTIONS_FIELD: i32 = 4;
/// Field number of `options` in `DescriptorProto`.
const MESSAGE_OPTIONS_FIELD: i32 = 7;

/// The extensions of `micro/v1/options.proto`; all `None` if no file of the run imports it.
#[derive(Debug)]
pub(crate) struct OptionExtensions {
    service: Option<ExtensionDescriptor>,
    method: Option<ExtensionDescriptor>,
    event: Option<ExtensionDescriptor>,
}

impl OptionExtensions {
    /// Finds the extensions among the descriptors of `files`.
    pub(crate) fn of(files: &FileSet) -> Self {
        let extension = |extendee: &str| {
            files
                .pool
                .get_message_by_name(extendee)
                .and_then(|message| message.get_extension(EXTENSION_NUMBER))
        };
        Self {
            service: extension("google.protobuf.ServiceOptions"),
            method: extension("google.protobuf.MethodOptions"),
            event: extension("google.protobuf.MessageOptions"),
        }
    }

    /// Returns whether a file of the run can declare an event.
    pub(crate) fn has_event_option(&self) -> bool {
        self.event.is_some()
    }

    /// Returns the options of `service`; invalid ones are added to `problems`.
    pub(crate) fn service(
        &self,
        service: &ServiceDescriptor,
        locations: &SourceLocations<'_>,
        problems: &mut Vec<Problem>,
    ) -> ServiceOptions {
        let Some(options) = ParsedOptions::read(self.service.as_ref(), || service.options()) else {
            return ServiceOptions::default();
        };
        let at = |field| options.at(locations, service.path(), SERVICE_OPTIONS_FIELD, field);
        let version = options.text("version");
        if let Some(version) = version.as_deref().filter(|version| !is_semver(version)) {
            let message = format!("`{version}` is not a SemVer version; write one such as `1.2.3`");
            problems.push(Problem::at(&at("version"), message));
        }
        let queue_group = options.text("queue_group");
        if let Some(group) = queue_group
            .as_deref()
            .filter(|group| !is_queue_group(group))
        {
            let message = format!(
                "`{group}` is not a queue group; write printable ASCII without spaces, `*` and `>`, \
                 or `-` for none"
            );
            problems.push(Problem::at(&at("queue_group"), message));
        }
        ServiceOptions {
            version,
            queue_group,
            description: options.text("description"),
        }
    }

    /// Returns the options of `method`; invalid ones are added to `problems`.
    pub(crate) fn method(
        &self,
        method: &MethodDescriptor,
        locations: &SourceLocations<'_>,
        problems: &mut Vec<Problem>,
    ) -> MethodOptions {
        let Some(options) = ParsedOptions::read(self.method.as_ref(), || method.options()) else {
            return MethodOptions::default();
        };
        let timeout_ms = options.timeout_ms().unwrap_or_else(|message| {
            let at = options.at(locations, method.path(), METHOD_OPTIONS_FIELD, "timeout");
            problems.push(Problem::at(
                &at,
                format!("timeout of `{}`: {message}", method.full_name()),
            ));
            None
        });
        MethodOptions {
            timeout_ms,
            max_concurrent: options.count("max_concurrent"),
            expires: options.is_set("expires"),
        }
    }

    /// Returns the subject template of an event and its position, or `None` for a plain message.
    pub(crate) fn event(
        &self,
        message: &MessageDescriptor,
        locations: &SourceLocations<'_>,
    ) -> Option<(String, Location)> {
        let options = ParsedOptions::read(self.event.as_ref(), || message.options())?;
        let at = options.at(locations, message.path(), MESSAGE_OPTIONS_FIELD, "subject");
        Some((options.text("subject").unwrap_or_default(), at))
    }
}

/// Value of one extension, as set on one service, method or message.
struct ParsedOptions(DynamicMessage);

impl ParsedOptions {
    /// Returns the value of `extension` in `options`, if it is set.
    ///
    /// `options` is a closure, since decoding is not needed if no file imports the extension.
    fn read(
        extension: Option<&ExtensionDescriptor>,
        options: impl FnOnce() -> DynamicMessage,
    ) -> Option<Self> {
        let extension = extension?;
        let options = options();
        if !options.has_extension(extension) {
            return None;
        }
        options
            .get_extension(extension)
            .as_message()
            .cloned()
            .map(Self)
    }

    /// Returns the position of `field`; `options` is the field number of the options of `element`.
    fn at(
        &self,
        locations: &SourceLocations<'_>,
        element: &[i32],
        options: i32,
        field: &str,
    ) -> Location {
        let mut path = element.to_vec();
        path.extend([options, EXTENSION_PATH_NUMBER]);
        let field = self.0.descriptor().get_field_by_name(field);
        path.extend(field.and_then(|field| i32::try_from(field.number()).ok()));
        locations.at(&path)
    }

    fn text(&self, field: &str) -> Option<String> {
        let value = self.0.get_field_by_name(field)?;
        value
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    }

    fn is_set(&self, field: &str) -> bool {
        let value = self.0.get_field_by_name(field);
        value.and_then(|value| value.as_bool()).unwrap_or(false)
    }

    fn count(&self, field: &str) -> Option<u32> {
        self.0
            .get_field_by_name(field)?
            .as_u32()
            .filter(|count| *count > 0)
    }

    fn timeout_ms(&self) -> Result<Option<u64>, String> {
        if !self.0.has_field_by_name("timeout") {
            return Ok(None);
        }
        let value = self.0.get_field_by_name("timeout");
        let Some(timeout) = value.as_ref().and_then(|value| value.as_message()) else {
            return Ok(None);
        };
        let part = |name: &str| timeout.get_field_by_name(name);
        let seconds = part("seconds")
            .and_then(|value| value.as_i64())
            .unwrap_or_default();
        let nanos = part("nanos")
            .and_then(|value| value.as_i32())
            .unwrap_or_default();
        milliseconds(seconds, nanos).map(Some)
    }
}

/// Converts a `google.protobuf.Duration` to whole milliseconds, the unit of `Micro-Timeout`.
///
/// # Errors
///
/// Fails with the description of the problem if the duration is not a positive number of whole
/// milliseconds.
fn milliseconds(seconds: i64, nanos: i32) -> Result<u64, String> {
    let written = format!("{{ seconds: {seconds} nanos: {nanos} }}");
    let (Ok(seconds), Ok(nanos)) = (u64::try_from(seconds), u32::try_from(nanos)) else {
        return Err(format!(
            "{written} is negative; write at least one millisecond"
        ));
    };
    if nanos > 999_999_999 || seconds > 315_576_000_000 {
        return Err(format!("{written} is not a `google.protobuf.Duration`"));
    }
    if nanos % 1_000_000 != 0 {
        return Err(format!("{written} is not a whole number of milliseconds"));
    }
    match seconds * 1000 + u64::from(nanos / 1_000_000) {
        0 => Err("it is zero; write at least one millisecond, or leave it out".to_owned()),
        milliseconds => Ok(milliseconds),
    }
}

fn is_queue_group(group: &str) -> bool {
    group
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'*' && byte != b'>')
}

/// Returns whether `version` follows <https://semver.org>, as ADR-32 requires.
fn is_semver(version: &str) -> bool {
    Version::parse(version).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{is_semver, milliseconds};

    #[test]
    fn only_semver_versions_are_accepted() {
        for version in [
            "0.0.0",
            "1.2.3",
            "1.2.3-rc.1",
            "1.2.3-0a+b.1",
            "1.2.3+001",
            "1.2.3--",
            "1.2.3-a-b.0",
        ] {
            assert!(is_semver(version), "{version}");
        }
        for version in [
            "",
            "1",
            "1.2",
            "v1.2.3",
            "1.2.03",
            "1.2.3-",
            "1.2.3-01",
            "1.2.3+",
            "1.2.3 ",
            " 1.2.3",
            "1.2.3.4",
            "1..3",
            "1.2.3-a..b",
            "1.2.3-ä",
            "1.2.3+a+b",
            "1.2.x",
            "*",
            "-1.2.3",
        ] {
            assert!(!is_semver(version), "{version}");
        }
    }

    #[test]
    fn only_positive_whole_milliseconds_are_accepted() {
        assert_eq!(milliseconds(1, 500_000_000), Ok(1500));
        for (seconds, nanos) in [
            (0, 0),
            (-1, 0),
            (0, 1),
            (0, -1),
            (1, 1_000_000_000),
            (i64::MAX, 0),
        ] {
            assert!(milliseconds(seconds, nanos).is_err(), "{seconds} {nanos}");
        }
    }
}
