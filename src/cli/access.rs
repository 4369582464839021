//! What a client command shows to an API: a token, a certificate; and by which authority it knows the API.

use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::Usage;
use super::{Asked, Options};
use crate::client::Access;
use crate::config::{self, Secret};

#[derive(Clone, Debug, Default, Args)]
pub struct AccessArguments {
    /// A file with the API's token, alone or as NAME TOKEN, readable by its owner only
    #[arg(long, value_name = "FILE", env = "PRIMACY_TOKEN_FILE", hide_env_values = true)]
    pub token_file: Option<PathBuf>,
    /// PEM file with the authorities that the API's certificate is checked against, instead of the public ones
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// PEM file with this client's certificate; together with --tls-key
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file with this client's private key
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
}

impl AccessArguments {
    /// What is given here, and of the other what is not.
    pub fn or(self, other: Self) -> Self {
        Self {
            token_file: self.token_file.or(other.token_file),
            tls_ca: self.tls_ca.or(other.tls_ca),
            tls_cert: self.tls_cert.or(other.tls_cert),
            tls_key: self.tls_key.or(other.tls_key),
        }
    }

    /// Reads the files. `configured`: the token where none is named.
    ///
    /// # Errors
    /// What is wrong with one of them, with its remedy.
    pub fn read(self, configured: Option<Secret>) -> Result<Access, Usage> {
        let token =
            self.token_file.as_deref().map(|path| file("--token-file", path, config::token_file)).transpose()?;
        let ca = self.tls_ca.as_deref().map(|path| file("--tls-ca", path, config::certificates_file)).transpose()?;
        let identity = match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => Some((
                file("--tls-cert", cert, config::certificates_file)?,
                Secret::from_file(key, file("--tls-key", key, config::private_key_file)?),
            )),
            (None, None) => None,
            (Some(_), None) => return Err(Usage("--tls-cert is useless without --tls-key".to_owned())),
            (None, Some(_)) => return Err(Usage("--tls-key is useless without --tls-cert".to_owned())),
        };
        let given = self.token_file.zip(token).map(|(path, token)| Secret::from_file(path, token));
        Ok(Access { token: given.or(configured), ca, identity })
    }
}

/// What is shown to the members, whether or not the cluster is found through one of them: what is given on the command line, and
/// else the configuration's token.
///
/// # Errors
/// What is wrong with a file, with its remedy.
pub fn of(options: &Options, before: &Asked, after: &Asked) -> Result<Access, Usage> {
    let given = after.access.clone().or(before.access.clone());
    let named = options.config.is_some() || (before.api.is_empty() && after.api.is_empty());
    let configured = named.then(|| options.load_for_client().ok()).flatten();
    given.read(configured.and_then(super::token))
}

/// The file of `--tls-ca`, for whoever passes it on.
pub fn authorities(before: &Asked, after: &Asked) -> Option<PathBuf> {
    after.access.tls_ca.clone().or_else(|| before.access.tls_ca.clone())
}

fn file(flag: &str, path: &Path, read: fn(&str) -> Result<String, (String, String)>) -> Result<String, Usage> {
    read(&path.to_string_lossy()).map_err(|(what, remedy)| Usage(format!("{flag}: {what}; {remedy}")))
}
