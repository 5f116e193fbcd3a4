//! Whole messages (D-Bus specification 0.43, "Message Protocol"): calls to send, and what is taken from a stream.
//!
//! What comes is bounded, and read without ever leaving the message: a peer that lies about a length gets an error.

use crate::body::{Body, Signed};

/// Largest message taken from systemd. Its own are at most some kilobytes.
const MAX_MESSAGE: usize = 1 << 20;
/// The fixed part of a header, the length of its fields included.
const PREFIX: usize = 16;

const METHOD_CALL: u8 = 1;
pub(crate) const METHOD_RETURN: u8 = 2;
pub(crate) const ERROR: u8 = 3;
pub(crate) const SIGNAL: u8 = 4;

pub(crate) const FIELD_PATH: u8 = 1;
pub(crate) const FIELD_INTERFACE: u8 = 2;
pub(crate) const FIELD_MEMBER: u8 = 3;
pub(crate) const FIELD_ERROR_NAME: u8 = 4;
pub(crate) const FIELD_REPLY_SERIAL: u8 = 5;
const FIELD_DESTINATION: u8 = 6;
pub(crate) const FIELD_SIGNATURE: u8 = 8;

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
        let fields = |fields: &mut Body| {
            field(fields, FIELD_PATH, "o", self.path);
            field(fields, FIELD_INTERFACE, "s", self.interface);
            field(fields, FIELD_MEMBER, "s", self.method);
            field(fields, FIELD_DESTINATION, "s", self.destination);
            if let Some(body) = self.body {
                field(fields, FIELD_SIGNATURE, "g", &body.signature);
            }
        };
        let body = self.body.map_or(&[][..], |body| &body.bytes);
        encode(METHOD_CALL, 0, serial, fields, body)
    }
}

pub(crate) fn encode(
    kind: u8,
    flags: u8,
    serial: u32,
    fields: impl FnOnce(&mut Body),
    body: &[u8],
) -> Vec<u8> {
    let mut message = Body {
        bytes: vec![b'l', kind, flags, 1],
    };
    message.length(body.len());
    message.u32(serial);
    message.array(8, fields);
    message.align(8);
    message.bytes.extend_from_slice(body);
    message.bytes
}

/// A header field that is text.
pub(crate) fn field(fields: &mut Body, code: u8, kind: &str, value: &str) {
    fields.align(8);
    fields.byte(code);
    fields.signature(kind);
    if kind == "g" {
        fields.signature(value);
    } else {
        fields.string(value);
    }
}

/// A message that came, as far as it is of interest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A call succeeded.
    Reply {
        /// Of the call.
        serial: u32,
        /// Its results.
        body: Vec<Value>,
    },
    /// A call was refused.
    Error {
        /// Of the call.
        serial: u32,
        /// What the error is called.
        name: String,
        /// Its words; may be empty.
        message: String,
    },
    /// Something happened.
    Signal {
        /// What the signal is called.
        member: String,
        /// What it tells.
        body: Vec<Value>,
    },
    /// Anything else.
    Other,
}

impl Incoming {
    /// The path and the result of the job whose end this tells: `JobRemoved(id, job, unit, result)`.
    pub fn job_removed(&self) -> Option<(&str, &str)> {
        match self {
            Self::Signal { member, body } if member == "JobRemoved" => match body.as_slice() {
                [
                    Value::Unsigned(_),
                    Value::Text(job),
                    Value::Text(_),
                    Value::Text(result),
                ] => Some((job, result)),
                _ => None,
            },
            _ => None,
        }
    }
}

/// A value that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `s`, `o` or `g`.
    Text(String),
    /// `u` or `t`.
    Unsigned(u64),
    /// `i` or `x`.
    Signed(i64),
}

