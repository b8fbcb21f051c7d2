//! MQTT over WebSocket (MQTT 5, section 6): binary frames as a stream of bytes, whatever packets
//! their borders cut.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

/// The subprotocol of MQTT 5 and 3.1.1, and the header that names it.
pub(super) const SUBPROTOCOL: &str = "mqtt";
pub(super) const SUBPROTOCOL_HEADER: &str = "sec-websocket-protocol";
/// Bytes read at a time, held by every connection.
const READ_BYTES: usize = 16 << 10;
/// The most bytes of one frame sent.
const FRAME_BYTES: usize = 64 << 10;

/// A WebSocket as a stream of bytes.
pub(super) struct WebSocket<S> {
    inner: WebSocketStream<S>,
    /// What is left of the frame read last.
    rest: Bytes,
}

/// How frames are read: one frame may hold the largest packet and what comes with it.
pub(super) fn config(max_packet_bytes: u32) -> WebSocketConfig {
    let most = (max_packet_bytes as usize).saturating_add(FRAME_BYTES);
    WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * FRAME_BYTES)
        .max_message_size(Some(most))
        .max_frame_size(Some(most))
}

impl<S> WebSocket<S> {
    pub(super) fn new(inner: WebSocketStream<S>) -> Self {
        Self {
            inner,
            rest: Bytes::new(),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            let message = match ready!(Pin::new(&mut self.inner).poll_next(cx)) {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Poll::Ready(Err(failed(error))),
                None => return Poll::Ready(Ok(())),
            };
            match message {
                Message::Binary(bytes) => self.rest = bytes,
                Message::Text(_) => {
                    // MQTT-6.0.0-1: the connection has to end.
                    let error = "a text frame: MQTT comes in binary ones";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
                }
                // Answered by the library.
                Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {}
            }
        }
        let taken = self.rest.len().min(out.remaining());
        out.put_slice(&self.rest[..taken]);
        self.rest.advance(taken);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.inner).poll_ready(cx)).map_err(failed)?;
        let taken = bytes.len().min(FRAME_BYTES);
        let frame = Message::Binary(Bytes::copy_from_slice(&bytes[..taken]));
        Pin::new(&mut self.inner)
            .start_send(frame)
            .map_err(failed)?;
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx).map_err(failed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.inner).poll_close(cx)) {
            Ok(()) | Err(WsError::ConnectionClosed | WsError::AlreadyClosed) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(failed(error))),
        }
    }
}

fn failed(error: WsError) -> io::Error {
    match error {
        WsError::Io(error) => error,
        WsError::ConnectionClosed | WsError::AlreadyClosed => {
            io::Error::new(io::ErrorKind::ConnectionAborted, error)
        }
        error => io::Error::new(io::ErrorKind::InvalidData, error),
    }
}
