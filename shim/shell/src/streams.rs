//! The three streams of a command: shared, because `2>&1` makes two of one.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::rc::Rc;

/// Most bytes that a stage of a pipe, or a command in `$(…)`, may say.
pub const PIPE_LIMIT: usize = 16 << 20;

/// What a command reads.
#[derive(Clone)]
pub(crate) struct Input<'a>(Rc<RefCell<dyn Read + 'a>>);

/// What a command writes to.
#[derive(Clone)]
pub(crate) struct Output<'a>(Rc<RefCell<dyn Write + 'a>>);

/// All three.
#[derive(Clone)]
pub(crate) struct Streams<'a> {
    pub(crate) stdin: Input<'a>,
    pub(crate) stdout: Output<'a>,
    pub(crate) stderr: Output<'a>,
}

impl<'a> Input<'a> {
    pub(crate) fn new(reader: impl Read + 'a) -> Self {
        Self(Rc::new(RefCell::new(reader)))
    }
}

impl<'a> Output<'a> {
    pub(crate) fn new(writer: impl Write + 'a) -> Self {
        Self(Rc::new(RefCell::new(writer)))
    }
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.borrow_mut().read(buffer)
    }
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.borrow_mut().flush()
    }
}

/// A pipe's content: what one stage said.
#[derive(Clone, Default)]
pub(crate) struct Buffer(Rc<RefCell<Vec<u8>>>);

impl Buffer {
    /// What was said; it is empty afterwards.
    pub(crate) fn take(&self) -> Vec<u8> {
        self.0.take()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut held = self.0.borrow_mut();
        if held.len() + bytes.len() > PIPE_LIMIT {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "more output than a pipe of this shell holds (16 MiB); write to a file instead",
            ));
        }
        held.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_handles_write_to_one_stream() {
        let buffer = Buffer::default();
        let mut first = Output::new(buffer.clone());
        let mut second = first.clone();
        first.write_all(b"a").unwrap();
        second.write_all(b"b").unwrap();
        assert_eq!(buffer.take(), b"ab");
    }

    #[test]
    fn a_full_pipe_says_so() {
        let mut buffer = Buffer::default();
        buffer.write_all(&vec![0; PIPE_LIMIT]).unwrap();
        let error = buffer.write_all(b"x").unwrap_err();
        assert!(error.to_string().contains("16 MiB"), "{error}");
    }
}
