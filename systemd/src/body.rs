//! Writing values (D-Bus specification 0.43, "Marshaling"). Little-endian only, as every host we are built for.

/// Values being written, each where its type is aligned to.
#[derive(Debug, Default)]
pub struct Body {
    pub(crate) bytes: Vec<u8>,
}

/// Arguments with the signature that tells how to read them.
#[derive(Debug)]
pub struct Signed {
    pub(crate) signature: String,
    pub(crate) bytes: Vec<u8>,
}

impl Signed {
    /// Arguments that are all strings.
    pub fn strings(values: &[&str]) -> Self {
        let mut body = Body::default();
        values.iter().for_each(|value| body.string(value));
        body.signed(&"s".repeat(values.len()))
    }

    /// The types of the arguments.
    pub fn signature(&self) -> &str {
        &self.signature
    }

    /// The arguments as they are sent.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Body {
    /// Ends the arguments; the signature has to say what was written.
    pub fn signed(self, signature: &str) -> Signed {
        Signed {
            signature: signature.to_owned(),
            bytes: self.bytes,
        }
    }

    /// Pads to a multiple of `to`. Structs start at 8; everything else is padded by its own method.
    pub fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    /// `y`.
    pub fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// `u`.
    pub fn u32(&mut self, value: u32) {
        self.align(4);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// `t`.
    pub fn u64(&mut self, value: u64) {
        self.align(8);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// `b`.
    pub fn boolean(&mut self, value: bool) {
        self.u32(value.into());
    }

    /// `s` or `o`.
    pub fn string(&mut self, value: &str) {
        self.length(value.len());
        self.text(value);
    }

    /// `g`.
    pub fn signature(&mut self, value: &str) {
        self.byte(u8::try_from(value.len()).unwrap_or(u8::MAX));
        self.text(value);
    }

    /// `a…`: its length counts neither itself nor the padding before the first element.
    pub fn array(&mut self, element_alignment: usize, elements: impl FnOnce(&mut Self)) {
        self.u32(0);
        let length_at = self.bytes.len() - 4;
        self.align(element_alignment);
        let start = self.bytes.len();
        elements(self);
        let length = length_of(self.bytes.len() - start);
        self.bytes[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// `a…` without elements.
    pub fn empty_array(&mut self, element_alignment: usize) {
        self.array(element_alignment, |_| {});
    }

    /// `(sv)`: a property of a unit, the element of an `a(sv)`.
    pub fn property(&mut self, name: &str, signature: &str, value: impl FnOnce(&mut Self)) {
        self.align(8);
        self.string(name);
        self.signature(signature);
        value(self);
    }

    pub(crate) fn length(&mut self, value: usize) {
        self.u32(length_of(value));
    }

    fn text(&mut self, value: &str) {
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
    }
}

/// What is sent has some kilobytes; a length that does not fit makes systemd close the connection.
fn length_of(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_where_their_types_are_aligned_to() {
        let mut body = Body::default();
        body.byte(1);
        body.boolean(true);
        body.u64(2);
        assert_eq!(body.bytes, b"\x01\0\0\0\x01\0\0\0\x02\0\0\0\0\0\0\0");
    }

    #[test]
    fn an_array_counts_its_elements_only() {
        let mut body = Body::default();
        body.array(8, |body| body.property("P", "t", |body| body.u64(7)));
        assert_eq!(
            body.bytes,
            b"\x18\0\0\0\0\0\0\0\x01\0\0\0P\0\x01t\0\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0"
        );
        let mut body = Body::default();
        body.empty_array(8);
        assert_eq!(body.bytes, [0; 8], "the padding is there all the same");
    }

    #[test]
    fn strings_sign_themselves() {
        let signed = Signed::strings(&["a", "b"]);
        assert_eq!(signed.signature(), "ss");
        assert_eq!(signed.bytes(), b"\x01\0\0\0a\0\0\0\x01\0\0\0b\0");
    }
}
