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

/// Makes sure that the code of `wasm` is in the cache.
///
/// # Errors
/// [`Failure`], for one sentence.
pub fn run(
    root: &Path,
    namespace: Option<Namespace>,
    wasm: &File,
    limits: Limits,
) -> Result<Digest, Failure> {
    let cache = Cache::open(root)?.patient();
    let identity = match namespace {
        Some(namespace) => cache.identify(wasm, namespace)?,
        None => None,
    };
    // Read once: what is compiled must be what was hashed, whoever writes to the file meanwhile.
    let module = read(wasm)?;
    diagnose(&module).map_err(Failure::NotRunnable)?;
    let digest = Digest::of(&module);
    store(&cache, &digest, &module, limits)?;
    remember(&cache, identity, &digest)?;
    Ok(digest)
}

/// Makes sure that the code of a wasm layer is in the cache. What is compiled already is not read.
///
/// # Errors
/// [`Failure`], for one sentence.
pub fn run_image(root: &Path, wanted: &Wanted, limits: Limits) -> Result<Digest, Failure> {
    let cache = Cache::open(root)?.patient();
    let mut session = Session::connect(&wanted.containerd, &wanted.namespace)?;
    let layer = session.layer(&wanted.container, &wanted.named)?;
    // The layer is the module, byte for byte, so its digest is the module's.
    let layer = layer.ok_or(Failure::NoLayer)?;
    if cache.get(&layer.digest)?.is_some() {
        return Ok(layer.digest);
    }
    let module = session.read(&layer)?;
    // The compiling process is a fork, which inherits no connection.
    drop(session);
    diagnose(&module)
        .map_err(|reason| Failure::NotRunnable(format!("the image's wasm layer {reason}")))?;
    store(&cache, &layer.digest, &module, limits)?;
    Ok(layer.digest)
}

fn store(cache: &Cache, digest: &Digest, module: &[u8], limits: Limits) -> Result<(), Failure> {
    let lock = cache.lock()?;
    if cache.get(digest)?.is_some() {
        return Ok(());
    }
    match stage(&lock, digest, module, limits) {
        // Other modules' code can be made again; this one is wanted now.
        Err(Failure::Full) if lock.make_room()? => stage(&lock, digest, module, limits),
        other => other,
    }
}

fn stage(lock: &Lock<'_>, digest: &Digest, module: &[u8], limits: Limits) -> Result<(), Failure> {
    let staging = lock.stage(*digest)?;
    supervise::compile(module, staging.file(), limits)?;
    Ok(staging.commit()?)
}

fn remember(cache: &Cache, identity: Option<Identity>, digest: &Digest) -> Result<(), Failure> {
    match identity {
        Some(identity) => Ok(cache.remember(identity, digest)?),
        None => Ok(()),
    }
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
