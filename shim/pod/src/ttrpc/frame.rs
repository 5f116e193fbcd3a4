//! Frames: length, stream, kind, flags, body.

/// Length of a frame's header.
pub const HEADER: usize = 10;

/// The longest body: `messageLengthMax` of containerd's ttrpc.
pub const MAX_BODY: usize = 4 << 20;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// From a client.
    Request,
    /// From a server.
    Response,
    /// Part of a streaming call.
    Data,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Which call it belongs to; odd when a client opened it.
    pub stream: u32,
    /// What it is.
    pub kind: Kind,
    /// The protobuf message.
    pub body: Vec<u8>,
}

/// Bytes that are no ttrpc. The connection they came on is of no further use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Longer than [`MAX_BODY`].
    #[error("ttrpc: a body of {0} bytes is longer than {MAX_BODY}")]
    TooLong(usize),
    /// A kind nobody defined.
    #[error("ttrpc: unknown message type {0}")]
    UnknownKind(u8),
}

/// Takes the first whole frame out of `bytes`.
///
/// # Errors
/// [`FrameError`] as soon as the header shows that there will be none.
pub fn take(bytes: &mut Vec<u8>) -> Result<Option<Frame>, FrameError> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let [l0, l1, l2, l3, s0, s1, s2, s3, kind, _flags] = *header;
    let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
    if length > MAX_BODY {
        return Err(FrameError::TooLong(length));
    }
    let kind = match kind {
        1 => Kind::Request,
        2 => Kind::Response,
        3 => Kind::Data,
        other => return Err(FrameError::UnknownKind(other)),
    };
    let Some(body) = rest.get(..length) else {
        return Ok(None);
    };
    let frame = Frame {
        stream: u32::from_be_bytes([s0, s1, s2, s3]),
        kind,
        body: body.to_vec(),
    };
    bytes.drain(..HEADER + length);
    Ok(Some(frame))
}

/// Appends a frame to `bytes`.
///
/// # Errors
/// [`FrameError::TooLong`], and then nothing is appended.
pub fn put(bytes: &mut Vec<u8>, stream: u32, kind: Kind, body: &[u8]) -> Result<(), FrameError> {
    let length = u32::try_from(body.len())
        .ok()
        .filter(|_| body.len() <= MAX_BODY)
        .ok_or(FrameError::TooLong(body.len()))?;
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.push(match kind {
        Kind::Request => 1,
        Kind::Response => 2,
        Kind::Data => 3,
    });
    bytes.push(0);
    bytes.extend_from_slice(body);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let mut wire = Vec::new();
        put(&mut wire, 7, Kind::Request, b"first").unwrap();
        put(&mut wire, 9, Kind::Response, b"").unwrap();
        let mut buffer = Vec::new();
        let mut frames = Vec::new();
        for byte in wire {
            buffer.push(byte);
            while let Some(frame) = take(&mut buffer).unwrap() {
                frames.push(frame);
            }
        }
        assert!(buffer.is_empty());
        assert_eq!(
            frames,
            [
                Frame {
                    stream: 7,
                    kind: Kind::Request,
                    body: b"first".to_vec()
                },
                Frame {
                    stream: 9,
                    kind: Kind::Response,
                    body: Vec::new()
                },
            ]
        );
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_from_the_header_alone() {
        let mut bytes = vec![0x7f, 0, 0, 0, 0, 0, 0, 1, 1, 0];
        assert_eq!(take(&mut bytes), Err(FrameError::TooLong(0x7f00_0000)));
    }

    #[test]
    fn an_unknown_kind_is_refused() {
        let mut bytes = vec![0, 0, 0, 0, 0, 0, 0, 1, 9, 0];
        assert_eq!(take(&mut bytes), Err(FrameError::UnknownKind(9)));
    }
}
