//! The planned restart (L9), once there are long leases: everything the next process needs is written
//! down, then this process becomes the next one.

use std::path::PathBuf;

use haven_controller::HandOver;
use haven_host::identity::write_durable;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::Daemon;
use crate::beat::Order;
use crate::config::NodeConfig;

/// What one process leaves to the next on the same boot of the host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Legacy {
    /// `/proc/sys/kernel/random/boot_id` of the host: instants and gates of another boot are void.
    host_boot: String,
    /// Whose.
    pub(super) node: haven_types::NodeId,
    /// Promises and held leases.
    pub(super) heartbeat: haven_heartbeat::HandOver,
    /// What runs.
    pub(super) controller: HandOver,
}

fn file(config: &NodeConfig) -> PathBuf {
    config.run.join("handover")
}

fn host_boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

impl Legacy {
    /// What an earlier process left, if it ended by a planned restart on this boot of the host. It is
    /// good once: the file is gone before the first frame leaves.
    pub(super) fn take(config: &NodeConfig, node: haven_types::NodeId) -> Option<Self> {
        let path = file(config);
        let bytes = std::fs::read(&path).ok()?;
        if let Err(error) = std::fs::remove_file(&path) {
            tracing::warn!(%error, path = %path.display(), "left-over hand-over file is ignored");
            return None;
        }
        let legacy: Self = postcard::from_bytes(&bytes).ok()?;
        (legacy.host_boot == host_boot() && legacy.node == node).then_some(legacy)
    }
}

impl Daemon {
    /// Writes down what the next process needs. From here on no frame leaves.
    pub(super) async fn bequeath(&mut self) -> Result<(), String> {
        let (answer, heartbeat) = oneshot::channel();
        self.beat.send(Order::HandOver(answer));
        let heartbeat = heartbeat
            .await
            .map_err(|_| "the heartbeat thread ended without handing over".to_owned())?;
        let legacy = Legacy {
            host_boot: host_boot(),
            node: self.node,
            heartbeat,
            controller: self.controller().hand_over(),
        };
        let bytes = postcard::to_stdvec(&legacy).map_err(|error| error.to_string())?;
        write_durable(&file(&self.config), &bytes, 0o600).map_err(|error| error.to_string())
    }
}
