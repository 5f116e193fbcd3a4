//! The harness of the cluster tests.
//!
//! A test is a scenario run on every worker of the test bed at once ([`scene::on_each_worker`]), or one that has
//! all of them for itself ([`stage::on_all_workers`]). Of the former each worker
//! gives the test its turn ([`turn`]), is brought to the state the test starts from ([`provision`]), and lends
//! it a namespace ([`namespace`]). When a scenario fails, its error carries the [`report`] of that node.
//!
//! It only asks what a cluster alone can answer. It never makes or removes the cluster (`e2e/testbed` does),
//! never builds images, and looks at nodes from outside the product: through the API server, and with the
//! node's own tools by `docker exec` ([`node`]).

pub mod cluster;
pub mod command;
pub mod events;
pub mod fault;
pub mod file_server;
pub mod guests;
pub mod helm;
pub mod identity;
pub mod installer;
pub mod kubectl;
pub mod lease;
pub mod membership;
pub mod metrics;
pub mod names;
pub mod namespace;
pub mod node;
pub mod nodeshim;
pub mod operator;
pub mod pods;
pub mod provision;
pub mod report;
pub mod runc_shim;
pub mod scene;
pub mod settings;
pub mod shim;
pub mod stage;
pub mod tree;
pub mod turn;
pub mod untouched;
pub mod wait;
pub mod watcher;
