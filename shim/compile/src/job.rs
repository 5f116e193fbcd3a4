//! One compilation, as root: hash, wait for the lock, have it compiled, put it into the cache.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use slipway_shim_cache::{Cache, Digest, Identity, Lock, Namespace};
use slipway_shim_engine::compile::{CompileError, compile};
use slipway_shim_image::Session;

use crate::args::Wanted;
use crate::diagnose::diagnose;
use crate::limits::Limits;
use crate::outcome::Failure;
use crate::{limits, supervise};

/// Code that is in the cache now.
#[derive(Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The module's digest.
    pub digest: Digest,
    /// What went wrong beside, for the node's log: the module can be run all the same.
    pub note: Option<String>,
}

/// Makes sure that the code of `wasm` is in the cache. `turn` is called when nobody else compiles any more.
///
/// # Errors
/// [`Failure`], for one sentence.
pub fn run(
    root: &Path,
    namespace: Option<Namespace>,
    wasm: &File,
    limits: Limits,
    turn: impl FnOnce(),
) -> Result<Compiled, Failure> {
    let cache = Cache::open(root)?.patient();
    let given = Given::read(&cache, namespace, wasm)?;
    // What is known already waits for nobody.
    if is_known(&cache, &given.digest, limits)? {
        return given.remembered(&cache, None);
    }
    // Many may wait, and none of them holds a module meanwhile.
    drop(given);
    let lock = cache.lock()?;
    turn();
    let given = Given::read(&cache, namespace, wasm)?;
    let note = store(&cache, &lock, &given.digest, &given.module, limits)?;
    given.remembered(&cache, note)
}

/// A file as it was found.
struct Given {
    identity: Option<Identity>,
    module: Vec<u8>,
    digest: Digest,
}

impl Given {
    fn read(cache: &Cache, namespace: Option<Namespace>, wasm: &File) -> Result<Self, Failure> {
        let identity = match namespace {
            Some(namespace) => cache.identify(wasm, namespace)?,
            None => None,
        };
        // What is compiled must be what was hashed, whoever writes to the file meanwhile.
        let module = read(wasm)?;
        diagnose(&module).map_err(Failure::NotRunnable)?;
        let digest = Digest::of(&module);
        Ok(Self {
            identity,
            module,
            digest,
        })
    }

    fn remembered(self, cache: &Cache, note: Option<String>) -> Result<Compiled, Failure> {
        if let Some(identity) = self.identity {
            cache.remember(identity, &self.digest)?;
        }
        Ok(Compiled {
            digest: self.digest,
            note,
        })
    }
}

/// Makes sure that the code of a wasm layer is in the cache. What is compiled already is not read. `turn` as for [`run`].
///
/// # Errors
/// [`Failure`], for one sentence.
pub fn run_image(
    root: &Path,
    wanted: &Wanted,
    limits: Limits,
    turn: impl FnOnce(),
) -> Result<Compiled, Failure> {
    let cache = Cache::open(root)?.patient();
    let known = |digest| {
        is_known(&cache, &digest, limits)
            .map(|known| known.then_some(Compiled { digest, note: None }))
    };
    // The layer is the module, byte for byte, so its digest is the module's.
    let layer = connect(wanted)?.layer(&wanted.container, &wanted.named)?;
    if let Some(compiled) = known(layer.ok_or(Failure::NoLayer)?.digest)? {
        return Ok(compiled);
    }
    let lock = cache.lock()?;
    turn();
    // Anew: containerd may have been restarted while others compiled.
    let mut session = connect(wanted)?;
    let layer = session.layer(&wanted.container, &wanted.named)?;
    let layer = layer.ok_or(Failure::NoLayer)?;
    if let Some(compiled) = known(layer.digest)? {
        return Ok(compiled);
    }
    let module = session.read(&layer)?;
    // The compiling process is a fork, which inherits no connection.
    drop(session);
    diagnose(&module)
        .map_err(|reason| Failure::NotRunnable(format!("the image's wasm layer {reason}")))?;
    let note = store(&cache, &lock, &layer.digest, &module, limits)?;
    Ok(Compiled {
        digest: layer.digest,
        note,
    })
}

