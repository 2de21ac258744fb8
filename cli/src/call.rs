//! `hyperlab call`: one JSON-RPC call.

use std::path::PathBuf;
use std::time::Duration;

use hyperspace_node::client::{self, CallError, Target};
use serde_json::Value;

use crate::failure::Failure;
use crate::output::Stdout;

/// What can be typed after `call`.
#[derive(Debug, clap::Args)]
pub(crate) struct CallArgs {
    /// Where the node is: ws://127.0.0.1:3100 or wss://host:port
    url: String,
    /// Which method, such as state.createSession
    method: String,
    /// Its parameters: a JSON object
    #[arg(default_value = "{}", value_name = "JSON")]
    params: String,
    /// A file whose first line is the API key or a session token
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    /// A PEM file of certificates to trust for wss://, in the place of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// How long to wait, in seconds
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

/// Calls, and prints the result.
pub(crate) fn call(args: &CallArgs) -> Result<(), Failure> {
    let params: Value = serde_json::from_str(&args.params).map_err(|error| {
        Failure::Input(format!("the parameters are not JSON: {error}\n  {}", args.params))
    })?;
    if !params.is_object() {
        return Err(Failure::Input(format!(
            "the parameters must be a JSON object such as {{\"sessionId\": \"...\"}}, not {params}"
        )));
    }
    let mut target = Target::new(&args.url[..]);
    target.ca.clone_from(&args.ca);
    target.timeout = Duration::from_secs(args.timeout);
    if let Some(path) = &args.api_key_file {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::Input(format!("cannot read {}: {error}", path.display())))?;
        let key = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        let none = || Failure::Input(format!("{} has no key in it", path.display()));
        target.key = Some(key.ok_or_else(none)?.to_owned());
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(anyhow::Error::from)?;
    match runtime.block_on(client::call(&target, &args.method, params)) {
        Ok(result) => Stdout::default().line(&format!("{result:#}")),
        Err(error) => Err(failure(error)),
    }
}

fn failure(error: CallError) -> Failure {
    let code = match &error {
        CallError::Reply { .. } => 1,
        CallError::Url(_) | CallError::Key | CallError::Ca(..) => 2,
        CallError::Unreachable(..)
        | CallError::Certificate(..)
        | CallError::Refused { .. }
        | CallError::Timeout(_)
        | CallError::Closed(_)
        | CallError::NotJsonRpc(_) => 3,
    };
    let mut text = error.to_string();
    if let CallError::Reply { data, .. } = &error
        && !data.is_null()
    {
        text.push_str(&format!("\n{data:#}"));
    }
    Failure::Node(code, text)
}
