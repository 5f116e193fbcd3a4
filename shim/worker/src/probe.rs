//! Telling the pod process whether a container is native.

use slipway_shim_container::probe;
use slipway_shim_wire::{Channel, Probe, ToPod};

/// Looks, answers, and ends: a process that has looked is fit for nothing else.
pub(crate) fn answer(channel: &Channel, asked: &Probe) -> ! {
    let answer = match probe(asked) {
        Ok(native) => ToPod::Probed { native },
        Err(error) => ToPod::SetupFailed {
            message: error.to_string(),
        },
    };
    // Without a pod process there is nobody left who wants to know.
    let sent = channel.send(&answer, None);
    std::process::exit(i32::from(sent.is_err()))
}
