//! A name server that knows one name.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Answers on port 53 of an address as long as it lives.
#[derive(Debug)]
pub struct NameServer {
    socket: UdpSocket,
}

impl NameServer {
    /// Begins to answer: `name` has the address, no other name is known.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn start(at: IpAddr, name: &'static str, address: Ipv4Addr) -> Result<Self> {
        let socket = UdpSocket::bind((at, 53)).with_context(|| format!("port 53 of {at}"))?;
        let serving = socket.try_clone()?;
        serving.set_read_timeout(Some(Duration::from_secs(60)))?;
        std::thread::spawn(move || {
            let mut query = [0; 512];
            // Ends by an empty datagram, or when nobody has asked for long.
            while let Ok((length @ 1.., from)) = serving.recv_from(&mut query) {
                if let Some(answer) = answer(&query[..length], name, address) {
                    // Who does not get it asks again.
                    let _ = serving.send_to(&answer, from);
                }
            }
        });
        Ok(Self { socket })
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        if let Ok(own) = self.socket.local_addr() {
            // In vain only if the thread has ended already.
            let _ = self.socket.send_to(&[], own);
        }
    }
}

/// The answer to a query for one name (RFC 1035, section 4).
fn answer(query: &[u8], known: &str, address: Ipv4Addr) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    const A: [u8; 2] = [0, 1];
    let mut name = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        name.push(String::from_utf8_lossy(query.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let kind = query.get(at..at + 2)?;
    let question = query.get(HEADER..at + 4)?;
    let is_known = name.join(".") == known;
    let answers = is_known && kind == A;
    let mut reply = query[..2].to_vec();
    // An answer, recursion as it was asked for; 3 is "no such name".
    reply.extend([0x81, if is_known { 0x80 } else { 0x83 }]);
    reply.extend([0, 1, 0, u8::from(answers), 0, 0, 0, 0]);
    reply.extend(question);
    if answers {
        // The name of the question, its type and class, a minute, four bytes.
        reply.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        reply.extend(address.octets());
    }
    Some(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_is_known() {
        let query = |name: &str, kind: u8| {
            let mut query = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            for label in name.split('.') {
                query.push(u8::try_from(label.len()).unwrap());
                query.extend(label.bytes());
            }
            query.extend([0, 0, kind, 0, 1]);
            query
        };
        let ask =
            |name, kind| answer(&query(name, kind), "a.test", Ipv4Addr::new(192, 0, 2, 1)).unwrap();
        let found = ask("A.test", 1);
        assert_eq!((found[3] & 15, found[7]), (0, 1));
        assert!(found.ends_with(&[192, 0, 2, 1]));
        let other_kind = ask("a.test", 28);
        assert_eq!((other_kind[3] & 15, other_kind[7]), (0, 0));
        assert_eq!(ask("b.test", 1)[3] & 15, 3);
        assert_eq!(
            answer(&[0; 13], "a.test", Ipv4Addr::LOCALHOST).map(|reply| reply.len()),
            None
        );
    }
}
