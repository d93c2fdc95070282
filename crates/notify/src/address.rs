//! Where messages never go: the addresses at which clouds hand out credentials to whoever asks from inside.
//!
//! An address that a user may set is a way to make the server ask others. Hosts of private networks are fine, since people
//! run their chat there; link-local addresses and the few others that clouds use for metadata are not, written in whatever
//! form, and also when a name leads there at the moment of sending.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Metadata services outside of the link-local ranges.
const METADATA_V4: [Ipv4Addr; 2] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// A host that nothing is sent to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host} is a link-local or cloud metadata address, where no message is sent")]
pub(crate) struct Forbidden {
    pub(crate) host: String,
}

pub(crate) fn check(host: &str, address: IpAddr) -> Result<(), Forbidden> {
    if is_forbidden(address) {
        return Err(Forbidden {
            host: host.to_owned(),
        });
    }
    Ok(())
}

fn is_forbidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local() || METADATA_V4.contains(&v4),
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local()
                || METADATA_V6.contains(&v6)
                || embedded_v4(v6).is_some_and(|v4| is_forbidden(IpAddr::V4(v4)))
        }
    }
}

/// The IPv4 address inside of a mapped, compatible, translated (NAT64) or 6to4 address.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [first, second, .., high, low] = address.segments();
    let pair = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match (first, second) {
        (0x2002, _) => Some(pair(second, address.segments()[2])),
        (0x64, 0xff9b) => Some(pair(high, low)),
        _ => address.to_ipv4(),
    }
}

/// Resolves a name and refuses it where any of its addresses is forbidden.
pub(crate) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
    let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| ResolveError::Lookup(host.to_owned(), error.to_string()))?
        .collect();
    for address in &found {
        check(host, address.ip())?;
    }
    Ok(found)
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error("cannot find the address of {0}: {1}")]
    Lookup(String, String),
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
}

/// The resolver of the HTTP client. What it answers is what is connected to, so a name cannot lead elsewhere between the
/// check and the request.
pub(crate) struct CheckedResolver;

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port comes from the address that is requested.
            let found = resolve(name.as_str(), 0).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_address(address: &str, forbidden: bool) {
        let parsed: IpAddr = address.parse().expect("a valid address");
        assert_eq!(is_forbidden(parsed), forbidden, "{address}");
    }

    #[test]
    fn metadata_and_link_local_addresses_are_forbidden_in_every_form() {
        for address in [
            "169.254.169.254",
            "169.254.0.1",
            "100.100.100.200",
            "192.0.0.192",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
        ] {
            check_address(address, true);
        }
    }

    #[test]
    fn private_and_public_addresses_are_fine() {
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.1.1",
            "172.16.0.9",
            "8.8.8.8",
            "100.100.100.201",
            "::1",
            "fd00::1",
            "2606:4700::1111",
            "::ffff:10.0.0.1",
        ] {
            check_address(address, false);
        }
    }

    /// The system's resolver reads old ways of writing an address, which this one is.
    #[tokio::test]
    async fn a_name_that_leads_to_a_forbidden_address_is_refused() {
        let found = resolve("169.254.43518", 80).await;
        assert!(
            matches!(found, Err(ResolveError::Forbidden(_))),
            "{found:?}"
        );
        let found = resolve("localhost", 80)
            .await
            .expect("every machine knows itself");
        assert!(found.iter().all(|address| address.ip().is_loopback()));
    }
}
