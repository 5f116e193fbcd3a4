//! A fair order of those who wait for the lock: flock(2) lets any of them have it.
//!
//! Who waits holds a lock on a file of its own, named by a number that is higher than those before, and waits for the lock on
//! the file before it. The kernel lets go of the locks of a process that dies, so nobody has to look after the queue.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;

use crate::{collect, trust};

/// Where the files lie.
const DIRECTORY: &str = "queue";

/// A place in the queue, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    directory: OwnedFd,
    number: u64,
    _ticket: OwnedFd,
}

impl Place {
    /// Takes the last place.
    pub(crate) fn take(root: &OwnedFd) -> io::Result<Self> {
        let directory = trust::subdirectory(root, DIRECTORY)?;
        // One at a time, for a moment: a file is never seen without its lock by who comes later.
        locked(&directory, FlockOperation::LockExclusive)?;
        let last = numbers(&directory)?.max().unwrap_or_default();
        let number = last.checked_add(1).ok_or(io::ErrorKind::QuotaExceeded)?;
        let ticket = openat(
            &directory,
            name(number),
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::RUSR | Mode::WUSR,
        )?;
        locked(&ticket, FlockOperation::LockExclusive)?;
        flock(&directory, FlockOperation::Unlock)?;
        Ok(Self {
            directory,
            number,
            _ticket: ticket,
        })
    }

    /// Waits until nobody is before this one.
    pub(crate) fn wait(&self) -> io::Result<()> {
        while let Some(before) = numbers(&self.directory)?
            .filter(|number| *number < self.number)
            .max()
        {
            let before = name(before);
            let Some((ticket, _)) = trust::file(&self.directory, &before)? else {
                continue;
            };
            locked(&ticket, FlockOperation::LockShared)?;
            // Whoever held it has gone, without clearing up if it was killed. The number is not taken again as long as
            // there is this one, which is higher.
            trust::remove(&self.directory, &before)?;
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The next one removes what cannot be removed now.
        let _ = trust::remove(&self.directory, &name(self.number));
    }
}

/// Waits for a lock, whatever signals come.
pub(crate) fn locked(file: impl AsFd, operation: FlockOperation) -> io::Result<()> {
    loop {
        match flock(&file, operation) {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

fn name(number: u64) -> String {
    format!("{number:020}")
}

/// The numbers of the tickets. Other files are none of ours.
fn numbers(directory: &OwnedFd) -> io::Result<impl Iterator<Item = u64>> {
    let names = collect::files(directory)?;
    Ok(names.into_iter().filter_map(|file| {
        let number = file.parse().ok()?;
        (name(number) == file).then_some(number)
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    fn root() -> (tempfile::TempDir, OwnedFd) {
        let root = tempfile::tempdir().unwrap();
        let open = trust::directory(root.path()).unwrap();
        (root, open)
    }

    #[test]
    fn turns_are_taken_in_the_order_of_coming() {
        let (_folder, root) = root();
        let first = Place::take(&root).unwrap();
        first.wait().unwrap();
        let (tell, told) = channel();
        thread::scope(|scope| {
            // Places are taken here, in order; the threads wait in any.
            let places: Vec<_> = (0..8).map(|_| Place::take(&root).unwrap()).collect();
            for (index, place) in places.into_iter().enumerate().rev() {
                let tell = tell.clone();
                scope.spawn(move || {
                    place.wait().unwrap();
                    tell.send(index).unwrap();
                    drop(place);
                });
            }
            assert!(told.try_recv().is_err());
            drop(first);
        });
        drop(tell);
        assert_eq!(told.iter().collect::<Vec<_>>(), (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn who_was_killed_is_not_waited_for() {
        let (folder, root) = root();
        let killed = Place::take(&root).unwrap();
        let place = Place::take(&root).unwrap();
        let left = folder.path().join(DIRECTORY).join(name(killed.number));
        drop(killed);
        // As it is after a SIGKILL: the file is there, and nobody has its lock.
        std::fs::write(&left, "").unwrap();
        place.wait().unwrap();
        assert!(!left.exists());
    }

    #[test]
    fn what_is_no_ticket_is_let_be() {
        let (folder, root) = root();
        drop(Place::take(&root).unwrap());
        let others = ["7", "+0000000000000000007", "x"];
        for other in others {
            std::fs::write(folder.path().join(DIRECTORY).join(other), "").unwrap();
        }
        let place = Place::take(&root).unwrap();
        assert_eq!(place.number, 1);
        place.wait().unwrap();
        let full = folder.path().join(DIRECTORY).join(name(u64::MAX));
        std::fs::write(full, "").unwrap();
        assert!(Place::take(&root).is_err());
    }
}
