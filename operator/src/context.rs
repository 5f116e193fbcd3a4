//! What every controller is given.

use kube::Client;

use crate::caches::Caches;
use crate::events::Emitter;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::turns::Turns;

/// Shared by the controllers of one process.
pub struct Context {
    /// Talks to the API server.
    pub client: Client,
    /// What was last seen of the cluster.
    pub caches: Caches,
    /// Validated settings.
    pub settings: Settings,
    /// Whose turn it is.
    pub turns: Turns,
    /// Writes events.
    pub events: Emitter,
    /// What is counted.
    pub metrics: Metrics,
}
