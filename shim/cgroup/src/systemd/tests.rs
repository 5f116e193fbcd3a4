//! Jobs against a systemd played over a socket pair.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use slipway_systemd::peer;

use super::*;

const UNIT: &str = "cri-containerd-1.scope";

struct Systemd {
    stream: UnixStream,
}

impl Systemd {
    fn new() -> (Self, Connection) {
        let (ours, theirs) = UnixStream::pair().expect("socket pair");
        theirs
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("timeout");
        (
            Self { stream: theirs },
            Connection::greet(ours).expect("greeting"),
        )
    }

    /// Everything sent so far.
    fn heard(&mut self) -> String {
        let mut buffer = [0; 8192];
        let len = self.stream.read(&mut buffer).expect("a call");
        String::from_utf8_lossy(&buffer[..len]).into_owned()
    }

    /// Ends the handshake; the first call, which must not come before that.
    fn lets_in(&mut self, job: &mut UnitJob) -> String {
        let greeting = self.heard();
        assert!(greeting.starts_with("\0AUTH EXTERNAL ") && greeting.ends_with("\r\nBEGIN\r\n"));
        assert!(job.on_ready().is_pending());
        self.says(b"OK 0123456789abcdef\r\n");
        assert!(job.on_ready().is_pending());
        self.heard()
    }

    fn says(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("send");
    }
}

fn properties() -> Vec<Property> {
    scope(
        "system.slice",
        42,
        crate::hierarchy::Version::V1,
        &crate::Resources::default(),
    )
}

#[test]
fn a_scope_is_there_when_its_job_is_done() {
    let (mut systemd, connection) = Systemd::new();
    let mut job = UnitJob::start_on(connection, UNIT, properties()).expect("sent");
    let heard = systemd.lets_in(&mut job);
    assert!(
        heard.contains("StartTransientUnit")
            && heard.contains(UNIT)
            && heard.contains("CollectMode")
    );
    systemd.says(&peer::job_removed("/job/1", "other.scope", "failed"));
    systemd.says(&peer::reply(1, Some("/job/2")));
    assert!(job.on_ready().is_pending(), "accepted is not done");
    systemd.says(&peer::job_removed("/job/2", UNIT, "done"));
    assert!(matches!(job.on_ready(), Poll::Ready(Ok(()))));
}

#[test]
fn a_failed_unit_of_that_name_is_cleared_once() {
    let (mut systemd, connection) = Systemd::new();
    let mut job = UnitJob::start_on(connection, UNIT, properties()).expect("sent");
    systemd.lets_in(&mut job);
    systemd.says(&peer::error(1, UNIT_EXISTS, "Unit was already loaded."));
    assert!(job.on_ready().is_pending());
    assert!(systemd.heard().contains("ResetFailedUnit"));
    systemd.says(&peer::reply(2, None));
    assert!(job.on_ready().is_pending());
    assert!(systemd.heard().contains("StartTransientUnit"));
    systemd.says(&peer::reply(3, Some("/job/9")));
    systemd.says(&peer::job_removed("/job/9", UNIT, "done"));
    assert!(matches!(job.on_ready(), Poll::Ready(Ok(()))));
}

#[test]
fn an_old_systemd_is_asked_for_less() {
    let (mut systemd, connection) = Systemd::new();
    let mut job = UnitJob::start_on(connection, UNIT, properties()).expect("sent");
    systemd.lets_in(&mut job);
    let unknown = "org.freedesktop.DBus.Error.PropertyReadOnly";
    systemd.says(&peer::error(1, unknown, "Cannot set property CollectMode"));
    assert!(job.on_ready().is_pending());
    let heard = systemd.heard();
    assert!(
        heard.contains("StartTransientUnit") && !heard.contains("CollectMode"),
        "{heard:?}"
    );
    systemd.says(&peer::error(2, unknown, "Cannot set property Slice"));
    let Poll::Ready(Err(error)) = job.on_ready() else {
        panic!("still under way")
    };
    assert_eq!(
        error.to_string(),
        format!("systemd refused {UNIT}: Cannot set property Slice ({unknown})")
    );
}

#[test]
fn stopping_what_is_gone_is_done() {
    let (mut systemd, connection) = Systemd::new();
    let mut job = UnitJob::stop_on(connection, UNIT).expect("sent");
    systemd.lets_in(&mut job);
    systemd.says(&peer::error(1, NO_SUCH_UNIT, "not loaded"));
    assert!(matches!(job.on_ready(), Poll::Ready(Ok(()))));
}

#[test]
fn a_stopped_scope_is_forgotten_too() {
    let (mut systemd, connection) = Systemd::new();
    let mut job = UnitJob::stop_on(connection, UNIT).expect("sent");
    systemd.lets_in(&mut job);
    systemd.says(&peer::reply(1, Some("/job/3")));
    systemd.says(&peer::job_removed("/job/3", UNIT, "failed"));
    assert!(job.on_ready().is_pending());
    assert!(systemd.heard().contains("ResetFailedUnit"));
    systemd.says(&peer::error(2, NO_SUCH_UNIT, "not loaded"));
    assert!(matches!(job.on_ready(), Poll::Ready(Ok(()))));
}

#[test]
fn trouble_is_told_by_the_units_name() {
    let (mut systemd, connection) = Systemd::new();
    let mut job = UnitJob::start_on(connection, UNIT, properties()).expect("sent");
    systemd.lets_in(&mut job);
    systemd.says(&peer::reply(1, Some("/job/2")));
    systemd.says(&peer::job_removed("/job/2", UNIT, "canceled"));
    let Poll::Ready(Err(error)) = job.on_ready() else {
        panic!("still under way")
    };
    assert_eq!(
        error.to_string(),
        format!("systemd's job for {UNIT} ended as \"canceled\" instead of \"done\"")
    );

    let (systemd, connection) = Systemd::new();
    let job = UnitJob::stop_on(connection, UNIT).expect("sent");
    let error = job
        .wait(Duration::from_millis(20))
        .expect_err("nobody answers");
    assert!(matches!(error, SystemdError::TimedOut { .. }), "{error}");
    drop(systemd);

    let (systemd, connection) = Systemd::new();
    let mut job = UnitJob::stop_on(connection, UNIT).expect("sent");
    drop(systemd);
    assert!(matches!(
        job.on_ready(),
        Poll::Ready(Err(SystemdError::Io { .. }))
    ));
}
