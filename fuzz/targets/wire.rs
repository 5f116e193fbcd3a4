//! What a worker may send: a worker that a guest has taken over sends anything. The first byte tells the direction.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use rustix::net::{
    AddressFamily, SendFlags, Shutdown, SocketFlags, SocketType, send, shutdown, socketpair,
};
use slipway_shim_wire::{Channel, ChannelError, MAX_FRAME, ToPod, ToWorker};

fuzz_target!(|bytes: &[u8]| {
    let Some((direction, bytes)) = bytes.split_first() else {
        return;
    };
    if direction % 4 == 0 {
        check::<ToWorker>(bytes);
    } else {
        check::<ToPod>(bytes);
    }
});

fn check<M>(bytes: &[u8])
where
    M: serde::Serialize + serde::de::DeserializeOwned + PartialEq + Debug,
{
    let (sender, receiver) = socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )
    .expect("two sockets");
    let sent = send(&sender, bytes, SendFlags::NOSIGNAL);
    assert_eq!(sent.expect("room in the socket"), bytes.len());
    shutdown(&sender, Shutdown::Write).expect("a socket that is open");
    let mut channel = Channel::new(receiver);
    // Each message takes bytes, so this ends.
    let error = loop {
        match channel.try_recv::<M>() {
            Ok(Some((message, attached))) => {
                assert!(attached.is_none());
                let body = postcard::to_allocvec(&message).expect("a message has a form");
                assert!(body.len() <= MAX_FRAME);
                let again: M = postcard::from_bytes(&body).expect("what was written is read");
                assert_eq!(again, message);
            }
            Ok(None) => panic!("the other side is gone, which nobody says"),
            Err(error) => break error,
        }
    };
    match error {
        ChannelError::Closed | ChannelError::Decode(_) => {}
        ChannelError::TooLong(length) => assert!(length > MAX_FRAME),
        error => panic!("{error}"),
    }
}
