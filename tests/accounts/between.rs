//! Between Remit and a directory: what becomes of each request is for the test to say.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// Forwards everything to a server on this machine, and asks `event` about each request: it is told what it is, such as `modify 5`
/// with the number of the message, and how to ask the server. What it returns is the answer; without one, the connection ends. Ends with the
/// test's process.
pub fn between(
    port: u16,
    event: impl Fn(&str, &dyn Fn() -> Vec<u8>) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("ldap://{}", listener.local_addr().unwrap());
    let event = Arc::new(event);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let event = Arc::clone(&event);
            thread::spawn(move || {
                // A server that is down ends each connection.
                if let Ok(server) = TcpStream::connect(("127.0.0.1", port)) {
                    serve(&client, &server, &*event);
                }
                let _ = client.shutdown(Shutdown::Both);
            });
        }
    });
    address
}

fn serve(
    mut client: &TcpStream,
    server: &TcpStream,
    event: &dyn Fn(&str, &dyn Fn() -> Vec<u8>) -> Option<Vec<u8>>,
) {
    while let Some(request) = message(client) {
        // `[APPLICATION n]` of RFC 4511, 4.
        let what = match operation(&request) {
            0x60 => "bind",
            0x63 => "search",
            0x66 => "modify",
            0x42 => return,
            _ => "another",
        };
        let ask = || {
            let mut to = server;
            to.write_all(&request).unwrap();
            let mut all = Vec::new();
            while let Some(answer) = message(server) {
                all.extend(&answer);
                // An entry, or a reference to another server, is not the last answer to a search.
                if !matches!(operation(&answer), 0x64 | 0x73) {
                    break;
                }
            }
            all
        };
        let (head, number) = number(&request);
        let number =
            request[head + 2..head + number].iter().fold(0_u32, |all, byte| all << 8 | u32::from(*byte));
        match event(&format!("{what} {number}"), &ask) {
            // Who asked may be gone.
            Some(answer) if !answer.is_empty() => drop(client.write_all(&answer)),
            // A server that ends the connection has no answer.
            _ => return,
        }
    }
}

/// One `LDAPMessage`, whole.
fn message(mut from: &TcpStream) -> Option<Vec<u8>> {
    let mut all = vec![0; 2];
    from.read_exact(&mut all).ok()?;
    let length = match all[1] {
        short @ 0..0x80 => usize::from(short),
        long => {
            let mut bytes = vec![0; usize::from(long & 0x7f)];
            from.read_exact(&mut bytes).ok()?;
            all.extend(&bytes);
            bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
        }
    };
    let mut rest = vec![0; length];
    from.read_exact(&mut rest).ok()?;
    all.extend(rest);
    Some(all)
}

/// Where the message's number begins, and how many bytes it has with its own head.
fn number(message: &[u8]) -> (usize, usize) {
    let head = if message[1] < 0x80 { 2 } else { 2 + usize::from(message[1] & 0x7f) };
    (head, 2 + usize::from(message[head + 1]))
}

fn operation(message: &[u8]) -> u8 {
    let (head, number) = number(message);
    message[head + number]
}

/// The answer that a modification was made.
pub fn success(line: &str) -> Vec<u8> {
    answer(line, &[0x67, 7, 0x0a, 1, 0, 4, 0, 4, 0])
}

/// One whose result code is a text.
pub fn garbled(line: &str) -> Vec<u8> {
    answer(line, &[0x67, 4, 0x04, 2, b'o', b'k'])
}

fn answer(line: &str, operation: &[u8]) -> Vec<u8> {
    let number: u8 = line.split(' ').nth(1).unwrap().parse().unwrap();
    let length = u8::try_from(3 + operation.len()).unwrap();
    [&[0x30, length, 0x02, 1, number], operation].concat()
}
