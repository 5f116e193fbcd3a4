//! The little of D-Bus that is needed: building method calls, and reading replies, errors and one signal.
//!
//! Layout from the D-Bus specification 0.43, "Message Protocol". Little-endian only, as every host we are built for.

/// Largest message taken from systemd. Its own are at most some kilobytes.
const MAX_MESSAGE: usize = 1 << 20;

const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

/// The arguments of a call, being written.
#[derive(Debug, Default)]
pub(crate) struct Body {
    bytes: Vec<u8>,
}

/// Arguments with the signature that tells how to read them.
#[derive(Debug)]
pub(crate) struct Signed {
    signature: &'static str,
    bytes: Vec<u8>,
}

impl Body {
    pub(crate) fn signed(self, signature: &'static str) -> Signed {
        Signed {
            signature,
            bytes: self.bytes,
        }
    }

    pub(crate) fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    pub(crate) fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.align(4);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.align(8);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn boolean(&mut self, value: bool) {
        self.u32(value.into());
    }

    /// A string or an object path.
    pub(crate) fn string(&mut self, value: &str) {
        self.u32(value.len() as u32);
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
    }

    pub(crate) fn signature(&mut self, value: &str) {
        self.bytes.push(value.len() as u8);
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
    }

    /// An array: its length counts neither itself nor the padding before the first element.
    pub(crate) fn array(&mut self, element_alignment: usize, elements: impl FnOnce(&mut Self)) {
        self.u32(0);
        let length_at = self.bytes.len() - 4;
        self.align(element_alignment);
        let start = self.bytes.len();
        elements(self);
        let length = (self.bytes.len() - start) as u32;
        self.bytes[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    }

    pub(crate) fn empty_array(&mut self, element_alignment: usize) {
        self.array(element_alignment, |_| {});
    }
}

/// A method call on one of the objects of `destination`.
pub(crate) struct Call<'a> {
    pub(crate) destination: &'a str,
    pub(crate) path: &'a str,
    pub(crate) interface: &'a str,
    pub(crate) method: &'a str,
    pub(crate) body: Option<&'a Signed>,
}

impl Call<'_> {
    pub(crate) fn encode(&self, serial: u32) -> Vec<u8> {
        let mut message = Body::default();
        for byte in [b'l', METHOD_CALL, 0, 1] {
            message.byte(byte);
        }
        message.u32(self.body.map_or(0, |body| body.bytes.len()) as u32);
        message.u32(serial);
        message.array(8, |fields| {
            let mut field = |code: u8, kind: &str, value: &str| {
                fields.align(8);
                fields.byte(code);
                fields.signature(kind);
                if kind == "g" {
                    fields.signature(value);
                } else {
                    fields.string(value);
                }
            };
            field(1, "o", self.path);
            field(2, "s", self.interface);
            field(3, "s", self.method);
            field(6, "s", self.destination);
            if let Some(body) = self.body {
                field(8, "g", body.signature);
            }
        });
        message.align(8);
        if let Some(body) = self.body {
            message.bytes.extend_from_slice(&body.bytes);
        }
        message.bytes
    }
}

/// What systemd sent, as far as it is of interest.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// A call succeeded; calls that make a job return its path.
    Reply { serial: u32, job: Option<String> },
    /// A call failed.
    Error {
        serial: u32,
        name: String,
        message: String,
    },
    /// A job ended.
    JobRemoved { job: String, result: String },
    /// Anything else.
    Other,
}

/// Takes one message off the front of `inbox`; `None` if it is not all there yet.
pub(crate) fn take(inbox: &mut Vec<u8>) -> Result<Option<Incoming>, &'static str> {
    let mut header = Reader::new(inbox);
    let (Some(order), Some(kind), Some(_flags), Some(version)) =
        (header.byte(), header.byte(), header.byte(), header.byte())
    else {
        return Ok(None);
    };
    if order != b'l' || version != 1 {
        return Err("not a little-endian message of protocol version 1");
    }
    let (Some(body_len), Some(_serial), Some(fields_len)) =
        (header.u32(), header.u32(), header.u32())
    else {
        return Ok(None);
    };
    let fields_end = 16usize.saturating_add(fields_len as usize);
    let body_at = fields_end.next_multiple_of(8);
    let end = body_at.saturating_add(body_len as usize);
    if end > MAX_MESSAGE {
        return Err("a message longer than any of systemd's");
    }
    if inbox.len() < end {
        return Ok(None);
    }
    let incoming = read(kind, &inbox[..fields_end], &inbox[body_at..end]);
    inbox.drain(..end);
    incoming.map(Some).ok_or("a message whose parts do not fit")
}