/// Takes one message off the front of `inbox`; `None` if it is not all there yet.
pub(crate) fn take(inbox: &mut Vec<u8>) -> Result<Option<Incoming>, &'static str> {
    let mut prefix = Reader::new(inbox);
    let (Some(order), Some(kind), Some(_flags), Some(version)) =
        (prefix.byte(), prefix.byte(), prefix.byte(), prefix.byte())
    else {
        return Ok(None);
    };
    if order != b'l' || version != 1 {
        return Err("not a little-endian message of protocol version 1");
    }
    let (Some(body_len), Some(_serial), Some(fields_len)) =
        (prefix.u32(), prefix.u32(), prefix.u32())
    else {
        return Ok(None);
    };
    let fields_end = PREFIX.saturating_add(fields_len as usize);
    let body_at = fields_end.saturating_add(7) & !7;
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

/// Reads a message; `None` if its parts do not fit.
fn read(kind: u8, header: &[u8], body: &[u8]) -> Option<Incoming> {
    let mut fields = Reader {
        bytes: header,
        at: PREFIX,
    };
    let (mut member, mut error, mut reply_to, mut signature) = (None, None, 0, "");
    while fields.at < header.len() {
        fields.align(8);
        let code = fields.byte()?;
        match (code, fields.signature()?) {
            (FIELD_REPLY_SERIAL, "u") => reply_to = fields.u32()?,
            (FIELD_MEMBER, "s") => member = Some(fields.string()?),
            (FIELD_ERROR_NAME, "s") => error = Some(fields.string()?),
            (FIELD_SIGNATURE, "g") => signature = fields.signature()?,
            (_, "s" | "o") => _ = fields.string()?,
            (_, "g") => _ = fields.signature()?,
            (_, "u") => _ = fields.u32()?,
            _ => return None,
        }
    }
    let body = values(signature, body)?;
    Some(match kind {
        METHOD_RETURN => Incoming::Reply {
            serial: reply_to,
            body,
        },
        ERROR => Incoming::Error {
            serial: reply_to,
            name: error?.to_owned(),
            message: match body.into_iter().next() {
                Some(Value::Text(message)) => message,
                _ => String::new(),
            },
        },
        SIGNAL => Incoming::Signal {
            member: member?.to_owned(),
            body,
        },
        _ => Incoming::Other,
    })
}

/// The values of a body up to the first of a type that nobody here asks for: what came before is of use (an error's
/// text, above all).
fn values(signature: &str, body: &[u8]) -> Option<Vec<Value>> {
    let mut reader = Reader::new(body);
    let mut values = Vec::new();
    for kind in signature.bytes() {
        match reader.value(kind)? {
            Some(value) => values.push(value),
            None => break,
        }
    }
    Some(values)
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

    fn u64(&mut self) -> Option<u64> {
        self.align(8);
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    fn string(&mut self) -> Option<&'a str> {
        let len = self.u32()?;
        self.text(usize::try_from(len).ok()?)
    }

    fn signature(&mut self) -> Option<&'a str> {
        let len = self.byte()?;
        self.text(len.into())
    }

    fn text(&mut self, len: usize) -> Option<&'a str> {
        let text = str::from_utf8(self.take(len)?).ok()?;
        (self.byte()? == 0).then_some(text)
    }

    /// A value of a basic type, or what a variant holds; `Some(None)` for a type that is not read.
    fn value(&mut self, kind: u8) -> Option<Option<Value>> {
        Some(Some(match kind {
            b's' | b'o' => Value::Text(self.string()?.to_owned()),
            b'g' => Value::Text(self.signature()?.to_owned()),
            b'u' => Value::Unsigned(self.u32()?.into()),
            b't' => Value::Unsigned(self.u64()?),
            b'i' => Value::Signed(self.u32()?.cast_signed().into()),
            b'x' => Value::Signed(self.u64()?.cast_signed()),
            b'v' => match self.signature()?.as_bytes() {
                // A variant in a variant would let a message choose how deep we call ourselves.
                [kind] if *kind != b'v' => return self.value(*kind),
                _ => return Some(None),
            },
            _ => return Some(None),
        }))
    }
}

#[cfg(test)]
mod tests;
