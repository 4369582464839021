//! The files that a configuration names: secrets, certificates and keys.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::libc::O_NONBLOCK;

use super::checks::Refusal;

/// Bytes; a certificate chain has a few thousand.
const LARGEST: u64 = 1 << 20;

/// Permission bits that let the group or others read or write.
const GROUP_AND_OTHERS: u32 = 0o066;
/// Permission bits that let others read or write: TLS keys are commonly shared with a group such as `ssl-cert`.
const OTHERS: u32 = 0o006;

/// The one line of a secret's file, without surrounding blanks.
pub fn secret(path: &str) -> Result<String, Refusal> {
    secret_in(path, &read(path, GROUP_AND_OTHERS)?)
}

/// The one line of the text of the file at `path`.
pub fn secret_in(path: &str, text: &str) -> Result<String, Refusal> {
    // A mark that some editors put at the beginning, and that nobody sees.
    let line = text.trim_start_matches('\u{feff}').trim();
    if line.is_empty() {
        return Err((format!("{path} is empty"), "write the secret into it, on one line".to_owned()));
    }
    if line.lines().count() > 1 {
        return Err((format!("{path} has more than one line"), "leave only the line with the secret".to_owned()));
    }
    Ok(line.to_owned())
}

/// The text of a file with tokens.
pub fn tokens(path: &str) -> Result<String, Refusal> {
    super::tokens::checked(path, &read(path, GROUP_AND_OTHERS)?)
}

/// A PEM file with certificates.
pub fn certificates(path: &str) -> Result<String, Refusal> {
    pem(path, read(path, 0)?, "-----BEGIN CERTIFICATE-----", "certificate")
}

/// A PEM file with a private key.
pub fn private_key(path: &str) -> Result<String, Refusal> {
    pem(path, read(path, OTHERS)?, "PRIVATE KEY-----", "private key")
}

fn pem(path: &str, text: String, marker: &str, name: &str) -> Result<String, Refusal> {
    if text.contains(marker) {
        return Ok(text);
    }
    Err((format!("{path} holds no {name} in PEM form"), format!("convert the {name} to PEM, or name another file")))
}

/// The text of a file, which must not have any of the `forbidden` permission bits.
fn read(path: &str, forbidden: u32) -> Result<String, Refusal> {
    let unreadable = |error: std::io::Error| {
        (
            format!("{path} cannot be read: {error}"),
            "create the file, or correct the path or its permissions".to_owned(),
        )
    };
    // Opened first and examined afterwards, so that what is read is what was examined; non-blocking, for a FIFO.
    let file = File::options().read(true).custom_flags(O_NONBLOCK).open(Path::new(path)).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err((format!("{path} is not a regular file"), "name a regular file".to_owned()));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & forbidden != 0 {
        let who = if forbidden == OTHERS { "others" } else { "its group or others" };
        return Err((
            format!("{path} holds a secret and is open to {who} (mode {mode:03o})"),
            format!("chmod 600 {path}"),
        ));
    }
    let mut text = String::new();
    file.take(LARGEST + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > LARGEST {
        return Err((format!("{path} is larger than 1 MiB"), "name the right file".to_owned()));
    }
    Ok(text)
}

/// The text of the configuration file itself.
pub fn configuration(path: &Path) -> Result<String, Refusal> {
    let bytes = fs::read(path).map_err(|error| {
        (
            format!("cannot be read: {error}"),
            "name the file with -c FILE or PRIMACY_CONFIG; `primacy config default > FILE` writes an example to begin with"
                .to_owned(),
        )
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        (format!("line {line} is not valid UTF-8"), "save the file as UTF-8".to_owned())
    })
}
