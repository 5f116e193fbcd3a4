//! What a guest finds around it: WASI with the container's own streams, files and network.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use slipway_shim_options::Network;
use tokio::io::AsyncWrite;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::cli::{InputFile, IsTerminal, OutputFile, StdoutStream};
use wasmtime_wasi::filesystem::WasiFilesystemCtx;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p2::OutputStream;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_config::WasiConfigVariables;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::Invocation;
use crate::log::Log;
use crate::memory::Share;
use crate::outbound::Outbound;

/// Where a guest's output goes.
#[derive(Clone)]
enum Output {
    /// To the descriptor, as the guest writes it: nothing is kept back that a sudden end could lose.
    File(OutputFile),
    /// There, too, but no thread waits for a reader.
    Log(Log),
}

impl Output {
    async fn written(&self) {
        if let Self::Log(log) = self {
            log.written().await;
        }
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        match self {
            Self::File(file) => file.is_terminal(),
            Self::Log(log) => log.is_terminal(),
        }
    }
}

impl StdoutStream for Output {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        match self {
            Self::File(file) => file.p2_stream(),
            Self::Log(log) => log.p2_stream(),
        }
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        match self {
            Self::File(file) => file.async_stream(),
            Self::Log(log) => log.async_stream(),
        }
    }
}

/// What all instances share: the container's output, directories and configuration.
#[derive(Clone)]
pub(crate) struct Common {
    stdout: Output,
    stderr: Output,
    /// Opened once: a server would otherwise open and close each of them for every request. Nothing of one instance
    /// is seen by another through them, since who lists a directory does so by a descriptor of its own.
    directories: WasiFilesystemCtx,
    config: Arc<WasiConfigVariables>,
    outbound: Outbound,
}

impl Common {
    /// `waits` says whether the guest's thread may wait for a file, or for who reads its output.
    ///
    /// # Errors
    /// When stdout or stderr is closed, or a directory cannot be opened.
    pub(crate) fn new(invocation: &Invocation, waits: bool) -> wasmtime::Result<Self> {
        let stdout = duplicate(io::stdout().as_fd())?;
        let stderr = duplicate(io::stderr().as_fd())?;
        let (stdout, stderr) = if waits {
            let [stdout, stderr] = [stdout, stderr].map(OutputFile::new);
            (Output::File(stdout), Output::File(stderr))
        } else {
            let [stdout, stderr] = Log::both(stdout, stderr);
            (Output::Log(stdout), Output::Log(stderr.ours()))
        };
        Ok(Self {
            stdout,
            stderr,
            directories: directories(invocation, waits)?,
            config: Arc::default(),
            outbound: Outbound::new(invocation),
        })
    }

    /// Waits until all output is written.
    pub(crate) async fn written(&self) {
        self.stdout.written().await;
        self.stderr.written().await;
    }

    /// The same with something to configure a guest with.
    pub(crate) fn configured(mut self, config: WasiConfigVariables) -> Self {
        self.config = Arc::new(config);
        self
    }
}

/// The kernel enforces what may be written: the mounts are the container's.
fn directories(invocation: &Invocation, waits: bool) -> wasmtime::Result<WasiFilesystemCtx> {
    let mut builder = WasiCtxBuilder::new();
    builder.allow_blocking_current_thread(waits);
    for (host, guest) in &invocation.directories {
        builder.preopened_dir(host, guest, FsPerms::ReadWrite)?;
    }
    Ok(builder.build().filesystem().clone())
}

fn duplicate(stream: BorrowedFd<'_>) -> io::Result<File> {
    Ok(File::from(stream.try_clone_to_owned()?))
}

/// Arguments, environment, output and network.
fn builder(invocation: &Invocation, common: &Common) -> WasiCtxBuilder {
    let mut builder = WasiCtxBuilder::new();
    builder
        .args(&invocation.args)
        .envs(&invocation.env)
        .stdout(common.stdout.clone())
        .stderr(common.stderr.clone());
    match invocation.options.network {
        // The pod's network namespace, its policies and its DNS are the boundary, as for any container.
        Network::Pod => builder
            .inherit_network()
            .allow_tcp(true)
            .allow_udp(true)
            .allow_ip_name_lookup(true),
        // Not even a socket: the checks of addresses come later than its making.
        Network::None => builder.allow_tcp(false).allow_udp(false),
    };
    if let Some(cwd) = &invocation.cwd {
        builder.initial_cwd(cwd);
    }
    builder
}

/// The state of a core module's store.
pub(crate) struct ModuleHost {
    pub(crate) wasi: WasiP1Ctx,
    pub(crate) memory: Share,
}

impl ModuleHost {
    /// # Errors
    /// When stdin is closed.
    pub(crate) fn new(
        invocation: &Invocation,
        common: &Common,
        memory: Share,
    ) -> wasmtime::Result<Self> {
        let mut builder = builder(invocation, common);
        builder.stdin(InputFile::new(duplicate(io::stdin().as_fd())?));
        let mut wasi = builder.build_p1();
        *wasi.ctx().ctx.filesystem() = common.directories.clone();
        Ok(Self { wasi, memory })
    }
}

/// The state of a component's store.
pub(crate) struct ComponentHost {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    pub(crate) table: ResourceTable,
    config: Arc<WasiConfigVariables>,
    outbound: Outbound,
    pub(crate) memory: Share,
}

impl ComponentHost {
    /// For a command: with the container's stdin.
    pub(crate) fn command(invocation: &Invocation, common: &Common, memory: Share) -> Self {
        let mut builder = builder(invocation, common);
        // Waits in a thread of its own, since a component may wait for other things beside input.
        builder.stdin(wasmtime_wasi::cli::stdin());
        Self::with(builder, common, memory)
    }

    /// For one request: without stdin, with a name for the request (as runwasi's shim has it).
    pub(crate) fn request(
        invocation: &Invocation,
        common: &Common,
        memory: Share,
        id: u64,
    ) -> Self {
        let mut builder = builder(invocation, common);
        builder.env("REQUEST_ID", id.to_string());
        Self::with(builder, common, memory)
    }

    /// What `wasi:config` answers with.
    pub(crate) fn config(&self) -> &WasiConfigVariables {
        &self.config
    }

    fn with(mut builder: WasiCtxBuilder, common: &Common, memory: Share) -> Self {
        let mut wasi = builder.build();
        *wasi.filesystem() = common.directories.clone();
        Self {
            wasi,
            http: WasiHttpCtx::new(),
            table: ResourceTable::new(),
            config: Arc::clone(&common.config),
            outbound: common.outbound.clone(),
            memory,
        }
    }
}

impl WasiView for ComponentHost {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for ComponentHost {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.outbound,
        }
    }
}
