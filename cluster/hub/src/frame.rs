//! What travels by the connection between two members: one byte that names the kind, then the message.

use bytes::Bytes;

/// A controller's message follows.
const CONTROLLER: u8 = 1;
/// A message about the heartbeats' keys follows.
const KEYS: u8 = 2;

/// A frame of the connection between two members.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// A [`haven_controller::PeerMessage`], encoded, that is too long for the delivery over datagrams.
    Controller(Bytes),
    /// What members tell each other about the heartbeats' keys.
    Keys(Bytes),
    /// Of a kind that this version does not know.
    Unknown(u8),
}

impl Frame {
    /// A frame as it arrived; nothing where it is empty.
    #[must_use]
    pub fn decode(mut bytes: Bytes) -> Option<Self> {
        let kind = *bytes.first()?;
        let message = bytes.split_off(1);
        Some(match kind {
            CONTROLLER => Self::Controller(message),
            KEYS => Self::Keys(message),
            other => Self::Unknown(other),
        })
    }

    /// The frame that carries a message about keys.
    #[must_use]
    pub fn of_keys(message: &[u8]) -> Bytes {
        Self::tagged(KEYS, message)
    }

    /// The frame that carries a controller's message.
    pub(crate) fn of_controller(message: &[u8]) -> Bytes {
        Self::tagged(CONTROLLER, message)
    }

    fn tagged(kind: u8, message: &[u8]) -> Bytes {
        Bytes::from([&[kind], message].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_says_what_it_carries() {
        let message = Bytes::from_static(b"message");
        let controller = Frame::of_controller(b"message");
        assert_eq!(controller[..], *b"\x01message");
        assert_eq!(Frame::decode(controller), Some(Frame::Controller(message.clone())));
        assert_eq!(Frame::of_keys(b"message")[..], *b"\x02message");
        assert_eq!(Frame::decode(Frame::of_keys(b"message")), Some(Frame::Keys(message)));
        assert_eq!(Frame::decode(Frame::of_keys(b"")), Some(Frame::Keys(Bytes::new())));
        assert_eq!(Frame::decode(Bytes::from_static(&[7, 1, 2])), Some(Frame::Unknown(7)));
        assert_eq!(Frame::decode(Bytes::new()), None);
    }
}
