use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

/// What leads to a TCP server, and can be cut and mended.
#[derive(Debug)]
pub struct Cable {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    cut: bool,
    ended: bool,
    /// Both ends of each connection.
    connections: Vec<TcpStream>,
}

impl Cable {
    /// A whole one to `server`, as `host:port`.
    pub fn to(server: &str) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let state = Arc::<Mutex<State>>::default();
        let (server, carried) = (server.to_owned(), Arc::clone(&state));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if lock(&carried).ended {
                    return;
                }
                // Whoever can't be connected tries again.
                let _ = carry(client, &server, &carried);
            }
        });
        Ok(Self { address, state })
    }

    /// Where it begins, as `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Ends every connection, and lets none begin.
    pub fn cut(&self) {
        let mut state = lock(&self.state);
        state.cut = true;
        for connection in state.connections.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    pub fn mend(&self) {
        lock(&self.state).cut = false;
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.cut();
        lock(&self.state).ended = true;
        // Wakes who waits for connections.
        let _ = TcpStream::connect(self.address);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn carry(client: TcpStream, server: &str, state: &Mutex<State>) -> io::Result<()> {
    if lock(state).cut {
        return Ok(());
    }
    let server = TcpStream::connect(server)?;
    let ends = [client.try_clone()?, server.try_clone()?];
    let (client_too, server_too) = (client.try_clone()?, server.try_clone()?);
    {
        let mut state = lock(state);
        if state.cut {
            return Ok(());
        }
        state.connections.extend(ends);
    }
    thread::spawn(move || copy(&client, &server_too));
    thread::spawn(move || copy(&server, &client_too));
    Ok(())
}

/// Until one end is closed, which closes the other.
fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}
