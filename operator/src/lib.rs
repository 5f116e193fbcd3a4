//! The operator: it makes the nodes that ask for Wasm able to run it, and shows that they are.
//!
//! ```text
//!  Shim, Node ──► claim_controller ──► NodeShim ──► node_controller ──► Job on the node (the installer)
//!   ▲  ▲  │                              ▲  │            │        └───► canary pods, then the node's labels
//!   │  │  └──► runtime_classes           │  └── status ──┘
//!   │  │       RuntimeClass per handler  │
//!   │  └── status ── shim_controller ◄───┘
//!   └── default_shim ◄── ConfigMap of the chart
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
pub mod cleanup;
pub mod context;
pub mod default_shim;
pub mod events;
pub mod goal;
pub mod lease;
pub mod metrics;
pub mod node_controller;
pub mod node_facts;
pub mod report;
pub mod rollout;
pub mod run;
pub mod runtime_classes;
pub mod selection;
pub mod server;
pub mod settings;
pub mod shim_controller;
pub mod telemetry;
pub mod turns;
