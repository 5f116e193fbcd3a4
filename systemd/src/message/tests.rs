use proptest::prelude::*;

use super::*;
use crate::peer;

#[test]
fn a_call_is_laid_out_as_specified() {
    let body = Signed::strings(&["x.scope"]);
    let call = Call {
        destination: "d.e",
        path: "/a",
        interface: "i.f",
        method: "M",
        body: Some(&body),
    };
    let bytes = call.encode(3);
    assert_eq!(
        &bytes[..16],
        b"l\x01\x00\x01\x0c\x00\x00\x00\x03\x00\x00\x00\x47\x00\x00\x00"
    );
    assert_eq!(
        &bytes[16..32],
        b"\x01\x01o\x00\x02\x00\x00\x00/a\x00\x00\x00\x00\x00\x00"
    );
    assert_eq!(&bytes[bytes.len() - 12..], b"\x07\x00\x00\x00x.scope\x00");
    assert_eq!((bytes.len() - 12) % 8, 0);
}

#[test]
fn messages_are_taken_one_by_one() {
    let mut inbox = peer::reply(4, Some("/job/1"));
    inbox.extend(peer::job_removed("/job/1", "x.scope", "done"));
    inbox.extend(peer::error(5, "a.b", "no"));
    let tail = inbox.split_off(inbox.len() - 1);
    let reply = Incoming::Reply {
        serial: 4,
        body: vec![Value::Text("/job/1".into())],
    };
    assert_eq!(take(&mut inbox), Ok(Some(reply)));
    let removed = take(&mut inbox).unwrap().unwrap();
    assert_eq!(removed.job_removed(), Some(("/job/1", "done")));
    assert_eq!(take(&mut inbox), Ok(None), "the last byte is missing");
    inbox.extend(tail);
    let error = Incoming::Error {
        serial: 5,
        name: "a.b".into(),
        message: "no".into(),
    };
    assert_eq!(take(&mut inbox), Ok(Some(error)));
    assert!(inbox.is_empty());
}

#[test]
fn a_signal_is_read_whatever_its_sender_is_called() {
    let signal = take(&mut peer::job_removed(
        "/job/5",
        "containerd.service",
        "done",
    ));
    let Ok(Some(Incoming::Signal { member, body })) = signal else {
        panic!("{signal:?}");
    };
    assert_eq!(member, "JobRemoved");
    assert_eq!(body[0], Value::Unsigned(5));
    assert_eq!(body[3], Value::Text("done".to_owned()));
}

fn returned(signature: &str, write: impl FnOnce(&mut Body)) -> Result<Vec<Value>, &'static str> {
    let mut body = Body::default();
    write(&mut body);
    match take(&mut peer::returned(1, &body.signed(signature)))? {
        Some(Incoming::Reply { body, .. }) => Ok(body),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_body_is_read_up_to_what_nobody_asks_for() {
    let variant = |body: &mut Body| {
        body.signature("i");
        body.u32(u32::MAX);
        body.boolean(true);
    };
    assert_eq!(returned("vb", variant), Ok(vec![Value::Signed(-1)]));
    let nested = |body: &mut Body| {
        body.signature("v");
        body.signature("v");
    };
    assert_eq!(returned("v", nested), Ok(vec![]));
    let cut = |body: &mut Body| body.u32(9);
    assert!(returned("s", cut).is_err(), "nine bytes that are not there");
    assert!(returned("t", cut).is_err());
}

#[test]
fn a_message_cannot_ask_for_more_than_the_bound() {
    let mut inbox = b"l\x02\x00\x01\xff\xff\xff\xff\x01\x00\x00\x00\xff\xff\xff\xff".to_vec();
    assert!(take(&mut inbox).is_err());
    let mut inbox = b"B\x02\x00\x01\0\0\0\0\x01\0\0\0\0\0\0\0".to_vec();
    assert!(take(&mut inbox).is_err());
}

proptest! {
    #[test]
    fn whatever_comes_is_survived(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), flip in 0usize..200) {
        let _ = take(&mut bytes);
        let mut real = peer::job_removed("/job/1", "x.scope", "done");
        let at = flip % real.len();
        real[at] ^= 0x55;
        let _ = take(&mut real);
    }
}
