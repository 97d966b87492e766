//! The realm of a challenge: the origin's host, and why a client can't choose it.
//!
//! A client pays only challenges whose realm is the host it meant to reach, and a payee takes back only challenges of
//! the realm they are presented at. Both checks are worth nothing if whoever asks may name the realm: the same secret
//! often signs for two origins of one creator, and with `Host: dear.example` at the cheap one an attacker would hold a
//! cheap challenge that passes at the dear one. So a realm is either set by whoever runs the gateway, or it is one that
//! the gateway can prove to be its own: the address and port that the connection reached.

use axum::http::header::HOST;
use axum::http::request::Parts;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The longest host with its port: a DNS name has at most 253 bytes.
const REALM_LENGTH_MAX: usize = 260;

/// Ports that clients leave out of `Host`, with and without TLS in front.
const DEFAULT_PORTS: [u16; 2] = [80, 443];

/// A host, and its port where that is not the default: `music.example`, `localhost:8402`, `[::1]:8402`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Realm {
    host: Host,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Host {
    Name(String),
    Address(IpAddr),
}

/// Thrown when there is no realm to issue a challenge for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RealmError {
    /// Not a host and perhaps a port.
    #[error("{0:?} is not a host; write music.example or music.example:8402, without https:// and without a path")]
    Malformed(String),
    /// A request without exactly one `Host`.
    #[error("the request has {count} Host fields; it needs one")]
    HostCount {
        /// How many it has.
        count: usize,
    },
    /// The gateway was not told this name and can't know whether it is its own.
    #[error("this gateway does not know that it is {0}; whoever runs it must set that as its realm")]
    NotOurs(Realm),
}

/// Where the connection was accepted; [`serve`](crate::serve()) notes it on every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalAddress(pub SocketAddr);

impl Realm {
    /// The realm for a request: the one that was set, or the request's own `Host` if that is provably this gateway.
    ///
    /// # Errors
    ///
    /// If none was set and the request names no host, several, or one that can't be proven to be ours.
    pub fn of_request(set: Option<&Self>, request: &Parts) -> Result<Self, RealmError> {
        if let Some(realm) = set {
            return Ok(realm.clone());
        }
        let realm = Self::asked_for(request)?;
        let local = request.extensions.get::<LocalAddress>().map(|local| local.0);
        if realm.is_at(local) { Ok(realm) } else { Err(RealmError::NotOurs(realm)) }
    }

    /// The host that the client asked for; the request's target comes before `Host` (RFC 9112, section 3.2.2).
    fn asked_for(request: &Parts) -> Result<Self, RealmError> {
        if let Some(authority) = request.uri.authority() {
            return authority.as_str().parse();
        }
        let mut hosts = request.headers.get_all(HOST).iter();
        match (hosts.next(), hosts.count()) {
            (Some(host), 0) => {
                host.to_str().map_err(|_| RealmError::Malformed(format!("{host:?}"))).and_then(str::parse)
            }
            (None, _) => Err(RealmError::HostCount { count: 0 }),
            (Some(_), others) => Err(RealmError::HostCount { count: others.saturating_add(1) }),
        }
    }

    /// Whether a connection accepted at `local` was made to this realm. Without an address only loopback counts.
    fn is_at(&self, local: Option<SocketAddr>) -> bool {
        let port_fits = local.is_none_or(|local| match self.port {
            Some(port) => port == local.port(),
            None => DEFAULT_PORTS.contains(&local.port()),
        });
        let local_ip = local.map(|local| local.ip().to_canonical());
        let host_fits = match &self.host {
            Host::Name(name) => name == "localhost" && local_ip.is_none_or(|ip| ip.is_loopback()),
            Host::Address(address) => local_ip.map_or(address.is_loopback(), |ip| ip == address.to_canonical()),
        };
        port_fits && host_fits
    }

    /// Whether this is a name that only a proxy can have put in front: no address, no loopback, no port.
    pub(crate) fn is_public_name(&self) -> bool {
        self.port.is_none() && matches!(&self.host, Host::Name(name) if name != "localhost")
    }
}

impl FromStr for Realm {
    type Err = RealmError;

