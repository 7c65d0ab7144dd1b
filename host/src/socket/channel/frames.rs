//! Length-prefixed frames on a byte stream: four bytes big-endian, then as many bytes.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest frame in bytes.
pub const MAX_FRAME: usize = 64 * 1024 * 1024;

const PREFIX: usize = 4;
/// Read at once; memory for a frame grows as its bytes arrive, not by what its prefix claims.
const CHUNK: usize = 64 * 1024;

/// Reads frames. Dropping the future of [`next`](Self::next) loses nothing: what was read stays.
#[derive(Debug)]
pub struct FrameReader<R> {
    stream: R,
    buffer: BytesMut,
    limit: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Frames of at most [`MAX_FRAME`].
    pub fn new(stream: R) -> Self {
        Self::with_limit(stream, MAX_FRAME)
    }

    /// Frames of at most `limit` bytes.
    pub fn with_limit(stream: R, limit: usize) -> Self {
        Self { stream, buffer: BytesMut::new(), limit }
    }

    /// The next frame; `None` when the stream ended between two frames. Cancellation-safe.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] within a frame, [`io::ErrorKind::InvalidData`] for one above the
    /// limit, and the stream's own.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(Some(frame));
            }
            self.buffer.reserve(CHUNK);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    fn buffered(&mut self) -> io::Result<Option<Bytes>> {
        let Some((prefix, rest)) = self.buffer.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
        if length > self.limit {
            let limit = self.limit;
            let message = format!("a frame of {length} bytes; at most {limit} are allowed");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        if rest.len() < length {
            return Ok(None);
        }
        self.buffer.advance(PREFIX);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}

/// Writes one frame and flushes it. Not cancellation-safe: after a dropped call the stream must be closed.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for a frame above [`MAX_FRAME`], and the stream's own.
pub async fn write_frame<W: AsyncWrite + Unpin>(stream: &mut W, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).ok().filter(|_| frame.len() <= MAX_FRAME);
    let Some(length) = length else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a frame of {} bytes; at most {MAX_FRAME} are allowed", frame.len()),
        ));
    };
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(frame).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_survive_any_split_and_a_dropped_read() {
        let (mut near, far) = tokio::io::duplex(7);
        let frames: Vec<Vec<u8>> = vec![vec![], vec![1], vec![2; 1_000], vec![3; 13]];
        let sent = frames.clone();
        let writer = tokio::spawn(async move {
            for frame in &sent {
                write_frame(&mut near, frame).await.unwrap();
            }
        });
        let mut reader = FrameReader::new(far);
        let mut got = Vec::new();
        while got.len() < frames.len() {
            // Each read is abandoned as soon as it has to wait.
            tokio::select! {
                biased;
                frame = reader.next() => got.push(frame.unwrap().unwrap().to_vec()),
                () = tokio::task::yield_now() => {}
            }
        }
        writer.await.unwrap();
        assert_eq!(got, frames);
        assert!(reader.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_frame_above_the_limit_or_cut_short_is_an_error() {
        let mut reader = FrameReader::with_limit([0, 0, 0, 5, 1, 2].as_slice(), 4);
        assert_eq!(reader.next().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        let mut reader = FrameReader::new([0, 0, 0, 5, 1, 2].as_slice());
        assert_eq!(reader.next().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let mut reader = FrameReader::new([0xff; 4].as_slice());
        assert_eq!(reader.next().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
