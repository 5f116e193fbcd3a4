//! What only a cluster can show. Each test runs on every worker, so on each containerd of the test bed, or has all
//! workers for itself; it may run alone, in any order, and again.

mod admission;
mod annotate;
mod bad_modules;
mod broken_config;
mod drain;
mod drift;
mod exec;
mod failover;
mod handlers;
mod http;
mod job;
mod join;
mod killed;
mod kubectl;
mod label;
mod limits;
mod placement;
mod probes;
mod restart;
mod rollout;
mod scaling;
mod security;
mod sidecars;
mod sources;
mod unannotate;
mod uninstall;
mod upgrade;
mod volumes;
