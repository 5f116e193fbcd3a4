//! Calls and jobs against a systemd played over a socket pair.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::thread;

use slipway_systemd::peer;

use super::*;

const UNIT: &str = "containerd.service";
const PATIENCE: Duration = Duration::from_secs(10);

/// A systemd that lets us in and answers each call it hears with the next of these.
fn systemd(answers: Vec<Vec<u8>>) -> (Systemd, thread::JoinHandle<Vec<String>>) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(PATIENCE)).unwrap();
    let played = thread::spawn(move || {
        let greeting = b"OK 0123456789abcdef\r\n".to_vec();
        let mut heard = Vec::new();
        for answer in std::iter::once(greeting).chain(answers) {
            let mut buffer = [0; 8192];
            let length = theirs.read(&mut buffer).unwrap();
            heard.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            theirs.write_all(&answer).unwrap();
        }
        heard
    });
    let mut connection = Connection::greet(ours).unwrap();
    connection.authenticate(Instant::now() + PATIENCE).unwrap();
    (Systemd { connection }, played)
}

#[test]
fn a_restart_is_over_when_its_own_job_is() {
    let restarted = [
        peer::job_removed("/job/1", "other.service", "failed"),
        peer::reply(2, Some("/job/2")),
        peer::job_removed("/job/1", "other.service", "failed"),
        peer::job_removed("/job/2", UNIT, "done"),
    ];
    let (mut systemd, played) = systemd(vec![
        peer::error(1, NO_SUCH_UNIT, "not loaded"),
        restarted.concat(),
    ]);
    systemd.restart(UNIT, PATIENCE).unwrap();
    let heard = played.join().unwrap();
    assert!(heard[1].contains("ResetFailedUnit") && heard[1].contains(UNIT));
    assert!(heard[2].contains("RestartUnit") && heard[2].contains(UNIT));
}

#[test]
fn a_job_that_fails_or_never_ends_is_told() {
    let (mut failing, _played) = systemd(vec![
        peer::reply(1, None),
        [
            peer::reply(2, Some("/job/2")),
            peer::job_removed("/job/2", UNIT, "failed"),
        ]
        .concat(),
    ]);
    let error = failing.restart(UNIT, PATIENCE).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the job to restart containerd.service ended as \"failed\""
    );

    let (ours, mut silent) = UnixStream::pair().unwrap();
    silent.write_all(b"OK 0\r\n").unwrap();
    silent.write_all(&peer::reply(1, Some("/job/1"))).unwrap();
    let connection = Connection::greet(ours).unwrap();
    let error = Systemd { connection }
        .stop(UNIT, Duration::from_millis(50))
        .unwrap_err();
    assert!(matches!(error, SystemdError::Timeout { .. }), "{error}");
    drop(silent);
}

#[test]
fn no_such_unit_is_stopped_and_has_no_state() {
    let gone = |serial| peer::error(serial, NO_SUCH_UNIT, "not loaded");
    let (mut systemd, _played) = systemd(vec![gone(1), gone(2)]);
    systemd.stop(UNIT, PATIENCE).unwrap();
    assert_eq!(systemd.unit(UNIT).unwrap(), None);
}

#[test]
fn a_service_has_the_state_its_properties_tell() {
    let text = |serial, value: &str| {
        let mut body = Body::default();
        body.signature("s");
        body.string(value);
        peer::returned(serial, &body.signed("v"))
    };
    let since = {
        let mut body = Body::default();
        body.signature("t");
        body.u64(1_700_000_000_000_000);
        peer::returned(4, &body.signed("v"))
    };
    let status = {
        let mut body = Body::default();
        body.signature("i");
        body.u32(203);
        peer::returned(6, &body.signed("v"))
    };
    let (mut systemd, _played) = systemd(vec![
        peer::reply(1, Some("/unit")),
        text(2, "failed"),
        text(3, "auto-restart"),
        since,
        text(5, "exit-code"),
        status,
    ]);
    let expected = UnitState {
        active: "failed".to_owned(),
        sub: "auto-restart".to_owned(),
        active_since_us: 1_700_000_000_000_000,
        result: "exit-code".to_owned(),
        exit_status: 203,
    };
    assert_eq!(systemd.unit(UNIT).unwrap(), Some(expected));
}

#[test]
fn a_transient_service_has_the_signatures_systemd_wants() {
    let command = ["/bin/a".to_owned(), "b".to_owned()];
    let call = transient_service("w.service", "d", &command);
    assert_eq!(call.signature(), "ssa(sv)a(sa(sv))");
    let bytes = String::from_utf8_lossy(call.bytes());
    assert!(bytes.contains("ExecStart\0\x07a(sasb)\0"));
    assert!(bytes.contains("/bin/a\0"));
}
