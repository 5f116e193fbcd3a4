//! D-Bus messages, as far as systemd's manager needs them (D-Bus specification 0.43, "Message Protocol").
//!
//! Not zbus: it takes systemd's signals on the private socket for malformed, because their sender is a well-known name
//! (`UniqueName::try_from` in zbus 6.2 `message/fields.rs`; systemd `bus_foreach_bus` sends them to every private
//! connection, asked for or not), and closes the connection at the very moment a restart is awaited.

/// systemd's own messages have some kilobytes.
const MAX_MESSAGE: usize = 1 << 20;

const LITTLE_ENDIAN: u8 = b'l';
const METHOD_CALL: u8 = 1;

/// The fixed part of a header, the length of the fields included.
pub(super) const PREFIX: usize = 16;

/// A value that is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Argument<'a> {
    /// `s`.
    Text(&'a str),
    /// `a(sv)`: properties of a transient unit.
    Properties(&'a [(&'a str, Property<'a>)]),
    /// `a(sa(sv))`, empty: its auxiliary units.
    NoUnits,
}

/// The value of a property that is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Property<'a> {
    /// `s`.
    Text(&'a str),
    /// `a(sasb)` with one command, whose failure counts.
    Command(&'a [String]),
}

/// A message that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Incoming {
    /// Of the message.
    pub(super) kind: Kind,
    /// The call it answers.
    pub(super) reply_to: u32,
    /// What a signal is called.
    pub(super) member: String,
    /// What an error is called.
    pub(super) error: String,
    /// What the body holds, variants unwrapped.
    pub(super) body: Vec<Value>,
}

/// Of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A call's result.
    Return,
    /// A call's refusal.
    Error,
    /// A signal.
    Signal,
    /// Nothing for us.
    Other,
}

/// A value that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// `s`, `o` or `g`.
    Text(String),
    /// `u` or `t`.
    Unsigned(u64),
    /// `i` or `x`.
    Signed(i64),
}

/// A call of a method.
pub(super) struct Call<'a> {
    pub(super) serial: u32,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) method: &'a str,
    pub(super) arguments: &'a [Argument<'a>],
}

impl Call<'_> {
    /// The bytes to send.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut body = Writer::default();
        let mut signature = String::new();
        for argument in self.arguments {
            signature.push_str(body.argument(argument));
        }
        let mut message = Writer {
            bytes: vec![LITTLE_ENDIAN, METHOD_CALL, 0, 1],
        };
        message.length(body.bytes.len());
        message.u32(self.serial);
        message.array(8, |fields| {
            for (code, kind, value) in [
                (1, "o", self.path),
                (2, "s", self.interface),
                (3, "s", self.method),
            ] {
                fields.align(8);
                fields.bytes.push(code);
                fields.signature(kind);
                fields.text(value);
            }
            if !signature.is_empty() {
                fields.align(8);
                fields.bytes.push(8);
                fields.signature("g");
                fields.signature(&signature);
            }
        });
        message.align(8);
        message.bytes.extend_from_slice(&body.bytes);
        message.bytes
    }
}

