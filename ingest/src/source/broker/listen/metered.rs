//! How much a WebSocket client may send before it is let in. The library collects a frame before
//! anybody sees a byte of it, and a client that has logged in may send large ones.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::source::broker::limits::MOST_CONNECT_BYTES;

/// Bytes beside the CONNECT: the HTTP request, the heads of frames, and what is read in advance.
const OVERHEAD: usize = 64 << 10;

/// A stream that ends with an error when too much comes before its client is let in.
pub(super) struct Metered<S> {
    inner: S,
    left: usize,
    admitted: Arc<AtomicBool>,
}

impl<S> Metered<S> {
    pub(super) fn new(inner: S, admitted: Arc<AtomicBool>) -> Self {
        Self {
            inner,
            left: MOST_CONNECT_BYTES as usize + OVERHEAD,
            admitted,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, out))?;
        if self.admitted.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        match self.left.checked_sub(out.filled().len() - before) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Ok(()))
            }
            None => {
                // An error brings no bytes.
                out.set_filled(before);
                let error = "too many bytes before a CONNECT";
                Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn much_comes_only_from_those_who_are_let_in() {
        let most = MOST_CONNECT_BYTES as usize + OVERHEAD;
        let bytes = vec![b'x'; 16 << 20];
        let read = async |admitted: bool, length: usize| {
            let admitted = Arc::new(AtomicBool::new(admitted));
            let mut metered = Metered::new(&bytes[..length], admitted);
            let mut into = Vec::new();
            let outcome = metered.read_to_end(&mut into).await;
            outcome.ok()
        };
        assert_eq!(read(false, most).await, Some(most));
        assert_eq!(read(false, most + 1).await, None);
        assert_eq!(read(false, bytes.len()).await, None);
        assert_eq!(read(true, bytes.len()).await, Some(bytes.len()));
    }
}
