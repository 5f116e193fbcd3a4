//! The operator: it makes the nodes that ask for Wasm able to run it, and shows that they are.
//!
//! ```text
//!  Node ──► claim_controller ──► NodeShim ──► node_controller ──► Job on the node (the installer)
//!                                   ▲              │        └───► canary pods, then the node's labels
//!                                   └── status ────┘
//!  settings ──► runtime_classes ──► RuntimeClass per handler
//! ```
//!
//! Level-triggered: what to do next follows from what is observed and from the status written before,
//! never from what this process remembers. It may be killed at any point, and two of it do no harm.
//!
//! What it will not do: touch a node's disk or processes (the installer does), hold a token on a node,
//! label a node on which no Wasm pod has run, or overwrite a `RuntimeClass` a user made.

pub mod args;
pub mod caches;
pub mod claim_controller;
pub mod context;
pub mod events;
pub mod lease;
pub mod metrics;
pub mod node_controller;
pub mod node_facts;
pub mod report;
pub mod run;
pub mod runtime_classes;
pub mod server;
pub mod settings;
pub mod telemetry;
pub mod turns;
