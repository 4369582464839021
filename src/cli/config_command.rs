//! `primacy config`: what may be written into the file, and what applies.

use clap::{Args, Subcommand, ValueEnum};

use super::{Exit, Options, print};
use crate::config;

/// Print an example configuration, the effective one, or its JSON Schema
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    pub what: What,
}

#[derive(Debug, Subcommand)]
pub enum What {
    /// A commented example with every key
    Default,
    /// The effective configuration, secrets hidden; exits with 78 and lists every problem if there is one
    Show {
        /// How it is written
        #[arg(short, long, value_enum, default_value = "toml", value_name = "FORMAT")]
        output: Output,
    },
    /// A JSON Schema of the file, for editors
    Schema,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// As in the file
    Toml,
    /// The same as JSON
    Json,
}

pub fn run(options: &Options, arguments: &Arguments) -> anyhow::Result<Exit> {
    match arguments.what {
        What::Default => print(config::default_text())?,
        What::Schema => print(&format!("{:#}\n", config::schema()))?,
        What::Show { output } => {
            let effective = config::effective(&options.load_for_client()?);
            match output {
                Output::Toml => print(&toml::to_string(&effective)?)?,
                Output::Json => print(&format!("{effective:#}\n"))?,
            }
        }
    }
    Ok(Exit::Done)
}
