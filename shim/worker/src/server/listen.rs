//! Where a server listens. Names and defaults are those of runwasi's wasmtime shim.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// The variable that holds the address.
const ADDRESS: &str = "WASMTIME_HTTP_PROXY_SOCKET_ADDR";
/// The variables that hold the backlog: as runwasi documents it, and as it reads it.
const BACKLOG: [&str; 2] = ["WASMTIME_HTTP_PROXY_BACKLOG", "WASMTIME_HTTP_BACKLOG"];

const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080);
const DEFAULT_BACKLOG: u32 = 1024;

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) address: SocketAddr,
    backlog: u32,
}

impl Listen {
    /// Reads the container's variables.
    ///
    /// # Errors
    /// A sentence that names the variable and what it should hold.
    pub(crate) fn from_env<'a>(
        variable: impl Fn(&'static str) -> Option<&'a str>,
    ) -> Result<Self, String> {
        let expected = |name, expected: &str, found: &str| {
            let found: String = found.chars().take(100).collect();
            format!("{name}: expected {expected}, found {found:?}")
        };
        let address = match variable(ADDRESS) {
            None => DEFAULT_ADDRESS,
            Some(text) => text
                .parse()
                .map_err(|_| expected(ADDRESS, "an address and a port like 0.0.0.0:8080", text))?,
        };
        let given = BACKLOG
            .into_iter()
            .find_map(|name| variable(name).map(|text| (name, text)));
        let backlog = match given {
            None => DEFAULT_BACKLOG,
            Some((name, text)) => text
                .parse()
                .map_err(|_| expected(name, "a number of connections", text))?,
        };
        Ok(Self { address, backlog })
    }

    /// Starts to listen.
    pub(crate) fn bind(&self) -> std::io::Result<TcpListener> {
        let socket = if self.address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        // A restarted container finds connections of the last one still closing.
        socket.set_reuseaddr(true)?;
        socket.bind(self.address)?;
        socket.listen(self.backlog)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(variables: &[(&str, &'static str)]) -> Result<(String, u32), String> {
        let listen = Listen::from_env(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| *value)
        })?;
        Ok((listen.address.to_string(), listen.backlog))
    }

    #[test]
    fn the_default_is_8080_on_all_addresses() {
        assert_eq!(listen(&[]), Ok(("0.0.0.0:8080".into(), 1024)));
    }

    #[test]
    fn variables_are_honoured() {
        let given = [
            (ADDRESS, "[::]:3000"),
            ("WASMTIME_HTTP_BACKLOG", "1"),
            ("WASMTIME_HTTP_PROXY_BACKLOG", "2"),
        ];
        assert_eq!(listen(&given), Ok(("[::]:3000".into(), 2)));
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(
            listen(&[(ADDRESS, "8080")]).unwrap_err(),
            "WASMTIME_HTTP_PROXY_SOCKET_ADDR: expected an address and a port like 0.0.0.0:8080, \
             found \"8080\""
        );
        assert!(listen(&[("WASMTIME_HTTP_BACKLOG", "-1")]).is_err());
    }
}
