//! What is linked of WASI 0.2: only the packages that a component imports from, since each costs memory and time.

use wasmtime::Result;
use wasmtime::component::Linker;
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2;
use wasmtime_wasi::p2::bindings::sockets::network::LinkOptions;
use wasmtime_wasi::p2::bindings::{cli, filesystem, random, sockets};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView};
use wasmtime_wasi_config::WasiConfig;

use crate::host::ComponentHost as Host;

type Offer = fn(&mut Linker<Host>) -> Result<()>;

/// Packages, by the beginnings of their interfaces' names, beside what nearly all components import from.
const PACKAGES: [(&str, Offer); 6] = [
    ("wasi:cli/", commands),
    ("wasi:random/", insecure_random),
    ("wasi:filesystem/", files),
    ("wasi:sockets/", network),
    (
        "wasi:http/",
        wasmtime_wasi_http::p2::add_only_http_to_linker_async,
    ),
    ("wasi:config/", configuration),
];

/// Links the packages from which something is imported, as `imports` says of the beginning of a name.
///
/// # Errors
/// As [`Linker`]'s.
pub(crate) fn offer(linker: &mut Linker<Host>, imports: impl Fn(&str) -> bool) -> Result<()> {
    p2::add_to_linker_proxy_interfaces_async(linker)?;
    for (package, offer) in PACKAGES {
        if imports(package) {
            offer(linker)?;
        }
    }
    Ok(())
}

/// What of `wasi:cli` the proxy's world has not.
fn commands(linker: &mut Linker<Host>) -> Result<()> {
    cli::environment::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;
    cli::exit::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;
    cli::terminal_input::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;
    cli::terminal_output::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;
    cli::terminal_stdin::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;
    cli::terminal_stdout::add_to_linker::<Host, WasiCli>(linker, Host::cli)?;
    cli::terminal_stderr::add_to_linker::<Host, WasiCli>(linker, Host::cli)
}

/// What of `wasi:random` the proxy's world has not.
fn insecure_random(linker: &mut Linker<Host>) -> Result<()> {
    random::insecure::add_to_linker::<Host, WasiRandom>(linker, Host::random)?;
    random::insecure_seed::add_to_linker::<Host, WasiRandom>(linker, Host::random)
}

fn files(linker: &mut Linker<Host>) -> Result<()> {
    filesystem::types::add_to_linker::<Host, WasiFilesystem>(linker, Host::filesystem)?;
    filesystem::preopens::add_to_linker::<Host, WasiFilesystem>(linker, Host::filesystem)
}

fn network(linker: &mut Linker<Host>) -> Result<()> {
    let options = LinkOptions::default();
    sockets::network::add_to_linker::<Host, WasiSockets>(linker, &options, Host::sockets)?;
    sockets::instance_network::add_to_linker::<Host, WasiSockets>(linker, Host::sockets)?;
    sockets::ip_name_lookup::add_to_linker::<Host, WasiSockets>(linker, Host::sockets)?;
    sockets::tcp::add_to_linker::<Host, WasiSockets>(linker, Host::sockets)?;
    sockets::tcp_create_socket::add_to_linker::<Host, WasiSockets>(linker, Host::sockets)?;
    sockets::udp::add_to_linker::<Host, WasiSockets>(linker, Host::sockets)?;
    sockets::udp_create_socket::add_to_linker::<Host, WasiSockets>(linker, Host::sockets)
}

fn configuration(linker: &mut Linker<Host>) -> Result<()> {
    wasmtime_wasi_config::add_to_linker(linker, |host: &mut Host| WasiConfig::from(host.config()))
}