    /// Reads a host and perhaps a port; case and default ports make no difference.
    fn from_str(text: &str) -> Result<Self, RealmError> {
        let malformed = || RealmError::Malformed(text.chars().take(REALM_LENGTH_MAX).collect());
        if text.len() > REALM_LENGTH_MAX {
            return Err(malformed());
        }
        let (host, port) = split_port(text).ok_or_else(malformed)?;
        let host = parse_host(host).ok_or_else(malformed)?;
        let port = port.map(|port| parse_port(port).ok_or_else(malformed)).transpose()?;
        Ok(Self { host, port: port.filter(|port| !DEFAULT_PORTS.contains(port)) })
    }
}

impl fmt::Display for Realm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) => formatter.write_str(name)?,
            Host::Address(IpAddr::V4(address)) => write!(formatter, "{address}")?,
            Host::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]")?,
        }
        self.port.map_or(Ok(()), |port| write!(formatter, ":{port}"))
    }
}

/// Splits at the port's colon, which is outside of the brackets of an IPv6 address.
fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    let (host, port) = match text.rfind(']') {
        Some(bracket) => text.split_at(bracket.checked_add(1)?),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    if port.is_empty() { Some((host, None)) } else { port.strip_prefix(':').map(|port| (host, Some(port))) }
}

fn parse_port(text: &str) -> Option<u16> {
    // `parse` alone would take `+80`.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

fn parse_host(text: &str) -> Option<Host> {
    if let Some(address) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().ok().map(|address| Host::Address(address.into()));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        // An IPv6 address without brackets never gets here: it was split at its first colon.
        return Some(Host::Address(address));
    }
    let is_label = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(allowed)
    };
    text.split('.').all(is_label).then(|| Host::Name(text.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn request(host: &str, local: Option<&str>) -> Parts {
        let mut request = Request::get("/song").header(HOST, host).body(()).expect("builds");
        if let Some(local) = local {
            request.extensions_mut().insert(LocalAddress(local.parse().expect("an address")));
        }
        request.into_parts().0
    }

    #[test]
    fn one_host_has_one_spelling() {
        for (text, realm) in [
            ("Music.Example", "music.example"),
            ("music.example:443", "music.example"),
            ("LOCALHOST:8402", "localhost:8402"),
            ("[0:0::1]:8402", "[::1]:8402"),
            ("127.0.0.1:80", "127.0.0.1"),
        ] {
            assert_eq!(text.parse::<Realm>().expect(text).to_string(), realm);
        }
    }

    #[test]
    fn refuses_what_is_no_host() {
        for text in ["", "https://x", "a/b", "a b", "a:", "a:0", "a:+80", "a:65536", "::1", "[::1", "a..b", "a|b", "ä"]
        {
            assert!(text.parse::<Realm>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_host_that_is_not_provably_ours_is_refused() {
        let ours = |host: &str, local| Realm::of_request(None, &request(host, local)).is_ok();
        assert!(ours("localhost:8402", Some("127.0.0.1:8402")));
        assert!(ours("10.0.0.7:8402", Some("[::ffff:10.0.0.7]:8402")));
        assert!(ours("127.0.0.1:9", None));
        for (host, local) in [
            ("dear.example", Some("127.0.0.1:80")),
            ("localhost:8403", Some("127.0.0.1:8402")),
            ("localhost:8402", Some("10.0.0.7:8402")),
            ("10.0.0.8:8402", Some("10.0.0.7:8402")),
            ("10.0.0.7", None),
        ] {
            assert!(!ours(host, local), "{host} at {local:?}");
        }
    }

    #[test]
    fn a_realm_that_was_set_is_the_realm_whatever_the_client_says() {
        let set = "music.example".parse().expect("a host");
        let realm = Realm::of_request(Some(&set), &request("evil.example", Some("127.0.0.1:80")));
        assert_eq!(realm, Ok(set));
    }

    #[test]
    fn two_hosts_are_none() {
        let mut parts = request("localhost", None);
        parts.headers.append(HOST, "localhost".parse().expect("a value"));
        assert_eq!(Realm::of_request(None, &parts), Err(RealmError::HostCount { count: 2 }));
    }
}
