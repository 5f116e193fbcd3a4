//! What only a cluster can show. Each test runs on every worker, so on each containerd of the test bed, and
//! may run alone, in any order, and again.

mod annotate;
mod bad_modules;
mod broken_config;
mod http;
mod job;
mod label;
mod restart;
mod unannotate;
