//! A terminal: bytes between its master side and the container's FIFOs.
//!
//! The pod process makes the terminal of a worker itself, in the node's devpts: a guest can tell that its streams are a
//! terminal but not open one by name, and nothing of the container has to be trusted for it. runc makes one in the
//! container and hands its master side over.
//!
//! Each direction has a buffer of its own, and while that is full its source is not read: a reader that falls behind
//! stops the guest, as with a plain FIFO.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, SpecialCodeIndex, Winsize};

/// How much a direction holds.
const ROOM: usize = 16 << 10;

/// The most that is taken over when the guest has ended; the kernel holds less (`drivers/tty/tty_buffer.c`, 64 KiB).
const MAX_REST: usize = 256 << 10;

/// The master side and what it is copied from and to.
#[derive(Debug)]
pub struct Terminal {
    /// None once the other side is closed.
    master: Option<File>,
    /// Where the guest's input comes from, until that ends.
    input: Option<File>,
    /// Where its output goes.
    output: Option<File>,
    to_guest: Vec<u8>,
    from_guest: Vec<u8>,
}

/// Which descriptor of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The terminal.
    Master,
    /// The FIFO of its input.
    Input,
    /// The FIFO of its output.
    Output,
}

/// Makes a terminal: its master side, and the side of the guest.
///
/// # Errors
/// When the node has none left, or no devpts.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = rustix::pty::openpt(flags)?;
    rustix::pty::unlockpt(&master)?;
    let guest = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
    Ok((master, guest))
}

impl Terminal {
    /// Copies between a master side and these; without an output what the guest says is thrown away.
    ///
    /// # Errors
    /// When a descriptor cannot be made non-blocking.
    pub fn new(master: OwnedFd, input: Option<File>, output: Option<File>) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&master, true)?;
        Ok(Self {
            master: Some(File::from(master)),
            input,
            output,
            to_guest: Vec::new(),
            from_guest: Vec::new(),
        })
    }

    /// What to poll, and for what. Nothing is polled for nothing, for its hanging up would be told for ever.
    pub fn sources(&self) -> impl Iterator<Item = (Side, BorrowedFd<'_>, PollFlags)> {
        let mut master = PollFlags::empty();
        master.set(PollFlags::IN, self.from_guest.len() < ROOM);
        master.set(PollFlags::OUT, !self.to_guest.is_empty());
        let input = self.input.as_ref().filter(|_| self.to_guest.len() < ROOM);
        let output = self.output.as_ref().filter(|_| !self.from_guest.is_empty());
        let all = [
            (Side::Master, self.master.as_ref(), master),
            (Side::Input, input, PollFlags::IN),
            (Side::Output, output, PollFlags::OUT),
        ];
        all.into_iter()
            .filter(|(.., interest)| !interest.is_empty())
            .filter_map(|(side, file, interest)| Some((side, file?.as_fd(), interest)))
    }

    /// Copies what can be copied now.
    pub fn on_ready(&mut self) {
        self.take_input();
        self.give_input();
        self.take_output(ROOM);
        self.give_output();
    }

    /// Sets the size in characters.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn resize(&self, width: u16, height: u16) -> io::Result<()> {
        let size = Winsize {
            ws_col: width,
            ws_row: height,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let master = self.master.as_ref();
        let master = master.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
        rustix::termios::tcsetwinsize(master, size)?;
        Ok(())
    }

    /// The guest has ended: takes over what it left in the terminal, and lets that go.
    pub fn finish(&mut self) {
        self.take_output(MAX_REST);
        (self.master, self.input) = (None, None);
        self.give_output();
    }

    /// Whether all that the guest said has been passed on.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.from_guest.is_empty()
    }

    fn take_input(&mut self) {
        while let Some(input) = self.input.as_mut()
            && self.to_guest.len() < ROOM
        {
            match take(input, &mut self.to_guest, ROOM) {
                Taken::Some => {}
                Taken::Later => return,
                Taken::End => {
                    self.input = None;
                    self.end_input();
                }
            }
        }
    }

    /// A terminal has no end of input but the character that stands for it, in a mode in which one does
    /// (termios(3), VEOF).
    fn end_input(&mut self) {
        let modes = self.master.as_ref().map(rustix::termios::tcgetattr);
        if let Some(Ok(modes)) = modes
            && modes.local_modes.contains(LocalModes::ICANON)
        {
            self.to_guest
                .push(modes.special_codes[SpecialCodeIndex::VEOF]);
        }
    }

    fn give_input(&mut self) {
        if let Some(master) = self.master.as_mut()
            && !give(master, &mut self.to_guest)
        {
            self.to_guest.clear();
        }
    }

    fn take_output(&mut self, most: usize) {
        while let Some(master) = self.master.as_mut()
            && self.from_guest.len() < most
        {
            match take(master, &mut self.from_guest, most) {
                Taken::Some => {}
                Taken::Later => return,
                // EIO: nobody holds the guest's side any more.
                Taken::End => self.master = None,
            }
        }
    }

    fn give_output(&mut self) {
        let given = match self.output.as_mut() {
            Some(output) => give(output, &mut self.from_guest),
            None => false,
        };
        if !given {
            self.from_guest.clear();
        }
    }
}

