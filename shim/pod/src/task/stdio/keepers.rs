//! This process's ends of a guest's streams, which outlive the guest until somebody reads.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};

use super::logger::Logger;
use crate::task::terminal::Terminal;

/// This process's ends.
#[derive(Debug, Default)]
pub struct Keepers {
    pub(super) stdin: Option<File>,
    pub(super) outputs: Vec<Output>,
    /// What to copy between once there is a terminal: input and output.
    pub(super) copied: Option<(Option<File>, Option<File>)>,
    pub(super) terminal: Option<Terminal>,
    pub(super) logger: Option<Logger>,
}

/// An output FIFO: the reading end keeps writers alive, the writing end keeps readers waiting.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) reader: Option<File>,
    pub(super) writer: File,
}

impl Keepers {
    /// `CloseIO`: the guest sees the end of its input once containerd has closed its end too.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// The logger that was started for these streams, for the loop to look after.
    pub fn take_logger(&mut self) -> Option<Logger> {
        self.logger.take()
    }

    /// Gives these streams a terminal's master side to copy from and to.
    ///
    /// # Errors
    /// When it cannot be made non-blocking.
    pub fn attach(&mut self, master: OwnedFd) -> io::Result<()> {
        let (input, output) = self.copied.take().unwrap_or_default();
        self.terminal = Some(Terminal::new(master, input, output)?);
        Ok(())
    }

    /// The terminal, if these are one's streams.
    #[must_use]
    pub fn terminal(&self) -> Option<&Terminal> {
        self.terminal.as_ref()
    }

    /// The terminal, to copy what can be copied.
    pub fn terminal_mut(&mut self) -> Option<&mut Terminal> {
        self.terminal.as_mut()
    }

    /// The guest has ended: lets go of every stream that somebody reads. Returns whether none is left; until then
    /// it wants to be called again.
    pub fn release(&mut self) -> bool {
        (self.stdin, self.copied) = (None, None);
        if let Some(terminal) = &mut self.terminal {
            terminal.finish();
            if !terminal.is_drained() {
                // Our own reading end keeps the FIFO until its reader has made room.
                return false;
            }
            self.terminal = None;
        }
        for output in &mut self.outputs {
            output.reader = None;
        }
        self.outputs.retain(|output| !has_reader(&output.writer));
        self.outputs.is_empty()
    }
}

/// A FIFO's writing end reports an error while nobody reads (poll(2), `POLLERR`).
fn has_reader(writer: &File) -> bool {
    let mut descriptors = [PollFd::from_borrowed_fd(writer.as_fd(), PollFlags::OUT)];
    let now = rustix::event::Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    match rustix::event::poll(&mut descriptors, Some(&now)) {
        Ok(_) => !descriptors[0].revents().contains(PollFlags::ERR),
        Err(_) => false,
    }
}
