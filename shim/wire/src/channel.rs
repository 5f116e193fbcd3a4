//! Frames over a Unix stream socket: `u32` length (little endian), `postcard` body, at most one descriptor.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest body of a frame. A spec's environment and seccomp program fit many times over
/// (containerd limits the whole spec by its 16 MiB gRPC messages).
pub const MAX_FRAME: usize = 16 << 20;

/// Why a message could not be sent or received.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The socket failed.
    #[error("control channel: {0}")]
    Io(#[from] io::Error),
    /// The other side is gone.
    #[error("control channel: closed by the other side")]
    Closed,
    /// A frame longer than [`MAX_FRAME`].
    #[error("control channel: frame of {0} bytes is longer than {MAX_FRAME}")]
    TooLong(usize),
    /// A body that is no message.
    #[error("control channel: {0}")]
    Decode(#[from] postcard::Error),
}

/// One end of the control channel.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
    reader: FrameReader,
}

impl Channel {
    /// Takes a connected stream socket.
    #[must_use]
    pub fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            reader: FrameReader::default(),
        }
    }

    /// Sends one message and, if given, one descriptor. Blocks until the peer's buffer has taken it, also on
    /// a non-blocking socket.
    ///
    /// # Errors
    /// [`ChannelError`] when the peer is gone or the message is too long.
    pub fn send<M: Serialize>(
        &self,
        message: &M,
        attached: Option<BorrowedFd<'_>>,
    ) -> Result<(), ChannelError> {
        let body = postcard::to_allocvec(message)?;
        let length = u32::try_from(body.len())
            .ok()
            .filter(|_| body.len() <= MAX_FRAME)
            .ok_or(ChannelError::TooLong(body.len()))?;
        let mut frame = Vec::with_capacity(4 + body.len());
        frame.extend_from_slice(&length.to_le_bytes());
        frame.extend_from_slice(&body);

        let mut rest = frame.as_slice();
        let mut attached = attached;
        while !rest.is_empty() {
            let descriptors = attached.as_slice();
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            if !descriptors.is_empty() {
                ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
            }
            match sendmsg(
                &self.socket,
                &[io::IoSlice::new(rest)],
                &mut ancillary,
                SendFlags::NOSIGNAL,
            ) {
                Ok(sent) => {
                    rest = &rest[sent..];
                    attached = None;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => wait_writable(self.socket.as_fd())?,
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(ChannelError::Closed),
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
        Ok(())
    }

    /// Receives one message, waiting for it; for the worker's side.
    ///
    /// # Errors
    /// [`ChannelError::Closed`] when the peer is gone, others when it does not speak this protocol.
    pub fn recv<M: DeserializeOwned>(&mut self) -> Result<(M, Option<OwnedFd>), ChannelError> {
        loop {
            if let Some(received) = self.reader.next()? {
                return Ok(received);
            }
            match self.reader.fill(self.socket.as_fd()) {
                Err(ChannelError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    wait_readable(self.socket.as_fd())?;
                }
                other => other?,
            }
        }
    }

    /// Receives one message if it is there; for the pod process's loop, on a non-blocking socket.
    ///
    /// # Errors
    /// As [`Channel::recv`].
    pub fn try_recv<M: DeserializeOwned>(
        &mut self,
    ) -> Result<Option<(M, Option<OwnedFd>)>, ChannelError> {
        loop {
            if let Some(received) = self.reader.next()? {
                return Ok(Some(received));
            }
            match self.reader.fill(self.socket.as_fd()) {
                Err(ChannelError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(None);
                }
                other => other?,
            }
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Collects bytes and descriptors until a frame is whole.
#[derive(Debug, Default)]
pub struct FrameReader {
    bytes: Vec<u8>,
    /// The last that came, and where in `bytes` a byte is that came with it.
    descriptor: Option<(usize, OwnedFd)>,
}

impl FrameReader {
    /// Takes a whole frame out of what was read, if there is one.
    fn next<M: DeserializeOwned>(&mut self) -> Result<Option<(M, Option<OwnedFd>)>, ChannelError> {
        let Some((header, body)) = self.bytes.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*header) as usize;
        if length > MAX_FRAME {
            return Err(ChannelError::TooLong(length));
        }
        let Some(body) = body.get(..length) else {
            return Ok(None);
        };
        let message = postcard::from_bytes(body)?;
        let end = 4 + length;
        self.bytes.drain(..end);
        let its = self.descriptor.take_if(|(at, _)| *at < end);
        if let Some((at, _)) = &mut self.descriptor {
            *at -= end;
        }
        Ok(Some((message, its.map(|(_, descriptor)| descriptor))))
    }

    fn fill(&mut self, socket: BorrowedFd<'_>) -> Result<(), ChannelError> {
        let mut chunk = [0u8; 16 << 10];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            match recvmsg(
                socket,
                &mut [io::IoSliceMut::new(&mut chunk)],
                &mut ancillary,
                RecvFlags::CMSG_CLOEXEC,
            ) {
                Ok(received) => break received.bytes,
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET) => return Err(ChannelError::Closed),
                Err(error) => return Err(io::Error::from(error).into()),
            }
        };
        if received == 0 {
            return Err(ChannelError::Closed);
        }
        self.bytes.extend_from_slice(&chunk[..received]);
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                // What was sent before without one may be read together with it, what was sent after it is not
                // (unix_stream_read_generic in net/unix/af_unix.c).
                let came = |descriptor| (self.bytes.len() - 1, descriptor);
                self.descriptor = descriptors.last().map(came);
            }
        }
        Ok(())
    }
}

