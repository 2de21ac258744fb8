//! Names in multiaddrs, resolved by the operating system before libp2p dials.

use std::net::IpAddr;
use std::time::Duration;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tokio::net::lookup_host;
use tokio::time::timeout;

/// How long a name may take. Our choice.
const PATIENCE: Duration = Duration::from_secs(5);

/// Addresses that one name is worth. Our choice.
const ANSWERS_MAX: usize = 4;

/// The same addresses with names replaced by what they stand for. A name that cannot be resolved is left out, its reason
/// added to `failures`.
pub async fn resolve(addresses: Vec<Multiaddr>, failures: &mut Vec<String>) -> Vec<Multiaddr> {
    let mut resolved = Vec::new();
    for address in addresses {
        match resolve_one(&address).await {
            Ok(found) => resolved.extend(found),
            Err(error) => failures.push(format!("{address}: {error}")),
        }
    }
    resolved
}

async fn resolve_one(address: &Multiaddr) -> Result<Vec<Multiaddr>, String> {
    let mut parts = address.iter();
    let first = parts.next();
    let (name, v4, v6) = match &first {
        Some(Protocol::Dns(name)) => (name, true, true),
        Some(Protocol::Dns4(name)) => (name, true, false),
        Some(Protocol::Dns6(name)) => (name, false, true),
        _ => return Ok(vec![address.clone()]),
    };
    let found = timeout(PATIENCE, lookup_host((name.as_ref(), 0)));
    let found = found.await.map_err(|_| "the name server does not answer".to_owned())?;
    let wanted = |ip: &IpAddr| if ip.is_ipv4() { v4 } else { v6 };
    let ips = found.map_err(|e| e.to_string())?.map(|at| at.ip()).filter(wanted).take(ANSWERS_MAX);
    let rest: Multiaddr = parts.collect();
    let found: Vec<Multiaddr> =
        ips.map(|ip| Multiaddr::from(ip).iter().chain(rest.iter()).collect()).collect();
    if found.is_empty() { Err("the name has no address of this kind".to_owned()) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_become_addresses_and_addresses_stay() {
        let all = ["/ip4/1.2.3.4/tcp/5", "/dns4/localhost/tcp/6", "/dns/name.invalid/tcp/7"];
        let mut failures = Vec::new();
        let all = all.iter().map(|text| text.parse().expect("an address")).collect();
        let resolved = resolve(all, &mut failures).await;
        assert_eq!(resolved[0].to_string(), "/ip4/1.2.3.4/tcp/5");
        assert_eq!(resolved[1].to_string(), "/ip4/127.0.0.1/tcp/6");
        assert_eq!(resolved.len(), 2);
        assert!(failures[0].starts_with("/dns/name.invalid/tcp/7: "), "{failures:?}");
    }
}