enum Taken {
    Some,
    Later,
    End,
}

/// Reads once, up to `most` bytes in the buffer.
fn take(source: &mut File, buffer: &mut Vec<u8>, most: usize) -> Taken {
    let mut chunk = [0; 4096];
    let room = most.saturating_sub(buffer.len()).min(chunk.len());
    match source.read(&mut chunk[..room]) {
        Ok(0) => Taken::End,
        Ok(read) => {
            buffer.extend_from_slice(&chunk[..read]);
            Taken::Some
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Taken::Later,
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Taken::Some,
        Err(_) => Taken::End,
    }
}

/// Writes what is taken now; whether more may be taken later.
fn give(sink: &mut File, buffer: &mut Vec<u8>) -> bool {
    let mut given = 0;
    let open = loop {
        if given == buffer.len() {
            break true;
        }
        match sink.write(&buffer[given..]) {
            Ok(0) => break false,
            Ok(written) => given += written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break true,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break false,
        }
    };
    buffer.drain(..given);
    open
}

#[cfg(test)]
mod tests {
    use rustix::termios::{OptionalActions, OutputModes};

    use super::*;

    fn pipe() -> (File, File) {
        let flags = rustix::pipe::PipeFlags::NONBLOCK;
        let (reader, writer) = rustix::pipe::pipe_with(flags).unwrap();
        (reader.into(), writer.into())
    }

    /// Polls and copies until a side of the test's has what it wants.
    fn copy_until(terminal: &mut Terminal, mut done: impl FnMut(&mut Terminal) -> bool) {
        for _ in 0..100_000 {
            terminal.on_ready();
            if done(terminal) {
                return;
            }
        }
        panic!("the bytes did not come");
    }

    #[test]
    fn bytes_go_both_ways_and_the_size_arrives() {
        let (master, guest) = pair().unwrap();
        let (input, mut keyboard) = pipe();
        let (mut screen, output) = pipe();
        let mut terminal = Terminal::new(master, Some(input), Some(output)).unwrap();
        terminal.resize(120, 40).unwrap();
        let size = rustix::termios::tcgetwinsize(&guest).unwrap();
        assert_eq!((size.ws_col, size.ws_row), (120, 40));

        let mut guest = File::from(guest);
        keyboard.write_all(b"ls\n").unwrap();
        let mut seen = Vec::new();
        copy_until(&mut terminal, |_| {
            let _ = screen.read_to_end(&mut seen);
            seen == b"ls\r\n"
        });
        let mut line = [0; 16];
        let read = guest.read(&mut line).unwrap();
        assert_eq!(&line[..read], b"ls\n");

        drop(keyboard);
        copy_until(&mut terminal, |terminal| terminal.input.is_none());
        terminal.on_ready();
        assert_eq!(guest.read(&mut line).unwrap(), 0, "the end of the input");
    }

    #[test]
    fn a_reader_that_falls_behind_stops_the_guest_and_loses_nothing() {
        let (master, guest) = pair().unwrap();
        let mut modes = rustix::termios::tcgetattr(&guest).unwrap();
        modes.output_modes.remove(OutputModes::OPOST);
        rustix::termios::tcsetattr(&guest, OptionalActions::Now, &modes).unwrap();
        let (mut screen, output) = pipe();
        let mut terminal = Terminal::new(master, None, Some(output)).unwrap();
        let text: Vec<u8> = (0..1 << 20).map(|n: u32| (n % 251) as u8).collect();
        let said = text.clone();
        let mut guest = File::from(guest);
        let writer = std::thread::spawn(move || guest.write_all(&said).unwrap());
        // Nobody reads: everything fills up, and no more than that is held.
        copy_until(&mut terminal, |terminal| terminal.from_guest.len() >= ROOM);
        assert!(terminal.from_guest.len() <= ROOM && !writer.is_finished());
        assert!(!terminal.sources().any(|(side, ..)| side == Side::Master));

        let mut seen = Vec::new();
        copy_until(&mut terminal, |_| {
            let _ = screen.read_to_end(&mut seen);
            seen.len() == text.len()
        });
        writer.join().unwrap();
        assert!(seen == text);
    }

    #[test]
    fn what_a_guest_said_last_outlives_it() {
        let (master, guest) = pair().unwrap();
        let (mut screen, output) = pipe();
        let mut terminal = Terminal::new(master, None, Some(output)).unwrap();
        File::from(guest).write_all(b"bye").unwrap();
        terminal.finish();
        assert!(terminal.is_drained());
        drop(terminal);
        let mut seen = String::new();
        screen.read_to_string(&mut seen).unwrap();
        assert_eq!(seen, "bye");
    }
}
