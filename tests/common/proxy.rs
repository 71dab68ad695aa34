//! Between Remit and a server: a connection that is cut at a chosen moment, and a server whose secrets have no age.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;

/// Forwards everything to `server` (`http://HOST:PORT`), except that requests which begin with `swallow` are
/// delivered, and answered by nothing. Answers its own address. Ends with the test's process.
pub fn swallowing(server: &str, swallow: &'static str) -> String {
    answering(server, swallow, "")
}

/// The same, but that the requests are answered by `answer`, whatever the server says.
pub fn answering(server: &str, swallow: &'static str, answer: &'static str) -> String {
    listen(server, move |client, server| {
        forward(client, server, |request| request.starts_with(swallow.as_bytes()), answer);
    })
}

/// The same, but only the first of these requests is answered by nothing.
pub fn swallowing_once(server: &str, swallow: &'static str) -> String {
    let first = AtomicBool::new(true);
    let is_it =
        move |request: &[u8]| request.starts_with(swallow.as_bytes()) && first.swap(false, Ordering::SeqCst);
    listen(server, move |client, server| forward(client, server, &is_it, ""))
}

/// Forwards everything to `server`, under the name by which it was called, except that requests which have one of these texts in them
/// are delivered, and answered by nothing.
pub fn losing(server: &str, lost: &'static [&'static str]) -> String {
    listen(server, move |mut client, server| {
        let Some((head, body)) = message(&mut client) else { return };
        let answer = answered(server, &head, &body);
        let all = head + &String::from_utf8_lossy(&body);
        if !lost.iter().any(|lost| all.contains(lost)) {
            let _ = client.write_all(&answer);
        }
        let _ = client.shutdown(Shutdown::Both);
    })
}

/// Lets `serve` deal with each connection. Answers its own address.
fn listen(server: &str, serve: impl Fn(TcpStream, &str) + Send + Sync + 'static) -> String {
    let server = server.strip_prefix("http://").unwrap().trim_end_matches('/').to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (server, serve) = (server.clone(), Arc::clone(&serve));
            thread::spawn(move || serve(client, &server));
        }
    });
    address
}

fn forward(mut client: TcpStream, server: &str, swallow: impl Fn(&[u8]) -> bool, answer: &str) {
    let mut upstream = TcpStream::connect(server).unwrap();
    let mut first = vec![0; 64 * 1024];
    let Ok(read) = client.read(&mut first) else { return };
    upstream.write_all(&first[..read]).unwrap();
    let swallowed = swallow(&first[..read]);
    let (mut from, mut to) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
    });
    if swallowed {
        // The server has answered once its answer can be read; then nobody can doubt that it acted.
        let _ = upstream.read(&mut first);
        let _ = client.write_all(answer.as_bytes());
    } else {
        let _ = std::io::copy(&mut upstream, &mut client);
    }
    let _ = client.shutdown(Shutdown::Both);
}

/// Forwards everything to `server`, and answers that every secret was made at one and the same time. A test that makes its
/// secrets anew for each of its cases goes on with the ones that its journal tells of: to the host, the time at which
/// a secret was made is which secret it is.
pub fn ageless(server: &str) -> String {
    changing(server, |_, answer| {
        if answer["data"]["created_time"].is_string() {
            answer["data"]["created_time"] = "2026-01-01T00:00:00Z".into();
        }
    })
}

/// Forwards everything to `server`, and lets `change` change each answer in JSON; it is told the path of the request.
pub fn changing(server: &str, change: impl Fn(&str, &mut Value) + Send + Sync + 'static) -> String {
    listen(server, move |client, server| forward_changed(client, server, &change))
}

/// Forwards everything to `server`, each request after `first` was told its first line.
pub fn before(server: &str, first: impl Fn(&str) + Send + Sync + 'static) -> String {
    between(server, move |line, ask| {
        first(line);
        Some(ask())
    })
}

/// Lets `serve` deal with each request: it is told the first line, and can ask `server`. What it returns is the answer; with nothing,
/// the connection ends.
pub fn between(
    server: &str,
    serve: impl Fn(&str, &dyn Fn() -> Vec<u8>) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> String {
    listen(server, move |mut client, server| {
        let Some((head, body)) = message(&mut client) else { return };
        let line = head.lines().next().unwrap_or_default();
        if let Some(answer) = serve(line, &|| asked(server, &head, &body)) {
            // Whoever asked may have been killed.
            let _ = client.write_all(&answer);
        }
        let _ = client.shutdown(Shutdown::Both);
    })
}

/// What the server answers to this request.
fn asked(server: &str, head: &str, body: &[u8]) -> Vec<u8> {
    let to_server = |line: &str| match line.split_once(':') {
        Some((name, _)) if name.eq_ignore_ascii_case("host") => format!("Host: {server}"),
        _ => line.to_owned(),
    };
    answered(server, &head.split("\r\n").map(to_server).collect::<Vec<_>>().join("\r\n"), body)
}

/// The same for a server that may be called by another name.
fn answered(server: &str, head: &str, body: &[u8]) -> Vec<u8> {
    // HTTP/1.0: the answer ends with the connection, and comes in one piece.
    let head = head.replacen("HTTP/1.1", "HTTP/1.0", 1);
    let mut upstream = TcpStream::connect(server).unwrap();
    upstream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).unwrap();
    answer
}