fn wait_writable(socket: BorrowedFd<'_>) -> io::Result<()> {
    wait(socket, rustix::event::PollFlags::OUT)
}

fn wait_readable(socket: BorrowedFd<'_>) -> io::Result<()> {
    wait(socket, rustix::event::PollFlags::IN)
}

fn wait(socket: BorrowedFd<'_>, events: rustix::event::PollFlags) -> io::Result<()> {
    let mut descriptors = [rustix::event::PollFd::from_borrowed_fd(socket, events)];
    match rustix::event::poll(&mut descriptors, None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek, Write};

    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;
    use crate::{Plan, ToPod, ToWorker};

    fn pair() -> (Channel, Channel) {
        let (a, b) = socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )
        .unwrap();
        (Channel::new(a), Channel::new(b))
    }

    #[test]
    fn a_large_plan_arrives_whole_while_both_sides_run() {
        let (pod, mut worker) = pair();
        let mut plan = Plan::default();
        plan.process.env = (0..20_000).map(|n| format!("NAME_{n}=value")).collect();
        let sent = ToWorker::Plan(Box::new(plan));
        let expected = sent.clone();
        let thread = std::thread::spawn(move || pod.send(&sent, None).unwrap());
        let (received, attached) = worker.recv::<ToWorker>().unwrap();
        thread.join().unwrap();
        assert_eq!(received, expected);
        assert!(attached.is_none());
    }

    #[test]
    fn a_descriptor_is_that_of_its_message_among_others() {
        let (pod, mut worker) = pair();
        let file = tempfile::tempfile().unwrap();
        pod.send(&ToWorker::Plan(Box::default()), None).unwrap();
        pod.send(&ToWorker::Placed, Some(file.as_fd())).unwrap();
        pod.send(&ToWorker::Go, None).unwrap();
        for (message, attached) in [
            (ToWorker::Plan(Box::default()), false),
            (ToWorker::Placed, true),
            (ToWorker::Go, false),
        ] {
            let received = worker.recv::<ToWorker>().unwrap();
            assert_eq!((received.0, received.1.is_some()), (message, attached));
        }
    }

    #[test]
    fn a_descriptor_travels_with_its_message() {
        let (mut pod, worker) = pair();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"wasm").unwrap();
        let message = ToPod::NeedCode {
            path: "/hello.wasm".into(),
            on_rootfs: true,
        };
        worker.send(&message, Some(file.as_fd())).unwrap();
        let (received, attached) = pod.try_recv::<ToPod>().unwrap().unwrap();
        assert_eq!(received, message);
        let mut copy = File::from(attached.unwrap());
        let mut text = String::new();
        copy.rewind().unwrap();
        copy.read_to_string(&mut text).unwrap();
        assert_eq!(text, "wasm");
    }

    #[test]
    fn nothing_yet_is_none_and_a_gone_peer_is_closed() {
        let (mut pod, worker) = pair();
        assert!(pod.try_recv::<ToPod>().unwrap().is_none());
        worker.send(&ToPod::Ready, None).unwrap();
        drop(worker);
        assert_eq!(
            pod.try_recv::<ToPod>().unwrap().map(|(message, _)| message),
            Some(ToPod::Ready)
        );
        assert!(matches!(pod.try_recv::<ToPod>(), Err(ChannelError::Closed)));
    }

    #[test]
    fn an_overlong_frame_is_refused_before_it_is_read() {
        let (mut pod, worker) = pair();
        rustix::io::write(&worker, &u32::MAX.to_le_bytes()).unwrap();
        assert!(matches!(
            pod.try_recv::<ToPod>(),
            Err(ChannelError::TooLong(_))
        ));
    }
}