#[derive(Debug, Default)]
struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    fn u32(&mut self, value: u32) {
        self.align(4);
        self.bytes.extend(value.to_le_bytes());
    }

    /// What is sent has some hundred bytes; a length that does not fit makes systemd close the connection.
    fn length(&mut self, value: usize) {
        self.u32(u32::try_from(value).unwrap_or(u32::MAX));
    }

    fn text(&mut self, value: &str) {
        self.length(value.len());
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
    }

    fn signature(&mut self, value: &str) {
        self.bytes
            .push(u8::try_from(value.len()).unwrap_or(u8::MAX));
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
    }

    /// The length of an array counts neither itself nor the padding before its first element.
    fn array(&mut self, alignment: usize, elements: impl FnOnce(&mut Self)) {
        self.u32(0);
        let at = self.bytes.len() - 4;
        self.align(alignment);
        let start = self.bytes.len();
        elements(self);
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        self.bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// Writes an argument and returns its signature.
    fn argument(&mut self, argument: &Argument<'_>) -> &'static str {
        match argument {
            Argument::Text(text) => {
                self.text(text);
                "s"
            }
            Argument::Properties(properties) => {
                self.array(8, |array| {
                    for (name, value) in *properties {
                        array.align(8);
                        array.text(name);
                        array.property(value);
                    }
                });
                "a(sv)"
            }
            Argument::NoUnits => {
                self.array(8, |_| {});
                "a(sa(sv))"
            }
        }
    }

    fn property(&mut self, value: &Property<'_>) {
        match value {
            Property::Text(text) => {
                self.signature("s");
                self.text(text);
            }
            Property::Command(words) => {
                self.signature("a(sasb)");
                self.array(8, |commands| {
                    commands.align(8);
                    commands.text(words.first().map_or("", String::as_str));
                    commands.array(4, |array| words.iter().for_each(|word| array.text(word)));
                    commands.u32(0);
                });
            }
        }
    }
}

/// The length of a whole message by its first [`PREFIX`] bytes; `None` if it is not one, or larger than any of
/// systemd's.
pub(super) fn length(prefix: &[u8; PREFIX]) -> Option<usize> {
    let mut reader = Reader {
        bytes: prefix,
        at: 0,
    };
    let (order, _kind, _flags, version) = (
        reader.byte()?,
        reader.byte()?,
        reader.byte()?,
        reader.byte()?,
    );
    let (body, _serial, fields) = (reader.u32()?, reader.u32()?, reader.u32()?);
    let header = PREFIX
        .checked_add(usize::try_from(fields).ok()?)?
        .checked_next_multiple_of(8)?;
    let length = header.checked_add(usize::try_from(body).ok()?)?;
    (order == LITTLE_ENDIAN && version == 1 && length <= MAX_MESSAGE).then_some(length)
}

/// Reads a whole message; `None` if its parts do not fit.
pub(super) fn decode(bytes: &[u8]) -> Option<Incoming> {
    let mut reader = Reader { bytes, at: 12 };
    let fields_end = PREFIX.checked_add(usize::try_from(reader.u32()?).ok()?)?;
    let mut incoming = Incoming {
        kind: match bytes.get(1)? {
            2 => Kind::Return,
            3 => Kind::Error,
            4 => Kind::Signal,
            _ => Kind::Other,
        },
        reply_to: 0,
        member: String::new(),
        error: String::new(),
        body: Vec::new(),
    };
    let mut signature = String::new();
    while reader.at < fields_end {
        reader.align(8);
        let code = reader.byte()?;
        match (code, reader.variant()?) {
            (3, Value::Text(member)) => incoming.member = member,
            (4, Value::Text(error)) => incoming.error = error,
            (5, Value::Unsigned(serial)) => incoming.reply_to = u32::try_from(serial).ok()?,
            (8, Value::Text(text)) => signature = text,
            _ => {}
        }
    }
    reader.align(8);
    for kind in signature.bytes() {
        match reader.value(kind) {
            Some(value) => incoming.body.push(value),
            // Types that nobody here asks for; what came before them is of use (an error's text, above all).
            None => break,
        }
    }
    Some(incoming)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u32(&mut self) -> Option<u32> {
        self.align(4);
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        self.align(8);
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn text(&mut self, length: usize) -> Option<String> {
        let text = str::from_utf8(self.take(length)?).ok()?.to_owned();
        (self.byte()? == 0).then_some(text)
    }

    fn signature(&mut self) -> Option<String> {
        let length = self.byte()?;
        self.text(length.into())
    }

    /// A variant of a basic type.
    fn variant(&mut self) -> Option<Value> {
        match *self.signature()?.as_bytes() {
            [kind] if kind != b'v' => self.value(kind),
            _ => None,
        }
    }

    fn value(&mut self, kind: u8) -> Option<Value> {
        Some(match kind {
            b's' | b'o' => {
                let length = self.u32()?;
                Value::Text(self.text(usize::try_from(length).ok()?)?)
            }
            b'g' => Value::Text(self.signature()?),
            b'u' => Value::Unsigned(self.u32()?.into()),
            b't' => Value::Unsigned(self.u64()?),
            b'i' => Value::Signed(self.u32()?.cast_signed().into()),
            b'x' => Value::Signed(self.u64()?.cast_signed()),
            b'v' => self.variant()?,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `JobRemoved` as systemd 257 sends it: fields, with the sender that is no unique name, then `uoss`.
    fn job_removed() -> Vec<u8> {
        let mut body = Writer::default();
        body.u32(5);
        for text in [
            "/org/freedesktop/systemd1/job/5",
            "containerd.service",
            "done",
        ] {
            body.text(text);
        }
        let mut message = Writer {
            bytes: vec![LITTLE_ENDIAN, 4, 1, 1],
        };
        message.length(body.bytes.len());
        message.u32(9);
        message.array(8, |fields| {
            let rows = [
                (1, "o", "/org/freedesktop/systemd1"),
                (3, "s", "JobRemoved"),
                (7, "s", "org.freedesktop.systemd1"),
            ];
            for (code, kind, value) in rows {
                fields.align(8);
                fields.bytes.push(code);
                fields.signature(kind);
                fields.text(value);
            }
            fields.align(8);
            fields.bytes.push(8);
            fields.signature("g");
            fields.signature("uoss");
        });
        message.align(8);
        message.bytes.extend(body.bytes);
        message.bytes
    }

    #[test]
    fn a_signal_is_read() {
        let bytes = job_removed();
        assert_eq!(
            length(bytes[..PREFIX].try_into().unwrap()),
            Some(bytes.len())
        );
        let incoming = decode(&bytes).unwrap();
        assert_eq!(
            (incoming.kind, incoming.member.as_str()),
            (Kind::Signal, "JobRemoved")
        );
        assert_eq!(incoming.body[0], Value::Unsigned(5));
        assert_eq!(incoming.body[3], Value::Text("done".to_owned()));
    }

    #[test]
    fn a_call_is_laid_out_as_specified() {
        let call = Call {
            serial: 3,
            path: "/a",
            interface: "i.f",
            method: "M",
            arguments: &[Argument::Text("x")],
        };
        let bytes = call.encode();
        assert_eq!(
            &bytes[..12],
            b"l\x01\x00\x01\x06\x00\x00\x00\x03\x00\x00\x00"
        );
        assert_eq!(
            length(bytes[..PREFIX].try_into().unwrap()),
            Some(bytes.len())
        );
        assert_eq!(&bytes[bytes.len() - 6..], b"\x01\x00\x00\x00x\x00");
    }

    #[test]
    fn a_transient_unit_has_the_signatures_systemd_wants() {
        let command = ["/bin/a".to_owned(), "b".to_owned()];
        let properties = [
            ("Type", Property::Text("exec")),
            ("ExecStart", Property::Command(&command)),
        ];
        let mut writer = Writer::default();
        assert_eq!(writer.argument(&Argument::Properties(&properties)), "a(sv)");
        assert_eq!(writer.argument(&Argument::NoUnits), "a(sa(sv))");
    }

    #[test]
    fn a_message_cannot_ask_for_more_than_the_bound() {
        assert_eq!(
            length(b"l\x02\x00\x01\xff\xff\xff\xff\x01\0\0\0\xff\xff\xff\xff"),
            None
        );
        assert_eq!(length(b"B\x02\x00\x01\0\0\0\0\x01\0\0\0\0\0\0\0"), None);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_survived(noise in proptest::collection::vec(any::<u8>(), 0..200), flip in 0usize..200) {
            let _ = decode(&noise);
            let mut real = job_removed();
            let at = flip % real.len();
            real[at] ^= 0x55;
            let _ = decode(&real);
        }
    }
}
