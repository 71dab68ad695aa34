//! A connection to a server that can be cut at a chosen moment: the request arrives, the answer does not.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

/// Forwards everything to `server` (`http://HOST:PORT`), except that requests which begin with `swallow` are
/// delivered, and answered by nothing. Answers its own address. Ends with the test's process.
pub fn swallowing(server: &str, swallow: &'static str) -> String {
    let server = server.strip_prefix("http://").unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = server.clone();
            thread::spawn(move || forward(client, &server, swallow));
        }
    });
    address
}

fn forward(mut client: TcpStream, server: &str, swallow: &str) {
    let mut upstream = TcpStream::connect(server).unwrap();
    let mut first = vec![0; 64 * 1024];
    let Ok(read) = client.read(&mut first) else { return };
    upstream.write_all(&first[..read]).unwrap();
    let swallowed = first[..read].starts_with(swallow.as_bytes());
    let (mut from, mut to) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
    });
    if swallowed {
        // The server has answered once its answer can be read; then nobody can doubt that it acted.
        let _ = upstream.read(&mut first);
    } else {
        let _ = std::io::copy(&mut upstream, &mut client);
    }
    let _ = client.shutdown(Shutdown::Both);
}