fn read(kind: u8, header: &[u8], body: &[u8]) -> Option<Incoming> {
    let mut fields = Reader {
        bytes: header,
        at: 16,
    };
    let (mut member, mut error, mut reply_to, mut signature) = (None, None, 0, "");
    while fields.at < header.len() {
        fields.align(8);
        let code = fields.byte()?;
        match (code, fields.signature()?) {
            (5, "u") => reply_to = fields.u32()?,
            (3, "s") => member = Some(fields.string()?),
            (4, "s") => error = Some(fields.string()?),
            (8, "g") => signature = fields.signature()?,
            (_, "s" | "o") => _ = fields.string()?,
            (_, "g") => _ = fields.signature()?,
            (_, "u") => _ = fields.u32()?,
            _ => return None,
        }
    }
    let mut body = Reader::new(body);
    Some(match kind {
        METHOD_RETURN => {
            let job = if signature == "o" {
                Some(body.string()?.to_owned())
            } else {
                None
            };
            Incoming::Reply {
                serial: reply_to,
                job,
            }
        }
        ERROR => Incoming::Error {
            serial: reply_to,
            name: error?.to_owned(),
            message: if signature.starts_with('s') {
                body.string()?.to_owned()
            } else {
                String::new()
            },
        },
        SIGNAL if member == Some("JobRemoved") && signature == "uoss" => {
            let _id = body.u32()?;
            let job = body.string()?.to_owned();
            let _unit = body.string()?;
            Incoming::JobRemoved {
                job,
                result: body.string()?.to_owned(),
            }
        }
        _ => Incoming::Other,
    })
}

/// Reads values where they are aligned to, never beyond the end.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(len)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u32(&mut self) -> Option<u32> {
        self.align(4);
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn string(&mut self) -> Option<&'a str> {
        let len = self.u32()? as usize;
        self.text(len)
    }

    fn signature(&mut self) -> Option<&'a str> {
        let len = self.byte()?.into();
        self.text(len)
    }

    fn text(&mut self, len: usize) -> Option<&'a str> {
        let text = std::str::from_utf8(self.take(len)?).ok()?;
        (self.byte()? == 0).then_some(text)
    }
}

/// Building what systemd would send, for the tests of this crate.
#[cfg(test)]
pub(crate) mod sent {
    use super::*;

    fn message(kind: u8, fields: impl FnOnce(&mut Body), body: &Body) -> Vec<u8> {
        let mut message = Body::default();
        for byte in [b'l', kind, 1, 1] {
            message.byte(byte);
        }
        message.u32(body.bytes.len() as u32);
        message.u32(77);
        message.array(8, fields);
        message.align(8);
        message.bytes.extend_from_slice(&body.bytes);
        message.bytes
    }

    fn field(fields: &mut Body, code: u8, kind: &str, value: &str) {
        fields.align(8);
        fields.byte(code);
        fields.signature(kind);
        if kind == "g" {
            fields.signature(value);
        } else {
            fields.string(value);
        }
    }

    fn reply_to(fields: &mut Body, serial: u32) {
        fields.align(8);
        fields.byte(5);
        fields.signature("u");
        fields.u32(serial);
    }

    pub(crate) fn reply(serial: u32, job: Option<&str>) -> Vec<u8> {
        let mut body = Body::default();
        if let Some(job) = job {
            body.string(job);
        }
        let fields = |fields: &mut Body| {
            reply_to(fields, serial);
            if job.is_some() {
                field(fields, 8, "g", "o");
            }
        };
        message(METHOD_RETURN, fields, &body)
    }

    pub(crate) fn error(serial: u32, name: &str, text: &str) -> Vec<u8> {
        let mut body = Body::default();
        body.string(text);
        let fields = |fields: &mut Body| {
            reply_to(fields, serial);
            field(fields, 4, "s", name);
            field(fields, 8, "g", "s");
        };
        message(ERROR, fields, &body)
    }

    pub(crate) fn job_removed(job: &str, unit: &str, result: &str) -> Vec<u8> {
        let mut body = Body::default();
        body.u32(5);
        body.string(job);
        body.string(unit);
        body.string(result);
        let fields = |fields: &mut Body| {
            field(fields, 1, "o", "/org/freedesktop/systemd1");
            field(fields, 2, "s", "org.freedesktop.systemd1.Manager");
            field(fields, 3, "s", "JobRemoved");
            field(fields, 8, "g", "uoss");
        };
        message(SIGNAL, fields, &body)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_call_is_laid_out_as_specified() {
        let mut body = Body::default();
        body.string("x.scope");
        let body = body.signed("s");
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
        let mut inbox = sent::reply(4, Some("/job/1"));
        inbox.extend(sent::job_removed("/job/1", "x.scope", "done"));
        inbox.extend(sent::error(5, "a.b", "no"));
        let tail = inbox.split_off(inbox.len() - 1);
        let reply = Incoming::Reply {
            serial: 4,
            job: Some("/job/1".into()),
        };
        assert_eq!(take(&mut inbox), Ok(Some(reply)));
        let removed = Incoming::JobRemoved {
            job: "/job/1".into(),
            result: "done".into(),
        };
        assert_eq!(take(&mut inbox), Ok(Some(removed)));
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
    fn a_message_cannot_ask_for_more_than_the_bound() {
        let mut inbox = b"l\x02\x00\x01\xff\xff\xff\xff\x01\x00\x00\x00\xff\xff\xff\xff".to_vec();
        assert!(take(&mut inbox).is_err());
    }

    proptest! {
        #[test]
        fn whatever_comes_is_survived(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), flip in 0usize..200) {
            let _ = take(&mut bytes);
            let mut real = sent::job_removed("/job/1", "x.scope", "done");
            let at = flip % real.len();
            real[at] ^= 0x55;
            let _ = take(&mut real);
        }
    }
}