fn forward_changed(mut client: TcpStream, server: &str, change: &impl Fn(&str, &mut Value)) {
    let Some((head, body)) = message(&mut client) else { return };
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let answer = asked(server, &head, &body);
    let at = answer.windows(4).position(|end| end == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    let (head, body) = answer.split_at(at);
    let body = match serde_json::from_slice::<Value>(body) {
        Ok(mut json) => {
            change(&path, &mut json);
            json.to_string().into_bytes()
        }
        Err(_) => body.to_vec(),
    };
    let head = String::from_utf8_lossy(head);
    let kept =
        head.trim_end().lines().filter(|line| !line.to_ascii_lowercase().starts_with("content-length:"));
    let head = kept.collect::<Vec<_>>().join("\r\n");
    let head = format!("{head}\r\nContent-Length: {}\r\n\r\n", body.len());
    // Whoever asked may have been killed.
    let _ = client.write_all(&[head.as_bytes(), &body].concat());
    let _ = client.shutdown(Shutdown::Both);
}

/// The head and the body of a request; none of one that was cut short.
fn message(client: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let (mut read, mut part) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(at) = read.windows(4).position(|end| end == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..at + 4]).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
            });
            let whole = at + 4 + length.unwrap_or(0_usize);
            if read.len() >= whole {
                return Some((head, read[at + 4..whole].to_vec()));
            }
        }
        match client.read(&mut part) {
            Ok(0) | Err(_) => return None,
            Ok(length) => read.extend_from_slice(&part[..length]),
        }
    }
}

/// What stands for a session in a call to [`proving`].
pub const SESSION: &str = "Authorization: DPoP of-the-test";

/// Forwards everything to `server`. A call with [`SESSION`] gets the headers instead that `prove` makes for its method and path. One
/// call for each connection.
pub fn proving(
    server: &str,
    prove: impl Fn(&str, &str) -> Vec<(&'static str, String)> + Send + Sync + 'static,
) -> String {
    proving_if(server, false, prove)
}

/// The same for every call, whether or not it has [`SESSION`].
pub fn proving_each(
    server: &str,
    prove: impl Fn(&str, &str) -> Vec<(&'static str, String)> + Send + Sync + 'static,
) -> String {
    proving_if(server, true, prove)
}

fn proving_if(
    server: &str,
    each: bool,
    prove: impl Fn(&str, &str) -> Vec<(&'static str, String)> + Send + Sync + 'static,
) -> String {
    let server = server.strip_prefix("http://").unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let prove = std::sync::Arc::new(prove);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (server, prove) = (server.clone(), std::sync::Arc::clone(&prove));
            thread::spawn(move || forward_proving(client, &server, each, &*prove));
        }
    });
    address
}

fn forward_proving(
    mut client: TcpStream,
    server: &str,
    each: bool,
    prove: &dyn Fn(&str, &str) -> Vec<(&'static str, String)>,
) {
    let own = client.local_addr().unwrap().to_string();
    let (mut read, mut more) = (Vec::new(), [0; 16 * 1024]);
    let head = loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        match client.read(&mut more) {
            Ok(0) | Err(_) => return,
            Ok(n) => read.extend_from_slice(&more[..n]),
        }
    };
    let text = String::from_utf8_lossy(&read[..head]).into_owned();
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (session, kept): (Vec<_>, Vec<_>) = lines
        .filter(|line| !line.to_ascii_lowercase().starts_with("connection:"))
        .partition(|line| line.eq_ignore_ascii_case(SESSION));
    let mut call = vec![first.to_owned(), "connection: close".to_owned()];
    // It is called by its own name, and the server by its own; another name stays another one.
    call.extend(kept.into_iter().map(|line| {
        let is_name = ["host:", "origin:"].iter().any(|name| line.to_ascii_lowercase().starts_with(name));
        if is_name { line.replace(&own, server) } else { line.to_owned() }
    }));
    if each || !session.is_empty() {
        call.extend(prove(method, path).into_iter().map(|(name, value)| format!("{name}: {value}")));
    }
    let Ok(mut upstream) = TcpStream::connect(server) else { return };
    let sent = upstream
        .write_all((call.join("\r\n") + "\r\n\r\n").as_bytes())
        .and_then(|()| upstream.write_all(&read[head + 4..]));
    if sent.is_err() {
        return;
    }
    let (Ok(mut from), Ok(mut to)) = (client.try_clone(), upstream.try_clone()) else { return };
    thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
    });
    let _ = std::io::copy(&mut upstream, &mut client);
    let _ = client.shutdown(Shutdown::Both);
}
