//! A way to a server that can be shut, as when its machine is away.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Forwards connections on a port of its own; ends with the test.
pub(crate) struct Gate {
    port: u16,
    way: Arc<Way>,
}

struct Way {
    target: String,
    shut: AtomicBool,
    /// Both ends of every connection there was.
    sockets: Mutex<Vec<TcpStream>>,
}

impl Gate {
    /// An open gate to `http://host:port`.
    pub(crate) fn start(endpoint: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let way = Arc::new(Way {
            target: endpoint.trim_start_matches("http://").to_owned(),
            shut: AtomicBool::new(false),
            sockets: Mutex::default(),
        });
        let passing = Arc::clone(&way);
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                passing.pass(socket);
            }
        });
        Self { port, way }
    }

    /// Where to go instead of the target.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Breaks every connection, and every one that comes, until it is opened.
    pub(crate) fn shut(&self) {
        self.way.shut.store(true, Ordering::SeqCst);
        for socket in self.way.sockets.lock().unwrap().drain(..) {
            // One that is closed needs no closing.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn open(&self) {
        self.way.shut.store(false, Ordering::SeqCst);
    }
}

impl Way {
    /// Forwards both directions; drops the connection when the gate is shut.
    fn pass(&self, near: TcpStream) {
        let mut sockets = self.sockets.lock().unwrap();
        if self.shut.load(Ordering::SeqCst) {
            return;
        }
        let Ok(far) = TcpStream::connect(&self.target) else {
            return;
        };
        for (from, to) in [(&near, &far), (&far, &near)] {
            let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            std::thread::spawn(move || forward(from, to));
        }
        sockets.extend([near, far]);
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // The other end may be gone already.
    let _ = to.shutdown(Shutdown::Write);
}
