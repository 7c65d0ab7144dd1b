//! The planned restart (L9), once there are long leases: everything the next process needs is written
//! down, then this process becomes the next one.

use std::path::{Path, PathBuf};

use haven_controller::HandOver;
use haven_host::identity::write_durable;
use haven_types::{BootId, NodeId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::Daemon;
use crate::beat::Order;
use crate::config::NodeConfig;

const MAGIC: &[u8; 8] = b"haven-h\n";
/// Raised whenever [`Legacy`] or anything in it changes: the content does not say what it is made of.
const FORMAT: u16 = 2;

/// What one process leaves to the next on the same boot of the host.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Legacy {
    /// `/proc/sys/kernel/random/boot_id` of the host: instants and gates of another boot are void.
    host_boot: String,
    /// Whose.
    pub(super) node: NodeId,
    /// Which life of it wrote this. What a later one promised is not in it.
    boot: BootId,
    /// Promises and held leases.
    pub(super) heartbeat: haven_heartbeat::HandOver,
    /// What runs.
    pub(super) controller: HandOver,
}

fn file(config: &NodeConfig) -> PathBuf {
    config.run.join("handover")
}

/// Whether the process before this one left something, of use or not.
pub(super) fn is_left(config: &NodeConfig) -> bool {
    file(config).exists()
}

fn host_boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

impl Legacy {
    /// What an earlier process left, if it ended by a planned restart on this boot of the host. It is
    /// good once: the file is gone before the first frame leaves, and where it cannot be removed it is worth nothing to
    /// a later process, since it is not of the life before that one's. `before` is the boot id of the last life.
    pub(super) fn take(config: &NodeConfig, node: NodeId, before: Option<BootId>) -> Option<Self> {
        Self::left(&file(config), node, before).unwrap_or_else(|refused| {
            tracing::warn!("{refused}");
            None
        })
    }

    /// [`Legacy::take`]; a file that is of no use is an error in words.
    fn left(path: &Path, node: NodeId, before: Option<BootId>) -> Result<Option<Self>, String> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(in_vain(path, &format!("cannot be read: {error}"))),
        };
        std::fs::remove_file(path)
            .map_err(|error| in_vain(path, &format!("cannot be removed: {error}")))?;
        let legacy: Self = unseal(&bytes).map_err(|refused| in_vain(path, &refused.to_string()))?;
        if legacy.host_boot != host_boot() || legacy.node != node {
            return Ok(None);
        }
        if Some(legacy.boot) != before {
            return Err(in_vain(path, "is of an earlier life than the last one"));
        }
        Ok(Some(legacy))
    }
}

/// Removes what a process of an earlier membership left.
pub(crate) fn forget_hand_over(config: &NodeConfig) -> std::io::Result<()> {
    match std::fs::remove_file(file(config)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What is said of a hand-over file that is of no use.
fn in_vain(path: &Path, found: &str) -> String {
    format!(
        "{}, which the daemon before left at a planned restart, {found}; the start goes on without it: the leases that \
         it held run out and are asked for anew, and their addresses are silent until then",
        path.display()
    )
}

/// Why a file is not believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
enum Refused {
    #[error(
        "does not begin as a hand-over file of this version: an earlier one wrote it, or it is damaged"
    )]
    Foreign,
    #[error("is damaged: cut short or changed after it was written")]
    Damaged,
    #[error("has format {0}, and this version reads format {known} alone", known = FORMAT)]
    Format(u16),
    #[error("does not hold what its format promises: report it")]
    Content,
}

/// magic 8 │ crc 4 │ format 2 │ content, as the store has it: little endian, the sum over all that follows it.
fn seal(content: &impl Serialize) -> Result<Vec<u8>, postcard::Error> {
    let mut summed = FORMAT.to_le_bytes().to_vec();
    summed.extend(postcard::to_stdvec(content)?);
    let mut bytes = MAGIC.to_vec();
    bytes.extend(crc32fast::hash(&summed).to_le_bytes());
    bytes.extend(summed);
    Ok(bytes)
}

fn unseal<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(Refused::Foreign)?;
    let (sum, summed) = rest.split_first_chunk::<4>().ok_or(Refused::Damaged)?;
    if crc32fast::hash(summed) != u32::from_le_bytes(*sum) {
        return Err(Refused::Damaged);
    }
    let (format, content) = summed.split_first_chunk::<2>().ok_or(Refused::Damaged)?;
    match u16::from_le_bytes(*format) {
        FORMAT => {}
        other => return Err(Refused::Format(other)),
    }
    match postcard::take_from_bytes(content) {
        Ok((content, [])) => Ok(content),
        Ok(_) | Err(_) => Err(Refused::Content),
    }
}

