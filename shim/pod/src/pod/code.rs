//! The compiled code of a worker's module: from the cache, or made by the compiler.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use slipway_shim_cache::{Cache, CacheError, DEFAULT_ROOT, Namespace};
use slipway_shim_wire::{EXIT_NOT_RUNNABLE, ToWorker};

use super::Pod;
use crate::compile::{Compilation, Module, Otherwise, Outcome};
use crate::task::{Phase, ProcessId};

impl Pod {
    /// Looks for the code of a module, or has it made.
    pub(super) fn provide_code(
        &mut self,
        id: &ProcessId,
        path: &Path,
        wasm: &File,
        namespace: Option<Namespace>,
    ) {
        let found = self.cache().and_then(|cache| cache.find(wasm, namespace));
        match found {
            Ok(Some(code)) => return self.send_code(id, &code),
            Ok(None) => {}
            // The compiler meets the same and says so in a sentence of its own, or mends it.
            Err(error) => self.log.warn(&id.task, error),
        }
        let path = path.display().to_string();
        self.compile(id, path, &Module::File { wasm, namespace });
    }

    /// Has a layer of the container's image looked for, and compiled if it is not yet.
    pub(super) fn provide_layer(&mut self, id: &ProcessId, named: String, otherwise: Otherwise) {
        let containerd = self.containerd.clone();
        let module = Module::Layer {
            containerd: &containerd,
            named: &named,
            otherwise,
        };
        self.compile(id, named.clone(), &module);
    }

    fn compile(&mut self, id: &ProcessId, path: String, module: &Module<'_>) {
        let root = Path::new(DEFAULT_ROOT);
        let Some(process) = self.tasks.process(id) else {
            return;
        };
        let who = (id.clone(), process.pid);
        match Compilation::start(&self.programs, root, who, path.clone(), module) {
            Ok(compilation) => self.compilations.push(compilation),
            Err(error) => self.send_no_code(id, format!("{path}: slipway-compile: {error}")),
        }
    }

    /// A compilation has ended.
    pub(super) fn on_compiled(&mut self, compilation: Compilation, status: u32) {
        let (id, path) = (compilation.process.clone(), compilation.path.clone());
        let worker = compilation.worker;
        let outcome = compilation.outcome(status);
        match &outcome {
            Outcome::Compiled {
                note: Some(note), ..
            } => self.log.warn(&id.task, note),
            Outcome::Failed(message) => self.log.error(&id.task, message),
            _ => {}
        }
        let process = self.tasks.process(&id);
        if process.is_none_or(|process| process.pid != worker) {
            // It is gone, and another of its name may wait for something else.
            return;
        }
        match outcome {
            Outcome::Compiled { digest, .. } => {
                // The compiler has opened the cache anew; so do we, for the directory we hold may have been removed
                // and made again since, by an uninstall and an install.
                self.cache = None;
                let code = self.cache().and_then(|cache| cache.get(&digest));
                match code {
                    Ok(Some(code)) => self.send_code(&id, &code),
                    Ok(None) => self.send_no_code(
                        &id,
                        format!("{path}: its compiled code vanished from the node's cache"),
                    ),
                    Err(error) => self.send_no_code(&id, format!("{path}: {error}")),
                }
            }
            Outcome::NoLayer(Otherwise { message, exit_code }) => {
                self.tell(&id, &ToWorker::NoCode { exit_code, message }, None);
            }
            Outcome::NotRunnable(message) | Outcome::Failed(message) => {
                self.send_no_code(&id, message);
            }
        }
    }

    fn cache(&mut self) -> Result<&Cache, CacheError> {
        match &mut self.cache {
            Some(cache) => Ok(cache),
            empty => Ok(empty.insert(Cache::open(Path::new(DEFAULT_ROOT))?)),
        }
    }

    fn send_code(&mut self, id: &ProcessId, code: &File) {
        self.tell(id, &ToWorker::Code, Some(code));
    }

    fn send_no_code(&mut self, id: &ProcessId, message: String) {
        let exit_code = EXIT_NOT_RUNNABLE;
        self.tell(id, &ToWorker::NoCode { exit_code, message }, None);
    }

    fn tell(&mut self, id: &ProcessId, message: &ToWorker, attached: Option<&File>) {
        let Some(process) = self.tasks.process(id) else {
            return;
        };
        if let (Phase::SettingUp(_), Some(channel)) = (&process.phase, process.kind.channel())
            && let Err(error) = channel.send(message, attached.map(AsFd::as_fd))
        {
            self.log.warn(&id.task, error);
        }
    }
}
