//! What the modules make together: configurations rewritten and given back, and transactions killed at every step.

#![allow(clippy::unwrap_used, reason = "test code: a panic is the failure")]
#![allow(
    clippy::redundant_closure_for_method_calls,
    reason = "a method path is less general over lifetimes"
)]

mod bad_input;
mod crash;
mod crio;
#[allow(dead_code, reason = "tests/judge uses the rest")]
mod cycle;
mod detect;
mod drift;
mod fake;
mod fetch;
mod golden;
mod golden_matrix;
mod leftovers;
mod lifecycle;
mod nodes;
mod server;
mod shims;
