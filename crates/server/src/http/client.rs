//! From where a request comes.

use std::net::IpAddr;

/// The client of a request, as told by the connection or by a trusted proxy. Every request carries one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    pub address: IpAddr,
    /// Whether the client speaks TLS, here or to the proxy.
    pub secure: bool,
}

impl Client {
    /// The address under which a client that nobody knows is counted: an IPv6 client has a /64 to itself.
    pub fn counting_key(&self) -> String {
        match self.address.to_canonical() {
            IpAddr::V4(address) => format!("address:{address}"),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                format!("address:{a:x}:{b:x}:{c:x}:{d:x}::/64")
            }
        }
    }
}
