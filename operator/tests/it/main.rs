//! The operator against an API server in memory: its reconciles, its real requests, no cluster.

mod api;
mod killed_anywhere;
mod life;
mod rollout;
mod shims;
mod turns;
mod world;
