use std::io::Read as _;
use std::os::unix::net::UnixListener;

use super::*;
use crate::peer;

const SOON: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(10);

fn heard(stream: &mut UnixStream) -> String {
    let mut buffer = [0; 8192];
    let len = stream.read(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..len]).into_owned()
}

#[test]
fn the_handshake_is_taken_off_the_front() {
    let mut inbox = b"OK 0123".to_vec();
    assert!(!take_ok(&mut inbox).unwrap());
    inbox.extend(b"\r\nl");
    assert!(take_ok(&mut inbox).unwrap());
    assert_eq!(inbox, b"l");
    let rejected = take_ok(&mut b"REJECTED EXTERNAL\r\n".to_vec());
    assert!(matches!(rejected, Err(Error::Rejected)));
    let endless = take_ok(&mut vec![b'x'; MAX_LINE + 1]);
    assert!(matches!(endless, Err(Error::Protocol(_))));
}

#[test]
fn a_peer_that_says_nothing_or_no_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("private");
    let listener = UnixListener::bind(&socket).unwrap();
    let open = |limit| {
        Connection::open(&socket, limit).and_then(|mut connection| {
            connection.authenticate(Instant::now() + limit)?;
            Ok(connection)
        })
    };
    assert_eq!(open(SOON).unwrap_err().kind(), io::ErrorKind::TimedOut);

    let answer = std::thread::spawn(move || {
        let (_silent, _) = listener.accept().unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        assert!(heard(&mut peer).starts_with("\0AUTH"));
        peer.write_all(b"REJECTED EXTERNAL\r\n").unwrap();
    });
    let error = open(PATIENCE).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    answer.join().unwrap();
}

#[test]
fn a_call_waits_for_the_end_of_the_handshake() {
    let (ours, mut systemd) = UnixStream::pair().unwrap();
    systemd.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut connection = Connection::greet(ours).unwrap();
    let body = Signed::strings(&["a.service"]);
    let serial = connection
        .call(MANAGER, MANAGER_INTERFACE, "GetUnit", &body)
        .unwrap();
    assert_eq!(connection.receive().unwrap(), None);
    let greeting = heard(&mut systemd);
    assert!(greeting.starts_with("\0AUTH EXTERNAL ") && greeting.ends_with("\r\nBEGIN\r\n"));

    systemd.write_all(b"OK 0123456789abcdef\r\n").unwrap();
    assert_eq!(connection.receive().unwrap(), None);
    assert!(heard(&mut systemd).contains("GetUnit"));
    systemd
        .write_all(&peer::reply(serial, Some("/unit")))
        .unwrap();
    let reply = connection.receive_until(Instant::now() + PATIENCE).unwrap();
    assert!(matches!(reply, Incoming::Reply { serial: of, .. } if of == serial));

    let late = connection.receive_until(Instant::now() + SOON).unwrap_err();
    assert_eq!(io::Error::from(late).kind(), io::ErrorKind::TimedOut);
    systemd.write_all(b"HTTP/1.1 400 Bad Request\r\n").unwrap();
    let noise = connection
        .receive_until(Instant::now() + PATIENCE)
        .unwrap_err();
    assert_eq!(io::Error::from(noise).kind(), io::ErrorKind::InvalidData);
}

#[test]
fn a_bus_is_joined_before_it_is_asked() {
    let (ours, mut bus) = UnixStream::pair().unwrap();
    bus.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut connection = Connection::greet(ours).unwrap().join_bus().unwrap();
    heard(&mut bus);
    bus.write_all(b"OK 0123456789abcdef\r\n").unwrap();
    connection.authenticate(Instant::now() + PATIENCE).unwrap();
    let joined = heard(&mut bus);
    let places = ["Hello", "AddMatch", "Subscribe"].map(|method| joined.find(method).unwrap());
    assert!(places.is_sorted());
    drop(bus);
    assert!(matches!(connection.receive(), Err(Error::Io(_))));
}

#[test]
fn one_whose_peer_has_let_it_in_and_gone_is_of_no_use() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut connection = Connection::greet(ours).unwrap();
    assert!(!connection.is_let_in().unwrap());
    heard(&mut theirs);
    theirs.write_all(b"OK 0123\r\n").unwrap();
    assert!(connection.is_let_in().unwrap());
    drop(theirs);
    assert!(connection.is_let_in().is_err());
}
