//! `primacy which-active`: for scripts.

use clap::{ArgAction, Args};

use super::{Asked, Exit, Options, access, api_url, client};
use crate::client::commands::{self, Which};

/// Print the active node's name; exit with 1 where none is active, with 3 where nobody who could know was reached
///
/// In both cases nothing is printed on standard output.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Print the active node's API URL instead
    #[arg(long, conflicts_with = "endpoint")]
    pub url: bool,
    /// Ask these members' APIs, in turn, instead of ZooKeeper. Without a value: the same as --url. May be given twice, for both
    #[arg(long, value_name = "URL[,URL…]", num_args = 0..=1, action = ArgAction::Append, default_missing_value = "",
          value_delimiter = ',', value_parser = optional_api_url)]
    pub api: Vec<String>,
    #[command(flatten)]
    pub access: access::AccessArguments,
    /// Print this one of its coordinator.endpoints instead
    #[arg(long, value_name = "NAME")]
    pub endpoint: Option<String>,
}

impl Arguments {
    /// What to print, and whom to ask.
    fn split(self) -> Result<(Which, Asked), super::exit::Usage> {
        let bare = self.url || self.api.iter().any(String::is_empty);
        let urls = self.api.into_iter().filter(|url| !url.is_empty()).collect();
        let asked = Asked { api: urls, access: self.access };
        match (bare, self.endpoint) {
            (true, Some(_)) => {
                Err(super::exit::Usage("--api (without a value) and --endpoint exclude each other".to_owned()))
            }
            (true, None) => Ok((Which::Api, asked)),
            (false, Some(name)) => Ok((Which::Endpoint(name), asked)),
            (false, None) => Ok((Which::Node, asked)),
        }
    }
}

fn optional_api_url(text: &str) -> Result<String, String> {
    if text.is_empty() { Ok(String::new()) } else { api_url(text) }
}

pub fn run(options: &Options, before: Asked, arguments: Arguments) -> anyhow::Result<Exit> {
    let (which, asked) = arguments.split()?;
    let client = client(options, before, asked)?;
    Ok(commands::which_active(&client, &which).into())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parse(line: &str) -> (Which, Vec<String>, Vec<String>) {
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        let Command::WhichActive(arguments) = cli.command else { panic!("another command") };
        let (which, after) = arguments.split().unwrap();
        (which, cli.api, after.api)
    }

    #[test]
    fn api_without_a_value_chooses_what_is_printed_and_with_urls_whom_to_ask() {
        let a = || vec!["http://a:9090".to_owned()];
        let ab = || vec!["http://a:9090".to_owned(), "https://b:9090".to_owned()];
        assert_eq!(parse("primacy which-active"), (Which::Node, vec![], vec![]));
        assert_eq!(parse("primacy which-active --api"), (Which::Api, vec![], vec![]));
        assert_eq!(parse("primacy which-active --url"), (Which::Api, vec![], vec![]));
        assert_eq!(parse("primacy which-active --url --api http://a:9090"), (Which::Api, vec![], a()));
        assert_eq!(parse("primacy which-active --api -c file"), (Which::Api, vec![], vec![]));
        assert_eq!(parse("primacy which-active --api http://a:9090"), (Which::Node, vec![], a()));
        assert_eq!(parse("primacy which-active --api http://a:9090,https://b:9090"), (Which::Node, vec![], ab()));
        assert_eq!(parse("primacy which-active --api http://a:9090/ --api"), (Which::Api, vec![], a()));
        assert_eq!(parse("primacy --api http://a:9090 which-active --api"), (Which::Api, a(), vec![]));
        assert_eq!(
            parse("primacy which-active --endpoint web --api http://a:9090"),
            (Which::Endpoint("web".to_owned()), vec![], a())
        );
    }

    #[test]
    fn an_endpoint_and_the_api_url_cannot_both_be_printed() {
        let cli = Cli::try_parse_from(["primacy", "which-active", "--api", "--endpoint", "web"]).unwrap();
        let Command::WhichActive(arguments) = cli.command else { panic!("another command") };
        arguments.split().unwrap_err();
    }
}
