//! `primacy proxy-config`: a proxy's configuration for the cluster's members.

use clap::{Args, ValueEnum};

use super::exit::Usage;
use super::{Asked, Exit, Options, access, client, print};
use crate::client::proxy_config::{Listen, Plan, haproxy, nginx};
use crate::output;

/// Print a complete configuration for a proxy, made from the cluster's members and their endpoints
///
/// One listener per name in coordinator.endpoints: http for http:// URLs, tcp (passed through) for host:port and https://. The proxy asks the members' APIs who leads. Known nodes that are not here right now are part of it; `primacy forget` takes them out.
#[derive(Debug, Args)]
pub struct Arguments {
    pub proxy: Proxy,
    /// Where to listen: one address for all endpoints, with the ports that they have themselves; or for one of them. May be given several times
    #[arg(long, value_name = "ADDRESS|NAME=ADDRESS:PORT")]
    pub listen: Vec<String>,
    #[command(flatten)]
    pub asked: Asked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Proxy {
    /// HAProxy 2.2 or later
    Haproxy,
    /// nginx, with its stream module where an endpoint is not http://
    Nginx,
}

pub fn run(options: &Options, before: Asked, arguments: Arguments) -> anyhow::Result<Exit> {
    let Arguments { proxy, listen, asked } = arguments;
    let listen = Listen::new(&listen).map_err(|what| Usage(format!("--listen: {what}")))?;
    let ca = access::authorities(&before, &asked).map(|path| path.display().to_string());
    let client = client(options, before, asked)?;
    let view = match client.sight() {
        Ok(sight) => sight.view,
        Err(error) => {
            output::complain(&format!("primacy: {error}"));
            return Ok(if error.could_not_ask() { Exit::CouldNotAsk } else { Exit::Failed });
        }
    };
    let plan = Plan::new(&view, &listen, ca)?;
    let file = match proxy {
        Proxy::Haproxy => haproxy::render(&plan),
        Proxy::Nginx => nginx::render(&plan)?,
    };
    for note in &plan.notes {
        output::complain(&format!("primacy: {note}"));
    }
    print(&file)?;
    Ok(Exit::Done)
}