fn connect(wanted: &Wanted) -> Result<Session, Failure> {
    Ok(Session::connect(&wanted.containerd, &wanted.namespace)?)
}

/// Whether there is code for a module.
///
/// # Errors
/// Why it was refused, if that is not long ago.
fn is_known(cache: &Cache, digest: &Digest, limits: Limits) -> Result<bool, Failure> {
    if cache.get(digest)?.is_some() {
        return Ok(true);
    }
    match cache.refused(digest, &limits.terms())? {
        Some(sentence) => Err(Failure::NotRunnable(sentence)),
        None => Ok(false),
    }
}

fn store(
    cache: &Cache,
    lock: &Lock<'_>,
    digest: &Digest,
    module: &[u8],
    limits: Limits,
) -> Result<Option<String>, Failure> {
    // Those before in the queue may have wanted the same.
    if is_known(cache, digest, limits)? {
        return Ok(None);
    }
    let staged = match stage(lock, digest, module, limits) {
        // Other modules' code can be made again; this one is wanted now.
        Err(Failure::Full) if lock.make_room()? => stage(lock, digest, module, limits),
        other => other,
    };
    if let Err(Failure::NotRunnable(sentence)) = &staged {
        // What cannot be remembered is found out once more; the sentence is what counts.
        let _ = cache.refuse(digest, &limits.terms(), sentence);
    }
    staged?;
    // The next compilation tries again.
    let fitted = lock.make_fit(digest);
    Ok(fitted.err().map(|error| error.to_string()))
}

fn stage(lock: &Lock<'_>, digest: &Digest, module: &[u8], limits: Limits) -> Result<(), Failure> {
    let staging = lock.stage(*digest)?;
    supervise::compile(module, staging.file(), limits)?;
    Ok(staging.commit()?)
}

/// Compiles `wasm` to `output`, in this process.
///
/// # Errors
/// [`Failure`], for one sentence.
pub fn compile_file(wasm: &Path, output: &Path) -> Result<(), Failure> {
    let file = File::open(wasm).map_err(Failure::internal("opening"))?;
    let module = read(&file)?;
    diagnose(&module).map_err(Failure::NotRunnable)?;
    let code = compile(&module).map_err(|error| match error {
        CompileError::Invalid(reason) => Failure::NotRunnable(not_valid(&reason)),
        CompileError::World(error) => Failure::NotRunnable(error.to_string()),
        other => Failure::Internal(other.to_string()),
    })?;
    File::create(output)
        .and_then(|mut file| file.write_all(&code))
        .map_err(Failure::internal(&format!("writing {}", output.display())))
}

pub(crate) fn not_valid(reason: &str) -> String {
    format!("is not valid WebAssembly: {reason}")
}

fn read(file: &File) -> Result<Vec<u8>, Failure> {
    let reading = || Failure::internal("reading the module");
    let metadata = file.metadata().map_err(reading())?;
    if !metadata.is_file() {
        return Err(Failure::NotRunnable("is not a regular file".to_owned()));
    }
    let too_long = || {
        Failure::NotRunnable(format!(
            "is longer than {} MiB, the most that is compiled",
            limits::MODULE >> 20
        ))
    };
    if metadata.len() > limits::MODULE {
        return Err(too_long());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    AtStart(file, 0)
        .take(limits::MODULE + 1)
        .read_to_end(&mut bytes)
        .map_err(reading())?;
    if bytes.len() as u64 > limits::MODULE {
        return Err(too_long());
    }
    Ok(bytes)
}

/// Reads by offset, since the position is shared with whoever handed over the descriptor.
struct AtStart<'a>(&'a File, u64);

impl Read for AtStart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = std::os::unix::fs::FileExt::read_at(self.0, buffer, self.1)?;
        self.1 += read as u64;
        Ok(read)
    }
}