/// The hand-over file that this version writes of what these bytes of one say. For the decoders' tests: a daemon believes
/// no file but its own last life's.
///
/// # Errors
/// Why nothing is believed, in words.
pub fn rewrite_hand_over(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let legacy: Legacy = unseal(bytes).map_err(|refused| refused.to_string())?;
    seal(&legacy).map_err(|error| error.to_string())
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
            boot: self.boot,
            heartbeat,
            controller: self.controller().hand_over(),
        };
        let bytes = seal(&legacy).map_err(|error| error.to_string())?;
        write_durable(&file(&self.config), &bytes, 0o600).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Option<BootId> = Some(BootId(5));

    fn legacy() -> Legacy {
        Legacy {
            host_boot: host_boot(),
            node: NodeId(1),
            boot: BootId(5),
            heartbeat: haven_heartbeat::HandOver::default(),
            controller: HandOver {
                executor: haven_executor::Executor::new(NodeId(1)),
                history: haven_controller::NodeHistory::new(NodeId(1), BootId(5)),
                quorum: Default::default(),
            },
        }
    }

    /// Seals anew what was changed on purpose.
    fn sealed(format: u16, content: &[u8]) -> Vec<u8> {
        let summed = [&format.to_le_bytes(), content].concat();
        [MAGIC.as_slice(), &crc32fast::hash(&summed).to_le_bytes(), &summed].concat()
    }

    fn read(bytes: &[u8]) -> Result<Legacy, Refused> {
        unseal(bytes)
    }

    #[test]
    fn a_hand_over_file_is_read_as_it_was_written_or_refused() {
        let whole = seal(&legacy()).unwrap();
        assert_eq!(read(&whole), Ok(legacy()));
        let content = postcard::to_stdvec(&legacy()).unwrap();
        assert_eq!(read(&content), Err(Refused::Foreign), "of a version that wrote it bare");
        for other in [FORMAT - 1, FORMAT + 1] {
            assert_eq!(read(&sealed(other, &content)), Err(Refused::Format(other)));
        }
        for len in 0..whole.len() {
            assert!(read(&whole[..len]).is_err(), "cut after {len} bytes");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&flipped).is_err(), "bit {bit}");
        }
        assert_eq!(read(&[&*whole, &[0]].concat()), Err(Refused::Damaged));
        let longer = [&*content, &[0]].concat();
        assert_eq!(read(&sealed(FORMAT, &longer)), Err(Refused::Content), "nothing may follow");
        assert_eq!(read(&sealed(FORMAT, &content[1..])), Err(Refused::Content));
    }

    /// Of an owner with a lease, promises, two resources and operations past. Where this fails, the content has changed:
    /// raise [`FORMAT`] and put a file of the new one beside, from a node whose successor is a script that keeps it.
    #[test]
    fn a_file_of_this_format_is_read_to_the_last_byte() {
        let kept = include_bytes!("../../../../tests/golden/handover/format-2");
        let legacy = read(kept).unwrap();
        assert_eq!(legacy.node, NodeId(1));
        assert_eq!(legacy.heartbeat.held.len(), 1);
        assert_ne!(legacy.heartbeat.promises, Default::default());
        assert_ne!(legacy.controller.executor, haven_executor::Executor::new(NodeId(1)));
        assert_eq!(rewrite_hand_over(kept).unwrap(), kept);
    }

    /// It could not be removed, or not be read, when the life after it began; what that one promised is not in it.
    // spec: L4
    #[test]
    fn a_hand_over_file_is_good_for_the_next_life_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("handover");
        for before in [Some(BootId(6)), Some(BootId(4)), None] {
            std::fs::write(&path, seal(&legacy()).unwrap()).unwrap();
            let said = Legacy::left(&path, NodeId(1), before).unwrap_err();
            assert!(said.contains("is of an earlier life than the last one"), "{said}");
        }
    }

    #[test]
    fn a_hand_over_file_is_good_once_and_refused_in_words() {
        let dir = tempfile::tempdir().unwrap();
        let text = "[cluster]\nname = \"demo\"\n[node]\nname = \"n1\"\n[[link]]\nnumber = 0\nlocal = \"192.0.2.1\"\n";
        let mut config = NodeConfig::parse(text).unwrap();
        config.run = dir.path().to_owned();
        let path = file(&config);
        assert_eq!(Legacy::take(&config, NodeId(1), BEFORE), None, "there is none");
        let whole = seal(&legacy()).unwrap();
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(Legacy::take(&config, NodeId(1), BEFORE), Some(legacy()));
        assert_eq!(Legacy::take(&config, NodeId(1), BEFORE), None, "it is gone");
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(Legacy::take(&config, NodeId(2), BEFORE), None);
        std::fs::write(&path, &whole).unwrap();
        forget_hand_over(&config).unwrap();
        assert!(!path.exists());
        forget_hand_over(&config).unwrap();
        for (bytes, found) in [
            (whole[..whole.len() - 1].to_vec(), "damaged"),
            (sealed(FORMAT + 1, &[]), "has format 3, and this version reads format 2 alone"),
            (postcard::to_stdvec(&legacy()).unwrap(), "an earlier one wrote it"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let said = Legacy::left(&path, NodeId(1), BEFORE).unwrap_err();
            for part in [path.to_str().unwrap(), found, "asked for anew", "silent until then"] {
                assert!(said.contains(part), "{part}: {said}");
            }
            assert!(!path.exists(), "what is refused is not looked at again");
        }
    }
}
